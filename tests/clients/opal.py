# SPDX-License-Identifier: Apache-2.0 OR MIT
"""OPAL's client, unmodified: what it does to its policy store when policies and data change."""

import os

os.environ["OPAL_INLINE_OPA_ENABLED"] = "false"
os.environ["OPAL_POLICY_STORE_URL"] = os.environ["CMS_OPA_URL"]
os.environ["OPAL_LOG_LEVEL"] = "ERROR"

from pathlib import Path

import opal_client
from opal_client.policy_store.opa_client import OpaClient
from opal_client.policy_store.schemas import PolicyStoreAuth
from opal_common.schemas.policy import DataModule, DeletedFiles, PolicyBundle, RegoModule
from opal_common.schemas.store import JSONPatchAction

from reporting import WRITER, run

RBAC = "package app.rbac\n\nallow if data.app.helpers.is_admin(input.user)\n"
HELPERS = 'package app.helpers\n\nis_admin(user) if "admin" in data.app.roles[user]\n'


def store():
    return OpaClient(opa_auth_token=WRITER, auth_type=PolicyStoreAuth.TOKEN)


def bundle(**changes):
    return PolicyBundle(**{"manifest": [], "hash": "1", "data_modules": [], "policy_modules": [], **changes})


async def allowed(user):
    class Question:
        def dict(self):
            return {"user": user}

    answer = await store().get_data_with_input("app/rbac", Question())
    return "allow" in answer.body.decode()


async def loads_policies():
    """It loads a complete bundle, though one policy needs another that comes later."""
    modules = [
        RegoModule(path="rbac.rego", package_name="app.rbac", rego=RBAC),
        RegoModule(path="utils/helpers.rego", package_name="app.helpers", rego=HELPERS),
    ]
    data = [DataModule(path="app", data='{"roles": {"ada": ["admin"]}}')]
    await store().set_policies(bundle(policy_modules=modules, data_modules=data))
    assert set(await store().get_policies()) >= {"rbac.rego", "utils/helpers.rego"}
    assert await store().get_policy("rbac.rego") == RBAC
    assert await allowed("ada") and not await allowed("bob")


async def updates_data():
    """It sets, patches and removes data, also at the root."""
    it = store()
    await it.set_policy_data({"bob": ["admin"]}, "/app/roles")
    assert await allowed("bob") and not await allowed("ada")
    await it.patch_policy_data([JSONPatchAction(op="add", path="/cyd", value=["admin"])], "/app/roles")
    assert await allowed("cyd")
    await it.delete_policy_data("/app/roles/cyd")
    assert not await allowed("cyd")
    assert await it.get_data("app/roles") == {"bob": ["admin"]}
    await it.set_policy_data({"app": {"roles": {"eve": ["admin"]}}, "extra": [1]})
    assert await allowed("eve") and not await allowed("bob")
    assert await it.get_data("extra") == [1]


async def applies_changes():
    """It applies a bundle of changes: one policy anew, one gone."""
    changed = "package app.rbac\n\nallow if input.user == \"zoe\"\n"
    delta = bundle(
        hash="2",
        old_hash="1",
        policy_modules=[RegoModule(path="rbac.rego", package_name="app.rbac", rego=changed)],
        deleted_files=DeletedFiles(policy_modules=[Path("utils/helpers.rego")]),
    )
    await store().set_policies(delta)
    assert "utils/helpers.rego" not in await store().get_policies()
    assert await allowed("zoe") and not await allowed("eve")


async def reports_its_health():
    """It writes its own health check as a policy, and finds the server reachable."""
    it = store()
    template = Path(opal_client.__file__).parent / "engine/healthcheck/opal.rego"
    await it.init_healthcheck_policy("opa/healthcheck/opal.rego", template.read_text())
    assert await it.get_data("system/opal/healthy") in (True, False)
    await it.delete_policy("opa/healthcheck/opal.rego")


run("OPAL", [loads_policies, updates_data, applies_changes, reports_its_health])
