# Which models the caller may use, and how.
#
# Input: {"user": {"id", "tenant", "roles"}, "model": "small", "max_output_tokens"?: 1000}
# Data:  data.rag.catalog.models lists the models, the roles that may use each, and its limits.
# Ask for `rag/models/decision`, or for `rag/models/allowed`: the models that the caller may use.
package rag.models

import data.rag.authz

default allow := false

allow if {
	permitted(input.model)
	not too_long
}

decision := {"allow": allow, "reasons": reasons}

allowed contains model if {
	some model, _ in data.rag.catalog.models
	permitted(model)
}

permitted(model) if {
	some role in authz.roles
	data.rag.catalog.models[model].roles[role]
}

permitted(model) if {
	input.user.id
	data.rag.catalog.models[model].roles["*"]
}

too_long if input.max_output_tokens > data.rag.catalog.models[input.model].max_output_tokens

reasons contains "the request names no model" if not input.model

reasons contains sprintf("the model `%v` is not on the list", [input.model]) if {
	not data.rag.catalog.models[input.model]
}

reasons contains sprintf("no role permits the model `%v`", [input.model]) if {
	data.rag.catalog.models[input.model]
	not permitted(input.model)
}

reasons contains sprintf("the model `%v` answers with at most %v tokens", [input.model, most]) if {
	too_long
	most := data.rag.catalog.models[input.model].max_output_tokens
}
