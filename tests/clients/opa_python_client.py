# SPDX-License-Identifier: Apache-2.0 OR MIT
"""opa-python-client, unmodified, against the listener that serves one environment."""

from opa_client import create_opa_client
from opa_client.errors import DeletePolicyError, PolicyNotFoundError, RegoParseError

from reporting import DECIDER, PLACE, WRITER, run

POLICY = """package python.rbac

default allow := false

allow if {
    some role in data.python.roles[input.user]
    role == "admin"
}
"""


def client(token=WRITER):
    return create_opa_client(host=PLACE.hostname, port=PLACE.port, token=token, timeout=10)


def connects():
    """It connects, and finds the server healthy."""
    it = client()
    assert it.check_connection() is True
    assert it.check_health() and it.check_health({"bundles": True, "plugins": True})
    assert it.get_config()["result"]["default_decision"] == "/system/main"
    assert "clients" in str(it.get_status())


def writes():
    """It writes a policy and data, and the next decision knows both."""
    it = client()
    assert it.update_policy_from_string(POLICY, "python/rbac") is True
    assert it.update_or_create_data({"ada": ["admin"], "bob": ["user"]}, "python/roles") is True
    decider = client(DECIDER)
    assert decider.query_rule({"user": "ada"}, "python.rbac", "allow")["result"] is True
    assert decider.query_rule({"user": "bob"}, "python.rbac", "allow")["result"] is False
    assert decider.get_data("python/roles/ada")["result"] == ["admin"]


def reads_policies():
    """It lists policies, and finds packages and rules in them."""
    it = client(DECIDER)
    assert "python/rbac" in it.get_policies_list()
    info = it.get_policies_info()["python/rbac"]
    assert info["path"].endswith("/data/python/rbac") and info["rules"][0].endswith("/allow"), info
    assert it.get_policy("python/rbac")["result"]["raw"] == POLICY


def patches():
    """It patches and removes data."""
    it = client()
    assert it.patch_data("python/roles", [{"op": "add", "path": "/bob/-", "value": "admin"}]) is True
    assert it.query_rule({"user": "bob"}, "python.rbac", "allow")["result"] is True
    assert it.delete_data("python/roles") is True
    try:
        it.get_data("python/roles")
    except PolicyNotFoundError:
        pass
    else:
        raise AssertionError("removed data is still there")
    assert it.query_rule({"user": "bob"}, "python.rbac", "allow")["result"] is False


def queries():
    """It asks ad-hoc queries, and many inputs in one of them."""
    it = client(DECIDER)
    answer = it.ad_hoc_query("x := data.python.rbac.allow; y := input.a", {"a": 1})
    assert answer["result"] == [{"x": False, "y": 1}], answer
    many = it.bulk_query_rule({"a": {"user": "x"}, "b": {"user": "y"}}, "python.rbac", "allow")
    assert many == {"a": False, "b": False}, many
    explained = it.query_rule({}, "python.rbac", "allow", {"metrics": True, "pretty": True, "provenance": True})
    assert explained["metrics"] and explained["provenance"]["bundles"], explained


def is_refused():
    """It is told where a policy does not parse, and that a removed one is gone."""
    it = client()
    try:
        it.update_policy_from_string("package broken\n\nallow if {\n", "python/broken")
    except RegoParseError as error:
        assert "expecting expression" in str(error), error
    else:
        raise AssertionError("a broken policy was taken")
    assert it.delete_policy("python/rbac") is True
    try:
        it.delete_policy("python/rbac")
    except DeletePolicyError:
        return
    raise AssertionError("a policy was removed twice")


run("opa-python-client", [connects, writes, reads_policies, patches, queries, is_refused])
