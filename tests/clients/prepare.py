# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Makes a project with keys for the clients, and prints what they need to know as shell variables.

    python3 prepare.py READY-FILE
"""

import json
import sys
import urllib.request

with open(sys.argv[1]) as file:
    ready = json.load(file)


def post(path, body):
    request = urllib.request.Request(f"{ready['url']}/api/v1/{path}", json.dumps(body).encode())
    request.add_header("Authorization", f"Bearer {ready['root_token']}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


made = post("projects", {"id": "clients", "name": "clients", "template": "empty"})
writer = post("projects/clients/keys", {"name": "writer", "scopes": ["decide", "policy:write"]})
for name, value in {
    "CMS_URL": ready["url"],
    "CMS_OPA_URL": ready["opa_url"],
    "CMS_ROOT": ready["root_token"],
    "CMS_DECIDER": made["keys"][0]["key"],
    "CMS_WRITER": writer["key"],
}.items():
    print(f"export {name}={value}")
