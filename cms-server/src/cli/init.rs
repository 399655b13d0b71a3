// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms init`: makes a new installation on an empty store and prints its root credential, this once.

use std::path::{Path, PathBuf};

use clap::Args;
use cms_core::crypto::{KeySource, create_key_file};
use cms_core::sensitive::Sensitive;
use serde_json::json;

use super::app::App;
use super::failure::{Exit, Failure};
use super::serve::{failed, wrong};
use crate::place::StorePlace;
use crate::server::builder;
use crate::settings::{SealPlace, SealSettings, Settings};

/// Make a new installation
#[derive(Args)]
#[command(
    after_help = "Example:\n  cms init --store embedded:/var/lib/cms --seal-key-file /etc/cms/seal.key"
)]
pub(crate) struct InitArgs {
    /// Settings file, of which only `[etcd]`, `[openbao]` and `[seal]` count here
    #[arg(long, env = "CMS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// URL of the store, such as `embedded:/var/lib/cms` or `etcd://HOST:PORT/PREFIX`
    #[arg(long, env = "CMS_STORE", value_name = "URL")]
    store: String,
    /// File with the seal key; made if it does not exist
    #[arg(long, env = "CMS_SEAL_KEY_FILE", value_name = "FILE")]
    seal_key_file: Option<PathBuf>,
}

/// Makes the installation.
///
/// # Errors
/// A conflict if the store holds an installation; a failure for anything else that keeps it from being made.
pub(crate) async fn run(args: InitArgs, app: &App) -> Result<(), Failure> {
    let mut settings =
        Settings::load(args.config.as_deref(), |name| std::env::var(name).ok()).map_err(wrong)?;
    if let Some(file) = args.seal_key_file.clone() {
        settings.seal.use_file(file);
    }
    let openbao = settings.openbao.client().map_err(wrong)?;
    let seal = settings.seal.place(openbao.as_ref()).map_err(wrong)?;
    let place = StorePlace { url: args.store.clone(), etcd: settings.etcd };
    let key = match &seal {
        SealPlace::Key(KeySource::File(path)) => Some(KeyFile::at(path)?),
        SealPlace::Key(_) | SealPlace::Transit(_) => None,
    };
    let made = match builder(&place, seal.seal()).await {
        Ok(builder) => builder.initialize().await.map_err(refused),
        Err(error) => Err(failed(error)),
    };
    let (cms, root) = made?;
    if let Some(key) = key {
        key.keep();
    }
    cms.shutdown().await;
    show(app, &args, &settings.seal, &root)
}

fn show(app: &App, args: &InitArgs, seal: &SealSettings, root: &Sensitive<String>) -> Result<(), Failure> {
    let store = &args.store;
    let (sealed, next) = match &seal.key_file {
        Some(file) => (file.display().to_string(), format!(" --seal-key-file {}", file.display())),
        None => (String::from("the key of the settings"), String::from(" with the same settings")),
    };
    app.out.say(&format!(
        "A new installation on {store}, sealed with {sealed}.\n\
         Keep the seal key apart from the store: one without the other opens nothing, and none of them can be\n\
         made again. The root credential below is shown this once; it recovers from everything, so keep it safe.\n\n\
         Next: cms serve --store {store}{next}"
    ));
    app.out.value(&json!({"root_token": root.expose()}), |_| root.expose().clone())
}

fn refused(error: cms_core::Error) -> Failure {
    match error.code() {
        "already_initialized" => Failure::new(Exit::Conflict, error.to_string())
            .hint("start it with `cms serve`, or name an empty store"),
        _ => failed(error),
    }
}

/// The file of the seal key. One that was made here goes again if there is nothing to seal with it.
struct KeyFile<'a> {
    made: Option<&'a Path>,
}

impl<'a> KeyFile<'a> {
    fn at(path: &'a Path) -> Result<Self, Failure> {
        if path.exists() {
            return Ok(Self { made: None });
        }
        create_key_file(path).map_err(failed)?;
        Ok(Self { made: Some(path) })
    }

    fn keep(mut self) {
        self.made = None;
    }
}

impl Drop for KeyFile<'_> {
    fn drop(&mut self) {
        if let Some(path) = self.made {
            // It stays behind if it cannot be removed; it opens nothing.
            let _ = std::fs::remove_file(path);
        }
    }
}
