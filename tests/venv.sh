# SPDX-License-Identifier: Apache-2.0 OR MIT
# Sourced by scripts at the root of the repository: puts Python programs into `.venv`, or where `VENV` says.

# Makes the environment if it is not there and installs the given requirements into it.
python_tool() {
    local venv=${VENV:-.venv}
    if ! [ -x "$venv/bin/pip" ]; then
        rm -rf "$venv"
        if ! python3 -m venv "$venv" > /dev/null 2>&1; then
            # Debian splits `venv` off; a fresh machine does not have it.
            rm -rf "$venv"
            if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
                apt-get update -qq && apt-get install -y -qq python3-venv > /dev/null
            else
                echo "python's \`venv\` module is missing: install the package \`python3-venv\` and run this again" >&2
                return 1
            fi
            python3 -m venv "$venv"
        fi
    fi
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$@"
}
