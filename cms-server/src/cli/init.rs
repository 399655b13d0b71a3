// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms init`: makes a new installation on an empty store and prints its root credential, this once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use cms_core::crypto::{KeySeal, KeySource, create_key_file};
use cms_core::sensitive::Sensitive;
use serde_json::json;

use super::app::App;
use super::failure::{Exit, Failure};
use super::serve::{failed, wrong};
use crate::place::StorePlace;
use crate::server::builder;
use crate::settings::Settings;

/// Make a new installation
#[derive(Args)]
#[command(
    after_help = "Example:\n  cms init --store embedded:/var/lib/cms --seal-key-file /etc/cms/seal.key"
)]
pub(crate) struct InitArgs {
    /// Settings file, of which only `[etcd]` counts here
    #[arg(long, env = "CMS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// URL of the store, such as `embedded:/var/lib/cms` or `etcd://HOST:PORT/PREFIX`
    #[arg(long, env = "CMS_STORE", value_name = "URL")]
    store: String,
    /// File with the seal key; made if it does not exist
    #[arg(long, env = "CMS_SEAL_KEY_FILE", value_name = "FILE")]
    seal_key_file: PathBuf,
}

/// Makes the installation.
///
/// # Errors
/// A conflict if the store holds an installation; a failure for anything else that keeps it from being made.
pub(crate) async fn run(args: InitArgs, app: &App) -> Result<(), Failure> {
    let settings = Settings::load(args.config.as_deref(), |name| std::env::var(name).ok()).map_err(wrong)?;
    let place = StorePlace { url: args.store.clone(), etcd: settings.etcd };
    let key = KeyFile::at(&args.seal_key_file)?;
    let seal = Arc::new(KeySeal::new(KeySource::File(args.seal_key_file.clone())));
    let made = match builder(&place, seal).await {
        Ok(builder) => builder.initialize().await.map_err(refused),
        Err(error) => Err(failed(error)),
    };
    let (cms, root) = made?;
    key.keep();
    cms.shutdown().await;
    show(app, &args, &root)
}

fn show(app: &App, args: &InitArgs, root: &Sensitive<String>) -> Result<(), Failure> {
    let (store, key) = (&args.store, args.seal_key_file.display());
    app.out.say(&format!(
        "A new installation on {store}, sealed with {key}.\n\
         Keep the seal key apart from the store: one without the other opens nothing, and none of them can be\n\
         made again. The root credential below is shown this once; it recovers from everything, so keep it safe.\n\n\
         Next: cms serve --store {store} --seal-key-file {key}"
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
