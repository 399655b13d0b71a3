# SPDX-License-Identifier: Apache-2.0 OR MIT
"""From calls to requests of the HTTP API, and from their answers to values. Shared by the client that blocks and the
one that does not."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

from .errors import InvalidRequest, from_problem

Request: TypeAlias = tuple[str, str, list[tuple[str, str]], bytes]
Answer: TypeAlias = tuple[int, list[tuple[str, str]], bytes]


def request_of(
    method: str,
    path: str,
    body: Any,
    params: Mapping[str, Any] | None,
    headers: Mapping[str, str] | None,
) -> Request:
    """Builds a request to a path below ``/api/v1``. A ``str`` is sent as it is, everything else as JSON."""
    target = "/api/v1/" + quote(path.lstrip("/"), safe="/-._~:@,;")
    given = {name: value for name, value in (params or {}).items() if value is not None}
    if given:
        target += "?" + urlencode(given)
    sent = list((headers or {}).items())
    if body is None:
        return method, target, sent, b""
    if isinstance(body, str):
        return method, target, [("content-type", "text/plain"), *sent], body.encode()
    return method, target, [("content-type", "application/json"), *sent], json.dumps(body).encode()


def value_of(answer: Answer) -> Any:
    """Reads what an answer holds; raises what it refuses with."""
    status, headers, body = answer
    named = dict(headers)
    kind = named.get("content-type", "text/plain")
    is_json = "json" in kind
    if status < 400:
        if is_json and body:
            return json.loads(body)
        return (body.decode() if kind.startswith("text/") else body) or None
    retry_after = named.get("retry-after")
    problem: dict[str, Any] = json.loads(body) if is_json else {}
    raise from_problem(status, problem, float(retry_after) if retry_after else None)


def named(value: str | None, variable: str, what: str) -> str:
    """What was passed, or else what the environment says."""
    found = value if value is not None else os.environ.get(variable)
    if found is None:
        raise InvalidRequest(f"no {what} is named", code="not_configured", hint=f"pass it, or set {variable}")
    return found
