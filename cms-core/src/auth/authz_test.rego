# SPDX-License-Identifier: Apache-2.0 OR MIT

# Every role and every scope against every action.
package cms.authz_test

import data.cms.authz

actions := {
	"audit:read",
	"audit:verify",
	"bundle:read",
	"config:read",
	"config:write",
	"data:read",
	"data:write",
	"decide",
	"decision:read",
	"environment:activate",
	"environment:read",
	"environment:write",
	"event:read",
	"key:read",
	"key:write",
	"member:read",
	"member:write",
	"policy:read",
	"policy:test",
	"policy:write",
	"project:create",
	"project:delete",
	"project:read",
	"project:write",
	"release:create",
	"release:read",
	"request:apply",
	"request:approve",
	"request:create",
	"request:emergency",
	"request:read",
	"secret:delete",
	"secret:destroy",
	"secret:list",
	"secret:read",
	"secret:reveal",
	"secret:write",
	"self:read",
	"self:write",
	"system:read",
	"system:write",
	"user:read",
	"user:write",
	"webhook:read",
	"webhook:write",
}

own := {"self:read", "self:write"}

managing := actions - {
	"audit:verify",
	"request:emergency",
	"project:create",
	"project:delete",
	"system:read",
	"system:write",
	"user:read",
	"user:write",
}

reading := {
	"bundle:read",
	"config:read",
	"data:read",
	"decide",
	"environment:read",
	"event:read",
	"member:read",
	"policy:read",
	"policy:test",
	"project:read",
	"release:read",
	"request:approve",
	"request:create",
	"request:read",
	"secret:list",
	"secret:read",
}

auditing := {
	"audit:read",
	"decision:read",
	"environment:read",
	"event:read",
	"key:read",
	"member:read",
	"project:read",
	"release:read",
	"request:read",
	"secret:list",
}

decide(principal, action, target) := answer if {
	answer := authz.decision with input as {
		"principal": principal,
		"action": action,
		"target": target,
		"project_exists": true,
	}
}

allowed(principal, target) := {action |
	some action in actions
	decide(principal, action, target).allow
}

visible(principal, target) := {action |
	some action in actions
	decide(principal, action, target).visible
}

user(roles) := {"kind": "user", "id": "eve", "roles": roles}

member(role) := {"kind": "user", "id": "eve", "roles": [], "project_role": role}

key(scopes) := {"kind": "key", "id": "k", "project": "rag", "scopes": scopes}

bound_key(scopes) := object.union(key(scopes), {"environment": "prod"})

rag := {"project": "rag", "kind": "policy", "name": "llm/limits"}

within(environment) := object.union(rag, {"environment": environment})

elsewhere := {"project": "other", "kind": "policy", "name": "llm/limits"}

platform(name) := {"project": "platform", "kind": "policy", "name": name}

test_root_may_do_everything if {
	allowed({"kind": "root", "id": "root"}, rag) == actions
	allowed({"kind": "root", "id": "root"}, platform("cms/authz")) == actions
}

test_cms_admin_may_do_everything if {
	allowed(user(["cms-admin"]), rag) == actions
	allowed(user(["cms-admin"]), platform("cms/authz")) == actions
}

test_platform_admin_manages_every_project if {
	allowed(user(["platform-admin"]), rag) == actions - {"system:write", "user:write"}
}

test_platform_admin_may_not_touch_the_rules_of_cms if {
	every name in ["cms", "cms/authz"] {
		refused := {
			"policy:write", "data:write", "environment:activate", "release:create",
			"request:approve", "request:apply", "request:emergency",
		}
		refused & allowed(user(["platform-admin"]), platform(name)) == set()
	}
	allowed(user(["platform-admin"]), platform("shared/models"))["policy:write"]
	promotion := {"project": "platform", "kind": "environment", "name": "default"}
	not allowed(user(["platform-admin"]), promotion)["request:approve"]
	not allowed(user(["platform-admin"]), platform("shared/models"))["environment:activate"]
	not allowed(member("project-admin"), platform("cms/authz"))["policy:write"]
}

test_auditor_sees_the_audit_trail_and_metadata if {
	allowed(user(["auditor"]), rag) == (auditing | own) | {"audit:verify", "system:read", "user:read"}
}

test_project_admin_manages_the_project if {
	allowed(member("project-admin"), rag) == managing | own
}

test_project_user_reads if {
	allowed(member("project-user"), rag) == reading | own
}

test_project_auditor_sees_its_trail_and_metadata if {
	allowed(member("auditor"), rag) == auditing | own
}

test_a_stranger_may_do_nothing_and_sees_nothing if {
	allowed(user([]), rag) == own
	visible(user([]), rag) == own | {"project:create"}
}

test_a_role_that_does_not_exist_allows_nothing if {
	allowed(user(["project-admin", "root", ""]), rag) == own
	allowed(member("cms-admin"), rag) == own
	allowed(member("platform-admin"), rag) == own
}

test_an_unknown_kind_of_caller_may_do_nothing if {
	allowed({"kind": "anonymous"}, rag) == set()
	allowed({}, rag) == set()
	allowed({"kind": "group", "roles": []}, rag) == set()
}

test_an_unknown_action_is_the_cms_admins_alone if {
	not decide(user(["platform-admin"]), "x", rag).allow
	not decide(member("project-admin"), "x", rag).allow
	not decide(key([{"name": "decide"}]), "x", rag).allow
}

scope_table := {
	"decide": {"decide"},
	"policy:read": {"policy:read", "policy:test", "data:read", "release:read", "environment:read", "event:read", "request:read"},
	"policy:write": {"policy:write", "policy:test", "data:write", "release:create", "request:create", "request:read"},
	"config:read": {"config:read", "environment:read", "event:read", "request:read"},
	"config:write": {"config:write", "request:read"},
	"secret:read": {"secret:list", "secret:read", "secret:reveal"},
	"secret:write": {"secret:write", "secret:delete"},
	"bundle:read": {"bundle:read", "environment:read"},
	"audit:read": {"audit:read", "decision:read"},
}

test_each_scope_allows_what_it_says if {
	every scope, expected in scope_table {
		allowed(key([{"name": scope}]), rag) == expected | {"self:read"}
	}
}

test_a_scope_asks_for_nothing_that_it_may_not_write if {
	config := {"project": "rag", "kind": "config", "name": "llm/limits"}
	allowed(key([{"name": "config:write"}]), config)["request:create"]
	not allowed(key([{"name": "policy:write"}]), config)["request:create"]
	not allowed(key([{"name": "config:write"}]), rag)["request:create"]
	not allowed(key([{"name": "policy:read"}]), rag)["request:create"]
}

test_nobody_but_people_above_the_project_goes_over_the_heads_of_approvers if {
	not allowed(member("project-admin"), rag)["request:emergency"]
	every scope, _ in scope_table {
		not allowed(key([{"name": scope}]), rag)["request:approve"]
	}
}

test_scopes_add_up if {
	allowed(key([{"name": "decide"}, {"name": "audit:read"}]), rag) == {"self:read", "decide", "audit:read", "decision:read"}
	allowed(key([]), rag) == {"self:read"}
	allowed(key([{"name": "cms-admin"}, {"name": ""}]), rag) == {"self:read"}
}

test_a_key_reaches_no_other_project if {
	every scope, _ in scope_table {
		allowed(key([{"name": scope}]), elsewhere) == {"self:read"}
		visible(key([{"name": scope}]), elsewhere) == {"self:read", "project:create"}
	}
}

test_a_key_of_platform_may_not_touch_the_rules_of_cms if {
	platform_key := {"kind": "key", "id": "k", "project": "platform", "scopes": [{"name": "policy:write"}]}
	not allowed(platform_key, platform("cms/authz"))["policy:write"]
	allowed(platform_key, platform("shared/x"))["policy:write"]
}

test_a_bound_key_reaches_no_other_environment if {
	scopes := [{"name": "decide"}]
	allowed(bound_key(scopes), within("prod"))["decide"]
	allowed(bound_key(scopes), rag)["decide"]
	not allowed(bound_key(scopes), within("dev"))["decide"]
	decide(bound_key(scopes), "decide", within("dev")).reason == "the key is bound to another environment"
}

test_a_scope_narrowed_to_an_environment_holds_there_alone if {
	scopes := [{"name": "decide", "environment": "prod"}]
	allowed(key(scopes), within("prod"))["decide"]
	not allowed(key(scopes), within("dev"))["decide"]
	not allowed(key(scopes), rag)["decide"]
}

test_a_scope_narrowed_to_a_prefix_ends_at_a_segment if {
	scopes := [{"name": "policy:read", "prefix": "llm"}]
	allowed(key(scopes), rag)["policy:read"]
	allowed(key(scopes), object.union(rag, {"name": "llm"}))["policy:read"]
	not allowed(key(scopes), object.union(rag, {"name": "llm2"}))["policy:read"]
	not allowed(key(scopes), object.union(rag, {"name": "ll"}))["policy:read"]
	not allowed(key(scopes), object.union(rag, {"name": "x/llm"}))["policy:read"]
	not allowed(key(scopes), {"project": "rag", "kind": "policy"})["policy:read"]
}

test_nobody_learns_of_a_project_that_does_not_exist if {
	answer := authz.decision with input as {
		"principal": user(["platform-admin"]),
		"action": "user:write",
		"target": rag,
		"project_exists": false,
	}
	not answer.visible
}

test_a_denial_gives_its_reason if {
	decide(user([]), "policy:read", rag).reason == "the caller has no role in this project"
	decide(member("project-user"), "policy:write", rag).reason == "no role of the caller allows it"
	decide(user(["platform-admin"]), "policy:write", platform("cms/authz")).reason == "this belongs to cms-admin alone"
	decide(key([]), "decide", rag).reason == "no scope of the key allows it"
	decide(key([{"name": "decide"}]), "decide", elsewhere).reason == "the key belongs to another project"
	decide(key([{"name": "decide", "prefix": "x"}]), "decide", rag).reason == "no scope of the key allows it here"
}
