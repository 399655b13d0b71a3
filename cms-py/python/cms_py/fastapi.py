# SPDX-License-Identifier: Apache-2.0 OR MIT
"""CMS for FastAPI: a client for the life of the application, callers, and rules that guard routes.

    app = FastAPI(lifespan=lifespan(AsyncCms.from_env))
    problems(app)

    @app.post("/collections/{id}/query")
    async def query(id: str, decision: Annotated[Decision, Authorize("rag/query/allow")]): ...

In tests, replace the client: ``app.dependency_overrides[client] = lambda: FakeCms(allow={"rag/query/allow"})``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from typing import Annotated, Any, TypeAlias

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection

from ._client import AsyncCms
from ._native import Decision, Principal
from .errors import CmsError, Unauthenticated

__all__ = ["Authorize", "Caller", "Refused", "client", "lifespan", "problems"]

Lifespan: TypeAlias = Callable[[FastAPI], AbstractAsyncContextManager[None]]

_API_KEY = APIKeyHeader(name="X-API-Key", auto_error=False, description="An API key of CMS")
_BEARER = HTTPBearer(auto_error=False, description="An access token or API key of CMS")


class Refused(HTTPException):
    """A request that a rule did not permit, or that nobody could decide."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        hint: str | None = None,
        decision: Decision | None = None,
        request_id: str | None = None,
    ) -> None:
        headers = {"content-type": "application/problem+json"}
        if status == HTTPStatus.UNAUTHORIZED:
            headers["www-authenticate"] = 'Bearer realm="cms"'
        super().__init__(status, detail, headers)
        self.decision = decision
        self.problem: dict[str, Any] = {
            "type": f"urn:cms:problem:{code}",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            "code": code,
        }
        named = {"hint": hint, "request_id": request_id, "decision_id": decision.id if decision is not None else None}
        self.problem.update({name: value for name, value in named.items() if value is not None})


def lifespan(open_client: Callable[[], Awaitable[AsyncCms]]) -> Lifespan:
    """A client for as long as the application lives, opened in each worker: after any fork."""

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncGenerator[None]:
        async with await open_client() as cms:
            app.state.cms = cms
            yield

    return living


def problems(app: FastAPI) -> None:
    """Answers refusals, also those that the application's own calls of CMS meet, as problems (RFC 9457)."""
    app.add_exception_handler(Refused, _refusal)
    app.add_exception_handler(CmsError, _failure)


async def client(connection: HTTPConnection) -> AsyncCms:
    """The application's client. Override it in tests."""
    cms: AsyncCms | None = getattr(connection.app.state, "cms", None)
    if cms is None:
        raise Refused(503, "not_configured", "no client is open", hint="give the application `lifespan(…)`")
    return cms


async def _credential(
    key: Annotated[str | None, Depends(_API_KEY)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
) -> str | None:
    return key or (bearer.credentials if bearer else None)


async def _caller(
    cms: Annotated[AsyncCms, Depends(client)], credential: Annotated[str | None, Depends(_credential)]
) -> Principal:
    try:
        if credential is None:
            raise Unauthenticated("a valid access token or API key is needed", code="unauthenticated")
        return await cms.authenticate(credential)
    except CmsError as error:
        raise _refused(error) from error


def Caller() -> Any:  # noqa: N802
    """Who asks, by a key or token of CMS; 401 for nobody. ``caller: Annotated[Principal, Caller()]``"""
    return Depends(_caller)


def Authorize(  # noqa: N802
    rule: str,
    *,
    resource: Any | Callable[[Request], Any] = None,
    input: Callable[[Request], Any] | None = None,
    body: bool = False,
    authenticate: bool = True,
    environment: str | None = None,
) -> Any:
    """Lets a request through if a rule permits it. ``decision: Annotated[Decision, Authorize("rag/query/allow")]``

    The rule's input is ``{"method", "path", "params", "query", "principal", "resource", "body"}``: ``resource`` as it
    is passed, or what the function makes of the request; the body, as JSON, only with ``body=True``. ``input``
    replaces all of it. Without ``authenticate``, anybody may ask and there is no ``principal``.

    What is not permitted gets 403 with the id of the decision, what cannot be decided 503.
    """

    async def decide(request: Request, cms: AsyncCms, principal: Principal | None) -> Decision:
        asked = await _input(request, principal, resource, body) if input is None else input(request)
        try:
            decision = await cms.decide(rule, asked, environment=environment)
        except CmsError as error:
            hint = "the rule could not be decided, so the request is refused"
            raise Refused(503, error.code, hint, request_id=error.request_id) from error
        if not decision:
            reason = decision.reason or "a policy does not permit this request"
            raise Refused(403, "denied", reason, hint=decision.hint, decision=decision)
        return decision

    async def known(
        request: Request,
        cms: Annotated[AsyncCms, Depends(client)],
        principal: Annotated[Principal, Depends(_caller)],
    ) -> Decision:
        return await decide(request, cms, principal)

    async def anybody(request: Request, cms: Annotated[AsyncCms, Depends(client)]) -> Decision:
        return await decide(request, cms, None)

    return Depends(known if authenticate else anybody)


async def _input(request: Request, principal: Principal | None, resource: Any, body: bool) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "method": request.method,
        "path": request.url.path,
        "params": dict(request.path_params),
        "query": dict(request.query_params),
    }
    if principal is not None:
        asked["principal"] = {
            "kind": principal.kind,
            "id": principal.id,
            "project": principal.project,
            "scopes": principal.scopes,
        }
    if resource is not None:
        asked["resource"] = resource(request) if callable(resource) else resource
    if body:
        try:
            asked["body"] = await request.json()
        except ValueError as error:
            raise Refused(400, "invalid_json", "the body is no JSON") from error
    return asked


def _refused(error: CmsError) -> Refused:
    status = 401 if isinstance(error, Unauthenticated) else 503
    return Refused(status, error.code, error.message, hint=error.hint, request_id=error.request_id)


async def _refusal(_: Request, refused: Exception) -> JSONResponse:
    assert isinstance(refused, Refused)
    return JSONResponse(refused.problem, refused.status_code, refused.headers)


async def _failure(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, CmsError)
    # What the application asked is no fault of its caller: only a wait is passed on.
    refused = Refused(503, error.code, "a service that is needed refused", request_id=error.request_id)
    return JSONResponse(refused.problem, refused.status_code, refused.headers)
