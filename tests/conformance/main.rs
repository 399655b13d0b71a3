// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every backend of the registry against every case of the suite, and every material of secrets against its own:
//! one trial each.

mod material;

use std::sync::Arc;
use std::time::Duration;

use cms_core::store::Capabilities;
use cms_core::testing::store_conformance::{Case, Factory, cases};
use cms_store::Registry;
use cms_tests::{Etcd, etcd};
use libtest_mimic::{Arguments, Failed, Trial};
use tempfile::TempDir;

/// How long a case may take on a machine under load.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let arguments = Arguments::from_args();
    let registry = Registry::builtin();
    // `etcds` is `etcd` by TLS, which the tests of the store look at.
    let trials = registry.schemes().filter(|scheme| *scheme != "etcds").flat_map(trials);
    libtest_mimic::run(&arguments, trials.chain(material::trials()).collect()).exit();
}

/// A case that the backend does not promise, or whose server is not there, is shown as ignored, with the reason as
/// its kind.
fn trials(scheme: &'static str) -> Vec<Trial> {
    let promised = match scheme {
        "etcd" => etcd::missing().map_or(Ok(()), Err),
        _ => Ok(()),
    };
    let promised = promised.map(|()| capabilities(scheme));
    let trial = |case: Case| {
        let name = format!("{scheme}::{}", case.name);
        let ignored = |name, reason| Trial::test(name, || Ok(())).with_kind(reason).with_ignored_flag(true);
        match &promised {
            Err(reason) => ignored(name, *reason),
            Ok(Err(text)) => {
                let text = text.clone();
                Trial::test(name, move || Err(text.into()))
            }
            Ok(Ok(capabilities)) if (case.needs)(*capabilities) => {
                Trial::test(name, move || run(scheme, case))
            }
            Ok(Ok(_)) => ignored(name, "not promised"),
        }
    };
    cases().into_iter().map(trial).collect()
}

fn run(scheme: &str, case: Case) -> Result<(), Failed> {
    let place = Place::new(scheme)?;
    let factory = place.factory(scheme);
    let outcome = runtime()?.block_on(async { tokio::time::timeout(PATIENCE, (case.run)(factory)).await });
    match outcome {
        Ok(verdict) => verdict.map_err(Failed::from),
        Err(_) => Err(format!("not done after {PATIENCE:?}").into()),
    }
}

fn capabilities(scheme: &str) -> Result<Capabilities, String> {
    let place = Place::new(scheme).map_err(|error| error.to_string())?;
    let runtime = runtime().map_err(|error| error.to_string())?;
    let open = place.factory(scheme);
    runtime.block_on(open()).map(|store| store.capabilities()).map_err(|error| error.to_string())
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// Where the store of one case lies.
enum Place {
    Directory(TempDir),
    Etcd(Etcd),
}

impl Place {
    fn new(scheme: &str) -> std::io::Result<Self> {
        if scheme == "etcd" {
            Ok(Self::Etcd(Etcd::single()))
        } else {
            tempfile::tempdir().map(Self::Directory)
        }
    }

    fn factory(&self, scheme: &str) -> Factory {
        let url = match self {
            Self::Directory(place) => format!("{scheme}:{}", place.path().display()),
            Self::Etcd(etcd) => etcd.url("suite"),
        };
        Arc::new(move || {
            let url = url.clone();
            Box::pin(async move { cms_store::open(&url).await })
        })
    }
}
