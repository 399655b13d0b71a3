# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A source for pydantic-settings: boot values of a service from a config of CMS.

    class Settings(BaseSettings):
        @classmethod
        def settings_customise_sources(cls, settings_cls, init_settings, env_settings, **_):
            return init_settings, env_settings, CmsSource(settings_cls, "answers")

It reads once; for values that follow CMS, use :class:`cms_py.live.Setting`.
"""

from __future__ import annotations

from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from .._client import Cms
from ..errors import CmsError, NotFound

__all__ = ["CmsSource"]


class CmsSource(PydanticBaseSettingsSource):
    """The fields of a config. With ``required``, which is the default, a config that cannot be read is an error: a
    service must not start with other values than it was meant to."""

    def __init__(
        self,
        settings_cls: type[BaseSettings],
        name: str,
        *,
        cms: Cms | None = None,
        project: str | None = None,
        environment: str | None = None,
        required: bool = True,
    ) -> None:
        super().__init__(settings_cls)
        self._name, self._cms, self._required = name, cms, required
        self._where = {"project": project, "environment": environment}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        # All fields come at once; nothing is asked field by field.
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        try:
            if self._cms is not None:
                return self._read(self._cms)
            with Cms.from_env() as cms:
                return self._read(cms)
        except NotFound:
            if self._required:
                raise
            return {}

    def _read(self, cms: Cms) -> dict[str, Any]:
        value = cms.config(self._name, **self._where).value
        if not isinstance(value, dict):
            raise CmsError(f"the config `{self._name}` is no object, so it has no fields", code="not_an_object")
        return value  # pyright: ignore[reportUnknownVariableType]

    def __repr__(self) -> str:
        return f"CmsSource({self._name!r})"
