package bench.abac

default allow := false

allow if {
	input.subject.tenant == input.document.tenant
	data.levels[input.subject.clearance] >= data.levels[input.document.class]
	input.action in data.actions[input.document.kind]
	not input.document.held
	some group in input.subject.groups
	group in input.document.groups
}
