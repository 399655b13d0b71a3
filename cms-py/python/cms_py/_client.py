# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The two clients: ``Cms`` blocks, ``AsyncCms`` is awaited. What one can do, the other can."""

from __future__ import annotations

import asyncio
import json
import os
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar, cast

from . import _answers
from ._native import Client, Decision, Principal
from .errors import InvalidRequest

T = TypeVar("T")
Self_ = TypeVar("Self_", bound="_Base")


class _Base:
    """What both hold: the installation, and the project and environment that are meant when none is named."""

    def __init__(self, client: Client, *, project: str | None, environment: str | None) -> None:
        self._client = client
        self._closing: weakref.finalize[Any, Any] | None = None
        self.project = project
        self.environment = environment

    def _owning(self: Self_) -> Self_:
        # Whoever forgets to close, or is ended by the interpreter, still leaves nothing behind.
        self._closing = weakref.finalize(self, self._client.close, True)
        return self

    def _project(self, project: str | None) -> str:
        found = project or self.project
        if found is None:
            hint = "pass `project`, here or where the client is opened"
            raise InvalidRequest("no project is named", code="not_configured", hint=hint)
        return found

    def acting_as(self: Self_, credential: str) -> Self_:
        """The same installation with the rights of another credential. Closing it closes nothing."""
        acting = self._client.acting_as(credential)
        return type(self)(acting, project=self.project, environment=self.environment)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} project={self.project!r} environment={self.environment!r}>"

    def __reduce__(self) -> Any:
        raise TypeError(f"{type(self).__name__} cannot be pickled: open one in each process")


class Config(Generic[T]):
    """A config as it was read: its value, the release it comes from, and a tag that changes with it."""

    def __init__(self, value: T, tag: str, release: str) -> None:
        self.value = value
        self.tag = tag
        self.release = release

    def __repr__(self) -> str:
        # A config may hold secrets.
        return f"<Config tag={self.tag!r}>"


class Secret:
    """The fields of a secret as they were revealed. They show in no ``repr`` and in no pickle."""

    __slots__ = ("_fields", "path", "version")

    def __init__(self, path: str, version: int, fields: Mapping[str, Any]) -> None:
        self.path = path
        self.version = version
        self._fields = dict(fields)

    def __getitem__(self, field: str) -> Any:
        return self._fields[field]

    def fields(self) -> list[str]:
        """The names of the fields."""
        return list(self._fields)

    def expose(self) -> dict[str, Any]:
        """All fields with their values."""
        return dict(self._fields)

    def __repr__(self) -> str:
        return f"<Secret {self.path!r} version {self.version}>"

    def __reduce__(self) -> Any:
        raise TypeError("a secret cannot be pickled: reveal it where it is needed")


class Cms(_Base):
    """A client that blocks."""

    @classmethod
    def open(
        cls,
        url: str,
        *,
        seal_key_file: str | os.PathLike[str] | None = None,
        seal_key: bytes | None = None,
        etcd_user: str | None = None,
        etcd_password_file: str | os.PathLike[str] | None = None,
        credential: str,
        project: str | None = None,
        environment: str | None = None,
    ) -> Cms:
        """Opens the installation of a store in this process, such as ``embedded:/var/lib/cms`` or ``etcd://host:2379``.

        Several processes may open the same. ``credential`` is an API key, an access token or the root credential: what
        it may do is asked at each call.
        """
        place = _place(url, seal_key_file, seal_key, etcd_user, etcd_password_file)
        client = Client.open(True, place, credential)
        return cls(client, project=project, environment=environment)._owning()

    @classmethod
    def create(
        cls,
        url: str,
        *,
        seal_key_file: str | os.PathLike[str] | None = None,
        seal_key: bytes | None = None,
        etcd_user: str | None = None,
        etcd_password_file: str | os.PathLike[str] | None = None,
        root: str | None = None,
        project: str | None = None,
        environment: str | None = None,
    ) -> tuple[Cms, str]:
        """Makes a new installation; the root credential beside it is shown this once.

        ``memory:`` makes one that ends with the process, and needs no seal key.
        """
        place = _place(url, seal_key_file, seal_key, etcd_user, etcd_password_file, root)
        client, made = Client.create(True, place)
        return cls(client, project=project, environment=environment)._owning(), made

    @classmethod
    def connect(cls, url: str, key: str) -> Cms:
        """Not yet: raises. A server is reached with any HTTP client, or by opening the store that it serves."""
        raise _not_connected(url)

    @classmethod
    def from_env(cls) -> Cms:
        """Opens what ``CMS_STORE``, ``CMS_SEAL_KEY_FILE``, ``CMS_TOKEN``, ``CMS_PROJECT`` and ``CMS_ENVIRONMENT`` say."""
        return cls.open(**_from_env())

    def decide(
        self, path: str, input: Any = None, *, project: str | None = None, environment: str | None = None
    ) -> Decision:
        """Asks one rule one question."""
        return self._client.decide(True, self._project(project), environment or self.environment, path, input)

    def allow(
        self, path: str, input: Any = None, *, project: str | None = None, environment: str | None = None
    ) -> bool:
        """Whether a rule permits something; what is undefined permits nothing."""
        return self.decide(path, input, project=project, environment=environment).allowed

    def decide_batch(
        self, path: str, inputs: Sequence[Any], *, project: str | None = None, environment: str | None = None
    ) -> list[Decision]:
        """Asks one rule many questions, all of one release."""
        where = (self._project(project), environment or self.environment)
        return self._client.decide_batch(True, *where, path, inputs)

    def authenticate(self, credential: str) -> Principal:
        """Finds out whose credential it is."""
        return self._client.authenticate(True, credential)

    def config(self, name: str, *, project: str | None = None, environment: str | None = None) -> Config[Any]:
        """Reads a config, rendered and with its secrets."""
        where = (self._project(project), environment or self.environment)
        text, tag, release = self._client.config(True, *where, name, None)
        return Config(json.loads(text), tag, release)

    def reveal(
        self, path: str, *, version: int | None = None, reason: str | None = None, project: str | None = None
    ) -> Secret:
        """Reveals a secret. The record of it is on the audit trail when this returns."""
        found, fields = self._client.reveal(True, self._project(project), path, version, reason)
        return Secret(path, found, fields)

    def api(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Calls any operation of the HTTP API, without a network: ``api("GET", "projects/rag")``."""
        request = _answers.request_of(method, path, body, params, headers)
        return _answers.value_of(self._client.request(True, *request))

    def close(self) -> None:
        """Ends what runs beside requests and waits for it."""
        if self._closing is not None:
            self._closing()

    def __enter__(self) -> Cms:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncCms(_Base):
    """A client that is awaited. What needs no I/O, such as a decision, is answered without giving up the loop."""

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        seal_key_file: str | os.PathLike[str] | None = None,
        seal_key: bytes | None = None,
        etcd_user: str | None = None,
        etcd_password_file: str | os.PathLike[str] | None = None,
        credential: str,
        project: str | None = None,
        environment: str | None = None,
    ) -> AsyncCms:
        """Opens the installation of a store in this process; see :meth:`Cms.open`."""
        place = _place(url, seal_key_file, seal_key, etcd_user, etcd_password_file)
        client = await ended(Client.open(False, place, credential))
        return cls(client, project=project, environment=environment)._owning()

    @classmethod
    async def create(
        cls,
        url: str,
        *,
        seal_key_file: str | os.PathLike[str] | None = None,
        seal_key: bytes | None = None,
        etcd_user: str | None = None,
        etcd_password_file: str | os.PathLike[str] | None = None,
        root: str | None = None,
        project: str | None = None,
        environment: str | None = None,
    ) -> tuple[AsyncCms, str]:
        """Makes a new installation; see :meth:`Cms.create`."""
        place = _place(url, seal_key_file, seal_key, etcd_user, etcd_password_file, root)
        client, made = await ended(Client.create(False, place))
        return cls(client, project=project, environment=environment)._owning(), made

    @classmethod
    async def connect(cls, url: str, key: str) -> AsyncCms:
        """Not yet: raises; see :meth:`Cms.connect`."""
        raise _not_connected(url)

    @classmethod
    async def from_env(cls) -> AsyncCms:
        """Opens what the environment says; see :meth:`Cms.from_env`."""
        return await cls.open(**_from_env())

    async def decide(
        self, path: str, input: Any = None, *, project: str | None = None, environment: str | None = None
    ) -> Decision:
        """Asks one rule one question."""
        where = (self._project(project), environment or self.environment)
        return await ended(self._client.decide(False, *where, path, input))

    async def allow(
        self, path: str, input: Any = None, *, project: str | None = None, environment: str | None = None
    ) -> bool:
        """Whether a rule permits something; what is undefined permits nothing."""
        return (await self.decide(path, input, project=project, environment=environment)).allowed

    async def decide_batch(
        self, path: str, inputs: Sequence[Any], *, project: str | None = None, environment: str | None = None
    ) -> list[Decision]:
        """Asks one rule many questions, all of one release."""
        where = (self._project(project), environment or self.environment)
        return await ended(self._client.decide_batch(False, *where, path, inputs))

    async def authenticate(self, credential: str) -> Principal:
        """Finds out whose credential it is."""
        return await ended(self._client.authenticate(False, credential))

    async def config(
        self, name: str, *, project: str | None = None, environment: str | None = None
    ) -> Config[Any]:
        """Reads a config, rendered and with its secrets."""
        where = (self._project(project), environment or self.environment)
        text, tag, release = await ended(self._client.config(False, *where, name, None))
        return Config(json.loads(text), tag, release)

    async def reveal(
        self, path: str, *, version: int | None = None, reason: str | None = None, project: str | None = None
    ) -> Secret:
        """Reveals a secret. The record of it is on the audit trail when this returns."""
        revealing = self._client.reveal(False, self._project(project), path, version, reason)
        found, fields = await ended(revealing)
        return Secret(path, found, fields)

    async def api(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Calls any operation of the HTTP API, without a network; see :meth:`Cms.api`."""
        request = _answers.request_of(method, path, body, params, headers)
        return _answers.value_of(await ended(self._client.request(False, *request)))

    async def aclose(self) -> None:
        """Ends what runs beside requests and waits for it."""
        if self._closing is not None and self._closing.detach() is not None:
            await ended(self._client.close(False))

    async def __aenter__(self) -> AsyncCms:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


async def ended(outcome: T | asyncio.Future[T]) -> T:
    """The outcome of a native call: it is there, or it comes."""
    if isinstance(outcome, asyncio.Future):
        return await cast("asyncio.Future[T]", outcome)
    return outcome


def _not_connected(url: str) -> NotImplementedError:
    return NotImplementedError(
        f"snapshots of a server are not there yet, so `{url}` cannot be followed: open the store itself, such as "
        "`etcd://host:2379`, or call the server's HTTP API"
    )


def _place(
    url: str,
    seal_key_file: str | os.PathLike[str] | None,
    seal_key: bytes | None,
    etcd_user: str | None,
    etcd_password_file: str | os.PathLike[str] | None,
    root: str | None = None,
) -> dict[str, Any]:
    return {
        "url": url,
        "seal_key_file": seal_key_file,
        "seal_key": seal_key,
        "etcd_user": etcd_user,
        "etcd_password_file": etcd_password_file,
        "root": root,
    }


def _from_env() -> dict[str, Any]:
    return {
        "url": _answers.named(None, "CMS_STORE", "store"),
        "seal_key_file": os.environ.get("CMS_SEAL_KEY_FILE"),
        "credential": _answers.named(None, "CMS_TOKEN", "credential"),
        "project": os.environ.get("CMS_PROJECT"),
        "environment": os.environ.get("CMS_ENVIRONMENT"),
    }
