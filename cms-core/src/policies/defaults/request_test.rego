package rag.request_test

import data.rag.request

rag := {
	"access": {
		"roles": {"reader": {"query": {"handbook": true}}},
		"clearances": {"reader": "internal"},
	},
	"catalog": {
		"collections": {"handbook": {"tenants": {"*": true}}},
		"classifications": {"public": 0, "internal": 1, "confidential": 2},
		"models": {"small": {"roles": {"reader": true}, "max_output_tokens": 1000}},
	},
	"limits": {"default": {"tokens_per_day": 1000}},
}

asks(more) := object.union(
	{
		"user": {"id": "ada", "tenant": "acme", "roles": ["reader"]},
		"action": "query",
		"collection": "handbook",
	},
	more,
)

decide(asked) := found if {
	found := request.decision with input as asked
		with data.rag.access as rag.access
		with data.rag.catalog as rag.catalog
		with data.rag.limits as rag.limits
}

test_what_all_allow_is_allowed if {
	found := decide(asks({"model": "small", "usage": {"tokens_per_day": 1}}))
	found.allow
	found.filter.all[0]["in"] == ["acme", "shared"]
}

test_what_is_not_asked_does_not_deny if decide(asks({})).allow

test_a_model_that_is_denied_denies if {
	found := decide(asks({"model": "huge"}))
	found.allow == false
	"the model `huge` is not on the list" in found.reasons
}

test_a_budget_that_is_used_up_denies if {
	found := decide(asks({"usage": {"tokens_per_day": 1001}}))
	found.allow == false
	"`tokens_per_day` would be 1001, and at most 1000 are allowed" in found.reasons
}

test_a_collection_that_is_denied_denies if not decide(asks({"collection": "contracts"})).allow

test_an_empty_request_is_denied if not decide({}).allow
