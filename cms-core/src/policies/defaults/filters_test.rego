package rag.filters_test

import data.rag.filters

access := {"clearances": {"reader": "internal", "counsel": "restricted", "guest": "unheard-of"}}

catalog := {"classifications": {"public": 0, "internal": 1, "confidential": 2, "restricted": 3}}

user(roles) := {"user": {"id": "ada", "tenant": "acme", "roles": roles}}

test_the_filter_names_tenant_and_classifications if {
	found := filters.filter with input as user(["reader"])
		with data.rag.access as access
		with data.rag.catalog as catalog
	found == {"all": [
		{"field": "tenant", "in": ["acme", "shared"]},
		{"field": "classification", "in": {"public", "internal"}},
	]}
}

test_the_highest_clearance_counts if {
	found := filters.classifications with input as user(["reader", "counsel"])
		with data.rag.access as access
		with data.rag.catalog as catalog
	found == {"public", "internal", "confidential", "restricted"}
}

test_without_a_clearance_nothing_is_visible if {
	found := filters.filter with input as user(["guest", "nobody"])
		with data.rag.access as access
		with data.rag.catalog as catalog
	found.all[1] == {"field": "classification", "in": set()}
}

test_without_a_tenant_nothing_is_visible if {
	found := filters.filter with input as {"user": {"id": "ada", "roles": ["counsel"]}}
		with data.rag.access as access
		with data.rag.catalog as catalog
	found.all[0] == {"field": "tenant", "in": []}
}

test_a_document_of_another_tenant_is_hidden if {
	asked := object.union(user(["counsel"]), {"document": {"tenant": "other", "classification": "public"}})
	not filters.visible with input as asked
		with data.rag.access as access
		with data.rag.catalog as catalog
}

test_a_document_above_the_clearance_is_hidden if {
	asked := object.union(user(["reader"]), {"document": {"tenant": "acme", "classification": "confidential"}})
	not filters.visible with input as asked
		with data.rag.access as access
		with data.rag.catalog as catalog
}

test_a_document_without_a_classification_is_hidden if {
	asked := object.union(user(["counsel"]), {"document": {"tenant": "acme"}})
	not filters.visible with input as asked
		with data.rag.access as access
		with data.rag.catalog as catalog
}

test_retrieved_documents_are_checked_one_by_one if {
	asked := object.union(user(["reader"]), {"documents": [
		{"id": "a", "tenant": "acme", "classification": "internal"},
		{"id": "b", "tenant": "acme", "classification": "restricted"},
		{"id": "c", "tenant": "shared", "classification": "public"},
		{"id": "d", "tenant": "other", "classification": "public"},
	]})
	found := filters.visible_ids with input as asked
		with data.rag.access as access
		with data.rag.catalog as catalog
	found == {"a", "c"}
}
