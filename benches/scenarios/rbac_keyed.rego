package bench.keyed

default allow := false

allow if {
	some role in data.bindings[input.user]
	data.permissions[role][input.action][input.resource]
}
