// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asks the authorization policy: builds its input, evaluates it, reads its answer, and remembers it.
//! Which policy it is, and what follows from the answer, is in `authorize`.

use std::sync::Arc;

use quick_cache::Equivalent;
use quick_cache::sync::Cache;

use super::{Action, KeyScope, PrincipalKind, Role, Target};
use crate::error::{Error, Result};
use crate::policies::engine::{
    Data, Evaluation, Input, Limits, Module, Options, Program, QueryPath, Snapshot, Value,
};

/// The name and the text of the policy that ships with the binary.
const BUILT_IN: (&str, &str) = ("cms/authz", include_str!("authz.rego"));
/// What the policy is asked for.
const DECISION: [&str; 3] = ["cms", "authz", "decision"];
/// What a released policy without that is asked for: yes or no alone.
const ALLOW: [&str; 3] = ["cms", "authz", "allow"];

/// How many answers are remembered.
const REMEMBERED: usize = 16_384;
/// Longer names are asked about each time, so that they do not fill the memory.
const MAX_REMEMBERED_NAME: usize = 256;

/// A policy that decides. The same question has the same answer for as long as the policy stands, so
/// it is evaluated once; the answers go with the policy.
#[derive(Debug)]
pub(super) struct Rules {
    snapshot: Arc<Snapshot>,
    path: QueryPath,
    is_plain: bool,
    /// None if the policy asks for the time or for chance.
    remembered: Option<Cache<Asked, Verdict>>,
}

/// Everything that the policy's input is made of, and nothing else.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) struct Question<'a> {
    pub(super) caller: &'a PrincipalKind,
    pub(super) action: Action,
    pub(super) target: &'a Target,
    pub(super) facts: Facts,
}

/// A question that was asked. Hashes like [`Question`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Asked {
    caller: PrincipalKind,
    action: Action,
    target: Target,
    facts: Facts,
}

impl Question<'_> {
    fn to_owned(self) -> Asked {
        let Self { caller, action, target, facts } = self;
        Asked { caller: caller.clone(), action, target: target.clone(), facts }
    }
}

impl Equivalent<Asked> for Question<'_> {
    fn equivalent(&self, asked: &Asked) -> bool {
        self.action == asked.action
            && self.facts == asked.facts
            && *self.target == asked.target
            && *self.caller == asked.caller
    }
}

impl Rules {
    /// The policy that ships with the binary.
    pub(super) fn built_in() -> Result<Self> {
        let module = Module::new(BUILT_IN.0, BUILT_IN.1);
        let options = Options::platform(Limits::default());
        let faults = |faults: Vec<_>| Error::internal(format!("the built-in authorization: {faults:?}"));
        let program = Program::compile(&[module], &options).map_err(faults)?;
        let data =
            Data::from_documents(std::iter::empty::<(&str, &str)>(), &options.limits).map_err(faults)?;
        let snapshot = Snapshot::new(Arc::new(program), &data).map_err(faults)?;
        let path = QueryPath::from_segments(DECISION).map_err(Error::internal)?;
        Ok(Self::new(Arc::new(snapshot), path, false))
    }

    fn new(snapshot: Arc<Snapshot>, path: QueryPath, is_plain: bool) -> Self {
        let remembered = snapshot.program().is_repeatable().then(|| Cache::new(REMEMBERED));
        Self { snapshot, path, is_plain, remembered }
    }

    /// The policy of a release, asked in the same place; if it has no `decision`, for `allow`.
    pub(super) fn released(&self, snapshot: Arc<Snapshot>) -> Self {
        let allow = QueryPath::from_segments(ALLOW).ok();
        let program = snapshot.program();
        let plain = allow.filter(|allow| program.defines(allow) && !program.defines(&self.path));
        let is_plain = plain.is_some();
        Self::new(snapshot, plain.unwrap_or_else(|| self.path.clone()), is_plain)
    }

    /// Whether the policy says yes or no and nothing else.
    pub(super) fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Asks. Every error is a refusal.
    pub(super) fn decide(&self, question: Question<'_>) -> Verdict {
        let fits = question.target.name.as_ref().is_none_or(|name| name.len() <= MAX_REMEMBERED_NAME);
        let Some(remembered) = self.remembered.as_ref().filter(|_| fits) else {
            return self.evaluate(question.input());
        };
        if let Some(verdict) = remembered.get(&question) {
            return verdict;
        }
        let verdict = self.evaluate(question.input());
        remembered.insert(question.to_owned(), verdict.clone());
        verdict
    }

    fn evaluate(&self, input: Value) -> Verdict {
        match self.snapshot.evaluate(&self.path, &Input::from(input)) {
            Ok(Evaluation::Defined(answer)) if self.is_plain => Verdict::read_plain(&answer),
            Ok(Evaluation::Defined(answer)) => Verdict::read(&answer),
            Ok(Evaluation::Undefined) => Verdict::refusal("the authorization policy gave no decision"),
            Err(error) => {
                tracing::warn!(%error, "the authorization policy failed");
                Verdict::refusal("the authorization policy failed")
            }
        }
    }
}

/// What the policy answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Whether the caller may do it.
    pub(super) allow: bool,
    /// Whether the caller may know that the project exists.
    pub(super) visible: bool,
    /// Why not.
    pub(super) reason: Arc<str>,
}

impl Verdict {
    /// The verdict when there is no answer that can be trusted.
    pub(super) fn refusal(reason: &str) -> Self {
        Self { allow: false, visible: false, reason: Arc::from(reason) }
    }

    /// Reads yes or no alone. Nothing but a boolean `true` allows.
    pub(super) fn read_plain(answer: &Value) -> Self {
        let allow = matches!(answer, Value::Bool(true));
        let reason = Arc::from("the platform's authorization policy does not allow it");
        Self { allow, visible: allow, reason }
    }

    /// Reads `{"allow", "visible", "reason"}`. Nothing but a boolean `true` allows.
    pub(super) fn read(answer: &Value) -> Self {
        let Ok(fields) = answer.as_object() else {
            return Self::refusal("the authorization policy gave no decision");
        };
        let field = |name: &str| fields.get(&Value::from(name));
        let Some(Value::Bool(allow)) = field("allow") else {
            return Self::refusal("the authorization policy answered neither yes nor no");
        };
        let reason = match field("reason") {
            Some(Value::String(reason)) => Arc::from(reason.chars().take(200).collect::<String>()),
            _ => Arc::from("the authorization policy gave no reason"),
        };
        Self { allow: *allow, visible: matches!(field("visible"), Some(Value::Bool(true))), reason }
    }
}

/// What is known about a question besides the caller, the action and the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Facts {
    /// Whether the target's project exists.
    pub(super) project_exists: bool,
    /// A user's role within the target's project.
    pub(super) project_role: Option<Role>,
}

impl Question<'_> {
    /// The policy's input.
    fn input(self) -> Value {
        object([
            ("principal", principal_value(self.caller, self.facts.project_role)),
            ("action", Value::from(self.action.as_str())),
            ("target", target_value(self.target)),
            ("project_exists", Value::from(self.facts.project_exists)),
        ])
    }
}

fn principal_value(kind: &PrincipalKind, project_role: Option<Role>) -> Value {
    match kind {
        PrincipalKind::User { user, role, .. } => {
            let roles: Vec<Value> = role.iter().map(|role| Value::from(role.as_str())).collect();
            let mut fields = vec![
                ("kind", Value::from("user")),
                ("id", Value::from(user.as_str())),
                ("roles", Value::from(roles)),
            ];
            fields.extend(project_role.map(|role| ("project_role", Value::from(role.as_str()))));
            object(fields)
        }
        PrincipalKind::Key { id, project, environment, scopes } => {
            let scopes: Vec<Value> = scopes.iter().map(scope_value).collect();
            let mut fields = vec![
                ("kind", Value::from("key")),
                ("id", Value::from(&**id)),
                ("project", Value::from(project.as_str())),
                ("scopes", Value::from(scopes)),
            ];
            fields.extend(environment.as_ref().map(|name| ("environment", Value::from(name.as_str()))));
            object(fields)
        }
        PrincipalKind::Root => object([("kind", Value::from("root")), ("id", Value::from("root"))]),
        PrincipalKind::System => object([("kind", Value::from("system")), ("id", Value::from("system"))]),
        PrincipalKind::Anonymous => object([("kind", Value::from("anonymous"))]),
    }
}

fn scope_value(scope: &KeyScope) -> Value {
    let mut fields = vec![("name", Value::from(scope.name.as_str()))];
    fields.extend(scope.environment.as_ref().map(|name| ("environment", Value::from(name.as_str()))));
    fields.extend(scope.prefix.as_ref().map(|prefix| ("prefix", Value::from(&**prefix))));
    object(fields)
}

fn target_value(target: &Target) -> Value {
    let mut fields =
        vec![("project", Value::from(target.project.as_str())), ("kind", Value::from(target.kind))];
    fields.extend(target.environment.as_ref().map(|name| ("environment", Value::from(name.as_str()))));
    fields.extend(target.name.as_ref().map(|name| ("name", Value::from(name.as_str()))));
    object(fields)
}

fn object(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    fields
        .into_iter()
        .map(|(name, value)| (Value::from(name), value))
        .collect::<std::collections::BTreeMap<_, _>>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::ScopeName;
    use crate::ids::{ProjectId, UserId};
    use crate::policies::engine::run_tests;

    fn built_in() -> Module {
        Module::new(BUILT_IN.0, BUILT_IN.1)
    }

    fn with_decision(text: &str) -> Verdict {
        let built_in = Rules::built_in().unwrap();
        let module = Module::new("cms/authz", format!("package cms.authz\n{text}"));
        let options = Options::platform(Limits::default());
        let program = Program::compile(&[module], &options).unwrap();
        let data = Data::from_documents(std::iter::empty::<(&str, &str)>(), &options.limits).unwrap();
        let snapshot = Snapshot::new(Arc::new(program), &data).unwrap();
        built_in.released(Arc::new(snapshot)).evaluate(Value::from(1_u64))
    }

    #[test]
    fn the_rego_tests_of_the_built_in_policy_pass_and_cover_it() {
        let tests = Module::new("cms/authz_test", include_str!("authz_test.rego"));
        // Each test asks some hundred times, and the interpreter is not built for speed here.
        let minute = std::time::Duration::from_secs(60);
        let limits = Limits { test_time: minute, tests_time: 5 * minute, ..Limits::default() };
        let options = Options::platform(limits);
        let data = Data::from_documents(std::iter::empty::<(&str, &str)>(), &options.limits).unwrap();
        let report = run_tests(&[built_in(), tests], &data, &options).unwrap();
        assert!(report.is_success() && report.passed > 10, "{report:#?}");
    }

    #[test]
    fn the_built_in_policy_runs_on_the_register_machine() {
        let program = Program::compile(&[built_in()], &Options::platform(Limits::default())).unwrap();
        assert_eq!(program.interpreted().collect::<Vec<_>>(), Vec::<&str>::new());
    }

    #[test]
    fn a_remembered_answer_is_the_one_that_the_policy_gives() {
        let rules = Rules::built_in().unwrap();
        let (rag, other) = (ProjectId::parse("rag").unwrap(), ProjectId::parse("other").unwrap());
        let scope =
            |name, prefix: Option<&str>| KeyScope { name, environment: None, prefix: prefix.map(Arc::from) };
        let key = |scopes: &[KeyScope]| PrincipalKind::Key {
            id: Arc::from("k"),
            project: rag.clone(),
            environment: None,
            scopes: Arc::from(scopes),
        };
        let user =
            |role| PrincipalKind::User { user: UserId::parse("eve").unwrap(), role, session: Arc::from("s") };
        let callers = [
            PrincipalKind::Root,
            user(None),
            user(Some(Role::Auditor)),
            user(Some(Role::PlatformAdmin)),
            key(&[scope(ScopeName::Decide, None)]),
            key(&[scope(ScopeName::SecretRead, Some("a"))]),
            key(&[scope(ScopeName::SecretRead, Some("b"))]),
        ];
        let targets = [
            Target::new(&rag, "secret").named("a/x"),
            Target::new(&rag, "secret").named("b/x"),
            Target::new(&rag, "policy"),
            Target::new(&other, "secret").named("a/x"),
            Target::platform("user"),
        ];
        let roles = [None, Some(Role::ProjectUser), Some(Role::ProjectAdmin)];
        let mut allowed = 0;
        for _ in 0..2 {
            for caller in &callers {
                for target in &targets {
                    for (action, project_role) in
                        Action::ALL.iter().flat_map(|a| roles.map(|role| (*a, role)))
                    {
                        let facts = Facts { project_exists: true, project_role };
                        let question = Question { caller, action, target, facts };
                        let verdict = rules.decide(question);
                        assert_eq!(verdict, rules.evaluate(question.input()), "{question:?}");
                        allowed += usize::from(verdict.allow);
                    }
                }
            }
        }
        assert!(allowed > 100, "{allowed} were allowed: the comparison proves little");
    }

    #[test]
    fn a_policy_that_asks_for_the_time_is_asked_each_time() {
        let compiled = |text: &str| {
            let module = Module::new("cms/authz", format!("package cms.authz\n{text}"));
            Program::compile(&[module], &Options::platform(Limits::default())).unwrap().is_repeatable()
        };
        assert!(compiled("decision := {\"allow\": true} if input.x == time.clock(1)"));
        assert!(!compiled("decision := {\"allow\": true} if time.now_ns() > 1"));
        assert!(!compiled("decision := {\"allow\": helper}\nhelper if rand.intn(\"x\", 2) == 1"));
        assert!(
            !compiled("decision := {\"allow\": true} if input.x with input.x as true"),
            "not looked into"
        );
    }

    #[test]
    fn nothing_but_a_boolean_true_allows() {
        for text in [
            "decision := true",
            "decision := {\"allow\": \"true\"}",
            "decision := {\"allow\": 1}",
            "decision := {\"allow\": [true]}",
            "decision := {\"allow\": {}}",
            "decision := {\"visible\": true}",
            "decision := {\"allow\": true} if input.x",
            "decision := {\"allow\": true}\ndecision := {\"allow\": true, \"visible\": true}",
            "decision := {\"allow\": true} if to_number(\"x\") == 1",
            "other := 1",
            "allow := \"true\"",
            "allow := {\"allow\": true}",
            "allow := true\ndecision := {\"allow\": false}",
        ] {
            let verdict = with_decision(text);
            assert!(!verdict.allow && !verdict.visible, "{text}: {verdict:?}");
        }
        assert!(with_decision("decision := {\"allow\": true}").allow);
        assert!(with_decision("allow := true").allow, "a policy may say yes or no alone");
    }
}
