# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Makes things for schemathesis to find, and prints its settings.

Random names exist nowhere: fuzzed with them alone, most operations answer 404 before any logic runs. Here
the parameters of paths are drawn from names that exist, most of the time. What removes or seals gets names
of its own, so that it does not take away what the other operations need.

    python3 prepare.py URL TOKEN > settings.toml
"""

import json
import sys
import urllib.request

url, token = sys.argv[1:3]
MOSTLY = 0.8


def ask(method, path, body=None, media_type="application/json"):
    data = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/api/v1/{path}", data=data, method=method)
    request.add_header("Authorization", f"Bearer {token}")
    request.add_header("Content-Type", media_type)
    with urllib.request.urlopen(request) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def make():
    for name in ["alice", "bob", "spare-1", "spare-2", "spare-3"]:
        ask("POST", "users", {"username": name, "password": "long enough for all"})
        ask("PUT", f"projects/demo/members/{name}", {"role": "project-user"})
    for name in ["spare-1", "spare-2"]:
        ask("POST", "projects", {"id": name, "name": name})
    for at in range(1, 5):
        ask("PUT", f"projects/demo/data/spare-{at}", {"at": at})
        ask("PUT", "projects/demo/data/fuzzed", {"at": at})
        ask("PUT", f"projects/demo/secrets/spare-{at}", {"data": {"value": f"number {at}"}})
        ask("PUT", "projects/demo/secrets/fuzzed", {"data": {"value": f"number {at}"}})
        ask("POST", "projects/demo/keys", {"name": f"key {at}", "scopes": ["decide"]})
    for path in ["policies/house", "projects/demo/policies/fuzzed"]:
        for quiet in ["true", "false"]:
            ask("PUT", path, f"package house\n\nquiet := {quiet}\n", "text/plain")
    keys = [key["id"] for key in ask("GET", "projects/demo/keys")["items"]]
    releases = [release["id"] for release in ask("GET", "projects/demo/releases?limit=200")["items"]]
    return keys, releases


def dictionary(name, values):
    return f"[dictionaries.{name}]\nvalues = {json.dumps(values)}\n"


def bound(**parameters):
    def line(name, values):
        settings = f'{{ dictionary = "{values}", probability = {MOSTLY} }}'
        return f'"{name.replace("_", ".", 1)}" = {settings}'

    return [line(name, values) for name, values in parameters.items()]


def operations(path, lines, methods=None):
    chosen = f"include-method = {json.dumps(methods)}\n" if methods else ""
    body = "\n".join(f"parameters.{line}" for line in lines)
    return f"[[operations]]\ninclude-path-regex = '{path}'\n{chosen}{body}\n"


keys, releases = make()
print("[parameters]")
print("\n".join(bound(path_project="project", path_environment="environment", path_user="user", path_kind="kind",
                      path_name="name", path_path="name")))
for name, values in {
    "project": ["demo"],
    "environment": ["prod", "dev"],
    "user": ["alice", "bob"],
    "kind": ["data", "policies"],
    # One segment: a `/` within a parameter would be sent encoded, which is refused.
    "name": ["fuzzed"],
    "rule": ["rag", "house"],
    "house": ["house"],
    "key": keys[:2],
    "release": releases,
    "spare_key": keys[2:],
    "spare_project": ["spare-1", "spare-2"],
    "spare_user": ["spare-1", "spare-2", "spare-3"],
    "spare": [f"spare-{at}" for at in range(1, 5)],
}.items():
    print(dictionary(name, values))
# The first that matches counts.
removal = ["DELETE"]
for path, lines, methods in [
    ("/users/[{]user[}]$", bound(path_user="spare_user"), removal),
    ("/keys/[{]id[}]$", bound(path_id="spare_key"), removal),
    ("/secrets/[{]path[}]$", bound(path_path="spare"), removal),
    ("/destroy/", bound(path_path="spare"), None),
    ("/[{]kind[}]/[{]name[}]$", bound(path_name="spare"), removal),
    ("^/api/v1/projects/[{]project[}]$", bound(path_project="spare_project"), removal),
    ("/keys/", bound(path_id="key"), None),
    ("/releases/-/diff", bound(query_from="release", query_to="release"), None),
    ("/releases/", bound(path_id="release"), None),
    ("^/api/v1/policies/", bound(path_name="house"), None),
    ("^/opa/.*/v1/(data|policies)/", bound(path_path="spare"), removal),
    ("^/opa/.*/v1/(data|policies)/", bound(path_path="name"), ["PUT", "PATCH"]),
    ("^/opa/", bound(path_path="rule"), None),
]:
    print(operations(path, lines, methods))
