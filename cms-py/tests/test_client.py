# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The client: opening, closing, secrets and configs, who asks."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from cms_py import ClosedError, Cms, CmsError, Conflict, NotFound, Principal, Sealed, Unauthenticated
from conftest import Place, new_key, opened


def test_what_one_client_writes_another_one_reads(place: Place) -> None:
    with opened(place) as one, opened(place) as two:
        one.api("PUT", "projects/shop/policies/shop", "package shop\n\nallow := true\n")
        two.api("GET", "projects/shop/policies/shop")
        assert one.allow("shop/allow")


def test_nothing_is_opened_by_mistake(tmp_path: Path, place: Place) -> None:
    with pytest.raises(NotFound, match="there is nothing at"):
        Cms.open(f"embedded:{tmp_path / 'other'}", seal_key_file=place.seal_key_file, credential=place.root)
    assert not (tmp_path / "other").exists()
    with pytest.raises(Unauthenticated):
        opened(place, "wrong")
    with pytest.raises(Conflict):
        Cms.create(place.url, seal_key_file=place.seal_key_file)
    with pytest.raises(Sealed):
        Cms.open(place.url, seal_key_file=tmp_path / "no.key", credential=place.root)


def test_the_environment_says_what_to_open(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CmsError, match="CMS_STORE"):
        Cms.from_env()
    for name, value in {
        "CMS_STORE": place.url,
        "CMS_SEAL_KEY_FILE": place.seal_key_file,
        "CMS_TOKEN": place.root,
        "CMS_PROJECT": "shop",
    }.items():
        monkeypatch.setenv(name, value)
    with Cms.from_env() as cms:
        assert cms.allow("shop/allow", {"user": "eve"})


def test_a_closed_client_says_so(cms: Cms) -> None:
    cms.close()
    cms.close()
    with pytest.raises(ClosedError, match="open another one"):
        cms.decide("shop/allow")


def test_secrets_show_only_where_they_are_asked_for(cms: Cms) -> None:
    cms.api("PUT", "projects/shop/secrets/openai/key", {"data": {"value": "sk-0123456789abcdef"}})
    secret = cms.reveal("openai/key", reason="test")
    assert secret["value"] == "sk-0123456789abcdef" and secret.version == 1 and secret.fields() == ["value"]
    assert "sk-" not in f"{secret!r} {secret} {vars(cms)}"
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(secret)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(cms)
    (record,) = cms.api("GET", "audit", params={"action": "secret:reveal"})["items"]
    assert record["resource"].endswith("openai/key")


def test_configs_are_read_as_services_do(cms: Cms) -> None:
    cms.api("PUT", "projects/shop/configs/app", {"top_k": 8, "model": "m"})
    first = cms.config("app")
    assert first.value == {"top_k": 8, "model": "m"}
    cms.api("PUT", "projects/shop/configs/app", {"top_k": 9, "model": "m"})
    second = cms.config("app")
    assert second.value["top_k"] == 9 and first.tag != second.tag and first.release != second.release
    with pytest.raises(NotFound):
        cms.config("other")


def test_callers_are_told_apart(cms: Cms) -> None:
    key = cms.authenticate(new_key(cms, "decide", "config:read"))
    assert isinstance(key, Principal)
    assert (key.kind, key.project, key.scopes) == ("key", "shop", ["decide", "config:read"])
    with pytest.raises(Unauthenticated):
        cms.authenticate("cms_nobody")


def test_errors_survive_pickling(cms: Cms) -> None:
    with pytest.raises(NotFound) as refused:
        cms.reveal("nothing")
    again = pickle.loads(pickle.dumps(refused.value))
    assert type(again) is NotFound and str(again) == str(refused.value) and again.request_id == refused.value.request_id
