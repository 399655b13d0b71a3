// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms doctor`: looks at everything that a server needs, and says what to mend.

use std::path::Path;

use clap::Args;
use cms_core::Cms;
use cms_core::clock::{Clock, SystemClock, Timestamp};
use serde::Serialize;

use super::app::App;
use super::failure::{Exit, Failure};
use super::serve::{Place, failed};
use crate::place::StorePlace;
use crate::server::{configured, shared_limits};
use crate::settings::{Checked, SealPlace, Settings};
use crate::tls;

/// Below this much free room, a store should get more.
const ROOM_BYTES: u64 = 256 * 1024 * 1024;
/// How long before its end a certificate should be exchanged.
const CERTIFICATE_DAYS: i64 = 21;
/// When this was written: a clock that shows less is wrong.
const LATER_THAN: Timestamp = Timestamp::from_millis(1_760_000_000_000);

/// Check an installation and say what to mend
#[derive(Args)]
#[command(
    after_help = "Exits with 1 if something is wrong.\n\nExample:\n  cms doctor --store embedded:/var/lib/cms --seal-key-file /etc/cms/seal.key"
)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    place: Place,
}

/// What one look found.
#[derive(Debug, Serialize)]
struct Finding {
    name: &'static str,
    ok: bool,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

/// Everything that was looked at.
#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    checks: Vec<Finding>,
}

/// Looks at an installation.
///
/// # Errors
/// A silent failure if something is wrong.
pub(crate) async fn run(args: DoctorArgs, app: &App) -> Result<(), Failure> {
    let checks = match args.place.settings() {
        Ok(settings) => look(settings).await,
        Err(failure) => vec![wrong("settings", failure.to_string(), "mend the settings as it says")],
    };
    let report = Report { ok: checks.iter().all(|check| check.ok), checks };
    let value = serde_json::to_value(&report).map_err(failed)?;
    app.out.value(&value, |_| report.checks.iter().map(line).collect())?;
    if report.ok { Ok(()) } else { Err(Failure::new(Exit::Error, "")) }
}

async fn look(settings: Settings) -> Vec<Finding> {
    let mut checks = vec![clock()];
    let checked = match settings.check() {
        Ok(checked) => checked,
        Err(error) => {
            checks.push(wrong("settings", error.to_string(), "mend the settings as it says"));
            return checks;
        }
    };
    checks.push(right("settings", format!("the server would listen on {}", checked.listen)));
    checks.push(seal(&checked));
    checks.extend(checked.tls.as_ref().map(|(certificate, key)| certificates(certificate, key)));
    checks.extend(disk(&checked.store));
    checks.extend(limits(&checked).await);
    checks.extend(installation(checked).await);
    checks
}

fn clock() -> Finding {
    let now = SystemClock.now();
    if now > LATER_THAN {
        right("clock", format!("it is {now}"))
    } else {
        wrong(
            "clock",
            format!("it is {now}, which cannot be"),
            "set the clock; run an NTP client such as chrony",
        )
    }
}

fn seal(checked: &Checked) -> Finding {
    let SealPlace::Key(source) = &checked.seal else {
        return right("seal key", String::from("it is at OpenBao, and never leaves it"));
    };
    match source.read() {
        Ok(_) => right("seal key", String::from("it can be read, and only by its owner")),
        Err(error) => {
            wrong("seal key", error.to_string(), "make one with `cms init`, or restore it from your backup")
        }
    }
}

fn certificates(certificate: &Path, key: &Path) -> Finding {
    const NAME: &str = "TLS";
    let fix = "get a new certificate and send the server SIGHUP";
    if let Err(error) = tls::Tls::load(certificate, key) {
        return wrong(NAME, error.to_string(), fix);
    }
    match tls::expiry(certificate) {
        Err(cause) => wrong(NAME, cause, fix),
        Ok(end) => {
            let days = (end.as_secs() - SystemClock.now().as_secs()) / 86_400;
            let detail = format!("the certificate ends on {end}, in {days} days");
            if days < CERTIFICATE_DAYS { wrong(NAME, detail, fix) } else { right(NAME, detail) }
        }
    }
}

/// The room on the disk of a store that is a directory.
fn disk(store: &StorePlace) -> Option<Finding> {
    let existing = store.directory()?.ancestors().find(|path| path.is_dir())?;
    let about = rustix::fs::statvfs(existing).ok()?;
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    let detail = format!("{} MiB are free at {}", free / 1024 / 1024, existing.display());
    Some(if free < ROOM_BYTES {
        wrong("disk", detail, "make room, or move the store")
    } else {
        right("disk", detail)
    })
}

/// Where servers count their limits together.
async fn limits(checked: &Checked) -> Option<Finding> {
    const NAME: &str = "redis";
    let limits = match shared_limits(checked.redis.as_ref()?) {
        Ok(limits) => limits,
        Err(error) => return Some(wrong(NAME, error.to_string(), "mend the settings under `redis`")),
    };
    Some(match limits.reach().await {
        Ok(()) => right(NAME, String::from("it answers; servers count their limits together")),
        Err(error) => wrong(
            NAME,
            format!("{error}; limits are local: each server counts alone"),
            "start Redis, or check `redis.url`, user and password",
        ),
    })
}

async fn installation(checked: Checked) -> Vec<Finding> {
    // Looking must not make anything: opening a store would.
    if checked.store.directory().is_some_and(|path| !path.exists()) {
        let detail = format!("there is nothing at `{}`", checked.store.shown());
        return vec![wrong("store", detail, "check `store`, or make a new installation with `cms init`")];
    }
    let builder = match configured(&checked).await {
        Ok(builder) => builder,
        Err(error) => {
            return vec![wrong("store", error.to_string(), "check `store`; `cms init` makes a new one")];
        }
    };
    match builder.build().await {
        Err(error) => {
            let fix = error
                .hint()
                .unwrap_or("run `cms init` for a new installation, or restore a backup")
                .to_owned();
            vec![wrong("installation", error.to_string(), fix)]
        }
        Ok(cms) => {
            let found = health(&cms).await;
            cms.shutdown().await;
            found
        }
    }
}

async fn health(cms: &Cms) -> Vec<Finding> {
    let health = cms.health().await;
    let store = match &health.store_error {
        None if let Some(warning) = &health.store_warning => {
            wrong("store", warning.clone(), "bring the engine to a version without this")
        }
        None => {
            right("store", format!("the {} store answers, at revision {}", health.store, health.revision))
        }
        Some(error) => {
            wrong("store", format!("the {} store does not answer: {error}", health.store), "see its log")
        }
    };
    let material = health.material.map(|(name, health)| match health {
        Ok(()) => right("material", format!("{name} answers, and lets CMS in")),
        Err(error) => wrong("material", error, "see its log, and `[openbao]` of the settings"),
    });
    let mut found = vec![store];
    found.extend(material);
    found.push(right("installation", format!("it opens with its seal (`{}`)", health.seal)));
    found
}

fn right(name: &'static str, detail: String) -> Finding {
    Finding { name, ok: true, detail, fix: None }
}

fn wrong(name: &'static str, detail: String, fix: impl Into<String>) -> Finding {
    Finding { name, ok: false, detail, fix: Some(fix.into()) }
}

fn line(finding: &Finding) -> String {
    let mark = if finding.ok { '✔' } else { '✘' };
    let fix = finding.fix.as_ref().map(|fix| format!("    → {fix}\n")).unwrap_or_default();
    format!("{mark} {}: {}\n{fix}", finding.name, finding.detail)
}
