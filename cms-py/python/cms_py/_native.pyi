# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The native half. Calls without ``blocking`` give their outcome, or a future of the running event loop."""

from asyncio import Future
from collections.abc import Sequence
from os import PathLike
from typing import Any, Literal, final, overload

__all__ = ["Client", "Decision", "Principal", "stop"]

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
    def open(
        blocking: Literal[True], url: str, seal_key_file: str | PathLike[str] | None, credential: str
    ) -> Client: ...
    @overload
    @staticmethod
    def open(
        blocking: bool, url: str, seal_key_file: str | PathLike[str] | None, credential: str
    ) -> Client | Future[Client]: ...
    @overload
    @staticmethod
    def create(
        blocking: Literal[True], url: str, seal_key_file: str | PathLike[str] | None
    ) -> tuple[Client, str]: ...
    @overload
    @staticmethod
    def create(
        blocking: bool, url: str, seal_key_file: str | PathLike[str] | None
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

def stop() -> None:
    """Ends the threads of this process, for the end of the interpreter."""
