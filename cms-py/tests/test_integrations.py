# SPDX-License-Identifier: Apache-2.0 OR MIT
"""CMS behind the interfaces of other packages."""

from __future__ import annotations

import pytest
from cms_py import Cms, NotFound
from cms_py.integrations.pydantic_settings import CmsSource
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource


def test_settings_begin_with_a_config(cms: Cms, monkeypatch: pytest.MonkeyPatch) -> None:
    class Settings(BaseSettings):
        model: str = "none"
        top_k: int = 1

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, CmsSource(settings_cls, "rag", cms=cms, required=required)

    required = True
    with pytest.raises(NotFound):
        Settings()
    required = False
    assert Settings().model == "none"
    cms.api("PUT", "projects/shop/configs/rag", {"model": "m", "top_k": 8})
    required = True
    assert (Settings().model, Settings().top_k) == ("m", 8)
    monkeypatch.setenv("TOP_K", "9")
    assert (Settings().top_k, Settings(top_k=10).top_k) == (9, 10)
