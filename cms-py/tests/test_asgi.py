# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The HTTP surface, mounted, under real servers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest
from cms_py import Cms
from cms_py.asgi import asgi_app
from conftest import new_key, until
from fastapi import FastAPI
from servers import under_hypercorn, under_uvicorn


SCOPES = ("decide", "policy:read", "policy:write", "config:read", "config:write", "bundle:read")


@pytest.fixture(params=[under_uvicorn, under_hypercorn])
def http(request: pytest.FixtureRequest, cms: Cms) -> Iterator[httpx.Client]:
    """A client of an application that has the surface under ``/cms``."""
    app = FastAPI()
    app.mount("/cms", asgi_app(cms))
    serving: AbstractContextManager[str] = request.param(app)
    with serving as url, httpx.Client(base_url=f"{url}/cms", timeout=30) as client:
        client.headers["X-API-Key"] = new_key(cms, *SCOPES)
        yield client


def test_the_surface_answers_below_its_prefix(http: httpx.Client) -> None:
    assert http.get("/api/v1/health/live").status_code == 200
    answer = http.post("/api/v1/projects/shop/decisions", json={"path": "shop/allow", "input": {"user": "eve"}})
    assert answer.json()["result"] is True and answer.headers["x-request-id"]
    assert http.get("/api/v1/projects/shop/policies/shop").json()["kind"] == "policy"
    problem = http.get("/api/v1/projects/shop/policies/nothing")
    assert problem.status_code == 404 and problem.headers["content-type"] == "application/problem+json"
    assert http.get("/api/v1/projects/shop/policies/%2e%2e").status_code in (400, 404)
    assert http.get("/api/v1/projects", headers={"X-API-Key": "cms_nobody"}).status_code == 401


def test_bodies_arrive_in_parts_and_limits_hold(http: httpx.Client) -> None:
    def parts(count: int) -> Iterator[bytes]:
        yield b'{"text": "'
        for _ in range(count):
            yield b"x" * 10_000
        yield b'"}'

    headers = {"content-type": "application/json"}
    written = http.put("/api/v1/projects/shop/configs/big", content=parts(50), headers=headers)
    assert written.status_code == 201, written.text
    assert len(http.get("/config/big").json()["text"]) == 500_000
    too_large = http.put("/api/v1/projects/shop/configs/big", content=parts(450), headers=headers)
    assert too_large.status_code == 413
    bundle = http.get("/api/v1/projects/shop/environments/default/bundle.tar.gz")
    assert bundle.status_code == 200 and bundle.content[:2] == b"\x1f\x8b"


@pytest.mark.parametrize("under", [under_uvicorn, under_hypercorn])
def test_answers_stream_and_whoever_leaves_ends_them(under: Any, cms: Cms) -> None:
    running: list[str] = []
    surface = asgi_app(cms)

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        running.append(scope["type"])
        try:
            await surface(scope, receive, send)
        finally:
            running.remove(scope["type"])

    headers = {"X-API-Key": new_key(cms, *SCOPES)}
    with under(counted) as url, httpx.Client(base_url=url, headers=headers, timeout=30) as http:
        # A stream, whose answer begins at once, and a long poll, whose answer does not.
        with http.stream("GET", "/api/v1/projects/shop/events") as events:
            assert events.status_code == 200
            cms.api("PUT", "projects/shop/policies/shop", "package shop\n\nallow := true\n")
            # Held on to: a generator that is dropped closes the stream.
            lines = events.iter_lines()
            assert any("activation" in line for line in lines)
            assert "http" in running
        until(lambda: "http" not in running)
        cms.api("PUT", "projects/shop/configs/app", {"n": 1})
        known = {"If-None-Match": http.get("/config/app").headers["etag"]}
        with pytest.raises(httpx.ReadTimeout):
            http.get("/config/app?wait=50", headers=known, timeout=1)
        until(lambda: "http" not in running)


def test_a_long_poll_is_answered_by_the_change(http: httpx.Client, cms: Cms) -> None:
    cms.api("PUT", "projects/shop/configs/app", {"n": 1})
    first = http.get("/config/app")
    change = threading.Timer(0.2, cms.api, ("PUT", "projects/shop/configs/app", {"n": 2}))
    change.start()
    second = http.get("/config/app?wait=20", headers={"If-None-Match": first.headers["etag"]})
    assert second.json() == {"n": 2}
    change.join()


def test_many_requests_at_once_need_no_threads(http: httpx.Client) -> None:
    async def ask() -> list[int]:
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(base_url=http.base_url, headers=http.headers, limits=limits, timeout=60) as client:
            body = {"path": "shop/allow", "input": {"user": "eve"}}
            asked = [client.post("/api/v1/projects/shop/decisions", json=body) for _ in range(200)]
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    assert asyncio.run(ask()) == [200] * 200
