# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Installations for the tests: each has its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cms_py import AsyncCms, Cms

# Long enough for a machine that has much else to do; nothing waits for it when all is well.
PATIENCE = 60.0

POLICY = """package shop

default allow := false

allow if input.user == "eve"

verdict := {"allow": input.n > 3, "reason": "n must be above 3"}

echo := input
"""


@dataclass
class Place:
    """An installation on disk, for several processes."""

    url: str
    seal_key_file: str
    root: str


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An installation on disk, with the project ``shop``; nobody has it open."""
    url, key = f"embedded:{tmp_path / 'store'}", str(tmp_path / "seal.key")
    cms, root = Cms.create(url, seal_key_file=key)
    with cms:
        onboard(cms)
    yield Place(url, key, root)


@pytest.fixture
def cms() -> Iterator[Cms]:
    """An installation in memory, with the project ``shop``, used as root."""
    cms, _root = Cms.create("memory:", project="shop")
    with cms:
        onboard(cms)
        yield cms


def onboard(cms: Cms) -> None:
    """Makes the project ``shop`` with a policy."""
    cms.api("POST", "projects", {"id": "shop", "name": "Shop", "template": "empty"})
    cms.api("PUT", "projects/shop/policies/shop", POLICY)


def new_key(cms: Cms, *scopes: str) -> str:
    """An API key of the project ``shop``."""
    made = cms.api("POST", "projects/shop/keys", {"name": "k", "scopes": list(scopes)})
    return str(made["key"])


def opened(place: Place, credential: str | None = None) -> Cms:
    """Opens an installation on disk."""
    return Cms.open(
        place.url, seal_key_file=place.seal_key_file, credential=credential or place.root, project="shop"
    )


async def async_opened(place: Place) -> AsyncCms:
    """Opens an installation on disk, to be awaited."""
    return await AsyncCms.open(
        place.url, seal_key_file=place.seal_key_file, credential=place.root, project="shop"
    )


def until(holds: Callable[[], bool]) -> None:
    """Waits until something holds."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.005)
