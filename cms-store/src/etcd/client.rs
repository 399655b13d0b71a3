// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Calls to the cluster: one member at a time, the next when it fails; what may be sent again and what
//! may not; logging in; and the two things no answer may show: another cluster, or an older state.

use std::fmt;
use std::fs;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use cms_core::store::{StoreError, StoreErrorKind, StoreResult};
use etcd_client::proto::PbResponseHeader;
use etcd_client::{Channel, ConnectOptions, WatchOptions, WatchStream};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic::{ConnectError, Status};

use super::calls::{Call, Headed};
use super::config::EtcdConfig;
use super::error::{NAME, Reached, fail, needs_login, reached, refusal, status_of};

/// How long opening a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How often an idle connection is asked for a sign of life; etcd throws out who asks more than every 5 s.
const KEEP_ALIVE: Duration = Duration::from_secs(6);
/// How long that sign may take.
const SIGN_OF_LIFE: Duration = Duration::from_secs(3);
/// The pause before the next member is asked, once all were.
const PAUSE: Duration = Duration::from_millis(100);
/// How often each member is tried while none can be connected to.
const ROUNDS: usize = 2;
/// A call that may be sent again goes to another member after this share of its time.
const SHARES: u32 = 3;
/// The largest answer that is read.
pub(super) const MAX_ANSWER_BYTES: usize = 48 * 1024 * 1024;

/// Whether a call bears being carried out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// It changes nothing, or nothing more the second time.
    Safe,
    /// Its own conditions keep it from being carried out twice; whether it was, must be found out.
    Guarded,
    /// It must be sent once.
    Never,
}

/// An answer, and whether an earlier try may have been carried out.
pub(super) struct Answered<A> {
    pub answer: A,
    pub repeated: bool,
}

/// The way to a cluster.
pub(super) struct Client {
    members: Vec<Member>,
    /// The member that is asked, which streams follow.
    current: watch::Sender<usize>,
    /// User and password.
    login: Option<(String, String)>,
    cluster: AtomicU64,
    seen: AtomicI64,
    timeout: Duration,
}

/// Two clients share the connection to a member, because one that asks for a leader asks with every call:
/// a watch at a member that is cut off from the others is to end, a change may wait for the next leader.
struct Member {
    address: String,
    calls: etcd_client::Client,
    watches: etcd_client::Client,
    /// Since when the one for calls is logged in.
    logged_in: Mutex<Option<Instant>>,
}

impl Client {
    /// Prepares the way; nothing is sent.
    pub(super) async fn new(config: &EtcdConfig) -> StoreResult<Self> {
        let tls = config.tls.then(|| tls(config)).transpose()?;
        let mut members = Vec::new();
        for url in config.urls() {
            members.push(member(url, tls.clone()).await?);
        }
        let password = config.password.as_ref().map(|password| password.expose().clone());
        let login = config.user.clone().map(|user| (user, password.unwrap_or_default()));
        Ok(Self {
            members,
            current: watch::Sender::new(0),
            login,
            cluster: AtomicU64::new(0),
            seen: AtomicI64::new(0),
            timeout: config.timeout,
        })
    }

    /// The addresses of all members.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.address.as_str())
    }

    /// The newest revision that any answer has shown, by etcd's count.
    pub(super) fn seen(&self) -> i64 {
        self.seen.load(Ordering::Acquire)
    }

    /// Calls and waits for the answer.
    pub(super) async fn call<R: Call>(&self, request: R, again: Again) -> StoreResult<R::Answer> {
        self.try_call(request, again).await.map(|answered| answered.answer)
    }

    /// The same, and tells whether an earlier try may have been carried out.
    pub(super) async fn try_call<R: Call>(
        &self,
        request: R,
        again: Again,
    ) -> StoreResult<Answered<R::Answer>> {
        let before = self.seen();
        let deadline = Instant::now() + self.timeout;
        let mut unreached = 0;
        let mut logged_in = false;
        let mut repeated = false;
        loop {
            let place = *self.current.borrow();
            let patience = match again {
                Again::Safe | Again::Guarded => deadline.min(Instant::now() + self.timeout / SHARES),
                Again::Never => deadline,
            };
            let began = Instant::now();
            let ended = match timeout_at(patience, self.send(place, request.clone())).await {
                Ok(ended) => ended,
                Err(_) => Err(Status::deadline_exceeded("no answer in time")),
            };
            let status = match ended {
                Ok(answer) => {
                    self.note(answer.header(), if R::ORDERED { before } else { 0 })?;
                    return Ok(Answered { answer, repeated });
                }
                Err(status) => status,
            };
            match reached(&status) {
                Reached::Refused if needs_login(&status) && self.login.is_some() && !logged_in => {
                    logged_in = true;
                    if let Ok(member) = self.member(place) {
                        member.log_out(began).await;
                    }
                }
                // The refusal is of this try; the one before may have been carried out.
                Reached::Refused if repeated && again == Again::Guarded => {
                    return Err(self.silent("no answer to the first try came", status, true));
                }
                Reached::Refused => return Err(refusal(status)),
                Reached::Nobody => {
                    self.leave(place, &status);
                    unreached += 1;
                    if unreached >= ROUNDS * self.members.len() || Instant::now() >= deadline {
                        return Err(self.silent(
                            "nobody could be connected to",
                            status,
                            repeated && again != Again::Safe,
                        ));
                    }
                    if unreached % self.members.len() == 0 {
                        sleep(PAUSE).await;
                    }
                }
                Reached::Perhaps => {
                    self.leave(place, &status);
                    repeated = true;
                    if again == Again::Never || Instant::now() >= deadline {
                        return Err(self.silent("no answer came", status, again != Again::Safe));
                    }
                    sleep(PAUSE / 2).await;
                }
            }
        }
    }

    /// Asks one member in particular, once.
    pub(super) async fn ask<R: Call>(&self, place: usize, request: R) -> StoreResult<R::Answer> {
        let ended = timeout(self.timeout / SHARES, self.send(place, request)).await;
        match ended.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time"))) {
            Ok(answer) => Ok(answer),
            Err(status) if reached(&status) == Reached::Refused => Err(refusal(status)),
            Err(status) => Err(self.silent("no answer came", status, false)),
        }
    }

    /// Begins to watch at the present member. The stream is to be left when the receiver shows another.
    pub(super) async fn watch(
        &self,
        key: Vec<u8>,
        options: WatchOptions,
    ) -> Result<(WatchStream, watch::Receiver<usize>), Status> {
        let place = *self.current.borrow();
        let mut moved = self.current.subscribe();
        moved.mark_unchanged();
        let member = self.member(place)?;
        let begun = async {
            // No call keeps this one's token alive, and a stream does not tell that it has ended.
            if let Some(login) = &self.login {
                log_in(&member.watches, login).await?;
            }
            let mut watches = member.watches.watch_client().max_decoding_message_size(MAX_ANSWER_BYTES);
            watches.watch(key, Some(options)).await.map_err(status_of)
        };
        let begun = timeout(self.timeout / SHARES, begun).await;
        match begun.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time"))) {
            Ok(answers) => Ok((answers, moved)),
            Err(status) => {
                if reached(&status) != Reached::Refused {
                    self.leave(place, &status);
                }
                Err(status)
            }
        }
    }

    /// Leaves the present member, because it has not answered as it should.
    pub(super) fn leave_present(&self, status: &Status) {
        let place = *self.current.borrow();
        self.leave(place, status);
    }

    /// Checks what an answer shows of the cluster, which had come to revision `before`.
    pub(super) fn note(&self, header: Option<&PbResponseHeader>, before: i64) -> StoreResult<()> {
        let Some(header) = header else { return Ok(()) };
        let known = self.cluster.compare_exchange(0, header.cluster_id, Ordering::AcqRel, Ordering::Acquire);
        if known.is_err_and(|known| known != header.cluster_id) {
            let text = "another cluster answers than before: check the URL, then start CMS again";
            return Err(fail(StoreErrorKind::Corrupt, text));
        }
        if header.revision < before {
            let text = format!(
                "the cluster went back from revision {before} to {}: it was put back to an older state, or has \
                 lost writes; check it, then start CMS again",
                header.revision
            );
            return Err(fail(StoreErrorKind::Corrupt, text));
        }
        self.seen.fetch_max(header.revision, Ordering::AcqRel);
        Ok(())
    }

    async fn send<R: Call>(&self, place: usize, request: R) -> Result<R::Answer, Status> {
        let member = self.member(place)?;
        if let Some(login) = &self.login {
            member.log_in(login).await?;
        }
        request.send(member.calls.clone()).await.map_err(status_of)
    }

    fn member(&self, place: usize) -> Result<&Member, Status> {
        self.members.get(place).ok_or_else(|| Status::internal("no such member"))
    }

    fn leave(&self, place: usize, status: &Status) {
        let next = (place + 1) % self.members.len().max(1);
        let left = self.current.send_if_modified(|current| {
            let ours = *current == place && next != place;
            if ours {
                *current = next;
            }
            ours
        });
        if left {
            let (address, next) = (self.address(place), self.address(next));
            tracing::warn!(%address, %next, reason = status.message(), "etcd: going on with another member");
        }
    }

    fn address(&self, place: usize) -> &str {
        self.members.get(place).map_or("", |member| &member.address)
    }

    /// The error when nobody answers.
    fn silent(&self, what: &str, status: Status, perhaps: bool) -> StoreError {
        let members: Vec<&str> = self.addresses().collect();
        let members = members.join("`, `");
        if perhaps {
            let text = format!(
                "{what} from `{members}`, and the change may have been made: read before trying again"
            );
            return fail(StoreErrorKind::Unknown, text).with_source(status);
        }
        let text = format!(
            "{what} at `{members}`: check that a majority of the members runs and can be reached from here, by \
             TLS or without as the URL says"
        );
        fail(StoreErrorKind::Unavailable, text).with_source(status)
    }
}

impl Member {
    async fn new(address: String, channel: tonic::transport::Channel) -> Result<Self, etcd_client::Error> {
        let channel = Channel::Tonic(channel);
        // Without a user, nothing is sent.
        let client = |options| etcd_client::Client::from_channel(channel.clone(), Some(options));
        let calls = client(ConnectOptions::new()).await?;
        let watches = client(ConnectOptions::new().with_require_leader(true)).await?;
        Ok(Self { address, calls, watches, logged_in: Mutex::default() })
    }

    /// Logs the client for calls in, if it is not.
    async fn log_in(&self, login: &(String, String)) -> Result<(), Status> {
        let mut logged_in = self.logged_in.lock().await;
        if logged_in.is_none() {
            log_in(&self.calls, login).await?;
            *logged_in = Some(Instant::now());
        }
        Ok(())
    }

    /// Has the next call log in, unless somebody has since a call began that was refused.
    async fn log_out(&self, began: Instant) {
        let mut logged_in = self.logged_in.lock().await;
        *logged_in = logged_in.filter(|at| *at > began);
    }
}

/// Logs a client in.
async fn log_in(client: &etcd_client::Client, login: &(String, String)) -> Result<(), Status> {
    client.clone().update_user(Some(login.clone())).await.map_err(|error| {
        let status = status_of(error);
        match reached(&status) {
            // The call itself has not left.
            Reached::Perhaps => Status::from_error(Box::new(ConnectError(status.into()))),
            Reached::Nobody | Reached::Refused => status,
        }
    })
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("members", &self.addresses().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

async fn member(url: String, tls: Option<ClientTlsConfig>) -> StoreResult<Member> {
    let refused = |error: tonic::transport::Error| {
        let text = format!("`{url}` cannot be used: check host, `etcd.ca`, `etcd.cert` and `etcd.key`");
        fail(StoreErrorKind::Unsupported, text).with_source(error)
    };
    let mut endpoint = Endpoint::from_shared(url.clone()).map_err(refused)?;
    if let Some(tls) = tls {
        endpoint = endpoint.tls_config(tls).map_err(refused)?;
    }
    let channel = endpoint
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(SIGN_OF_LIFE)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
        .connect_lazy();
    Member::new(url, channel).await.map_err(|error| {
        fail(StoreErrorKind::Unsupported, "no client for etcd can be made").with_source(error)
    })
}

fn tls(config: &EtcdConfig) -> StoreResult<ClientTlsConfig> {
    let read = |key: &str, path: &std::path::Path| {
        fs::read(path).map_err(|error| {
            let text = format!("`etcd.{key}`, `{}`, cannot be read", path.display());
            StoreError::new(NAME, StoreErrorKind::Unavailable, text).with_source(error)
        })
    };
    let mut tls = ClientTlsConfig::new().timeout(CONNECT);
    tls = match &config.ca {
        Some(path) => tls.ca_certificate(Certificate::from_pem(read("ca", path)?)),
        None => tls.with_native_roots(),
    };
    if let Some((cert, key)) = &config.identity {
        tls = tls.identity(Identity::from_pem(read("cert", cert)?, read("key", key)?));
    }
    Ok(tls)
}
