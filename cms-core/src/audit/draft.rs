// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a caller wants recorded, and its form before it has a place in a chain: the middle of the
//! canonical bytes, made by the caller's own thread so that the writer of a chain has little to do.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Serialize;

use crate::api::audit::AuditOutcome;
use crate::auth::Authorized;
use crate::context::RequestContext;
use crate::error::{Error, Result};
use crate::ids::ProjectId;

/// How many characters of an action are kept.
const MAX_ACTION: usize = 64;
/// How many characters of an actor are kept.
const MAX_ACTOR: usize = 192;
/// How many characters of a request id or release are kept.
const MAX_ID: usize = 128;
/// How many characters of a resource or reason are kept.
const MAX_TEXT: usize = 640;

/// What the caller of the trail says; time, actor, request id, address and chain are added.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// The action's stable text, such as `policy:write` or `auth:login`.
    pub action: Cow<'static, str>,
    /// The resource, such as `projects/rag/policy/rag/authz`.
    pub resource: String,
    /// The project whose record it is; `platform` for what belongs to none.
    pub project: ProjectId,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// Why it was refused or failed, or the reason that the caller gave.
    pub reason: Option<String>,
    /// The release that was involved.
    pub release: Option<String>,
    /// The version that was written or read.
    pub version: Option<u64>,
}

impl NewRecord {
    /// A successful operation that was authorized.
    pub fn of(proof: &Authorized) -> Self {
        Self::new(proof.action().as_str(), proof.target().to_string(), proof.project().clone())
    }

    /// A successful operation that needs no authorization, such as a login.
    pub fn new(
        action: impl Into<Cow<'static, str>>,
        resource: impl Into<String>,
        project: ProjectId,
    ) -> Self {
        Self {
            action: action.into(),
            resource: resource.into(),
            project,
            outcome: AuditOutcome::Success,
            reason: None,
            release: None,
            version: None,
        }
    }

    /// Sets the version.
    #[must_use]
    pub fn version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// Sets the release.
    #[must_use]
    pub fn release(mut self, release: impl Into<String>) -> Self {
        self.release = Some(release.into());
        self
    }

    /// Sets the reason.
    #[must_use]
    pub fn reason(mut self, reason: Option<String>) -> Self {
        self.reason = reason;
        self
    }

    /// Sets how it ended.
    #[must_use]
    pub fn outcome(mut self, outcome: AuditOutcome) -> Self {
        self.outcome = outcome;
        self
    }
}

/// A record without its place: the fields from `actor` to `version`, as canonical JSON without the
/// braces around them.
#[derive(Debug, Clone)]
pub(super) struct Draft(Vec<u8>);

/// The fields of a [`Draft`], in the order of [`crate::api::audit::Record`].
#[derive(Serialize)]
struct Fields<'a> {
    actor: Cow<'a, str>,
    action: Cow<'a, str>,
    project: &'a str,
    resource: Cow<'a, str>,
    outcome: AuditOutcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
    request_id: Cow<'a, str>,
    address: Option<std::net::IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
}

impl Draft {
    /// Writes down what is known before the record has its place.
    pub(super) fn new(ctx: &RequestContext, record: &NewRecord) -> Result<Self> {
        let actor = ctx.principal.to_string();
        let fields = Fields {
            actor: printable(&actor, MAX_ACTOR),
            action: printable(&record.action, MAX_ACTION),
            project: record.project.as_str(),
            resource: printable(&record.resource, MAX_TEXT),
            outcome: record.outcome,
            reason: record.reason.as_deref().map(|text| printable(text, MAX_TEXT)),
            request_id: printable(&ctx.request_id, MAX_ID),
            address: ctx.address,
            release: record.release.as_deref().map(|text| printable(text, MAX_ID)),
            version: record.version,
        };
        let mut bytes = Vec::with_capacity(320);
        serde_json::to_writer(&mut bytes, &fields).map_err(Error::internal)?;
        Ok(Self(bytes))
    }

    /// The fields, without the braces.
    pub(super) fn fields(&self) -> &[u8] {
        self.0.get(1..self.0.len().saturating_sub(1)).unwrap_or_default()
    }
}

/// The text, cut at `max` characters, with everything that could break a line, drive a terminal or
/// turn the direction of reading written out as `\u{…}`. Whoever shows a record need not escape again.
fn printable(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max && text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len().min(4 * max));
    let mut chars = text.chars();
    for char in chars.by_ref().take(max) {
        if is_treacherous(char) {
            // Writing to a string cannot fail.
            let _ = write!(clean, "{}", char.escape_unicode());
        } else {
            clean.push(char);
        }
    }
    if chars.next().is_some() {
        clean.push('…');
    }
    Cow::Owned(clean)
}

fn is_treacherous(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Principal;

    #[test]
    fn hostile_text_becomes_one_printable_line() {
        let hostile = "a\nb\r\u{1b}[2J\u{0}\",\"actor\":\"root\u{202e}\u{2028}\u{85}";
        let shown = printable(hostile, MAX_TEXT);
        assert!(!shown.chars().any(is_treacherous), "{shown}");
        assert_eq!(printable(&shown, MAX_TEXT), shown, "what is printable stays");
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let long = "ä".repeat(1_000_000);
        let shown = printable(&long, MAX_TEXT);
        assert_eq!(shown.chars().count(), MAX_TEXT + 1);
        assert!(shown.ends_with('…'));
    }

    #[test]
    fn a_draft_is_json_whatever_it_holds() {
        let ctx = RequestContext::new(Principal::root()).with_request_id("\"},{\"x\":\"\u{7}");
        let record = NewRecord::new("a:b", "r\n\"\\", ProjectId::platform()).reason(Some("\u{1b}".into()));
        let draft = Draft::new(&ctx, &record).unwrap();
        let text = format!("{{{}}}", String::from_utf8(draft.fields().to_vec()).unwrap());
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["actor"], "root");
        assert_eq!(value["request_id"], "\"},{\"x\":\"\\u{7}");
    }
}
