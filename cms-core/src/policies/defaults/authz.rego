# Who may do what with which collection.
#
# Input: {"user": {"id", "tenant", "roles"}, "action": "query", "collection": "handbook"}
# Data:  data.rag.access says what a role may do, data.rag.catalog whose a collection is.
# Ask for `rag/authz/decision`, or for `rag/authz/allow` alone.
package rag.authz

default allow := false

allow if {
	served
	count(granting) > 0
}

decision := {"allow": allow, "reasons": reasons}

# The roles that the caller brings along, and those that the data gives to the user.
roles contains role if some role in input.user.roles

roles contains role if some role, true in data.rag.access.users[input.user.id]

# Those of the caller's roles that permit the action.
granting contains role if {
	some role in roles
	data.rag.access.roles[role][input.action][input.collection]
}

granting contains role if {
	some role in roles
	data.rag.access.roles[role][input.action]["*"]
}

# Whether the collection is there for the user's tenant.
served if data.rag.catalog.collections[input.collection].tenants[input.user.tenant]

served if data.rag.catalog.collections[input.collection].tenants["*"]

reasons contains "the request names no user" if not input.user.id

reasons contains "the request names no collection" if not input.collection

reasons contains sprintf("the collection `%v` does not exist", [input.collection]) if {
	not data.rag.catalog.collections[input.collection]
}

reasons contains sprintf("the collection `%v` is not open to the tenant", [input.collection]) if {
	data.rag.catalog.collections[input.collection]
	not served
}

reasons contains sprintf("no role permits `%v` on `%v`", [input.action, input.collection]) if {
	count(granting) == 0
}

reasons contains sprintf("the role `%v` permits it", [role]) if {
	allow
	some role in granting
}
