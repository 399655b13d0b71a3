package rag.models_test

import data.rag.models

catalog := {"models": {
	"small": {"roles": {"*": true}, "max_output_tokens": 1000},
	"large": {"roles": {"analyst": true}, "max_output_tokens": 4000},
}}

asks(roles, model, tokens) := {
	"user": {"id": "ada", "roles": roles},
	"model": model,
	"max_output_tokens": tokens,
}

test_a_model_for_all_is_allowed if {
	found := models.decision with input as asks([], "small", 1000) with data.rag.catalog as catalog
	found == {"allow": true, "reasons": set()}
}

test_a_model_of_a_role_is_allowed if {
	models.allow with input as asks(["analyst"], "large", 4000) with data.rag.catalog as catalog
}

test_a_model_of_another_role_is_denied if {
	found := models.decision with input as asks(["reader"], "large", 1) with data.rag.catalog as catalog
	found == {"allow": false, "reasons": {"no role permits the model `large`"}}
}

test_a_model_that_is_not_listed_is_denied if {
	found := models.decision with input as asks(["analyst"], "huge", 1) with data.rag.catalog as catalog
	found == {"allow": false, "reasons": {"the model `huge` is not on the list"}}
}

test_too_long_an_answer_is_denied if {
	found := models.decision with input as asks([], "small", 1001) with data.rag.catalog as catalog
	found == {"allow": false, "reasons": {"the model `small` answers with at most 1000 tokens"}}
}

test_a_request_without_a_model_is_denied if {
	found := models.decision with input as {"user": {"id": "ada"}} with data.rag.catalog as catalog
	found == {"allow": false, "reasons": {"the request names no model"}}
}

test_nobody_may_use_nothing if {
	not models.allow with input as {"model": "small"} with data.rag.catalog as catalog
}

test_the_allowed_models_are_listed if {
	found := models.allowed with input as asks(["analyst"], "", 0) with data.rag.catalog as catalog
	found == {"small", "large"}
}
