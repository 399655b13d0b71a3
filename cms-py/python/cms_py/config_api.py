# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A config service with one line: the front door of CMS for configs, as an ASGI application on a store of its own.

    api = ConfigurationAPI(AppConfig(security=SecurityConfig(secret_key=...), storage=StorageConfig(host="etcd")))
    app.mount("/config", api.app)

The installation is made at the first start, sealed with a key that is derived from ``secret_key``: whoever has lost
that has lost the configs.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ._client import AsyncCms
from .asgi import AsgiApp, Message, Receive, Scope, Send
from .auth import ROLES, AuthManager
from .errors import CmsError, Conflict, NotFound, Unauthenticated, Unavailable

__all__ = ["AppConfig", "CORSConfig", "ConfigurationAPI", "SecurityConfig", "StorageConfig"]


@dataclass(frozen=True)
class SecurityConfig:
    """The secret that keys are signed and the store is sealed with. The other two are taken for the sake of older
    code: there are no passwords here, and keys do not end."""

    secret_key: str = field(repr=False)
    token_expiry: int = 3600
    min_password_length: int = 8


@dataclass(frozen=True)
class CORSConfig:
    """Which pages of other origins may call."""

    allow_origins: Sequence[str] = ()
    allow_methods: Sequence[str] = ("GET", "PUT")
    allow_headers: Sequence[str] = ("*",)
    allow_credentials: bool = False


@dataclass(frozen=True)
class StorageConfig:
    """Where etcd is, or with ``url`` any other store of CMS, such as ``embedded:/var/lib/configs``."""

    host: str = "localhost"
    port: int = 2379
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    url: str | None = None

    @property
    def store(self) -> str:
        """The URL of the store."""
        return self.url or f"etcd://{self.host}:{self.port}/config-system"


@dataclass(frozen=True)
class AppConfig:
    """All that a :class:`ConfigurationAPI` wants to know."""

    security: SecurityConfig
    cors: CORSConfig = field(default_factory=CORSConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)
    rate_limit_read: str = "100/minute"
    rate_limit_write: str = "20/minute"
    project: str = "configs"
    environments: Sequence[str] = ("prod", "staging", "dev")


class ConfigurationAPI:
    """``GET`` and ``PUT /{path}``, and ``/health``. ``app`` is what is mounted or served."""

    def __init__(self, config: AppConfig) -> None:
        self.config = config
        self.auth = AuthManager(config.security.secret_key)
        self.app: Any = _Front(self)
        if config.cors.allow_origins:
            # It comes with FastAPI, and is needed for nothing else.
            from starlette.middleware.cors import CORSMiddleware

            cors = config.cors
            self.app = CORSMiddleware(
                self.app,
                allow_origins=cors.allow_origins,
                allow_methods=cors.allow_methods,
                allow_headers=cors.allow_headers,
                allow_credentials=cors.allow_credentials,
            )


class _Front:
    """Opens the installation when it is first needed, in the process that serves: after any fork."""

    def __init__(self, api: ConfigurationAPI) -> None:
        self._api = api
        self._opening: asyncio.Task[_Installation] | None = None
        self._process = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        try:
            installation = await self._installation()
        except CmsError as error:
            if scope["type"] != "http":
                raise
            await _unavailable(send, error)
            return
        if scope["type"] == "http":
            scope = {**scope, "headers": installation.translated(scope["headers"])}
        await installation.app(scope, receive, send)

    async def _installation(self) -> _Installation:
        """The one of this process; several requests at first wait for the same."""
        opening = self._opening
        failed = opening is not None and opening.done() and (opening.cancelled() or opening.exception() is not None)
        if opening is None or failed or self._process != os.getpid():
            self._process = os.getpid()
            self._opening = opening = asyncio.ensure_future(_Installation.open(self._api))
        return await asyncio.shield(opening)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._installation()
        except CmsError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        installation = await self._installation()
        installation.app.close()
        await installation.cms.aclose()
        await send({"type": "lifespan.shutdown.complete"})


class _Installation:
    """An open installation, with the API keys of CMS that stand for roles."""

    def __init__(self, cms: AsyncCms, app: AsgiApp, auth: AuthManager, keys: dict[str, str]) -> None:
        self.cms, self.app = cms, app
        self._auth, self._keys = auth, keys

    @classmethod
    async def open(cls, api: ConfigurationAPI) -> _Installation:
        config = api.config
        cms = await _opened(config)
        await _onboarded(cms, config)
        keys = {scopes: await _key(cms, scopes) for scopes in _COMBINATIONS}
        surface = cms._client.surface(True, config.rate_limit_read, config.rate_limit_write)  # pyright: ignore[reportPrivateUsage]
        return cls(cms, AsgiApp(surface), api.auth, keys)

    def translated(self, headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Puts the API key of CMS in the place of one that carries roles; what is neither stays, and is refused."""
        return [(name, self._key_for(value) if name == b"x-api-key" else value) for name, value in headers]

    def _key_for(self, given: bytes) -> bytes:
        try:
            roles = self._auth.roles(given.decode("latin-1"))
        except Unauthenticated:
            return given
        scopes = {scope for role in roles for scope in ROLES.get(role, ())}
        return self._keys["+".join(sorted(scopes))].encode()


#: Which scopes the API keys have that stand for roles, as names of secrets.
_COMBINATIONS = ("config:read", "config:write", "config:read+config:write")


async def _opened(config: AppConfig) -> AsyncCms:
    secret, storage = config.security.secret_key, config.storage
    root = _derived(secret, b"cms root credential").hex()
    with tempfile.NamedTemporaryFile("w", prefix="cms-") as password:
        place: dict[str, Any] = {"seal_key": _derived(secret, b"cms seal key"), "project": config.project}
        if storage.username is not None:
            # Only its owner can read it, and it goes again at once.
            password.write(storage.password or "")
            password.flush()
            place |= {"etcd_user": storage.username, "etcd_password_file": password.name}
        try:
            return await AsyncCms.open(storage.store, credential=root, **place)
        except CmsError as error:
            if error.code != "not_initialized":
                raise
        try:
            cms, _ = await AsyncCms.create(storage.store, root=root, **place)
            return cms
        except Conflict:
            # Another worker was faster.
            return await AsyncCms.open(storage.store, credential=root, **place)


async def _onboarded(cms: AsyncCms, config: AppConfig) -> None:
    project = {"id": config.project, "name": "Configs", "template": "empty"}
    try:
        await cms.api("POST", "projects", {**project, "environments": list(config.environments)})
    except Conflict:
        # It is there already.
        return


async def _key(cms: AsyncCms, scopes: str) -> str:
    """The API key that stands for roles: kept as a secret, so that all workers use the same."""
    path = f"_roles/{scopes.replace(':', '-').replace('+', '-')}"
    for _ in range(3):
        try:
            return str((await cms.reveal(path, reason="open the config API"))["key"])
        except NotFound:
            made = await cms.api(
                "POST", f"projects/{cms.project}/keys", {"name": f"config API: {scopes}", "scopes": scopes.split("+")}
            )
        try:
            await cms.api("PUT", f"projects/{cms.project}/secrets/{path}", {"data": {"key": made["key"]}, "cas": 0})
        except Conflict:
            # Another worker was faster; its key is used, and this one goes.
            await cms.api("DELETE", f"projects/{cms.project}/keys/{made['id']}")
    raise Unavailable("the keys of the config API cannot be made", code="config_api_keys")


def _derived(secret: str, purpose: bytes) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=purpose, n=2**14, r=8, p=1, dklen=32)


async def _unavailable(send: Send, error: CmsError) -> None:
    start: Message = {
        "type": "http.response.start",
        "status": 503,
        "headers": [(b"content-type", b"application/problem+json")],
    }
    await send(start)
    body = b'{"status": 503, "code": "unavailable", "detail": "the store of the config API cannot be opened"}'
    await send({"type": "http.response.body", "body": body})
    raise error
