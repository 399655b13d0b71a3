// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Signals: SIGTERM and SIGINT stop the server, SIGHUP lets it read its certificate and reopen its
//! files.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels `stop` at the first SIGTERM or SIGINT.
///
/// # Errors
/// If the handlers cannot be set.
pub fn on_signal(stop: CancellationToken) -> io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!("{name}: finishing what is being served");
        stop.cancel();
    });
    Ok(())
}

/// Calls `reload` at every SIGHUP.
///
/// # Errors
/// If the handler cannot be set.
pub fn on_hangup(reload: impl Fn() + Send + 'static) -> io::Result<()> {
    let mut hangup: Signal = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            reload();
        }
    });
    Ok(())
}
