// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every backend of the registry against every case of the suite: one trial each.

use std::sync::Arc;
use std::time::Duration;

use cms_core::store::Capabilities;
use cms_core::testing::store_conformance::{Case, Factory, cases};
use cms_store::Registry;
use libtest_mimic::{Arguments, Failed, Trial};

/// How long a case may take on a machine under load.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let arguments = Arguments::from_args();
    let registry = Registry::builtin();
    let trials =
        registry.schemes().flat_map(|scheme| cases().into_iter().map(move |case| trial(scheme, case)));
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

/// A case that the backend does not promise is shown as ignored, with the reason as its kind.
fn trial(scheme: &'static str, case: Case) -> Trial {
    let name = format!("{scheme}::{}", case.name);
    match capabilities(scheme) {
        Ok(capabilities) if (case.needs)(capabilities) => Trial::test(name, move || run(scheme, case)),
        Ok(_) => Trial::test(name, || Ok(())).with_kind("not promised").with_ignored_flag(true),
        Err(text) => Trial::test(name, move || Err(text.into())),
    }
}

fn run(scheme: &str, case: Case) -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let factory = factory(url(scheme, place.path()));
    let outcome = runtime()?.block_on(async { tokio::time::timeout(PATIENCE, (case.run)(factory)).await });
    match outcome {
        Ok(verdict) => verdict.map_err(Failed::from),
        Err(_) => Err(format!("not done after {PATIENCE:?}").into()),
    }
}

fn capabilities(scheme: &str) -> Result<Capabilities, String> {
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    let open = factory(url(scheme, place.path()));
    let runtime = runtime().map_err(|error| error.to_string())?;
    runtime.block_on(open()).map(|store| store.capabilities()).map_err(|error| error.to_string())
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

fn url(scheme: &str, place: &std::path::Path) -> String {
    format!("{scheme}:{}", place.display())
}

fn factory(url: String) -> Factory {
    Arc::new(move || {
        let url = url.clone();
        Box::pin(async move { cms_store::open(&url).await })
    })
}
