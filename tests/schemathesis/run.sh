#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# Starts `cms dev` on a free port and lets schemathesis send what the OpenAPI document allows, and what
# it does not. Fails on any 5xx and on answers that the document does not describe. Most requests name
# things that exist, so that they reach what lies behind the checks of names (see prepare.py).
# Expects `.venv/bin/schemathesis` and a built `cms`; `bash tests/run schemathesis` sees to both.
set -euo pipefail
cd "$(dirname "$0")/../.."
cms=${CMS_BIN:-${CARGO_TARGET_DIR:-target}/debug/cms}
work=$(mktemp -d)
# `--root-token` would show in the process list; the one line of JSON does not.
"$cms" dev --output json --listen 127.0.0.1:0 > "$work/ready" 2> "$work/log" &
server=$!
trap 'kill "$server" 2> /dev/null || true; wait "$server" 2> /dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 300); do
    [ -s "$work/ready" ] && break
    kill -0 "$server" 2> /dev/null || { cat "$work/log"; exit 1; }
    sleep 0.1
done
read -r url token < <(python3 -c 'import json, sys; ready = json.load(open(sys.argv[1])); print(ready["url"], ready["root_token"])' "$work/ready")
python3 tests/schemathesis/prepare.py "$url" "$token" > "$work/settings.toml"
# Event streams do not end, and long polls wait: both are tested where time is told to pass.
# The credential is given in both headers: a made-up one beside it would be refused.
# A new seed finds other things; this one makes a run repeat.
.venv/bin/schemathesis --config-file "$work/settings.toml" run "$url/api/v1/openapi.json" --origin "$url" \
    --header "Authorization: Bearer $token" --header "X-API-Key: $token" \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
    --exclude-path-regex '/events$' \
    --phases examples,coverage,fuzzing --max-examples "${SCHEMATHESIS_EXAMPLES:-20}" --seed 1 --no-shrink \
    --continue-on-failure --max-failures 20 --request-timeout 20 --suppress-health-check all \
    > "$work/report" 2>&1 && status=0 || status=$?
cat "$work/report"
if ! kill -0 "$server" 2> /dev/null; then
    echo "the server died:"
    cat "$work/log"
    exit 1
fi
exit "$status"
