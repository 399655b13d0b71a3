// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Cases in the form of OPA's own suite, run the way decisions are.
//!
//! `cases/*.yaml` are ours; their answers are what OPA 1.20's engine gives. `CMS_OPA_CASES` names a
//! directory of further ones, such as a copy of OPA's suite, whose outcome is listed.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    note: String,
    query: String,
    #[serde(default)]
    modules: Vec<String>,
    #[serde(default)]
    data: Option<Value>,
    #[serde(default)]
    input: Option<Value>,
    #[serde(default)]
    want_result: Option<Value>,
    #[serde(default)]
    want_error_code: Option<String>,
    #[serde(default)]
    want_error: Option<String>,
    #[serde(default)]
    strict_error: bool,
    #[serde(default)]
    sort_bindings: bool,
}

/// What came of a case: bindings as OPA gives them, or an error's code with its text.
type Told = Result<Value, (String, String)>;

impl Case {
    fn passes(&self, told: &Told) -> bool {
        match told {
            Ok(found) => {
                let wanted = self.want_result.clone().unwrap_or_else(Value::new_array);
                let fails = self.want_error_code.is_some() || self.want_error.is_some();
                !fails && alike(&self.sorted(found), &self.sorted(&wanted))
            }
            Err((code, text)) => match (&self.want_error_code, &self.want_error) {
                (Some(wanted), _) => wanted == code,
                (None, Some(wanted)) => text.contains(wanted.as_str()),
                (None, None) => false,
            },
        }
    }

    fn sorted(&self, result: &Value) -> Value {
        let in_order = |value: &Value| match value {
            Value::Array(items) => {
                let mut items = items.to_vec();
                items.sort();
                Value::from(items)
            }
            other => other.clone(),
        };
        let bindings = |result: &Value| match result {
            Value::Object(bindings) => Value::from(
                bindings
                    .iter()
                    .map(|(name, value)| (name.clone(), in_order(value)))
                    .collect::<regorus::value::Object>(),
            ),
            other => other.clone(),
        };
        match result {
            Value::Array(results) if self.sort_bindings => {
                Value::from(results.iter().map(bindings).collect::<Vec<_>>())
            }
            other => other.clone(),
        }
    }

    fn run(&self) -> Told {
        // Policies and data stay where the case has them: `data.x.y = v`, or with the sides exchanged.
        let (path, variable) = asked(&self.query).ok_or(("unasked".to_owned(), self.query.clone()))?;
        let modules = self.modules.iter().enumerate();
        let modules: Vec<Module> =
            modules.map(|(i, text)| Module::new(format!("case/{i}"), text.as_str())).collect();
        let listed = |faults: Vec<Diagnostic>| {
            let code = faults.first().map_or("", |fault| fault.code).to_owned();
            (code, faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        };
        let program = Program::compile(&modules, &Options::default()).map_err(listed)?;
        let documents: Vec<(String, String)> = self
            .data
            .iter()
            .flat_map(|data| data.as_object().unwrap().iter())
            .map(|(name, value)| (name.as_string().unwrap().to_string(), value.to_json_str().unwrap()))
            .collect();
        let documents = documents.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let data = Data::from_documents(documents, program.limits()).map_err(listed)?;
        let snapshot = Snapshot::new(Arc::new(program), &data).map_err(listed)?;
        let input = match &self.input {
            Some(input) => Input::from_json(input.to_json_str().unwrap().as_bytes(), snapshot.program())
                .map_err(|error| ("input".to_owned(), error.to_string()))?,
            None => Input::NONE,
        };
        let failed = |error: EvaluationError| (error.code().to_owned(), error.to_string());
        let options =
            if self.strict_error { EvaluationOptions::STRICT } else { EvaluationOptions::default() };
        let answer = snapshot.evaluate_with(&path, &input, options).map_err(failed)?;
        // The interpreter takes what is in nothing for `false`.
        let differs = self.note == "in/in undefined";
        let told = || explain::contradiction(&modules, &data, &path, &input, &answer);
        let explained = if differs { None } else { told() };
        explained.map_or(Ok(()), |said| Err(("explanation".to_owned(), said)))?;
        Ok(match answer.to_json(1 << 20).map_err(failed)? {
            Some(json) => {
                // As the cases are read: a number that no double holds is a text.
                let value: Value = yaml_serde::from_slice(&json).unwrap();
                let binding: regorus::value::Object = [(Value::from(variable), value)].into_iter().collect();
                Value::from(vec![Value::from(binding)])
            }
            None => Value::new_array(),
        })
    }
}

/// Compares numbers by their value: `1.0` is `1`.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| alike(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| alike(a, b)))
        }
        (Value::Number(x), Value::Number(y)) => a == b || x.as_f64() == y.as_f64(),
        _ => a == b,
    }
}

fn asked(query: &str) -> Option<(QueryPath, String)> {
    let (left, right) = query.split_once('=')?;
    let (left, right) = (left.trim().trim_end_matches(':'), right.trim());
    let is_name = |text: &str| text.chars().all(|c| c.is_alphanumeric() || c == '_');
    let (path, variable) = if is_name(right) { (left, right) } else { (right, left) };
    let path = path.strip_prefix("data.")?;
    let plain = path.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'));
    (plain && is_name(variable)).then(|| (QueryPath::parse(path).unwrap(), variable.to_owned()))
}

fn cases(directory: &Path) -> Vec<(String, Case)> {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() { open.push(entry) } else { files.push(entry) }
        }
    }
    files.sort();
    let read = |file: &PathBuf| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(file).unwrap();
        let parsed: File = yaml_serde::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        parsed.cases.into_iter().map(move |case| (name.clone(), case)).collect::<Vec<_>>()
    };
    files.iter().flat_map(read).collect()
}

fn failures(directory: &Path) -> (usize, Vec<String>) {
    let cases = cases(directory);
    let failed = cases.iter().filter_map(|(file, case)| {
        let told = case.run();
        let told_text = match &told {
            Ok(value) => value.to_string(),
            Err((code, text)) => format!("{code}: {text}"),
        };
        (!case.passes(&told)).then(|| {
            let wanted = (case.want_result.as_ref().map(ToString::to_string), &case.want_error_code);
            format!("{file}: {}: {told_text}, not {wanted:?}", case.note)
        })
    });
    (cases.len(), failed.collect())
}

#[test]
fn answers_are_those_of_opa() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/policies/engine/tests/cases");
    let (count, failed) = failures(&own);
    assert!(failed.is_empty(), "{} of {count} cases fail:\n{}", failed.len(), failed.join("\n"));
    assert!(count > 0);
}

#[test]
fn answers_to_further_cases_are_listed() {
    let Some(directory) = std::env::var_os("CMS_OPA_CASES") else { return };
    let (count, failed) = failures(Path::new(&directory));
    println!("{} of {count} cases pass; these do not:\n{}", count - failed.len(), failed.join("\n"));
}
