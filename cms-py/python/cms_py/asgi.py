# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The HTTP surface of CMS as an ASGI application, to be mounted or served alone.

    app.mount("/cms", asgi_app(cms))

Bodies stream in both directions, and neither side is given more than it takes. Whoever leaves ends what was done for
them. No request has a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import quote

from ._client import AsyncCms, Cms, ended
from ._native import Exchange, Surface
from .errors import CmsError

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


#: How long an answer waits for a body that nobody wants to be read.
_READ_ON_SECONDS = 2.0


class AsgiApp:
    """An ASGI application over routes of CMS."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            raise NotImplementedError(f"ASGI's `{scope['type']}` is not served")

    def close(self) -> None:
        """Ends long polls and event streams, such as before a server stops."""
        self._surface.close()

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                self.close()
                return

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        first = await receive()
        if first["type"] == "http.disconnect":
            return
        whole = None if first.get("more_body") else first.get("body", b"")
        try:
            exchange = self._surface.exchange(_head(scope), whole)
        except CmsError as error:
            await _refuse(send, error)
            return
        answering = exchange.answer() if whole is not None else None
        if isinstance(answering, tuple) and not answering[-1]:
            # It is all there: nobody can leave meanwhile.
            await _send(exchange, answering, send)
        else:
            await _while_connected(exchange, answering, first, receive, send)


async def _while_connected(
    exchange: Exchange, answering: Any, first: Message, receive: Receive, send: Send
) -> None:
    taken = asyncio.Event()

    async def respond() -> None:
        answer = await ended(exchange.answer() if answering is None else answering)
        # Whoever is answered while sending, such as that it is too much, would lose the answer with the connection:
        # the router reads on for a while, and says when it has enough.
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(taken.wait(), _READ_ON_SECONDS)
        await _send(exchange, answer, send)

    async def listen() -> None:
        message, is_read = first, True
        while is_read and message["type"] == "http.request":
            is_read = await ended(exchange.feed(message.get("body", b"")))
            if not message.get("more_body"):
                break
            message = await receive()
        await ended(exchange.feed())
        taken.set()
        while message["type"] != "http.disconnect":
            message = await receive()

    responding, listening = asyncio.ensure_future(respond()), asyncio.ensure_future(listen())
    try:
        await asyncio.wait((responding, listening), return_when=asyncio.FIRST_COMPLETED)
        if responding.done():
            await responding
    finally:
        for task in (responding, listening):
            task.cancel()
        await asyncio.gather(responding, listening, return_exceptions=True)


async def _send(exchange: Exchange, answer: tuple[int, Any, bytes, bool], send: Send) -> None:
    status, headers, body, is_more = answer
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": is_more})
    while is_more:
        body, is_more = await ended(exchange.more())
        await send({"type": "http.response.body", "body": body, "more_body": is_more})


async def _refuse(send: Send, error: CmsError) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": str(error).encode()})


def _head(scope: Scope) -> dict[str, Any]:
    path: str = scope.get("raw_path", b"").decode("latin-1") or quote(scope["path"])
    # A server with a prefix, or an application that mounts this one, leaves it in the path.
    prefix = quote(scope.get("root_path", "")).rstrip("/")
    if prefix and (path == prefix or path.startswith(prefix + "/")):
        path = path[len(prefix) :]
    query: str = scope.get("query_string", b"").decode("latin-1")
    return {
        "method": scope["method"],
        "target": (path or "/") + (f"?{query}" if query else ""),
        "headers": [(bytes(name), bytes(value)) for name, value in scope["headers"]],
        "peer": tuple(scope["client"]) if scope.get("client") else None,
    }


def asgi_app(cms: Cms | AsyncCms) -> AsgiApp:
    """The whole HTTP surface. Its callers bring credentials of their own; the client's is not used."""
    return AsgiApp(cms._client.surface(False, None, None))  # pyright: ignore[reportPrivateUsage]
