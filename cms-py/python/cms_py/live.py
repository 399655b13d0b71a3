# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Configs and secrets that follow what CMS has: settings of a type of one's own, and handles of secrets.

    class Rag(BaseModel):
        model: str
        top_k: int = 8

    rag = await Setting.load(cms, Rag, "answers")
    key = await SecretHandle.load(cms, "openai")

    rag.current().top_k
    key.value("key")

Both are read once when they are made, and then kept up to date in the background; reading them afterwards waits for
nothing. A config that the type refuses, or a time without CMS, leaves the last good value in force.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from ._client import AsyncCms, Cms, Secret, ended
from ._native import Watch
from .errors import CmsError

__all__ = ["SecretHandle", "Setting"]

M = TypeVar("M")
C = TypeVar("C", bound=Callable[..., Any])


_log = logging.getLogger("cms_py")


class _Live:
    """What both are: watched, with callbacks for what has changed."""

    def __init__(self, cms: Cms | AsyncCms) -> None:
        self._client = cms._client  # pyright: ignore[reportPrivateUsage]
        self._lock = threading.Lock()
        self._watch: Watch | None = None
        self._loop = _running_loop()
        #: Why the last news could not be taken; ``None`` while all is well.
        self.error: Exception | None = None

    def close(self) -> None:
        """Ends the watch; the last value stays."""
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

    def __reduce__(self) -> Any:
        raise TypeError(f"a {type(self).__name__} cannot be pickled: load it where it is needed")

    def _call(self, callback: Callable[..., Any], *arguments: Any) -> None:
        """Tells a callback; whether it fails is its own matter."""
        try:
            outcome = callback(*arguments)
            if inspect.iscoroutine(outcome) and self._loop is not None:
                running = asyncio.run_coroutine_threadsafe(outcome, self._loop)
                running.add_done_callback(lambda done: _report(done.exception()))
        except Exception as error:  # noqa: BLE001
            _report(error)

    def _failed(self, what: str, error: Exception) -> None:
        if self.error is None:
            # The type alone: what refuses a config may quote it, and a config may hold secrets.
            _log.warning("%s keeps its last value: %s", what, type(error).__name__)
        self.error = error


def _report(error: BaseException | None) -> None:
    if error is not None:
        _log.error("a callback failed", exc_info=error)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Setting(_Live, Generic[M]):
    """A config as a value of a type that pydantic knows; always whole, never half of a change."""

    def __init__(self, cms: Cms | AsyncCms, kind: type[M], name: str) -> None:
        super().__init__(cms)
        self.name = name
        self._adapter: TypeAdapter[M] = TypeAdapter(kind)
        self._callbacks: list[tuple[frozenset[str], Callable[[M, M], Any]]] = []
        self._value: M
        self.release = ""

    @classmethod
    def open(
        cls, cms: Cms, kind: type[M], name: str, *, project: str | None = None, environment: str | None = None
    ) -> Setting[M]:
        """Reads it for the first time, and follows it from then on. The first value must fit the type."""
        setting = cls(cms, kind, name)
        where = setting._where(cms, project, environment)
        setting._begin(where, setting._client.config(True, *where, name, None))
        return setting

    @classmethod
    async def load(
        cls,
        cms: AsyncCms,
        kind: type[M],
        name: str,
        *,
        project: str | None = None,
        environment: str | None = None,
    ) -> Setting[M]:
        """Reads it for the first time, and follows it from then on; see :meth:`open`."""
        setting = cls(cms, kind, name)
        where = setting._where(cms, project, environment)
        setting._begin(where, await ended(setting._client.config(False, *where, name, None)))
        return setting

    def current(self) -> M:
        """The value. As a dependency of FastAPI: ``Annotated[Rag, Depends(rag.current)]``."""
        return self._value

    def on_change(self, *fields: str) -> Callable[[C], C]:
        """Calls a function with the old and the new value; with fields, only if one of them is another one."""

        def register(callback: C) -> C:
            self._callbacks.append((frozenset(fields), callback))
            return callback

        return register

    def __repr__(self) -> str:
        return f"<Setting {self.name!r}>"

    def _where(
        self, cms: Cms | AsyncCms, project: str | None, environment: str | None
    ) -> tuple[str, str | None]:
        return cms._project(project), environment or cms.environment  # pyright: ignore[reportPrivateUsage]

    def _begin(self, where: tuple[str, str | None], read: tuple[bytes, str, str]) -> None:
        text, tag, self.release = read
        self._value = self._adapter.validate_json(text)
        self._watch = self._client.watch_config(*where, self.name, tag, self._told)

    def _told(self, news: tuple[bytes, str, str] | CmsError) -> None:
        """What the watch has to say; it speaks on one thread, one thing after the other."""
        if isinstance(news, CmsError):
            self._failed(f"the setting {self.name!r}", news)
            return
        text, _tag, release = news
        try:
            new = self._adapter.validate_json(text)
        except ValueError as error:
            self._failed(f"the setting {self.name!r}", error)
            return
        old, self._value, self.release, self.error = self._value, new, release, None
        for fields, callback in self._callbacks:
            if old != new and (not fields or _differ(old, new, fields)):
                self._call(callback, old, new)


def _differ(old: Any, new: Any, fields: Iterable[str]) -> bool:
    missing = object()

    def of(value: Any, field: str) -> Any:
        return value.get(field, missing) if isinstance(value, dict) else getattr(value, field, missing)  # pyright: ignore

    return any(of(old, field) != of(new, field) for field in fields)


class SecretHandle(_Live):
    """A secret that is kept up to date. Its value shows only where it is asked for: in no ``repr``, pickle or log.

    Each version that is taken is a reveal on the audit trail. A new one is seen at once, by a key that may follow events
    (such as one with ``config:read`` beside ``secret:read``), or else within seconds.
    """

    def __init__(self, cms: Cms | AsyncCms, path: str, project: str | None) -> None:
        super().__init__(cms)
        self.path = path
        self._project = cms._project(project)  # pyright: ignore[reportPrivateUsage]
        self._secret: Secret
        self._callbacks: list[Callable[[int], Any]] = []

    @classmethod
    def open(cls, cms: Cms, path: str, *, project: str | None = None) -> SecretHandle:
        """Reveals it for the first time, and follows it from then on."""
        handle = cls(cms, path, project)
        handle._secret = Secret(path, *handle._client.reveal(True, handle._project, path, None, None))
        handle._watch = handle._client.watch_secret(handle._project, path, handle._told)
        return handle

    @classmethod
    async def load(cls, cms: AsyncCms, path: str, *, project: str | None = None) -> SecretHandle:
        """Reveals it for the first time, and follows it from then on."""
        handle = cls(cms, path, project)
        read = await ended(handle._client.reveal(False, handle._project, path, None, None))
        handle._secret = Secret(path, *read)
        handle._watch = handle._client.watch_secret(handle._project, path, handle._told)
        return handle

    @property
    def version(self) -> int:
        """The version that is held."""
        return self._secret.version

    def value(self, field: str | None = None) -> Any:
        """The value of a field; without one, of the only field that there is."""
        if field is None:
            (field,) = self._secret.fields()
        return self._secret[field]

    async def refresh(self) -> bool:
        """Looks whether there is another version now, such as after a 401; true if the value is another one."""
        return self._take(await ended(self._client.reveal(False, self._project, self.path, None, None)))

    def refresh_blocking(self) -> bool:
        """Does what :meth:`refresh` does, where nothing can be awaited."""
        return self._take(self._client.reveal(True, self._project, self.path, None, None))

    def on_rotate(self, callback: C) -> C:
        """Calls a function with the number of each new version."""
        self._callbacks.append(callback)
        return callback

    def __repr__(self) -> str:
        return f"<SecretHandle {self.path!r} version {self.version}>"

    def _told(self, news: CmsError | None) -> None:
        try:
            if news is not None:
                raise news
            self.refresh_blocking()
        except CmsError as error:
            self._failed(f"the secret {self.path!r}", error)

    def _take(self, read: tuple[int, dict[str, Any]]) -> bool:
        with self._lock:
            new, old = Secret(self.path, *read), self._secret
            # An answer that was overtaken by a later one does not come back.
            if new.version < old.version:
                return False
            self._secret, self.error = new, None
        if new.version != old.version:
            for callback in self._callbacks:
                self._call(callback, new.version)
        return new.expose() != old.expose()
