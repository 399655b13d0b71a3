// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms verify`: everything decrypts, the audit trail hashes, indexes agree with data. Works beside a
//! running server.

use clap::Args;
use cms_core::RequestContext;
use cms_core::api::keyrings::ProjectKeyState;
use cms_core::auth::Principal;
use cms_core::verify::VerifyReport;

use super::app::App;
use super::failure::Failure;
use super::serve::{Place, failed, wrong};
use crate::server::configured;

/// Check that everything stored decrypts, re-hashes and agrees
#[derive(Args)]
#[command(
    after_help = "Exits with 2 if something is wrong.\n\nExample:\n  cms verify --store embedded:/var/lib/cms --seal-key-file /etc/cms/seal.key"
)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    place: Place,
}

/// Verifies an installation.
///
/// # Errors
/// The outcome "no" if something is wrong; a failure if it cannot be verified.
pub(crate) async fn run(args: VerifyArgs, app: &App) -> Result<(), Failure> {
    let report = verify(args, app).await?;
    let value = serde_json::to_value(&report).map_err(failed)?;
    app.out.value(&value, |_| words(&report))?;
    if report.ok { Ok(()) } else { Err(Failure::negative()) }
}

async fn verify(args: VerifyArgs, app: &App) -> Result<VerifyReport, Failure> {
    let checked = args.place.settings()?.check().map_err(wrong)?;
    let builder = configured(&checked).await.map_err(failed)?;
    let cms = builder.build().await.map_err(failed)?;
    let progress = app.out.progress("verifying");
    let ctx = RequestContext::new(Principal::root());
    let report = cms.verify(&ctx, &|at: &str| progress.set_message(format!("verifying {at}"))).await;
    progress.finish_and_clear();
    cms.shutdown().await;
    report.map_err(failed)
}

fn words(report: &VerifyReport) -> String {
    let counts = [
        ("projects", report.projects),
        ("documents", report.documents),
        ("releases", report.releases),
        ("sealed values", report.sealed_values),
        ("audit records", report.audit_records),
    ];
    let keys: String = report.keys.iter().map(key_words).collect();
    let counted: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
    let verdict = if report.ok {
        String::from("✔ nothing is wrong")
    } else {
        format!("✘ {} things are wrong:\n  {}", report.problem_count, report.problems.join("\n  "))
    };
    format!("checked {}\n{keys}{verdict}\n", counted.join(", "))
}

/// One line for a data key: which of its versions are in use.
fn key_words(state: &ProjectKeyState) -> String {
    let used =
        state.generations.iter().map(|it| format!("version {} sealed {} values", it.version, it.values));
    format!("data key of {}: {}\n", state.project, used.collect::<Vec<_>>().join(", "))
}
