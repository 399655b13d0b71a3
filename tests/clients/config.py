# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The simple front door for configs, as services of other config systems use theirs: with plain requests."""

import json

import requests

from reporting import ROOT, URL, run

BASE = f"{URL}/config"
API = f"{URL}/api/v1/projects"
ADMIN = {"Authorization": f"Bearer {ROOT}"}


def key(*scopes):
    made = requests.post(f"{API}/shop/keys", headers=ADMIN, json={"name": "k", "scopes": list(scopes)})
    made.raise_for_status()
    return {"X-API-Key": made.json()["key"]}


requests.post(
    API,
    headers=ADMIN,
    json={"id": "shop", "name": "Shop", "template": "empty", "environments": ["dev", "prod"]},
).raise_for_status()
READ, WRITE = key("config:read"), key("config:write")

DATABASE = {"database": {"host": "db.example.com", "port": 5432, "max_connections": 100, "ssl": True}}
SCHEMA = {
    "type": "object",
    "properties": {
        "database": {
            "type": "object",
            "properties": {
                "host": {"type": "string"},
                "port": {"type": "integer", "minimum": 1, "maximum": 65535},
                "max_connections": {"type": "integer", "minimum": 1},
                "ssl": {"type": "boolean"},
            },
            "required": ["host", "port"],
        }
    },
}
SERVICE = {
    "api": {
        "url": "https://{{ env }}.api.example.com",
        "timeout": "{{ '30' if env == 'prod' else '5' }}",
        "retries": "{{ '5' if env == 'prod' else '1' }}",
    }
}


def get(path, **query):
    return requests.get(f"{BASE}/{path}", headers=READ, params=query)


def put(path, body, **query):
    return requests.put(f"{BASE}/{path}", headers=WRITE, json=body, params=query)


def stores():
    """It stores a config with its schema and reads it back."""
    stored = put("myapp/database", DATABASE, schema=json.dumps(SCHEMA))
    assert stored.status_code == 201 and stored.json()["schema"] == "myapp/database", stored.text
    assert get("myapp/database", environment="prod").json() == DATABASE


def explains():
    """A schema as a dictionary, which requests cannot send, is answered with what to write."""
    refused = put("myapp/other", DATABASE, schema=SCHEMA)
    assert refused.status_code == 422 and "json.dumps" in refused.json()["hint"], refused.text


def renders():
    """It renders a config for each environment."""
    assert put("myapp/api", SERVICE).status_code == 201
    prod, dev = get("myapp/api", environment="prod").json(), get("myapp/api", environment="dev").json()
    assert prod["api"] == {"url": "https://prod.api.example.com", "timeout": "30", "retries": "5"}, prod
    assert dev["api"] == {"url": "https://dev.api.example.com", "timeout": "5", "retries": "1"}, dev
    assert get("myapp/api").json() == prod


def refuses():
    """It refuses a bad port, names its place, and leaves what was there."""
    refused = put("myapp/database", {"database": {"host": "h", "port": 70000}})
    assert refused.status_code == 422, refused.text
    assert [error["path"] for error in refused.json()["errors"]] == ["/database/port"] * 2, refused.text
    assert get("myapp/database").json() == DATABASE


def rolls_back():
    """It goes back to a version, byte for byte, and a reader who has it is told so."""
    before = get("myapp/database")
    assert put("myapp/database", {"database": {"host": "new", "port": 1}}).status_code == 200
    assert get("myapp/database").json()["database"]["host"] == "new"
    path = f"{API}/shop/configs/-/rollback/myapp/database"
    requests.post(path, headers=ADMIN, json={"version": 1}).raise_for_status()
    assert get("myapp/database").content == before.content
    known = {**READ, "If-None-Match": before.headers["ETag"]}
    assert requests.get(f"{BASE}/myapp/database", headers=known).status_code == 304


def guards():
    """It lets nobody in without a key that may, and tells that it is healthy."""
    assert requests.get(f"{BASE}/myapp/api").status_code == 401
    assert requests.put(f"{BASE}/myapp/api", headers=READ, json={}).status_code == 403
    assert requests.get(f"{BASE}/health").json() == {"status": "healthy"}


run("requests", [stores, explains, renders, refuses, rolls_back, guards])
