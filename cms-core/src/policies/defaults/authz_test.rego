package rag.authz_test

import data.rag.authz

access := {
	"users": {"ada": {"editor": true, "suspended": false}},
	"roles": {
		"reader": {"query": {"handbook": true}},
		"editor": {"query": {"*": true}, "ingest": {"handbook": true}},
		"suspended": {"ingest": {"*": true}},
	},
}

catalog := {"collections": {
	"handbook": {"tenants": {"*": true}},
	"contracts": {"tenants": {"acme": true}},
}}

reader(action, collection) := {
	"user": {"id": "bob", "tenant": "acme", "roles": ["reader"]},
	"action": action,
	"collection": collection,
}

ada(tenant, action, collection) := {
	"user": {"id": "ada", "tenant": tenant},
	"action": action,
	"collection": collection,
}

test_a_role_of_the_token_permits if {
	authz.allow with input as reader("query", "handbook")
		with data.rag.access as access
		with data.rag.catalog as catalog
}

test_a_role_permits_only_its_actions if {
	not authz.allow with input as reader("ingest", "handbook")
		with data.rag.access as access
		with data.rag.catalog as catalog
}

test_a_role_permits_only_its_collections if {
	not authz.allow with input as reader("query", "contracts")
		with data.rag.access as access
		with data.rag.catalog as catalog
}

test_a_role_of_the_data_permits if {
	authz.allow with input as ada("other", "ingest", "handbook")
		with data.rag.access as access
		with data.rag.catalog as catalog
}

test_a_role_that_is_switched_off_does_not_permit if {
	not authz.allow with input as ada("acme", "ingest", "contracts")
		with data.rag.access as access
		with data.rag.catalog as catalog
}

test_a_star_permits_every_collection_of_the_tenant if {
	authz.allow with input as ada("acme", "query", "contracts")
		with data.rag.access as access
		with data.rag.catalog as catalog
}

test_a_collection_of_another_tenant_is_closed if {
	found := authz.decision with input as ada("other", "query", "contracts")
		with data.rag.access as access
		with data.rag.catalog as catalog
	found == {"allow": false, "reasons": {"the collection `contracts` is not open to the tenant"}}
}

test_an_unknown_collection_is_denied_with_its_name if {
	found := authz.decision with input as ada("acme", "query", "nowhere")
		with data.rag.access as access
		with data.rag.catalog as catalog
	found.allow == false
	"the collection `nowhere` does not exist" in found.reasons
}

test_an_empty_request_is_denied if {
	found := authz.decision with input as {}
	found.allow == false
	found.reasons == {"the request names no user", "the request names no collection"}
}

test_a_grant_names_its_role if {
	found := authz.decision with input as reader("query", "handbook")
		with data.rag.access as access
		with data.rag.catalog as catalog
	found == {"allow": true, "reasons": {"the role `reader` permits it"}}
}
