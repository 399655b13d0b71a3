# SPDX-License-Identifier: Apache-2.0 OR MIT

# Decides what a caller of CMS may do. This is the policy that ships with the binary; the project
# `platform` may release its own under the same package. The root credential always gets this one.
#
# Input:
#   principal       kind     "user", "key", "root" or "system"
#                   id       the user's name, or the key's id
#                   roles    users: the roles that hold everywhere
#                   project_role  users: the role within the target's project, if there is one
#                   project, environment  keys: what the key belongs to and is bound to
#                   scopes   keys: [{"name", "environment", "prefix"}], the last two if narrowed
#   action          such as "policy:write"
#   target          project, kind, and where they are known environment and name
#   project_exists  whether the target's project does
#
# Output: decision = {"allow", "visible", "reason"}. What is not visible to the caller is answered
# as if it did not exist.
package cms.authz

decision := {"allow": true, "visible": true, "reason": "allowed"} if {
	allow
} else := {"allow": false, "visible": visible, "reason": reason}

default allow := false

allow if input.principal.kind == "root"

allow if input.principal.kind == "system"

allow if {
	input.principal.kind == "user"
	everyone[input.action]
}

allow if {
	some role in input.principal.roles
	role == "cms-admin"
}

allow if {
	some role in input.principal.roles
	everywhere[role][input.action]
	not reserved
}

allow if {
	within[input.principal.project_role][input.action]
	not reserved
}

allow if {
	input.principal.kind == "key"
	input.action == "self:read"
}

allow if {
	input.principal.kind == "key"
	input.principal.project == input.target.project
	bound
	some scope in input.principal.scopes
	by_scope[scope.name][input.action]
	narrowed_environment(scope)
	narrowed_prefix(scope)
	drafted(scope)
	not reserved
}

# What every user may do.
everyone := {"self:read": true, "self:write": true}

# What the roles that hold everywhere allow, in every project. The tables are spelt out, since a
# literal costs nothing to evaluate.
everywhere := {
	"platform-admin": {
		"audit:read": true,
		"audit:verify": true,
		"bundle:read": true,
		"config:read": true,
		"config:write": true,
		"data:read": true,
		"data:write": true,
		"decide": true,
		"decision:read": true,
		"environment:activate": true,
		"environment:read": true,
		"environment:write": true,
		"event:read": true,
		"key:read": true,
		"key:write": true,
		"member:read": true,
		"member:write": true,
		"policy:read": true,
		"policy:test": true,
		"policy:write": true,
		"project:create": true,
		"project:delete": true,
		"project:read": true,
		"project:write": true,
		"release:create": true,
		"release:read": true,
		"request:apply": true,
		"request:approve": true,
		"request:create": true,
		"request:emergency": true,
		"request:read": true,
		"secret:delete": true,
		"secret:destroy": true,
		"secret:list": true,
		"secret:read": true,
		"secret:reveal": true,
		"secret:write": true,
		"system:read": true,
		"user:read": true,
		"webhook:read": true,
		"webhook:write": true,
	},
	"auditor": {
		"audit:read": true,
		"audit:verify": true,
		"decision:read": true,
		"environment:read": true,
		"event:read": true,
		"key:read": true,
		"member:read": true,
		"project:read": true,
		"release:read": true,
		"request:read": true,
		"secret:list": true,
		"system:read": true,
		"user:read": true,
	},
}

# What the roles within a project allow. An environment may name a project-user as an approver; if it
# names nobody, those who administer the project approve.
within := {
	"project-admin": {
		"audit:read": true,
		"bundle:read": true,
		"config:read": true,
		"config:write": true,
		"data:read": true,
		"data:write": true,
		"decide": true,
		"decision:read": true,
		"environment:activate": true,
		"environment:read": true,
		"environment:write": true,
		"event:read": true,
		"key:read": true,
		"key:write": true,
		"member:read": true,
		"member:write": true,
		"policy:read": true,
		"policy:test": true,
		"policy:write": true,
		"project:read": true,
		"project:write": true,
		"release:create": true,
		"release:read": true,
		"request:apply": true,
		"request:approve": true,
		"request:create": true,
		"request:read": true,
		"secret:delete": true,
		"secret:destroy": true,
		"secret:list": true,
		"secret:read": true,
		"secret:reveal": true,
		"secret:write": true,
		"webhook:read": true,
		"webhook:write": true,
	},
	"project-user": {
		"bundle:read": true,
		"config:read": true,
		"data:read": true,
		"decide": true,
		"environment:read": true,
		"event:read": true,
		"member:read": true,
		"policy:read": true,
		"policy:test": true,
		"project:read": true,
		"release:read": true,
		"request:approve": true,
		"request:create": true,
		"request:read": true,
		"secret:list": true,
		"secret:read": true,
	},
	"auditor": {
		"audit:read": true,
		"decision:read": true,
		"environment:read": true,
		"event:read": true,
		"key:read": true,
		"member:read": true,
		"project:read": true,
		"release:read": true,
		"request:read": true,
		"secret:list": true,
	},
}

# What the scopes of a key allow.
by_scope := {
	"decide": {"decide": true},
	"policy:read": {
		"data:read": true,
		"environment:read": true,
		"event:read": true,
		"policy:read": true,
		"policy:test": true,
		"release:read": true,
		"request:read": true,
	},
	"policy:write": {
		"data:write": true,
		"policy:test": true,
		"policy:write": true,
		"release:create": true,
		"request:create": true,
		"request:read": true,
	},
	"config:read": {
		"config:read": true,
		"environment:read": true,
		"event:read": true,
		"request:read": true,
	},
	"config:write": {
		"config:write": true,
		"request:create": true,
		"request:read": true,
	},
	"secret:read": {
		"secret:list": true,
		"secret:read": true,
		"secret:reveal": true,
	},
	"secret:write": {
		"secret:delete": true,
		"secret:write": true,
	},
	"bundle:read": {
		"bundle:read": true,
		"environment:read": true,
	},
	"audit:read": {
		"audit:read": true,
		"decision:read": true,
	},
}

# A key that is bound to an environment reaches no other one.
bound if not input.principal.environment

bound if not input.target.environment

bound if input.principal.environment == input.target.environment

# A narrowed scope holds for what is known to lie within, and for nothing else: neither for what
# belongs to no environment, nor for a listing that is wider than the prefix.
narrowed_environment(scope) if not scope.environment

narrowed_environment(scope) if scope.environment == input.target.environment

narrowed_prefix(scope) if not scope.prefix

narrowed_prefix(scope) if input.target.name == scope.prefix

narrowed_prefix(scope) if startswith(input.target.name, concat("", [scope.prefix, "/"]))

# What a scope may not write, it may not ask for either.
drafted(_) if input.action != "request:create"

drafted(scope) if drafts[scope.name][input.target.kind]

drafts := {
	"policy:write": {"policy": true, "data": true},
	"config:write": {"config": true, "schema": true, "template": true, "variable": true},
}

# The policies of CMS itself are the cms-admin's: who may change them may do everything.
reserved if {
	input.target.project == "platform"
	guarded[input.action]
	cms_name
}

reserved if {
	input.target.project == "platform"
	guarded[input.action]
	input.target.kind == "environment"
}

reserved if {
	input.target.project == "platform"
	moves[input.action]
}

guarded := {
	"policy:write": true,
	"data:write": true,
	"request:approve": true,
	"request:apply": true,
	"request:emergency": true,
}

moves := {"environment:activate": true, "environment:write": true, "project:write": true, "project:delete": true, "release:create": true}

cms_name if input.target.name == "cms"

cms_name if startswith(input.target.name, "cms/")

cms_name if not input.target.name

default visible := false

visible if input.target.project == "platform"

visible if input.action == "project:create"

visible if {
	input.project_exists
	related
}

related if {
	some role in input.principal.roles
	knows[role]
}

related if input.principal.project_role

related if input.principal.project == input.target.project

knows := {"cms-admin": true, "platform-admin": true, "auditor": true}

default reason := "no role of the caller allows it"

reason := "this belongs to cms-admin alone" if {
	input.principal.kind == "user"
	reserved
} else := "the caller has no role in this project" if {
	input.principal.kind == "user"
	not related
} else := "the key belongs to another project" if {
	input.principal.kind == "key"
	not related
} else := "the key is bound to another environment" if {
	input.principal.kind == "key"
	not bound
} else := "no scope of the key allows it here" if {
	input.principal.kind == "key"
	scoped
} else := "no scope of the key allows it" if {
	input.principal.kind == "key"
}

# Whether a scope would allow the action if it were not narrowed.
scoped if {
	some scope in input.principal.scopes
	by_scope[scope.name][input.action]
}
