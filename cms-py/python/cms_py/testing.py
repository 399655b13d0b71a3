# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Help for the tests of services that use CMS: a fake without any installation, and real ones in memory.

pytest loads this by itself and finds the fixtures ``fake_cms`` and ``memory_cms``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import pytest

from ._client import AsyncCms, Cms, Config, Secret
from ._native import Decision, Principal
from .errors import NotFound, Unauthenticated

__all__ = ["FakeCms", "fake_cms", "memory_cms"]


class FakeCms(AsyncCms):
    """Answers as it was told to. What it was not told of is undefined, missing or unknown; so it permits nothing.

    ``asked`` lists each rule that was asked, with its input.
    """

    def __init__(
        self,
        *,
        allow: Collection[str] = (),
        decisions: Mapping[str, Any | Callable[[Any], Any]] | None = None,
        configs: Mapping[str, Any] | None = None,
        secrets: Mapping[str, Mapping[str, Any]] | None = None,
        principals: Mapping[str, Principal] | None = None,
        project: str = "fake",
        environment: str | None = None,
    ) -> None:
        self.project = project
        self.environment = environment
        self.asked: list[tuple[str, Any]] = []
        self._decisions: dict[str, Any] = {**dict.fromkeys(allow, True), **(decisions or {})}
        self._configs = dict(configs or {})
        self._secrets = dict(secrets or {})
        self._principals = dict(principals or {})
        self._closing = None

    def acting_as(self, credential: str) -> FakeCms:
        return self

    async def decide(
        self, path: str, input: Any = None, *, project: str | None = None, environment: str | None = None
    ) -> Decision:
        self.asked.append((path, input))
        told = self._decisions.get(path)
        return Decision(told(input) if callable(told) else told)

    async def decide_batch(
        self, path: str, inputs: Sequence[Any], *, project: str | None = None, environment: str | None = None
    ) -> list[Decision]:
        return [await self.decide(path, input) for input in inputs]

    async def authenticate(self, credential: str) -> Principal:
        try:
            return self._principals[credential]
        except KeyError:
            raise Unauthenticated("the fake knows no such credential", code="unauthenticated") from None

    async def config(
        self, name: str, *, project: str | None = None, environment: str | None = None
    ) -> Config[Any]:
        if name not in self._configs:
            raise NotFound(f"the fake has no config `{name}`", code="not_found")
        return Config(self._configs[name], "fake", "fake")

    async def reveal(
        self, path: str, *, version: int | None = None, reason: str | None = None, project: str | None = None
    ) -> Secret:
        if path not in self._secrets:
            raise NotFound(f"the fake has no secret `{path}`", code="not_found")
        return Secret(path, version or 1, self._secrets[path])

    async def api(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        raise NotFound("the fake has no API; use `memory_cms`", code="not_found")


@pytest.fixture
def fake_cms() -> FakeCms:
    """A fake that permits nothing."""
    return FakeCms()


@pytest.fixture
def memory_cms() -> Iterator[Cms]:
    """A real installation in memory, with the project ``test``, used as root."""
    cms, _root = Cms.create("memory:", project="test")
    with cms:
        cms.api("POST", "projects", {"id": "test", "name": "Test", "template": "empty"})
        yield cms
