// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Changes of several documents as they are sent: what is wrong with each in itself, and the changes that
//! they mean.

use std::collections::BTreeSet;

use super::set::hash;
use super::write::Change;
use super::{MAX_DOCUMENT_BYTES, is_inline, read_head};
use crate::api::documents::{ChangeOp, DraftChange, Kind};
use crate::error::{Error, ErrorKind, Place, Result};
use crate::ids::Name;
use crate::store::Scope;

/// How many documents change together at most.
pub const MAX_CHANGES: usize = 100;

/// A change, and the version that it was made for; 0: the document does not exist yet.
pub(crate) type Based = (Change, u64);

/// Reads changes, in the order of kinds and names.
///
/// # Errors
/// `Unprocessable` with places.
pub(crate) fn parse(sent: Vec<DraftChange>) -> Result<Vec<Based>> {
    if sent.is_empty() || sent.len() > MAX_CHANGES {
        let text = format!("1 to {MAX_CHANGES} documents change together, not {}", sent.len());
        return Err(
            Error::unprocessable("invalid_changes", text).with_hint("make the changes in several steps")
        );
    }
    let (mut changes, mut places, mut known) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (at, sent) in sent.into_iter().enumerate() {
        let is_known = !known.insert((sent.kind, sent.name.clone()));
        match change(sent, is_known) {
            Ok(change) => changes.push(change),
            Err((field, message)) => places.push(Place {
                path: Some(format!("/changes/{at}/{field}")),
                message,
                ..Place::default()
            }),
        }
    }
    if !places.is_empty() {
        return Err(
            Error::unprocessable("invalid_changes", "some changes cannot be made").with_places(places)
        );
    }
    sort(&mut changes);
    Ok(changes)
}

/// Gives each schema that is sent with its config a document of its own, named as the config is.
///
/// # Errors
/// `Unprocessable` if the changes hold another schema of that name.
pub(crate) async fn with_schemas(scope: &Scope, mut changes: Vec<Based>) -> Result<Vec<Based>> {
    let mut beside = Vec::new();
    for (change, _) in &mut changes {
        let Some(schema) = change.schema.take_if(|schema| is_inline(schema)) else { continue };
        change.schema = Some(change.name.to_string());
        let head = match read_head(scope, Kind::Schema, &change.name).await {
            Ok(head) => Some(head).filter(|head| !head.is_tombstone()),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if head.as_ref().is_some_and(|head| head.hash == hash(schema.as_bytes())) {
            continue;
        }
        let own = Change::new(Kind::Schema, change.name.clone(), Some(schema));
        beside.push((own, head.map_or(0, |head| head.version)));
    }
    for (schema, base) in beside {
        if changes.iter().any(|(change, _)| change.kind == Kind::Schema && change.name == schema.name) {
            let text = format!("the schema `{}` is given twice: with its config and by itself", schema.name);
            return Err(Error::unprocessable("invalid_changes", text));
        }
        changes.push((schema, base));
    }
    sort(&mut changes);
    Ok(changes)
}

fn sort(changes: &mut [Based]) {
    changes.sort_by(|(a, _), (b, _)| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
}

/// The change that is meant, or what is wrong with it and in which field.
fn change(sent: DraftChange, is_known: bool) -> Result<Based, (&'static str, String)> {
    let DraftChange { kind, name, op, content, schema, base_version } = sent;
    let parsed = Name::parse(&name).map_err(|error| ("name", error.message().to_owned()))?;
    if is_known {
        return Err(("name", format!("the {} `{name}` is named twice", kind.as_str())));
    }
    let fault = match (op, &content) {
        (ChangeOp::Put, None) => Some(("content", String::from("`put` takes the new text"))),
        (ChangeOp::Delete, Some(_)) => Some(("content", String::from("`delete` takes no text"))),
        (ChangeOp::Delete, None) if base_version == 0 => {
            Some(("base_version", String::from("what does not exist cannot be removed")))
        }
        (ChangeOp::Put, Some(content)) if content.len() > MAX_DOCUMENT_BYTES => {
            Some(("content", format!("a document holds at most {MAX_DOCUMENT_BYTES} bytes")))
        }
        _ if schema.is_some() && (kind, op) != (Kind::Config, ChangeOp::Put) => {
            Some(("schema", String::from("only a config that is `put` takes a schema")))
        }
        _ => None,
    };
    fault.map_or_else(|| Ok((Change { schema, ..Change::new(kind, parsed, content) }, base_version)), Err)
}
