# Everything that one request to a RAG service needs to know, in one answer.
#
# Input: what rag.authz, rag.models and rag.budgets ask for; a part that is left out is not asked.
# Ask for `rag/request/decision`: {"allow", "reasons", "filter"}. Apply the filter to the retrieval.
package rag.request

import data.rag.authz
import data.rag.budgets
import data.rag.filters
import data.rag.models

default allow := false

allow if {
	authz.allow
	model_allowed
	budget_allowed
}

decision := {"allow": allow, "reasons": reasons, "filter": filters.filter}

model_allowed if not "model" in object.keys(input)

model_allowed if models.allow

budget_allowed if not "usage" in object.keys(input)

budget_allowed if budgets.allow

reasons contains reason if some reason in authz.reasons

reasons contains reason if {
	not model_allowed
	some reason in models.reasons
}

reasons contains reason if {
	not budget_allowed
	some reason in budgets.reasons
}
