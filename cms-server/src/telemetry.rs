// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The log of the binary: to standard error, as JSON for machines or as text for people. Secrets
//! have no form in which they could be logged; panics are logged by their place only, because their
//! text may quote anything.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::settings::LogFormat;

/// Begins to log. `filter` is a list such as `info,cms::http=debug`.
///
/// # Errors
/// If something logs already.
pub fn start(format: LogFormat, filter: EnvFilter) -> Result<(), TryInitError> {
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => subscriber.json().flatten_event(true).finish().try_init()?,
        LogFormat::Pretty => subscriber.with_target(false).finish().try_init()?,
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "a task panicked");
    }));
    Ok(())
}
