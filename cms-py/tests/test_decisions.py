# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Decisions: values in and out, refusals, batches."""

from __future__ import annotations

import enum
import json
import math
from collections import OrderedDict
from types import MappingProxyType
from typing import Any

import pytest
from cms_py import Cms, CmsError, Decision, Denied, InvalidRequest, NotFound, Unauthenticated
from conftest import new_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(-1e9, 1e9) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def test_a_rule_permits_or_does_not(cms: Cms) -> None:
    decision = cms.decide("shop/allow", {"user": "eve"})
    assert decision and decision.allowed and decision.value is True
    assert decision.id and len(decision.release) == 64 and decision.environment == "default"
    assert not cms.decide("shop/allow", {"user": "bob"})
    assert cms.allow("shop/allow", {"user": "eve"}) and not cms.allow("shop/allow")


def test_a_verdict_tells_its_reason(cms: Cms) -> None:
    decision = cms.decide("shop/verdict", {"n": 1})
    assert not decision.allowed and decision.reason == "n must be above 3"
    assert cms.decide("shop/verdict", {"n": 4}).allowed


def test_what_is_undefined_permits_nothing_and_says_what_was_meant(cms: Cms) -> None:
    decision = cms.decide("shop/alow", {"user": "eve"})
    assert decision.undefined and not decision and decision.value is None
    assert decision.hint is not None and "shop/allow" in decision.hint
    assert decision.reason == "the rule is undefined for this input"


def test_a_batch_answers_in_order_from_one_release(cms: Cms) -> None:
    inputs = [{"user": "eve"}, {"user": "bob"}, None, "eve"]
    decisions = cms.decide_batch("shop/allow", inputs)
    assert [decision.allowed for decision in decisions] == [True, False, False, False]
    assert len({decision.release for decision in decisions}) == 1
    assert len({decision.id for decision in decisions}) == 4


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=VALUES)
def test_values_come_back_as_they_went_in(cms: Cms, value: Any) -> None:
    assert cms.decide("shop/echo", value).value == json.loads(json.dumps(value))


def test_whole_numbers_of_64_bits_are_not_rounded(cms: Cms) -> None:
    for number in (2**53 + 1, 2**63, 2**64 - 1, -(2**63)):
        assert cms.decide("shop/echo", number).value == number


def test_models_enums_and_mappings_are_values(cms: Cms) -> None:
    class Role(str, enum.Enum):
        ADMIN = "admin"

    class User(BaseModel):
        name: str
        role: Role

    value = {
        "user": User(name="eve", role=Role.ADMIN),
        "role": Role.ADMIN,
        "ordered": OrderedDict(a=(1, 2)),
        "proxy": MappingProxyType({"b": 1}),
    }
    assert cms.decide("shop/echo", value).value == {
        "user": {"name": "eve", "role": "admin"},
        "role": "admin",
        "ordered": {"a": [1, 2]},
        "proxy": {"b": 1},
    }


def test_what_json_has_not_is_refused_with_its_place(cms: Cms) -> None:
    with pytest.raises(TypeError, match=r'\["a"\]\[1\] is of the type `object`'):
        cms.decide("shop/allow", {"a": [0, object()]})
    with pytest.raises(TypeError, match="key of the type `int`"):
        cms.decide("shop/allow", {1: 2})
    for number in (math.nan, math.inf):
        with pytest.raises(ValueError, match="cannot hold the number"):
            cms.decide("shop/allow", {"n": number})
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="may hold itself"):
        cms.decide("shop/allow", endless)
    for text in ("\ud800", {"\ud800": 1}):
        with pytest.raises(ValueError, match="surrogate"):
            cms.decide("shop/allow", text)


def test_a_key_may_what_its_scopes_say(cms: Cms) -> None:
    decider = cms.acting_as(new_key(cms, "decide"))
    assert decider.allow("shop/allow", {"user": "eve"})
    with pytest.raises(Denied) as refused:
        decider.api("GET", "projects/shop/policies/shop")
    assert refused.value.code == "denied" and refused.value.request_id
    with pytest.raises(Unauthenticated):
        cms.acting_as("nobody").decide("shop/allow")


def test_a_revoked_key_decides_nothing_any_more(cms: Cms) -> None:
    made = cms.api("POST", "projects/shop/keys", {"name": "k", "scopes": ["decide"]})
    decider = cms.acting_as(made["key"])
    assert decider.allow("shop/allow", {"user": "eve"})
    cms.api("DELETE", f"projects/shop/keys/{made['id']}")
    with pytest.raises(Unauthenticated):
        decider.allow("shop/allow", {"user": "eve"})


def test_errors_say_where_and_what_next(cms: Cms) -> None:
    with pytest.raises(InvalidRequest, match="not a valid project"):
        cms.decide("shop/allow", project="No/Good")
    with pytest.raises(NotFound):
        cms.decide("shop/allow", project="nowhere")
    with pytest.raises(CmsError, match="shop:2:"):
        cms.api("PUT", "projects/shop/policies/shop", "package shop\nallow if {")
    bare = cms.acting_as("x")
    bare.project = None
    with pytest.raises(InvalidRequest, match="no project is named"):
        bare.decide("shop/allow")


def test_a_change_of_policy_is_in_force_at_once(cms: Cms) -> None:
    before = cms.decide("shop/allow", {"user": "bob"})
    cms.api("PUT", "projects/shop/policies/shop", "package shop\n\nallow := true\n")
    after = cms.decide("shop/allow", {"user": "bob"})
    assert not before and after and before.release != after.release


def test_decisions_can_be_made_by_hand() -> None:
    assert Decision(True) and not Decision(False) and not Decision()
    made = Decision({"allow": True, "reason": "so"}, id="1", release="r", environment="e")
    assert made and (made.id, made.release, made.environment, made.reason) == ("1", "r", "e", "so")
