#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# Lets unmodified clients of OPA and of config services use a server of ours: PyPI's opa-python-client, npm's
# @open-policy-agent/opa, OPAL, a request of APISIX's plugin, and OPA's own engine with a signed bundle and with random
# policies; and a service that reads its configs with requests.
# Prints one line for each result, `ok …`, `not ok …` or `skip …`; `bash tests/run clients` counts them.
# Installs what it needs below the target directory, from PyPI and npm.
set -euo pipefail
cd "$(dirname "$0")/../.."
source tests/venv.sh
target=${CARGO_TARGET_DIR:-$PWD/target}
cms=${CMS_BIN:-$target/debug/cms}
place=$target/clients
mkdir -p "$place"
work=$(mktemp -d)
"$cms" dev --no-sample --output json --listen 127.0.0.1:0 --opa-listen 127.0.0.1:0 --opa-environment clients/default \
    > "$work/ready" 2> "$work/log" &
server=$!
trap 'kill "$server" 2> /dev/null || true; wait "$server" 2> /dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 300); do
    [ -s "$work/ready" ] && break
    kill -0 "$server" 2> /dev/null || { cat "$work/log"; exit 1; }
    sleep 0.1
done
eval "$(python3 tests/clients/prepare.py "$work/ready")"

# A client that cannot be had is named; one that can be had must work.
part() {
    local name=$1 install=$2
    shift 2
    if ! "$install" > "$work/install" 2>&1; then
        tail -n 5 "$work/install" >&2
        echo "skip $name: it cannot be installed here"
        return
    fi
    "$@" || true
}
opa_client() { VENV=$place/venv-opa python_tool -r tests/clients/requirements-opa.txt; }
config_client() { VENV=$place/venv-config python_tool -r tests/clients/requirements-config.txt; }
opal_client() {
    # The resolver of older versions does not come to an end here.
    VENV=$place/venv-opal python_tool --upgrade pip
    VENV=$place/venv-opal python_tool -r tests/clients/requirements-opal.txt
}
npm_client() {
    cp tests/clients/package.json tests/clients/opa_npm.mjs "$place/"
    npm install --prefix "$place" --no-audit --no-fund --ignore-scripts
}
nothing() { :; }
# Only the shared library inside of the wheel is used, so its platform is asked for by name: an older
# Python does not matter to it.
opa_engine() {
    [ -f "$place/libopabridge.so" ] && return
    VENV=$place/venv-opa python_tool --upgrade pip
    "$place/venv-opa/bin/pip" download --quiet --no-deps --only-binary :all: --python-version 3.14 \
        --platform manylinux_2_34_x86_64 --dest "$place" opa-golib-python-bindings==0.4.4
    python3 -m zipfile -e "$place"/opa_golib_python_bindings-*.whl "$place/wheel"
    cp "$place/wheel/opa_bindings/libopabridge.so" "$place/"
}

export PYTHONDONTWRITEBYTECODE=1 OPA_LIBRARY=$place/libopabridge.so
part "opa-python-client" opa_client "$place/venv-opa/bin/python" tests/clients/opa_python_client.py
part "npm @open-policy-agent/opa" npm_client node "$place/opa_npm.mjs"
part "APISIX" nothing python3 tests/clients/apisix.py
part "OPA's engine" opa_engine python3 tests/clients/bundle.py
part "OPA's engine, random policies" opa_engine python3 tests/clients/differential.py
part "requests" config_client "$place/venv-config/bin/python" tests/clients/config.py
part "OPAL" opal_client "$place/venv-opal/bin/python" tests/clients/opal.py
if ! kill -0 "$server" 2> /dev/null; then
    echo "the server died:" >&2
    cat "$work/log" >&2
    exit 1
fi
