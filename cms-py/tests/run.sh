#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# Builds the wheel of cms-py, installs it into a new environment where no compiler can be found, and runs the tests
# and the type checks against it. Ends with `python: N passed, N failed, N skipped`.
set -euo pipefail
cd "$(dirname "$0")/../.."
source tests/venv.sh
target=${CARGO_TARGET_DIR:-$PWD/target}
place=$target/python
passed=0 failed=0 skipped=0

# One dynamic library with the profile of the other tests, so that what they have built is used again.
VENV=$place/build python_tool maturin==1.16.0
rm -rf "$place/wheels" "$place/fresh"
CARGO_TARGET_DIR=$target "$place/build/bin/maturin" build --quiet --profile dev --strip --locked \
    --manifest-path cms-py/Cargo.toml --out "$place/wheels"

mkdir -p "$place/no-compiler"
for name in cc gcc g++ clang rustc cargo; do
    printf '#!/bin/sh\necho "a wheel needs no compiler, but %s was called" >&2\nexit 1\n' "$name" > "$place/no-compiler/$name"
    chmod +x "$place/no-compiler/$name"
done
PATH=$place/no-compiler:$PATH VENV=$place/fresh python_tool "$place"/wheels/*.whl -r cms-py/tests/requirements.txt

# One check with one name and one outcome.
check() {
    local name=$1
    shift
    if "$@" > "$place/check.log" 2>&1; then
        passed=$((passed + 1)) && echo "ok: $name"
    else
        cat "$place/check.log"
        failed=$((failed + 1)) && echo "FAILED $name"
    fi
}
export PATH=$place/fresh/bin:$PATH PYTHONDONTWRITEBYTECODE=1
cd cms-py
# Away from the sources, so that it is the installed package that is looked at.
check "mypy" mypy --config-file pyproject.toml --cache-dir "$place/mypy" -p cms_py
check "mypy, tests" mypy --strict --cache-dir "$place/mypy" tests
check "stubtest" python -m mypy.stubtest cms_py._native
check "pyright" pyright --pythonpath "$place/fresh/bin/python"

python -m pytest -q -rsfE -p no:cacheprovider --junitxml "$place/pytest.xml" "$@" || true
counted() { sed -nE "s/.*<testsuite [^>]*$1=\"([0-9]+)\".*/\1/p" "$place/pytest.xml"; }
bad=$(($(counted errors) + $(counted failures))) left=$(counted skipped)
passed=$((passed + $(counted tests) - bad - left)) failed=$((failed + bad)) skipped=$((skipped + left))
echo "python: $passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
