// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Policies, data and inputs to decide about: the questions that a platform team's policies ask.

mod inputs;

use std::fmt::Write as _;
use std::sync::Arc;

use cms_core::policies::engine::{Data, Input, Limits, Module, Options, Program, QueryPath, Snapshot, Value};
use serde_json::{Map, json};

use crate::Result;
use crate::harness::opa_ffi::Opa;

/// One question: a policy, its data, the rule that is asked, and inputs for it as JSON.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What it is called in the output.
    pub name: String,
    /// The Rego text.
    pub policy: String,
    /// Data documents: their names (one segment each) and JSON texts.
    pub data: Vec<(String, String)>,
    /// The rule, as `package/rule`.
    pub path: String,
    /// Inputs, asked in turn.
    pub inputs: Vec<String>,
    /// How many times faster than OPA's engine a decision is meant to be.
    pub target: f64,
}

impl Scenario {
    fn new(name: &str, policy: &str, path: &str, data: &[(&str, serde_json::Value)], target: f64) -> Self {
        let data = data.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
        Self { name: name.into(), policy: policy.into(), data, path: path.into(), inputs: Vec::new(), target }
    }

    fn asking(mut self, inputs: impl IntoIterator<Item = serde_json::Value>) -> Self {
        self.inputs = inputs.into_iter().map(|input| input.to_string()).collect();
        self
    }

    /// Compiles the policy over the data.
    ///
    /// # Errors
    /// When either is refused.
    pub fn snapshot(&self) -> Result<Prepared> {
        let limits = Limits::default();
        let modules = [Module::new("bench", self.policy.as_str())];
        let told = |found: Vec<_>| format!("{}: {found:?}", self.name);
        let program = Program::compile(&modules, &Options::project(limits.clone())).map_err(told)?;
        let texts = self.data.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let data = Data::from_documents(texts, &limits).map_err(told)?;
        let snapshot = Snapshot::new(Arc::new(program), &data).map_err(told)?;
        Ok(Prepared { inputs: self.parsed(&snapshot)?, path: QueryPath::parse(&self.path)?, snapshot, data })
    }

    /// The inputs, parsed; they share nothing with those of another call.
    ///
    /// # Errors
    /// When one is no JSON.
    pub fn parsed(&self, snapshot: &Snapshot) -> Result<Vec<Input>> {
        let parsed = |text: &String| Ok(Input::from_json(text.as_bytes(), snapshot.program())?);
        self.inputs.iter().map(parsed).collect()
    }

    /// Gives policy and data to OPA's engine.
    ///
    /// # Errors
    /// When either is refused.
    pub fn teach(&self, opa: &Opa) -> Result<()> {
        for (name, text) in &self.data {
            opa.add_data(name, text)?;
        }
        opa.add_policy(&format!("{}.rego", self.path), &self.policy)
    }

    /// The rule as OPA's engine wants it.
    pub fn dotted(&self) -> String {
        self.path.replace('/', ".")
    }
}

/// A scenario ready to be asked.
#[derive(Debug)]
pub struct Prepared {
    /// Policy and data.
    pub snapshot: Snapshot,
    /// The data by itself, to derive changed data from.
    pub data: Data,
    /// The rule.
    pub path: QueryPath,
    /// The inputs, parsed.
    pub inputs: Vec<Input>,
}

impl Prepared {
    /// Asks about the input of this number.
    ///
    /// # Errors
    /// When the evaluation fails.
    pub fn ask(&self, number: usize) -> Result<Option<Value>> {
        self.ask_with(&self.inputs, number)
    }

    /// The same with other inputs.
    ///
    /// # Errors
    /// When there is none, or the evaluation fails.
    pub fn ask_with(&self, inputs: &[Input], number: usize) -> Result<Option<Value>> {
        let input = inputs.get(number % inputs.len().max(1)).ok_or("no input")?;
        Ok(self.snapshot.evaluate(&self.path, input)?.value().cloned())
    }

    /// Asks with JSON text, and gives JSON text.
    ///
    /// # Errors
    /// When the text is no JSON, or the evaluation fails.
    pub fn ask_text(&self, text: &str) -> Result<Option<Vec<u8>>> {
        let input = Input::from_json(text.as_bytes(), self.snapshot.program())?;
        Ok(self.snapshot.evaluate(&self.path, &input)?.to_json(1 << 20)?)
    }
}

/// Role bindings of so many users, each role a list of grants.
pub fn rbac(users: usize) -> Scenario {
    let data = [("bindings", bindings(users)), ("grants", grants())];
    Scenario::new(
        &format!("RBAC, {} bindings", thousands(users)),
        include_str!("rbac.rego"),
        "bench/rbac/allow",
        &data,
        10.0,
    )
    .asking(questions(users))
}

/// The same with permissions keyed by role, action and resource.
pub fn rbac_keyed(users: usize) -> Scenario {
    let data = [("bindings", bindings(users)), ("permissions", permissions())];
    let name = format!("RBAC keyed, {} bindings", thousands(users));
    Scenario::new(&name, include_str!("rbac_keyed.rego"), "bench/keyed/allow", &data, 10.0)
        .asking(questions(users))
}

/// Role bindings, and so many unrelated keys beside the policy's package in `data`.
pub fn rbac_siblings(siblings: usize) -> Scenario {
    let others: Map<String, serde_json::Value> =
        (0..siblings).map(|number| (format!("tenant-{number:06}"), json!({"plan": "basic"}))).collect();
    let data = [("bindings", bindings(10_000)), ("grants", grants()), ("tenants", others.into())];
    let name = format!("RBAC beside {} unrelated keys", thousands(siblings));
    Scenario::new(&name, include_str!("rbac_siblings.rego"), "tenants/authz/allow", &data, 10.0)
        .asking(questions(10_000))
}

/// May this subject read this document.
pub fn abac() -> Scenario {
    let data = [("levels", levels()), ("actions", json!({"report": ["read", "quote"], "mail": ["read"]}))];
    Scenario::new("ABAC, one document", include_str!("abac.rego"), "bench/abac/allow", &data, 10.0)
        .asking((0..8).map(inputs::document_question))
}

/// Which of fifty documents may this subject see.
pub fn filter() -> Scenario {
    Scenario::new(
        "ABAC, filter of 50 documents",
        include_str!("filter.rego"),
        "bench/filter/visible",
        &[("levels", levels())],
        4.0,
    )
    .asking((0..4).map(inputs::filter_question))
}

/// Is there budget left for this request.
pub fn budget() -> Scenario {
    let plan = |requests: u32, models: &[&str]| json!({"requests_per_minute": requests, "tokens_per_day": requests * 5_000, "cost_per_month": 800, "models": models});
    let plans = json!({"basic": plan(60, &["small"]), "team": plan(600, &["small", "medium", "large"])});
    Scenario::new(
        "rate and budget decision",
        include_str!("budget.rego"),
        "bench/budget/decision",
        &[("plans", plans)],
        10.0,
    )
    .asking((0..8).map(inputs::budget_question))
}

/// May this pod be admitted.
pub fn admission() -> Scenario {
    let data = [
        ("registries", json!(["registry.example.com/", "mirror.example.com/library/"])),
        ("capabilities", json!(["NET_BIND_SERVICE", "CHOWN"])),
    ];
    Scenario::new(
        "pod admission, 11 rules",
        include_str!("admission.rego"),
        "bench/admission/decision",
        &data,
        4.0,
    )
    .asking((0..4).map(inputs::pod_question))
}

/// So many rules, each for one value of one field.
pub fn many_rules(rules: usize) -> Scenario {
    let mut policy = "package bench.rules\n\ndefault allow := false\n\n".to_owned();
    for number in 0..rules {
        let _ = writeln!(policy, "allow if input.resource == \"resource-{number:05}\"\n");
    }
    Scenario::new(&format!("{} equality rules", thousands(rules)), &policy, "bench/rules/allow", &[], 1.0)
        .asking((0..16).map(|number| json!({"resource": format!("resource-{:05}", number * rules / 16)})))
}

/// The same as one table in the policy.
pub fn table(rows: usize) -> Scenario {
    let mut policy =
        "package bench.table\n\ndefault allow := false\n\nallow if table[input.resource]\n\ntable := {\n"
            .to_owned();
    for number in 0..rows {
        let _ = writeln!(policy, "\t\"resource-{number:05}\": true,");
    }
    policy.push_str("}\n");
    Scenario::new(
        &format!("the same as a table of {}", thousands(rows)),
        &policy,
        "bench/table/allow",
        &[],
        10.0,
    )
    .asking((0..16).map(|number| json!({"resource": format!("resource-{:05}", number * rows / 16)})))
}

/// A list that a rule walks from end to end.
pub fn scan(entries: usize) -> Scenario {
    let list: Vec<_> = (0..entries).map(|number| json!({"user": user(number), "role": "reader"})).collect();
    Scenario::new(
        &format!("scan of {} entries", thousands(entries)),
        include_str!("scan.rego"),
        "bench/scan/allow",
        &[("list", list.into())],
        4.0,
    )
    .asking((0..4).map(|number| json!({"user": user(number * entries / 4)})))
}

/// The user of a number.
pub fn user(number: usize) -> String {
    format!("user-{number:06}")
}

fn bindings(users: usize) -> serde_json::Value {
    let roles =
        |number: usize| json!([format!("role-{}", number % 10), format!("role-{}", (number + 3) % 10)]);
    (0..users).map(|number| (user(number), roles(number))).collect::<Map<_, _>>().into()
}

const ACTIONS: [&str; 4] = ["read", "write", "query", "delete"];

fn grants() -> serde_json::Value {
    let of = |role: usize| -> Vec<_> {
        (0..8).map(|number| json!({"action": ACTIONS.get(number % 4), "resource": format!("collection-{}", role * 4 + number / 2)})).collect()
    };
    (0..10).map(|role| (format!("role-{role}"), of(role).into())).collect::<Map<_, _>>().into()
}

fn permissions() -> serde_json::Value {
    let resources = |role: usize| -> Map<_, _> {
        (0..8).map(|number| (format!("collection-{}", role * 4 + number), true.into())).collect()
    };
    let of = |role: usize| {
        ACTIONS.iter().map(|action| ((*action).to_owned(), resources(role).into())).collect::<Map<_, _>>()
    };
    (0..10).map(|role| (format!("role-{role}"), of(role).into())).collect::<Map<_, _>>().into()
}

fn levels() -> serde_json::Value {
    json!({"public": 0, "internal": 1, "confidential": 2, "secret": 3})
}

/// Questions about users all over the data; half of them are denied.
fn questions(users: usize) -> impl Iterator<Item = serde_json::Value> {
    (0..16).map(move |number| {
        let who = number * users / 16;
        let resource = if number % 2 == 0 { (who % 10) * 4 + 1 } else { 99 };
        json!({"user": user(who), "action": "query", "resource": format!("collection-{resource}")})
    })
}

fn thousands(number: usize) -> String {
    if number >= 1_000 { format!("{}k", number / 1_000) } else { number.to_string() }
}
