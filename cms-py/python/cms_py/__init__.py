# SPDX-License-Identifier: Apache-2.0 OR MIT
"""CMS inside of a Python service: policy decisions without a sidecar, secrets, configs, and the HTTP API without a
network.

    from cms_py import Cms

    with Cms.open("embedded:/var/lib/cms", seal_key_file="/etc/cms/seal.key", credential=KEY, project="rag") as cms:
        if cms.decide("rag/authz/allow", {"user": "eve"}):
            ...
"""

import atexit as _atexit

from . import _native
from ._client import AsyncCms, Cms, Config, Secret
from ._native import Decision, Principal
from .auth import AuthManager
from .config_api import AppConfig, ConfigurationAPI, CORSConfig, SecurityConfig, StorageConfig
from .errors import (
    ClosedError,
    CmsError,
    Conflict,
    Denied,
    ForkedProcessError,
    InternalError,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    Sealed,
    StaleVersion,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    Unprocessable,
    UnsupportedMedia,
)

# Before the interpreter goes, so that no thread of ours calls it afterwards; clients close themselves before that.
_atexit.register(_native.stop)

__all__ = [
    "AppConfig",
    "AsyncCms",
    "AuthManager",
    "CORSConfig",
    "ClosedError",
    "Cms",
    "CmsError",
    "Config",
    "ConfigurationAPI",
    "Conflict",
    "Decision",
    "Denied",
    "ForkedProcessError",
    "InternalError",
    "InvalidRequest",
    "NotFound",
    "OutcomeUnknown",
    "Principal",
    "Sealed",
    "Secret",
    "SecurityConfig",
    "StaleVersion",
    "StorageConfig",
    "TooLarge",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "Unprocessable",
    "UnsupportedMedia",
]
