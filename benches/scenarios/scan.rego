package bench.scan

default allow := false

allow if {
	some binding in data.list
	binding.user == input.user
	binding.role == "admin"
}
