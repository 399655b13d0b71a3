# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The native half. Calls without ``blocking`` give their outcome, or a future of the running event loop."""

from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, final, overload

__all__ = [
    "Client",
    "Decision",
    "Exchange",
    "Principal",
    "Surface",
    "Watch",
    "sign_role_key",
    "stop",
    "verify_role_key",
]

@final
class Decision:
    """A decision. It is true in a condition if, and only if, it permits something."""

    def __new__(
        cls, value: Any = None, *, id: str = "fake", release: str = "fake", environment: str = "default"
    ) -> Decision: ...
    @property
    def id(self) -> str: ...
    @property
    def release(self) -> str: ...
    @property
    def environment(self) -> str: ...
    @property
    def allowed(self) -> bool: ...
    @property
    def value(self) -> Any: ...
    @property
    def undefined(self) -> bool: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def hint(self) -> str | None: ...
    @property
    def error(self) -> str | None: ...
    def __bool__(self) -> bool: ...

@final
class Principal:
    """A caller who has proved who it is."""

    @property
    def kind(self) -> Literal["user", "key", "root", "system", "anonymous"]: ...
    @property
    def id(self) -> str: ...
    @property
    def project(self) -> str | None: ...
    @property
    def environment(self) -> str | None: ...
    @property
    def role(self) -> str | None: ...
    @property
    def scopes(self) -> list[str]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Client:
    """An installation, acted in with one credential."""

    @overload
    @staticmethod
    def open(blocking: Literal[True], place: Mapping[str, Any], credential: str) -> Client: ...
    @overload
    @staticmethod
    def open(blocking: bool, place: Mapping[str, Any], credential: str) -> Client | Future[Client]: ...
    @overload
    @staticmethod
    def create(blocking: Literal[True], place: Mapping[str, Any]) -> tuple[Client, str]: ...
    @overload
    @staticmethod
    def create(
        blocking: bool, place: Mapping[str, Any]
    ) -> tuple[Client, str] | Future[tuple[Client, str]]: ...
    def acting_as(self, credential: str) -> Client: ...
    @overload
    def close(self, blocking: Literal[True]) -> None: ...
    @overload
    def close(self, blocking: bool) -> Future[None] | None: ...
    @overload
    def decide(
        self, blocking: Literal[True], project: str, environment: str | None, path: str, input: Any
    ) -> Decision: ...
    @overload
    def decide(
        self, blocking: bool, project: str, environment: str | None, path: str, input: Any
    ) -> Decision | Future[Decision]: ...
    @overload
    def decide_batch(
        self, blocking: Literal[True], project: str, environment: str | None, path: str, inputs: Sequence[Any]
    ) -> list[Decision]: ...
    @overload
    def decide_batch(
        self, blocking: bool, project: str, environment: str | None, path: str, inputs: Sequence[Any]
    ) -> list[Decision] | Future[list[Decision]]: ...
    @overload
    def authenticate(self, blocking: Literal[True], credential: str) -> Principal: ...
    @overload
    def authenticate(self, blocking: bool, credential: str) -> Principal | Future[Principal]: ...
    @overload
    def config(
        self,
        blocking: Literal[True],
        project: str,
        environment: str | None,
        name: str,
        other_than: tuple[str, float] | None,
    ) -> tuple[bytes, str, str]: ...
    @overload
    def config(
        self,
        blocking: bool,
        project: str,
        environment: str | None,
        name: str,
        other_than: tuple[str, float] | None,
    ) -> tuple[bytes, str, str] | Future[tuple[bytes, str, str]]: ...
    @overload
    def reveal(
        self, blocking: Literal[True], project: str, path: str, version: int | None, reason: str | None
    ) -> tuple[int, dict[str, Any]]: ...
    @overload
    def reveal(
        self, blocking: bool, project: str, path: str, version: int | None, reason: str | None
    ) -> tuple[int, dict[str, Any]] | Future[tuple[int, dict[str, Any]]]: ...
    @overload
    def request(
        self,
        blocking: Literal[True],
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
    ) -> tuple[int, list[tuple[str, str]], bytes]: ...
    @overload
    def request(
        self, blocking: bool, method: str, path: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> (
        tuple[int, list[tuple[str, str]], bytes] | Future[tuple[int, list[tuple[str, str]], bytes]]
    ): ...

    def surface(self, configs_only: bool, reads: str | None, writes: str | None) -> Surface: ...
    def watch_config(
        self, project: str, environment: str | None, name: str, known: str, told: Callable[[Any], object]
    ) -> Watch: ...
    def watch_secret(self, project: str, path: str, told: Callable[[Any], object]) -> Watch: ...

@final
class Watch:
    """Something that is watched; dropping it ends the watch."""

    def stop(self) -> None: ...

@final
class Surface:
    """Routes that can be mounted."""

    def exchange(self, head: Mapping[str, Any], body: bytes | None) -> Exchange: ...
    def close(self) -> None: ...

@final
class Exchange:
    """A request that is being answered."""

    def feed(self, part: bytes | None = None) -> bool | Future[bool]: ...
    def answer(
        self,
    ) -> (
        tuple[int, list[tuple[bytes, bytes]], bytes, bool]
        | Future[tuple[int, list[tuple[bytes, bytes]], bytes, bool]]
    ): ...
    def more(self) -> tuple[bytes, bool] | Future[tuple[bytes, bool]]: ...

def sign_role_key(secret: str, roles: Sequence[str]) -> str:
    """Signs a key with roles."""

def verify_role_key(secret: str, key: str) -> list[str]:
    """The roles of a key, if it was signed with this secret."""

def stop() -> None:
    """Ends the threads of this process, for the end of the interpreter."""
