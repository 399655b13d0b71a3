# SPDX-License-Identifier: Apache-2.0 OR MIT
"""ASGI servers for the tests, each on a port of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from conftest import until
from hypercorn.asyncio import serve
from hypercorn.config import Config


@contextmanager
def under_uvicorn(app: Any) -> Iterator[str]:
    """Serves an application on a port of its own."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@contextmanager
def under_hypercorn(app: Any) -> Iterator[str]:
    """Serves an application on a port of its own."""
    config = Config()
    config.bind, config.graceful_timeout = ["127.0.0.1:0"], 5
    config.loglevel = "error"
    (socket,) = config.create_sockets().insecure_sockets
    port = socket.getsockname()[1]
    config.bind = [f"fd://{socket.detach()}"]
    ready: threading.Event = threading.Event()
    stop: list[Any] = []

    async def run() -> None:
        end, loop = asyncio.Event(), asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(end.set))
        ready.set()
        await serve(app, config, shutdown_trigger=end.wait)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    ready.wait()
    yield f"http://127.0.0.1:{port}"
    stop[0]()
    thread.join()
