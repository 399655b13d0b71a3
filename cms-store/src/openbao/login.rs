// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who CMS is at OpenBao: logging in, renewing the token before its time is over, and logging in anew when it
//! does not count any more. At most one login at a time, and one a second.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use cms_core::sensitive::Sensitive;
use futures_util::future::BoxFuture;
use parking_lot::RwLock;
use vaultrs::auth::{approle, kubernetes};
use vaultrs::client::VaultClient;
use vaultrs::token;

use super::circuit::chance;
use super::client::Door;
use super::config::Login;
use super::error::Trouble;

/// The shortest time between two logins.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a token is used before it is looked at again, where it needs no renewal.
const LOOK: Duration = Duration::from_secs(60);

/// The token in use, and the way to the next one.
#[derive(Debug)]
pub(super) struct Session {
    door: Door,
    token: RwLock<Option<Arc<Token>>>,
    /// One login at a time; when the last one was.
    gate: tokio::sync::Mutex<Option<Instant>>,
}

/// Somebody who is logged in.
pub(super) struct Token {
    pub(super) client: Arc<VaultClient>,
    /// When it is to be renewed, if it ends at all.
    due: Option<Instant>,
    /// For how long it counted at first.
    whole: Duration,
    is_renewable: bool,
}

impl Session {
    pub(super) fn new(door: Door) -> Arc<Self> {
        Arc::new(Self { door, token: RwLock::default(), gate: tokio::sync::Mutex::default() })
    }

    /// The token in use; logs in if there is none.
    pub(super) async fn token(self: &Arc<Self>) -> Result<Arc<Token>, Trouble> {
        if let Some(token) = self.present() {
            return Ok(token);
        }
        self.log_in(None).await
    }

    /// The token after one that did not count.
    pub(super) async fn instead_of(self: &Arc<Self>, refused: &Arc<Token>) -> Result<Arc<Token>, Trouble> {
        self.log_in(Some(refused)).await
    }

    fn present(&self) -> Option<Arc<Token>> {
        self.token.read().clone()
    }

    async fn log_in(self: &Arc<Self>, refused: Option<&Arc<Token>>) -> Result<Arc<Token>, Trouble> {
        let mut last = self.gate.lock().await;
        let present = self.present();
        // Somebody else may have been faster.
        if let Some(present) = &present
            && !refused.is_some_and(|refused| Arc::ptr_eq(refused, present))
        {
            return Ok(present.clone());
        }
        if let (Some(last), Some(present)) = (*last, present)
            && last.elapsed() < PAUSE
        {
            return Ok(present);
        }
        *last = Some(Instant::now());
        let is_first = self.present().is_none();
        let token = Arc::new(self.door.log_in().await.map_err(Trouble::at_login)?);
        *self.token.write() = Some(token.clone());
        if is_first {
            tokio::spawn(tend(Arc::downgrade(self)));
        } else {
            tracing::info!("logged in at OpenBao anew");
        }
        Ok(token)
    }

    /// Renews the token that is due; by a new login if that is not to be had.
    async fn renew(self: &Arc<Self>, old: &Arc<Token>) -> Result<(), Trouble> {
        if old.is_renewable
            && let Ok(auth) = token::renew_self(&*old.client, None).await
        {
            let left = Duration::from_secs(auth.lease_duration);
            // Near the end of what OpenBao grants at all, each renewal is for less.
            if left > old.whole / 3 {
                let renewed = Token {
                    client: old.client.clone(),
                    due: due(left),
                    whole: old.whole,
                    is_renewable: auth.renewable,
                };
                *self.token.write() = Some(Arc::new(renewed));
                return Ok(());
            }
        }
        self.log_in(Some(old)).await.map(|_| ())
    }
}

/// Keeps a session's token from ending, for as long as there is a session.
fn tend(session: Weak<Session>) -> BoxFuture<'static, ()> {
    Box::pin(tend_until_gone(session))
}

async fn tend_until_gone(session: Weak<Session>) {
    let mut wait = PAUSE;
    loop {
        tokio::time::sleep(wait).await;
        let Some(session) = session.upgrade() else { return };
        let Some(token) = session.present() else { return };
        let now = Instant::now();
        wait = match token.due {
            Some(due) if due <= now => match session.renew(&token).await {
                Ok(()) => PAUSE,
                Err(trouble) => {
                    tracing::debug!(reason = %trouble, "the token for OpenBao could not be renewed");
                    PAUSE + Duration::from_millis(chance(1_000))
                }
            },
            Some(due) => (due - now).min(LOOK),
            None => LOOK,
        };
    }
}

/// When something is to be renewed that ends after `left`: after two thirds of it, give or take.
fn due(left: Duration) -> Option<Instant> {
    let spread = u64::try_from(left.as_millis() / 20).unwrap_or_default();
    (!left.is_zero()).then(|| Instant::now() + left * 2 / 3 - Duration::from_millis(chance(spread)))
}

impl Door {
    async fn log_in(&self) -> Result<Token, Trouble> {
        let nobody = self.client("");
        let auth = match &self.config().login {
            Login::Token { file } => {
                let text = read(file, "a token")?;
                let client = self.client(text.expose());
                let about = token::lookup_self(&client).await?;
                let left = Duration::from_secs(about.ttl);
                return Ok(Token {
                    client: Arc::new(client),
                    due: due(left),
                    whole: left,
                    is_renewable: about.renewable.unwrap_or_default(),
                });
            }
            Login::AppRole { mount, role_id, secret_id_file } => {
                let secret_id = read(secret_id_file, "a secret id")?;
                approle::login(&nobody, mount, role_id, secret_id.expose()).await
            }
            Login::Kubernetes { mount, role, jwt_file } => {
                let jwt = read(jwt_file, "a token")?;
                kubernetes::login(&nobody, mount, role, jwt.expose()).await
            }
        };
        let auth = auth?;
        let text = Sensitive::new(auth.client_token);
        if !is_header(text.expose()) {
            return Err(Trouble::down("answers what cannot be read").with_detail("the token is no text"));
        }
        let left = Duration::from_secs(auth.lease_duration);
        Ok(Token {
            client: Arc::new(self.client(text.expose())),
            due: due(left),
            whole: left,
            is_renewable: auth.renewable,
        })
    }
}

/// Reads what proves who CMS is. The path is for the log only.
fn read(path: &Path, what: &str) -> Result<Sensitive<String>, Trouble> {
    let fail = |why: String| {
        let detail = format!("`{}` holds no {what} for OpenBao: {why}", path.display());
        Trouble::down("cannot be logged in at with the configured file").with_detail(detail)
    };
    let text = fs::read_to_string(path).map(Sensitive::new).map_err(|error| fail(error.to_string()))?;
    let text = text.expose().trim();
    if !is_header(text) {
        return Err(fail(String::from("it must be one line of printable characters")));
    }
    Ok(Sensitive::new(text.to_owned()))
}

fn is_header(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("is_renewable", &self.is_renewable).finish_non_exhaustive()
    }
}
