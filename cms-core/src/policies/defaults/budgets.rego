# Whether the caller's budget covers the request.
#
# Input: {"user": {"id", "tenant"}, "usage": {"requests_per_minute": 3, "tokens_per_day": 900},
#         "cost"?: {"requests_per_minute": 1, "tokens_per_day": 250}}
#        `usage` is what was used so far, `cost` what the request adds (nothing, if left out).
# Data:  data.rag.limits holds limits for everybody, for tenants and for users; the nearest counts.
# Ask for `rag/budgets/decision`. A limit without its usage in the input denies the request.
package rag.budgets

default allow := false

allow if {
	count(limits) > 0
	count(reasons) == 0
}

decision := {"allow": allow, "reasons": reasons, "remaining": remaining}

limits := object.union(object.union(everybody, tenant), user)

default everybody := {}

everybody := data.rag.limits["default"]

default tenant := {}

tenant := data.rag.limits.tenants[input.user.tenant]

default user := {}

user := data.rag.limits.users[input.user.id]

usage(metric) := object.get(input, ["usage", metric], null)

cost(metric) := object.get(input, ["cost", metric], 0)

# What a number of requests or tokens may be.
countable(value) if {
	is_number(value)
	value >= 0
}

remaining[metric] := left if {
	some metric, limit in limits
	countable(limit)
	countable(usage(metric))
	left := max({0, limit - usage(metric)})
}

reasons contains "there are no limits to hold the request against" if count(limits) == 0

reasons contains sprintf("the limit of `%v` is not a number", [metric]) if {
	some metric, limit in limits
	not countable(limit)
}

reasons contains sprintf("the usage of `%v` is missing, or not a number", [metric]) if {
	some metric, _ in limits
	not countable(usage(metric))
}

reasons contains sprintf("the cost in `%v` is not a number", [metric]) if {
	some metric, _ in limits
	not countable(cost(metric))
}

reasons contains sprintf("`%v` would be %v, and at most %v are allowed", [metric, sum, limit]) if {
	some metric, limit in limits
	countable(usage(metric))
	countable(cost(metric))
	sum := usage(metric) + cost(metric)
	sum > limit
}
