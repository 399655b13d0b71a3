package bench.filter

visible contains document.id if {
	some document in input.documents
	document.tenant == input.subject.tenant
	data.levels[input.subject.clearance] >= data.levels[document.class]
	some group in input.subject.groups
	group in document.groups
}
