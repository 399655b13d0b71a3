package rag.budgets_test

import data.rag.budgets

limits := {
	"default": {"requests_per_minute": 10, "tokens_per_day": 1000},
	"tenants": {"acme": {"tokens_per_day": 5000}},
	"users": {"ada": {"requests_per_minute": 100}},
}

asks(user, requests, tokens) := {
	"user": {"id": user, "tenant": "acme"},
	"usage": {"requests_per_minute": requests, "tokens_per_day": tokens},
	"cost": {"requests_per_minute": 1, "tokens_per_day": 500},
}

test_a_request_within_the_limits_is_allowed if {
	found := budgets.decision with input as asks("bob", 9, 4500) with data.rag.limits as limits
	found == {
		"allow": true,
		"reasons": set(),
		"remaining": {"requests_per_minute": 1, "tokens_per_day": 500},
	}
}

test_a_request_over_a_limit_is_denied_with_the_limit if {
	found := budgets.decision with input as asks("bob", 10, 0) with data.rag.limits as limits
	found.allow == false
	found.reasons == {"`requests_per_minute` would be 11, and at most 10 are allowed"}
	found.remaining == {"requests_per_minute": 0, "tokens_per_day": 5000}
}

test_every_exceeded_limit_is_named if {
	found := budgets.reasons with input as asks("bob", 10, 4501) with data.rag.limits as limits
	count(found) == 2
}

test_the_users_own_limit_counts if {
	budgets.allow with input as asks("ada", 99, 0) with data.rag.limits as limits
}

test_without_usage_the_request_is_denied if {
	found := budgets.decision with input as {"user": {"id": "bob"}} with data.rag.limits as limits
	found.allow == false
	found.reasons == {
		"the usage of `requests_per_minute` is missing, or not a number",
		"the usage of `tokens_per_day` is missing, or not a number",
	}
}

test_usage_that_is_no_number_is_denied if {
	asked := {"usage": {"requests_per_minute": "0", "tokens_per_day": null}}
	found := budgets.decision with input as asked with data.rag.limits as limits
	found.allow == false
	count(found.reasons) == 2
}

test_without_limits_the_request_is_denied if {
	not budgets.allow with input as asks("bob", 0, 0) with data.rag.limits as {}
}

test_a_cost_that_is_no_count_is_denied if {
	every cost in ["1", -1, null] {
		asked := object.union(asks("bob", 0, 0), {"cost": {"tokens_per_day": cost}})
		found := budgets.decision with input as asked with data.rag.limits as limits
		found.allow == false
		"the cost in `tokens_per_day` is not a number" in found.reasons
	}
}

test_a_limit_that_is_no_number_is_denied if {
	found := budgets.decision with input as asks("bob", 0, 0)
		with data.rag.limits as {"default": {"requests_per_minute": "10"}}
	found.allow == false
	"the limit of `requests_per_minute` is not a number" in found.reasons
}
