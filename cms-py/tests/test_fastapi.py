# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Rules that guard the routes of a FastAPI application."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from cms_py import AsyncCms, Cms, Decision, Principal
from cms_py.fastapi import Authorize, Caller, client, lifespan, problems
from cms_py.testing import FakeCms
from conftest import Place, async_opened, new_key, opened
from fastapi import Body, Depends, FastAPI, Request
from fastapi.testclient import TestClient

POLICY = """package rag.query

default allow := {"allow": false, "reason": "not a collection of yours"}

allow := {"allow": true} if {
	input.principal.kind == "key"
	input.method == "POST"
	input.params.cid == input.resource.team
	input.query.k == "3"
	input.body.text
}
"""


def team(request: Request) -> dict[str, str | None]:
    return {"team": request.headers.get("x-team")}


Cid = Annotated[Decision, Authorize("rag/query/allow", resource=team, body=True)]
Known = Annotated[Principal, Caller()]
Client = Annotated[AsyncCms, Depends(client)]


def application(**arguments: Any) -> FastAPI:
    app = FastAPI(**arguments)
    problems(app)

    @app.post("/collections/{cid}/query")
    async def query(cid: str, decision: Cid, text: Annotated[str, Body(embed=True)]) -> dict[str, str]:
        return {"cid": cid, "decision": decision.id, "text": text}

    @app.get("/me")
    async def me(caller: Known) -> dict[str, str]:
        return {"id": caller.id}

    @app.get("/secret")
    async def secret(cms: Client) -> str:
        return str((await cms.reveal("nothing"))["x"])

    return app


@pytest.fixture
def served(place: Place) -> Iterator[tuple[TestClient, dict[str, str]]]:
    """The application, with a key of CMS."""
    with opened(place) as cms:
        cms.api("PUT", "projects/shop/policies/rag/query", POLICY)
        key = new_key(cms, "decide")

    async def open_client() -> AsyncCms:
        return await async_opened(place)

    with TestClient(application(lifespan=lifespan(open_client))) as http:
        yield http, {"X-API-Key": key, "x-team": "a"}


def ask(http: TestClient, headers: dict[str, str], cid: str = "a") -> Any:
    return http.post(f"/collections/{cid}/query?k=3", headers=headers, json={"text": "t"})


def test_what_a_rule_permits_is_served(served: tuple[TestClient, dict[str, str]]) -> None:
    http, headers = served
    answer = ask(http, headers)
    assert answer.status_code == 200 and answer.json()["text"] == "t" and answer.json()["decision"]
    assert http.get("/me", headers=headers).json()["id"].startswith("key:")
    bearer = {"Authorization": f"Bearer {headers['X-API-Key']}"}
    assert http.get("/me", headers=bearer).status_code == 200


def test_what_a_rule_does_not_permit_is_a_problem_with_the_decision(
    served: tuple[TestClient, dict[str, str]],
) -> None:
    http, headers = served
    answer = ask(http, headers, "other")
    assert answer.status_code == 403 and answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["code"], problem["detail"]) == ("denied", "not a collection of yours")
    assert problem["decision_id"] and problem["type"] == "urn:cms:problem:denied"


def test_nobody_gets_401(served: tuple[TestClient, dict[str, str]]) -> None:
    http, _ = served
    for headers in ({}, {"X-API-Key": "cms_nobody"}, {"Authorization": "Bearer x"}):
        answer = ask(http, headers)
        assert answer.status_code == 401 and answer.json()["code"] == "unauthenticated"
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_what_cannot_be_decided_is_refused(served: tuple[TestClient, dict[str, str]]) -> None:
    http, headers = served
    app = http.app
    assert isinstance(app, FastAPI)
    cms: AsyncCms = app.state.cms
    cms.project = "nowhere"
    answer = ask(http, headers)
    assert answer.status_code == 503 and answer.json()["code"] == "not_found"
    cms.project = "shop"
    assert http.get("/secret").status_code == 503
    assert http.portal is not None
    http.portal.call(cms.aclose)
    assert ask(http, headers).status_code == 503
    assert TestClient(application()).get("/me", headers=headers).status_code == 503


def test_the_description_names_the_credentials() -> None:
    schemes = application().openapi()["components"]["securitySchemes"]
    assert {scheme["type"] for scheme in schemes.values()} == {"apiKey", "http"}


def test_a_fake_stands_in(fake_cms: FakeCms, memory_cms: Cms) -> None:
    caller = memory_cms.authenticate(
        memory_cms.api("POST", "projects/test/keys", {"name": "k", "scopes": ["decide"]})["key"]
    )
    app = application()
    fake = FakeCms(allow={"rag/query/allow"}, principals={"k": caller})
    app.dependency_overrides[client] = lambda: fake
    http = TestClient(app)
    assert ask(http, {"X-API-Key": "k"}).status_code == 200
    (asked,) = fake.asked
    assert asked[0] == "rag/query/allow" and asked[1]["body"] == {"text": "t"}
    assert asked[1]["principal"]["id"] == caller.id
    app.dependency_overrides[client] = lambda: fake_cms
    assert ask(http, {"X-API-Key": "k"}).status_code == 401
