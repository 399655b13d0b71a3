# Which documents of a collection the caller may see, as a filter for the retriever.
#
# Input: {"user": {"id", "tenant", "roles"}, "document"?: {...}, "documents"?: [{...}, ...]}
# Data:  data.rag.access.clearances gives a role its classification, data.rag.catalog.classifications
#        gives each classification its level.
# Ask for `rag/filters/filter` before retrieval: a document is visible if its field `tenant` is one
# of the first list and its field `classification` one of the second. A caller who may see nothing
# gets empty lists, which no document matches. Ask for `rag/filters/visible` with a `document`, or
# for `rag/filters/visible_ids` with `documents`, to check what was retrieved.
package rag.filters

import data.rag.authz

filter := {"all": [
	{"field": "tenant", "in": tenants},
	{"field": "classification", "in": classifications},
]}

default visible := false

visible if shows(input.document)

visible_ids contains document.id if {
	some document in input.documents
	shows(document)
}

default tenants := []

tenants := [input.user.tenant, "shared"] if is_string(input.user.tenant)

# The highest level that a role of the caller clears.
default clearance := -1

clearance := max(levels) if count(levels) > 0

levels contains data.rag.catalog.classifications[data.rag.access.clearances[role]] if some role in authz.roles

classifications contains name if {
	some name, level in data.rag.catalog.classifications
	level <= clearance
}

shows(document) if {
	document.tenant in tenants
	data.rag.catalog.classifications[document.classification] <= clearance
}
