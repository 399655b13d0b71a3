# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A request of APISIX's plugin `opa`, as it goes over the wire."""

import json

from reporting import DECIDER, OPA_URL, WRITER, fetch, run

POLICY = """package gateway

default allow := false

allow if {
    input.type == "http"
    input.request.method == "GET"
    startswith(input.request.path, "/public/")
    input.consumer.username == "ada"
}

reason := "only what is public" if not allow

headers := {"X-Reason": "policy"} if not allow

status_code := 302 if not allow
"""


def question(path):
    return {
        "input": {
            "type": "http",
            "request": {
                "scheme": "http",
                "method": "GET",
                "host": "127.0.0.1",
                "port": 9080,
                "path": path,
                "headers": {"host": "127.0.0.1:9080", "user-agent": "curl/8", "accept": "*/*"},
                "query": {"q": "1"},
            },
            "var": {
                "timestamp": 1790000000,
                "server_addr": "127.0.0.1",
                "server_port": "9080",
                "remote_addr": "127.0.0.1",
                "remote_port": "36000",
            },
            "consumer": {"username": "ada", "plugins": {}},
        }
    }


def ask(path, method):
    body = json.dumps(question(path)).encode()
    answer = fetch(f"{OPA_URL}/v1/data/gateway", DECIDER, method, body, Content_Type="application/json")
    return json.loads(answer)["result"]


def decides():
    """Its question is answered with what it acts on: `allow`, `headers`, `status_code`, `reason`."""
    fetch(f"{OPA_URL}/v1/policies/gateway", WRITER, "PUT", POLICY.encode(), Content_Type="text/plain")
    assert ask("/public/x", "POST") == {"allow": True}
    refused = {"allow": False, "headers": {"X-Reason": "policy"}, "reason": "only what is public", "status_code": 302}
    assert ask("/private", "POST") == refused


def sends_a_body_with_get():
    """Its `GET` with a body is answered without the body."""
    assert ask("/public/x", "GET")["allow"] is False


def is_told_when_undefined():
    """An undefined decision has no result, which it takes for a failure."""
    answer = json.loads(fetch(f"{OPA_URL}/v1/data/gateway/absent", DECIDER, "POST", b"{}"))
    assert "result" not in answer, answer


run("APISIX", [decides, sends_a_body_with_get, is_told_when_undefined])
