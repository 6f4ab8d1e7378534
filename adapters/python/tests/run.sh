#!/usr/bin/env bash
# Checks the package for Python. The wheel is installed into a separate virtual environment for each
# CPython from 3.10 that is found, and tested there. Steps whose tools are missing are skipped, with
# a message. The last line is "N passed, N failed, N skipped", counted in steps. Exits with 1 if a
# step failed.
set -u -o pipefail
cd "$(dirname "$0")/.."
SESSILE_README=$(cd ../.. && pwd)/README.md
export SESSILE_README

# Outside the folder of the sources, which Python would import instead of the installed package.
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
passed=0 failed=0 skipped=0

# A step that returns 77 is skipped, for the reason in the last line that it prints.
step() {
    local name=$1 begin=$SECONDS status=0
    shift
    "$@" >"$place/log" 2>&1 || status=$?
    if [ "$status" = 77 ]; then
        skip "$name" "$(tail -n 1 "$place/log")"
        return 1
    elif [ "$status" = 0 ]; then
        passed=$((passed + 1))
        printf 'ok    %-40s %4d s\n' "$name" $((SECONDS - begin))
        tail -n 1 "$place/log" | sed 's/^/        /'
    else
        failed=$((failed + 1))
        printf 'FAIL  %-40s %4d s\n' "$name" $((SECONDS - begin))
        tail -n 60 "$place/log" | sed 's/^/    | /'
        return 1
    fi
}

skip() {
    skipped=$((skipped + 1))
    printf 'skip  %-40s %s\n' "$1" "$2"
}

# Prints one interpreter for each minor version, from the PATH and from pyenv.
interpreters() {
    local found=() each
    for each in python3.{10..20}; do
        found+=("$(command -v "$each" 2>/dev/null)")
    done
    found+=("${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python)
    for each in "${found[@]}"; do
        [ -x "$each" ] || continue
        "$each" - "$each" 2>/dev/null <<'PYTHON'
import ensurepip, platform, sys, sysconfig, venv
free = sysconfig.get_config_var("Py_GIL_DISABLED")
if sys.version_info >= (3, 10) and platform.python_implementation() == "CPython" and not free:
    print(sys.version_info[1], sys.argv[1])
PYTHON
    done | sort -n -u -k1,1 | cut -d' ' -f2-
}

wheel() {
    "$1" -m venv "$place/build" && "$place/build/bin/pip" wheel -q --no-deps -w "$place/wheel" .
}

# Copies the tests, the examples and the settings of pytest and mypy, without the package's sources.
copy() {
    mkdir "$place/copy" && cp -r tests examples recipes docs README.md pyproject.toml "$place/copy" &&
        cp -r ../../docs "$place/copy/guide"
}

# install PYTHON REQUIREMENTS
install() {
    rm -rf "$place/venv"
    "$1" -m venv "$place/venv" && "$place/venv/bin/pip" install -q "$place"/wheel/*.whl -r "tests/$2"
}

check() {
    (cd "$place/copy" && "$place/venv/bin/python" -m "$@")
}

# Checks the metadata, the description and the contents of the wheel and of the source distribution.
distributions() {
    "$place/build/bin/pip" install -q build twine "readme-renderer[md]" || cannot_install "twine" || return
    "$place/build/bin/python" -m build --sdist -o "$place/wheel" . &&
        "$place/build/bin/twine" check --strict "$place"/wheel/* &&
        "$place/build/bin/python" tests/check_distributions.py "$place/wheel"
}

# cannot_install NAME
cannot_install() {
    echo "$1 cannot be installed here: $(grep "^ERROR" "$place/log" | tail -n 1)"
    return 77
}

# Creates an environment for the recipes' libraries, in pinned versions.
recipes_environment() {
    "$1" -m venv "$place/recipes" && install_recipe "" "$place"/wheel/*.whl || cannot_install "the recipes"
}

# install_recipe -NAME [MORE]: installs the requirements of a recipe, or without a name those of all recipes.
install_recipe() {
    "$place/recipes/bin/pip" install -q -c recipes/constraints.txt -r "recipes/requirements$1.txt" "${@:2}"
}

recipe() {
    install_recipe "-$1" || cannot_install "$1" || return
    (cd "$place/copy/recipes" && "$place/recipes/bin/python" -m pytest -q -p no:cacheprovider "test_$1.py")
}

# Runs Starlette's own tests of its middleware with sessile's.
starlette_suite() {
    install_recipe -starlette_suite || cannot_install "the requirements of Starlette's tests" || return
    "$place/recipes/bin/python" tests/starlette_suite.py "$1"
}

# Builds the contract suite, which all adapters pass. The source distribution does not contain it.
if [ -d ../contract ] && (cd ../.. && cargo build -q -p sessile-contract) >"$place/log" 2>&1; then
    SESSILE_CONTRACT=$(cd "${CARGO_TARGET_DIR:-../../target}" && pwd)/debug/sessile-contract
    export SESSILE_CONTRACT
else
    skip "the contract" "adapters/contract is missing or cannot be built"
fi

mapfile -t found < <(interpreters)
if [ "${#found[@]}" = 0 ]; then
    skip "package for Python" "no CPython from 3.10 that can create virtual environments"
elif ! step "the wheel" wheel "${found[-1]}"; then
    skip "tests of the package" "no wheel"
else
    step "README and licences in wheel and sdist" distributions
    copy
    SESSILE_WHEEL=$(echo "$place"/wheel/*.whl)
    export SESSILE_WHEEL
    for python in "${found[@]}"; do
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        if step "installing on $version" install "$python" requirements.txt; then
            marks=(-m "not newest")
            [ "$python" = "${found[-1]}" ] && marks=()
            step "tests on $version" check pytest -q -p no:cacheprovider "${marks[@]}"
            newest=$version
        fi
    done
    if [ -n "${newest:-}" ]; then
        step "types, on $newest" check mypy --strict --package sessile --cache-dir "$place/mypy"
        step "types of the examples" check mypy --strict --cache-dir "$place/mypy" examples tests/typing_cases.py
        step "stubs match the module" check mypy.stubtest sessile._sessile --concise
        if step "recipes: installing" recipes_environment "${found[-1]}"; then
            for each in recipes/test_*.py; do
                each=${each#recipes/test_}
                step "recipe: ${each%.py}" recipe "${each%.py}"
            done
            step "Starlette's tests, 0.46" starlette_suite 0.46.2
            step "Starlette's tests, newest" starlette_suite newest
        fi
        rm -rf "$place/venv"
        # With nothing else installed.
        step "the wheel in a clean environment" sh -c "'${found[-1]}' -m venv '$place/venv' &&
            '$place/venv/bin/pip' install -q --no-index '$place'/wheel/*.whl &&
            cd / && '$place/venv/bin/python' -m doctest \
            \"\$('$place/venv/bin/python' -c 'import sessile; print(sessile.__file__)')\""
    fi
    # Before 1.0, Starlette does not report accesses of a session, and its test client does not close
    # its streams.
    step "installing an old Starlette" install "${found[0]}" requirements-old.txt &&
        step "tests with an old Starlette" check pytest -q -p no:cacheprovider -W ignore::DeprecationWarning \
            -W ignore::PendingDeprecationWarning -W ignore::ResourceWarning -m "not newest"
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
