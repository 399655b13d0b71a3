// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Checks that every logged decision can be read.

use super::segments;
use crate::api::decision_log::LoggedDecision;
use crate::error::Result;
use crate::kit::Kit;
use crate::store::Scope;
use crate::verify::VerifyReport;

/// How many segments are read at a time.
const SEGMENTS: usize = 16;

/// Opens every segment of a project.
///
/// # Errors
/// Whatever the store answers; what cannot be read is in the report.
pub(crate) async fn verify(kit: &Kit, scope: &Scope, report: &mut VerifyReport) -> Result<()> {
    let mut after: Option<String> = None;
    loop {
        let page = scope.list(segments::PREFIX, after.as_deref(), SEGMENTS, false).await?;
        for entry in &page.entries {
            report.sealed_values += 1;
            match segments::read(kit, scope, entry).await {
                Ok(lines) if lines.split(|byte| *byte == b'\n').all(is_decision) => {}
                Ok(_) => report.problem(format!("`{}` holds what is no decision", entry.key)),
                Err(error) => report.problem(format!("`{}` cannot be opened: {error}", entry.key)),
            }
            after = Some(scope.relative(&entry.key).to_owned());
        }
        if !page.more {
            return Ok(());
        }
    }
}

fn is_decision(line: &[u8]) -> bool {
    line.is_empty() || serde_json::from_slice::<LoggedDecision>(line).is_ok()
}
