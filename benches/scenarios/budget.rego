package bench.budget

limits := data.plans[input.plan]

violations contains "too many requests" if input.used.requests_per_minute >= limits.requests_per_minute

violations contains "the token budget of the day is used up" if {
	input.used.tokens_today + input.request.tokens > limits.tokens_per_day
}

violations contains "the budget of the month is used up" if input.used.cost_month >= limits.cost_per_month

violations contains "this model is not in the plan" if not input.request.model in limits.models

remaining := {
	"requests": limits.requests_per_minute - input.used.requests_per_minute,
	"tokens": limits.tokens_per_day - input.used.tokens_today,
}

decision := {
	"allow": count(violations) == 0,
	"reasons": violations,
	"remaining": remaining,
}
