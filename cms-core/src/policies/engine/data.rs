// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The data documents of a release, merged into the one document that policies see as `data`.

use std::collections::BTreeMap;

use regorus::Value;

use super::diagnostic::{Diagnostic, code};
use super::json;
use super::limits::Limits;

/// Data documents by name, and the document that they form together.
///
/// The document `roles/bindings` is `data.roles.bindings`. A clone shares everything, and
/// replacing one document parses and copies nothing but that document and the way to it.
#[derive(Debug, Clone, Default)]
pub struct Data {
    documents: BTreeMap<String, Value>,
    merged: BTreeMap<String, Value>,
}

impl Data {
    /// Reads documents: each a name, and its JSON text.
    ///
    /// # Errors
    /// Every text that is not JSON, and every document that stands where another one does.
    pub fn from_documents<'a>(
        documents: impl IntoIterator<Item = (&'a str, &'a str)>,
        limits: &Limits,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut data = Self::default();
        let mut found = Vec::new();
        for (name, text) in documents {
            match read(name, text, limits) {
                Ok(value) => drop(data.documents.insert(name.to_owned(), value)),
                Err(diagnostic) => found.push(diagnostic),
            }
        }
        let tops: Vec<String> = data.documents.keys().map(|name| top(name).to_owned()).collect();
        tops.iter().for_each(|top| found.extend(data.merge(top).err()));
        found.dedup();
        if found.is_empty() { Ok(data) } else { Err(found) }
    }

    /// The same data with one document written, or replaced.
    ///
    /// # Errors
    /// When the text is not JSON, or the document stands where another one does.
    pub fn with_document(&self, name: &str, text: &str, limits: &Limits) -> Result<Self, Diagnostic> {
        let value = read(name, text, limits)?;
        self.with_value(name, Some(value))
    }

    /// The same data without one document.
    pub fn without_document(&self, name: &str) -> Self {
        self.with_value(name, None).unwrap_or_else(|_| self.clone())
    }

    /// The same data with one document set to a value that need not come from text, or removed.
    ///
    /// # Errors
    /// When the document stands where another one does.
    pub fn with_value(&self, name: &str, value: Option<Value>) -> Result<Self, Diagnostic> {
        let mut data = self.clone();
        match value {
            Some(value) => drop(data.documents.insert(name.to_owned(), value)),
            None => drop(data.documents.remove(name)),
        }
        data.merge(top(name))?;
        Ok(data)
    }

    /// The names of the documents.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.documents.keys().map(String::as_str)
    }

    /// One document.
    pub fn document(&self, name: &str) -> Option<&Value> {
        self.documents.get(name)
    }

    /// The whole document, as policies see it.
    pub(super) fn to_value(&self) -> Value {
        let entries = self.merged.iter().map(|(key, value)| (Value::from(key.as_str()), value.clone()));
        Value::from(entries.collect::<BTreeMap<Value, Value>>())
    }

    /// The document that a rule at this path would hide.
    pub(super) fn document_at(&self, path: &[String]) -> Option<&str> {
        let path = path.join("/");
        let above = |name: &str| path == name || path.starts_with(&format!("{name}/"));
        let below = |name: &str| name.starts_with(&format!("{path}/"));
        self.names().find(|name| above(name)).or_else(|| self.names().find(|name| below(name)))
    }

    /// Forms the part of the whole that lies below one first segment.
    fn merge(&mut self, top: &str) -> Result<(), Diagnostic> {
        let mut merged = Value::Undefined;
        // An outer document comes before those inside of it, as names sort.
        for (name, value) in
            self.documents.range(top.to_owned()..).take_while(|(name, _)| name.starts_with(top))
        {
            let mut path = name.split('/');
            if path.next() != Some(top) {
                continue;
            }
            place(&mut merged, path, value.clone()).map_err(|()| {
                let message =
                    format!("`{name}` stands where another data document has a value; rename one of them");
                Diagnostic::new(name, (1, 1), code::CONFLICT, message)
            })?;
        }
        match merged {
            Value::Undefined => drop(self.merged.remove(top)),
            merged => drop(self.merged.insert(top.to_owned(), merged)),
        }
        Ok(())
    }
}

fn top(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

fn read(name: &str, text: &str, limits: &Limits) -> Result<Value, Diagnostic> {
    json::from_strict_json(text.as_bytes(), limits.depth)
        .map_err(|error| Diagnostic::new(name, (error.line, error.column), code::DATA, error.message))
}

/// Puts a value at a path, where nothing but objects may be above it, and nothing at it.
fn place<'a>(target: &mut Value, mut path: impl Iterator<Item = &'a str>, value: Value) -> Result<(), ()> {
    let Some(segment) = path.next() else {
        return if matches!(target, Value::Undefined) {
            *target = value;
            Ok(())
        } else {
            Err(())
        };
    };
    if matches!(target, Value::Undefined) {
        *target = Value::new_object();
    }
    let object = target.as_object_mut().map_err(|_| ())?;
    place(object.get_or_insert_with(Value::from(segment), || Value::Undefined), path, value)
}
