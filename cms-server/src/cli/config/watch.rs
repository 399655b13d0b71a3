// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms config watch`: a config whenever it changes, by long polls.

use clap::Args;
use reqwest::StatusCode;
use reqwest::header::ETAG;
use serde_json::Value;

use super::resolved::Reader;
use crate::cli::app::App;
use crate::cli::client::Call;
use crate::cli::failure::Failure;
use crate::cli::route::Route;

/// How many seconds each question may wait for a change.
const WAIT_SECONDS: u32 = 50;

/// Print a config now and whenever it changes
#[derive(Args)]
#[command(after_help = "Example:\n  cms config watch rag/retriever -e prod -p rag\n  \
    cms config watch rag/retriever -e prod --once -o json -p rag")]
pub(crate) struct Watch {
    /// Name of the config
    name: String,
    #[command(flatten)]
    reader: Reader,
    /// End after the next change
    #[arg(long)]
    once: bool,
}

/// Prints a config until the user has seen enough.
///
/// # Errors
/// The server's refusal, or a failure to reach it.
pub(super) async fn run(args: Watch, project: &str, app: &App) -> Result<(), Failure> {
    let (client, mut known, mut shown) = (app.client()?, None::<String>, 0_u32);
    loop {
        let call = Call::get(Route::front_door().name(&args.name)?).query("project", Some(project));
        let call = args.reader.narrow(app, call)?;
        let call =
            call.query("wait", known.as_ref().map(|_| WAIT_SECONDS)).header("If-None-Match", known.as_ref());
        let response = client.stream(call).await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            continue;
        }
        known = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let text = response.text().await.map_err(|error| client.broken(&error))?;
        app.out.data(&text, |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default())?;
        shown += 1;
        if args.once && shown > 1 {
            return Ok(());
        }
    }
}
