# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Settings and secrets that follow what CMS has."""

from __future__ import annotations

import asyncio
import logging
import pickle
import threading

import pytest
from cms_py import Cms
from cms_py.live import SecretHandle, Setting
from conftest import PATIENCE, Place, async_opened, new_key, until
from pydantic import BaseModel, ValidationError


class Rag(BaseModel):
    model: str
    top_k: int = 8


def put(cms: Cms, **values: object) -> None:
    cms.api("PUT", "projects/shop/configs/rag", values)


def test_a_setting_follows_its_config(cms: Cms) -> None:
    put(cms, model="a")
    rag = Setting.open(cms, Rag, "rag")
    first = rag.current()
    assert first == Rag(model="a", top_k=8)
    seen: list[tuple[Rag, Rag]] = []
    models: list[str] = []
    rag.on_change()(lambda old, new: seen.append((old, new)))

    @rag.on_change("model")
    def _(_old: Rag, new: Rag) -> None:
        models.append(new.model)

    put(cms, model="a", top_k=9)
    until(lambda: rag.current().top_k == 9)
    put(cms, model="b", top_k=9)
    until(lambda: models == ["b"])
    assert seen == [(first, Rag(model="a", top_k=9)), (Rag(model="a", top_k=9), Rag(model="b", top_k=9))]
    assert first.top_k == 8, "a value that somebody holds does not change under them"
    rag.close()


def test_a_bad_push_leaves_the_last_good_value(cms: Cms, caplog: pytest.LogCaptureFixture) -> None:
    put(cms, model="a")
    rag = Setting.open(cms, Rag, "rag")
    with caplog.at_level(logging.WARNING, "cms_py"):
        put(cms, model="a", top_k="many-secret-things")
        until(lambda: rag.error is not None)
    assert isinstance(rag.error, ValidationError) and rag.current() == Rag(model="a")
    assert "keeps its last value" in caplog.text and "many-secret" not in caplog.text
    put(cms, model="c")
    until(lambda: rag.current().model == "c")
    assert rag.error is None
    rag.close()


def test_the_first_value_must_fit(cms: Cms) -> None:
    put(cms, top_k=1)
    with pytest.raises(ValidationError):
        Setting.open(cms, Rag, "rag")


def test_a_callback_that_raises_stops_nothing(cms: Cms, caplog: pytest.LogCaptureFixture) -> None:
    put(cms, model="a")
    rag = Setting.open(cms, Rag, "rag")
    called = threading.Event()

    @rag.on_change()
    def _(_old: Rag, _new: Rag) -> None:
        raise RuntimeError("mine")

    rag.on_change()(lambda _old, _new: called.set())
    put(cms, model="b")
    assert called.wait(PATIENCE)
    assert "a callback failed" in caplog.text
    rag.close()


def test_a_secret_follows_its_versions(cms: Cms) -> None:
    path = "projects/shop/secrets/openai"
    cms.api("PUT", path, {"data": {"key": "sk-one-0123456789"}})
    reader = cms.acting_as(new_key(cms, "secret:read"))
    handle = SecretHandle.open(reader, "openai")
    assert (handle.value(), handle.value("key"), handle.version) == ("sk-one-0123456789",) * 2 + (1,)
    versions: list[int] = []
    handle.on_rotate(versions.append)
    assert not handle.refresh_blocking()
    cms.api("PUT", path, {"data": {"key": "sk-two-0123456789"}})
    until(lambda: handle.value() == "sk-two-0123456789")
    until(lambda: versions == [2])
    assert "sk-" not in f"{handle!r} {handle}"
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(handle)
    handle.close()


async def test_both_can_be_awaited(place: Place) -> None:
    async with await async_opened(place) as cms:
        await cms.api("PUT", "projects/shop/configs/rag", {"model": "a"})
        await cms.api("PUT", "projects/shop/secrets/openai", {"data": {"key": "one"}})
        rag, key = await Setting.load(cms, Rag, "rag"), await SecretHandle.load(cms, "openai")
        changed: asyncio.Queue[str] = asyncio.Queue()

        @rag.on_change("model")
        async def _(_old: Rag, new: Rag) -> None:
            await changed.put(new.model)

        await cms.api("PUT", "projects/shop/configs/rag", {"model": "b"})
        assert await asyncio.wait_for(changed.get(), PATIENCE) == "b"
        await cms.api("PUT", "projects/shop/secrets/openai", {"data": {"key": "two"}})
        await key.refresh()
        assert key.value() == "two" and not await key.refresh()
