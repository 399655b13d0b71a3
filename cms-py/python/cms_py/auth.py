# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Keys for the callers of a :class:`cms_py.ConfigurationAPI`."""

from __future__ import annotations

from collections.abc import Iterable

from ._native import sign_role_key, verify_role_key
from .errors import InvalidRequest

__all__ = ["ROLES", "AuthManager"]

#: What a caller can be, and which scopes of CMS that stands for.
ROLES: dict[str, tuple[str, ...]] = {
    "read": ("config:read",),
    "write": ("config:write",),
    "admin": ("config:read", "config:write"),
}


class AuthManager:
    """Makes keys that carry roles, signed with the secret key that the API is configured with.

    They need no store, so they do not end one by one: another secret key ends all of them. Keys that can be narrowed,
    rotated and revoked are the API keys of CMS, which the API takes as well.
    """

    def __init__(self, secret_key: str) -> None:
        self._secret_key = secret_key

    def create_api_key(self, roles: Iterable[str]) -> str:
        """Makes a key with some of the roles ``read``, ``write`` and ``admin``."""
        wanted = sorted(set(roles))
        unknown = [role for role in wanted if role not in ROLES]
        if unknown or not wanted:
            raise InvalidRequest(
                f"there is no role {', '.join(map(repr, unknown)) or 'in an empty list'}",
                code="invalid_role",
                hint=f"choose from {', '.join(map(repr, ROLES))}",
            )
        return sign_role_key(self._secret_key, wanted)

    def roles(self, key: str) -> list[str]:
        """The roles of a key; raises :class:`cms_py.Unauthenticated` for one that was signed with another secret."""
        return verify_role_key(self._secret_key, key)

    def __repr__(self) -> str:
        return "<AuthManager>"
