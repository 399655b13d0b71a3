// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms dev`: a server to try things out, on this machine only, with something in it. Its seal guards
//! nothing and its store goes when it ends, unless a directory to keep is named.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use cms_core::Cms;
use cms_core::crypto::DevSeal;
use cms_core::sensitive::Sensitive;
use ipnet::IpNet;
use serde_json::json;
use tempfile::TempDir;
use tracing_subscriber::EnvFilter;

use super::app::App;
use super::failure::Failure;
use super::output::Format;
use super::sample;
use super::serve::{OpaArgs, failed, trial, wrong};
use crate::http::Options;
use crate::notify::HttpNotifier;
use crate::server::{Server, builder};
use crate::settings::{DEFAULT_LISTEN, LogFormat, OpaSettings};
use crate::{hardening, telemetry};

/// How many connections are open at once.
const CONNECTIONS: usize = 20_000;
/// Where a kept installation notes its root credential.
const TOKEN_FILE: &str = "root-token";

/// Start a server to try things out: embedded, on this machine only
#[derive(Args)]
#[command(after_help = "Example:\n  cms dev\n  cms dev --persist ./cms-data --listen 127.0.0.1:7090")]
pub(crate) struct DevArgs {
    /// Keep the data in this directory
    #[arg(long, value_name = "DIR")]
    persist: Option<PathBuf>,
    /// Address to listen on; only this machine's own
    #[arg(long, value_name = "ADDR", default_value = DEFAULT_LISTEN)]
    listen: String,
    #[command(flatten)]
    opa: OpaArgs,
    /// Root credential to use instead of a random one
    #[arg(long, value_name = "TOKEN")]
    root_token: Option<String>,
    /// Begin without the sample project `demo`
    #[arg(long)]
    no_sample: bool,
    /// What is logged
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    log_filter: String,
}

/// Serves until a signal.
///
/// # Errors
/// A usage error for an address of other machines, a failure for anything that keeps it from serving.
pub(crate) async fn run(args: DevArgs, app: &App) -> Result<(), Failure> {
    let address = loopback(&args.listen)?;
    let opa = args.opa.over(OpaSettings::default()).place(true).map_err(wrong)?;
    if let Some(place) = &opa {
        loopback(&place.listen.to_string())?;
    }
    let filter = EnvFilter::try_new(&args.log_filter).map_err(wrong)?;
    telemetry::start(LogFormat::Pretty, filter).map_err(failed)?;
    hardening::apply();
    let home = Home::new(args.persist.as_deref())?;
    let (cms, root, is_new) = open(&home, args.root_token.map(Sensitive::new)).await?;
    let key = if is_new && !args.no_sample { Some(sample::load(&cms).await?) } else { None };
    let mut server =
        Server::bind(cms, address, None, CONNECTIONS, Options::default()).await.map_err(failed)?;
    if let Some(place) = opa {
        server = server.with_opa(place, CONNECTIONS).await.map_err(failed)?;
    }
    let (url, opa_url, out) = (server.url(), server.opa_url(), app.out.clone());
    let ready = move || match out.format {
        Format::Json => {
            let mut ready = json!({"url": url, "root_token": root.expose()});
            if let (Some(opa_url), Some(fields)) = (opa_url, ready.as_object_mut()) {
                fields.insert("opa_url".to_owned(), opa_url.into());
            }
            drop(out.text(&ready.to_string()));
        }
        Format::Table | Format::Yaml => {
            drop(out.text(&welcome(&url, root.expose(), key.as_deref())));
            if let Some(opa_url) = opa_url {
                out.say(&format!("OPA's API on {opa_url}"));
            }
        }
    };
    server.run(ready).await.map_err(failed)
}

/// The address, if it is this machine's own: whoever reaches a dev server can have everything in it.
fn loopback(text: &str) -> Result<SocketAddr, Failure> {
    let known = text.to_socket_addrs().ok().and_then(|mut found| found.next());
    let address = known
        .ok_or_else(|| wrong(format!("`{text}` is no address with a port, such as `{DEFAULT_LISTEN}`")))?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(wrong(format!("`cms dev` listens on this machine only, so not on `{text}`"))
        .hint("use `cms init` and `cms serve` for a server that others can reach"))
}

/// The directory of the store.
struct Home {
    path: PathBuf,
    is_kept: bool,
    /// Removes the directory when it is dropped.
    _temporary: Option<TempDir>,
}

impl Home {
    fn new(persist: Option<&Path>) -> Result<Self, Failure> {
        match persist {
            Some(path) => {
                std::fs::create_dir_all(path)
                    .map_err(|error| failed(format!("`{}`: {error}", path.display())))?;
                Ok(Self { path: path.to_owned(), is_kept: true, _temporary: None })
            }
            None => {
                let temporary = tempfile::Builder::new().prefix("cms-dev-").tempdir().map_err(failed)?;
                Ok(Self { path: temporary.path().to_owned(), is_kept: false, _temporary: Some(temporary) })
            }
        }
    }

    fn store(&self) -> String {
        format!("embedded:{}", self.path.join("store").display())
    }

    fn token_file(&self) -> PathBuf {
        self.path.join(TOKEN_FILE)
    }

    fn known_token(&self) -> Option<Sensitive<String>> {
        let text = std::fs::read_to_string(self.token_file()).ok()?;
        Some(Sensitive::new(text.trim().to_owned()))
    }

    fn note_token(&self, root: &Sensitive<String>) -> Result<(), Failure> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        if !self.is_kept {
            return Ok(());
        }
        let file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.token_file());
        file.and_then(|mut file| writeln!(file, "{}", root.expose())).map_err(failed)
    }
}

/// Opens what is kept there, or makes a new installation; tells whether it is new.
async fn open(
    home: &Home,
    wanted: Option<Sensitive<String>>,
) -> Result<(Cms, Sensitive<String>, bool), Failure> {
    let seal = Arc::new(DevSeal);
    if let Some(root) = home.known_token() {
        if wanted.is_some_and(|wanted| wanted.expose() != root.expose()) {
            return Err(
                wrong("this directory was made with another root token").hint("leave `--root-token` out")
            );
        }
        let builder =
            builder(&home.store().into(), seal).await.map_err(failed)?.trial(trial()?).notifier(near()?);
        let cms = builder.build().await.map_err(failed)?;
        return Ok((cms, root, false));
    }
    let mut builder =
        builder(&home.store().into(), seal).await.map_err(failed)?.trial(trial()?).notifier(near()?);
    if let Some(wanted) = wanted {
        builder = builder.root_credential(wanted);
    }
    let (cms, root) = builder.initialize().await.map_err(failed)?;
    home.note_token(&root)?;
    Ok((cms, root, true))
}

/// Webhooks of a throw-away installation may be on the same machine.
fn near() -> Result<Arc<HttpNotifier>, Failure> {
    let this_machine: [IpNet; 2] =
        [IpAddr::from(Ipv4Addr::LOCALHOST).into(), IpAddr::from(Ipv6Addr::LOCALHOST).into()];
    let notifier = HttpNotifier::new(this_machine.to_vec());
    notifier.map(Arc::new).map_err(|error| Failure::error(format!("cannot set up TLS: {error}")))
}

fn welcome(url: &str, root: &str, key: Option<&str>) -> String {
    let mut text = format!(
        "CMS for development, on this machine only. Nothing here is safe: do not put real secrets in.\n\n\
         \x20 URL         {url}\n  Docs        {url}/api/v1/docs/\n  Root token  {root}\n\n\
         In another terminal:\n\n  export CMS_ADDR={url} CMS_TOKEN={root}\n"
    );
    if let Some(key) = key {
        text.push_str(&format!(
            "\nThe project `demo` has two environments, a RAG policy, data, a secret, a config and this key: {key}\n\n\
             \x20 curl -s {url}/api/v1/projects/demo/decisions -H 'X-API-Key: {key}' \\\n    \
             --json '{}'\n\
             \x20 curl -s -X POST {url}/api/v1/projects/demo/secrets/-/reveal/{} -H \"Authorization: Bearer $CMS_TOKEN\"\n\
             \x20 curl -s '{url}/config/{}?project=demo&environment=prod' -H \"Authorization: Bearer $CMS_TOKEN\"\n\
             \x20 curl -s {url}/api/v1/audit -H \"Authorization: Bearer $CMS_TOKEN\"\n",
            sample::QUESTION,
            sample::SECRET,
            sample::CONFIG,
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_to_copy_is_sent_as_json() {
        let text = welcome("http://127.0.0.1:7080", "root", Some("cms_key"));
        let question = text.lines().find(|line| line.contains(sample::QUESTION)).unwrap();
        assert!(question.trim_start().starts_with("--json "), "{question}");
        assert!(!text.contains(" -d "), "curl would send a form: {text}");
    }

    #[test]
    fn only_this_machine_is_listened_on() {
        for good in ["127.0.0.1:0", "[::1]:7080", "localhost:7080"] {
            assert!(loopback(good).is_ok(), "{good}");
        }
        for bad in ["0.0.0.0:7080", "[::]:7080", "192.0.2.1:7080", "127.0.0.1", "nonsense"] {
            assert!(loopback(bad).is_err(), "{bad}");
        }
    }
}
