# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A config service with one line, as services of other config systems use theirs."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cms_py import (
    AppConfig,
    AuthManager,
    ConfigurationAPI,
    CORSConfig,
    InvalidRequest,
    SecurityConfig,
    StorageConfig,
    Unauthenticated,
)
from conftest import until
from fastapi import FastAPI
from servers import under_uvicorn

SECRET = "your-secret-key"
DATABASE = {"database": {"host": "db.example.com", "port": 5432, "max_connections": 100, "ssl": True}}
SCHEMA = {"properties": {"database": {"properties": {"port": {"type": "integer", "maximum": 65535}}}}}
SERVICE = {"api": {"url": "https://{{ env }}.api.example.com", "timeout": "{{ '30' if env == 'prod' else '5' }}"}}


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[int]:
    """The port of an etcd of the test's own."""
    if shutil.which("etcd") is None:
        pytest.skip("no `etcd` is installed")
    with socket.socket() as client, socket.socket() as peer:
        client.bind(("127.0.0.1", 0))
        peer.bind(("127.0.0.1", 0))
        port, peers = client.getsockname()[1], f"http://127.0.0.1:{peer.getsockname()[1]}"
    url = f"http://127.0.0.1:{port}"
    command = ["etcd", "--data-dir", str(tmp_path / "etcd"), "--listen-client-urls", url, "--advertise-client-urls", url]
    command += ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]
    command += ["--initial-cluster", f"default={peers}"]
    # Debian calls some architectures unsupported; the tests are not about that.
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ})
    try:

        def answers() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        until(answers)
        yield port
    finally:
        server.terminate()
        server.wait()


def config(storage: StorageConfig) -> AppConfig:
    return AppConfig(
        security=SecurityConfig(secret_key=SECRET, token_expiry=3600, min_password_length=8),
        cors=CORSConfig(
            allow_origins=["https://yourdomain.com"],
            allow_methods=["GET", "PUT", "POST", "DELETE"],
            allow_headers=["*"],
            allow_credentials=True,
        ),
        storage=storage,
        rate_limit_read="200/minute",
        rate_limit_write="50/minute",
    )


def use(base: str) -> None:
    """What a service of another config system does."""
    auth_manager = AuthManager(secret_key=SECRET)
    read_key = auth_manager.create_api_key(roles=["read"])
    write_key = auth_manager.create_api_key(roles=["write"])
    admin_key = auth_manager.create_api_key(roles=["read", "write", "admin"])
    with httpx.Client(base_url=base, timeout=30) as http:
        read, write, admin = ({"X-API-Key": key} for key in (read_key, write_key, admin_key))
        schema = {"schema": json.dumps(SCHEMA)}
        assert http.put("/myapp/database", headers=write, json=DATABASE, params=schema).status_code == 201
        assert http.get("/myapp/database", headers=read, params={"environment": "prod"}).json() == DATABASE
        assert http.get("/health").json() == {"status": "healthy"}
        assert http.put("/myapp/api", headers=admin, json=SERVICE).status_code == 201
        prod, dev = (
            http.get("/myapp/api", headers=read, params={"environment": name}).json()["api"] for name in ("prod", "dev")
        )
        assert prod == {"url": "https://prod.api.example.com", "timeout": "30"}
        assert dev == {"url": "https://dev.api.example.com", "timeout": "5"}
        assert http.get("/myapp/api", headers=admin).json()["api"] == prod
        bad = http.put("/myapp/database", headers=write, json={"database": {"port": 70000}})
        assert bad.status_code == 422 and bad.json()["errors"][0]["path"] == "/database/port"
        assert http.put("/myapp/api", headers=read, json={}).status_code == 403
        assert http.get("/myapp/api", headers=write).status_code == 403
        assert http.get("/myapp/api").status_code == 401
        forged = AuthManager(secret_key="another").create_api_key(roles=["admin"])
        assert http.get("/myapp/api", headers={"X-API-Key": forged}).status_code == 401
        preflight = {"Origin": "https://yourdomain.com", "Access-Control-Request-Method": "GET"}
        allowed = http.options("/myapp/api", headers=preflight).headers
        assert allowed["access-control-allow-origin"] == "https://yourdomain.com"


def test_it_is_served_alone(tmp_path: Path) -> None:
    with under_uvicorn(ConfigurationAPI(config(StorageConfig(url=f"embedded:{tmp_path / 'store'}"))).app) as url:
        use(url)


def test_it_is_mounted_and_found_again(tmp_path: Path) -> None:
    settings = config(StorageConfig(url=f"embedded:{tmp_path / 'store'}"))
    app = FastAPI()
    app.mount("/config", ConfigurationAPI(settings).app)
    with under_uvicorn(app) as url:
        use(f"{url}/config")
    key = {"X-API-Key": AuthManager(SECRET).create_api_key(["read"])}
    with under_uvicorn(ConfigurationAPI(settings).app) as url:
        assert httpx.get(f"{url}/myapp/database", headers=key).json() == DATABASE


def test_it_works_on_etcd(etcd: int) -> None:
    with under_uvicorn(ConfigurationAPI(config(StorageConfig(host="127.0.0.1", port=etcd))).app) as url:
        use(url)


def test_roles_are_those_that_there_are() -> None:
    with pytest.raises(InvalidRequest, match="'owner'"):
        AuthManager(SECRET).create_api_key(["read", "owner"])
    with pytest.raises(InvalidRequest):
        AuthManager(SECRET).create_api_key([])
    assert AuthManager(SECRET).roles(AuthManager(SECRET).create_api_key(["write", "read"])) == ["read", "write"]
    with pytest.raises(Unauthenticated):
        AuthManager(SECRET).roles("x.y.z")


def test_secrets_of_the_settings_do_not_show() -> None:
    shown = repr(config(StorageConfig(username="u", password="etcd-pass"))) + repr(AuthManager(SECRET))
    assert SECRET not in shown and "etcd-pass" not in shown
