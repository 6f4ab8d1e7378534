#!/usr/bin/env bash
# Writes the public API of each crate to docs/api/CRATE.txt. With --check it writes nothing, and
# fails with the difference if a listing is out of date. Doc-hidden items and the feature
# `__internals` are not listed.
set -eu -o pipefail
cd "$(dirname "$0")/../.."

check=false
[ "${1:-}" = --check ] && check=true
target=${CARGO_TARGET_DIR:-target}/api
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# list CRATE FEATURES: prints the listing. On a stable toolchain rustdoc writes JSON only with
# RUSTC_BOOTSTRAP.
list() {
    RUSTC_BOOTSTRAP=1 cargo rustdoc --quiet -p "$1" --lib --features "$2" --target-dir "$target" -- \
        -Z unstable-options --output-format json
    cargo run --quiet --manifest-path docs/api/listing/Cargo.toml --target-dir "$target" --locked -- \
        "$target/doc/${1//-/_}.json"
}

status=0
# update CRATE FEATURES
update() {
    list "$1" "$2" >"$scratch/$1.txt"
    if ! $check; then
        mv "$scratch/$1.txt" "docs/api/$1.txt"
    elif ! diff -u --label "docs/api/$1.txt" --label "the code" "docs/api/$1.txt" "$scratch/$1.txt"; then
        status=1
    fi
}

update sessile serde
update sessile-web axum,testing
update sessile-tower axum,testing
update sessile-store contract
update sessile-redis ""
update sessile-memcached ""
if [ "$status" != 0 ]; then
    echo "The public API has changed. If that is intended, run docs/api/update.sh and commit the result."
fi
exit "$status"
