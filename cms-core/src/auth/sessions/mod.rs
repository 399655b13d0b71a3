// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Login sessions: begun with a password, carried on with single-use refresh tokens, ended by a
//! logout, by a new password, or by the second use of a refresh token.

mod record;
mod sweep;
#[cfg(test)]
mod tests;

use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::api::auth::{Login, Refresh, TokenPair};
use crate::audit::AuditOutcome;
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::counts::End;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{ProjectId, UserId};
use crate::kit::Kit;
use crate::sensitive::Sensitive;
use crate::store::{Condition, Entry, Outcome, Range, Transaction};

use super::credential::random;
use super::password::Passwords;
use super::sealed::{Fresh, Sealed};
use super::throttle::{self, Attempt};
use super::tokens::{ACCESS_LIFETIME, Tokens};
use super::users::{LiveUser, UserRecord, user_key};
use super::{Principal, PrincipalKind, Target, event};
use record::{Presented, RefreshToken, refresh_key};

pub(crate) use record::{RefreshRecord, SessionRecord, session_key};

/// For how long a refresh token works.
pub const REFRESH_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// For how long a session can be carried on at most.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How many sessions a user has at most; one more ends the oldest.
pub const MAX_SESSIONS: usize = 100;

const LOGIN: &str = "auth:login";
const REFRESH: &str = "auth:refresh";
const LOGOUT: &str = "auth:logout";
const LINES: u64 = 256;
const ATTEMPTS: usize = 16;

/// The login sessions of the installation.
#[derive(Debug, Clone)]
pub struct Sessions {
    kit: Kit,
    sealed: Sealed,
    tokens: Tokens,
    passwords: Passwords,
    lines: Arc<Lines>,
}

/// Attempts for the same user stand in line, so that each sees the failures of those before.
#[derive(Debug, Default)]
struct Lines {
    /// Which users share a line is nobody's to know.
    hasher: std::hash::RandomState,
    first: tokio::sync::Mutex<()>,
    others: Vec<tokio::sync::Mutex<()>>,
}

impl Lines {
    fn new() -> Self {
        Self { others: (1..LINES).map(|_| tokio::sync::Mutex::new(())).collect(), ..Self::default() }
    }

    fn of(&self, user: Option<&UserId>) -> &tokio::sync::Mutex<()> {
        let line = self.hasher.hash_one(user.map(UserId::as_str)) % LINES;
        usize::try_from(line).ok().and_then(|line| self.others.get(line)).unwrap_or(&self.first)
    }
}

impl Sessions {
    pub(crate) fn new(kit: Kit, tokens: Tokens, passwords: Passwords) -> Self {
        let sealed = Sealed::of(&kit);
        Self { kit, sealed, tokens, passwords, lines: Arc::new(Lines::new()) }
    }

    /// Begins a session. Whether the user or the password was wrong shows neither in the answer nor
    /// in its time.
    ///
    /// # Errors
    /// `Unauthenticated` for a wrong user or password; `TooMany` after too many of them.
    pub async fn login(&self, ctx: &RequestContext, request: Login) -> Result<TokenPair> {
        let pair = self.try_login(ctx, request).await;
        self.kit.db.counts().logged_in(match pair.as_ref().map_err(Error::kind) {
            Ok(_) => End::Done,
            Err(ErrorKind::Unauthenticated) => End::Refused,
            Err(ErrorKind::TooMany) => End::Throttled,
            Err(_) => End::Failed,
        });
        pair
    }

    async fn try_login(&self, ctx: &RequestContext, request: Login) -> Result<TokenPair> {
        let password = Sensitive::new(request.password);
        if self.kit.barrier.is_sealed() {
            return Err(self.kit.barrier.sealed());
        }
        // What cannot be a name is treated like a name that nobody has.
        let user = UserId::parse(&request.username).ok().map(|user| user.canonical());
        let attempt = Attempt::new(user.as_ref(), ctx.address);
        let queued = self.passwords.queue()?;
        let line = self.lines.of(user.as_ref()).lock().await;
        let turn = queued.turn().await?;
        if let Err(throttled) = throttle::check(&self.kit.db, &attempt, self.kit.now()).await {
            self.record_refusal(ctx, LOGIN, None, "too many failed logins").await?;
            return Err(throttled);
        }
        let found = match &user {
            Some(user) => self.sealed.fresh::<UserRecord>(&ProjectId::platform(), &user_key(user)).await?,
            None => None,
        };
        let known = found.as_ref().map(|found| &found.record);
        let right = turn.verify(&password, known.map(|user| user.password.as_str())).await?;
        let reason = match known {
            Some(record) if right && !record.disabled => {
                drop((turn, line));
                return self.begin(ctx, record, &attempt).await;
            }
            Some(record) if right && record.disabled => "the user is disabled",
            Some(_) => "wrong password",
            None => "no such user",
        };
        throttle::fail(&self.kit.db, &attempt, self.kit.now()).await?;
        // A name that nobody has may be a password in the wrong field: it is not written down.
        self.refuse(ctx, LOGIN, user.as_ref().filter(|_| known.is_some()), reason).await
    }

    async fn begin(&self, ctx: &RequestContext, user: &UserRecord, attempt: &Attempt) -> Result<TokenPair> {
        for _ in 0..ATTEMPTS {
            // It fails only if a key was rotated at this very moment.
            if let Some(pair) = self.try_begin(ctx, user, attempt).await? {
                return Ok(pair);
            }
        }
        Err(Error::unavailable("login_busy", "too many changes at once; try again in a moment"))
    }

    async fn try_begin(
        &self,
        ctx: &RequestContext,
        user: &UserRecord,
        attempt: &Attempt,
    ) -> Result<Option<TokenPair>> {
        let now = self.kit.now();
        let id = UserId::parse(&user.user)?;
        let sid = new_sid(now)?;
        let session = SessionRecord {
            v: 1,
            sid: sid.clone(),
            user: user.user.clone(),
            uid: user.uid.clone(),
            epoch: user.epoch,
            created_at: now,
            ends_at: now.after(SESSION_LIFETIME),
            address: ctx.address.map(|address| address.to_string()),
        };
        let mut refresh = RefreshRecord::new(&id)?;
        let token = refresh.next(&sid, now.after(REFRESH_LIFETIME))?;
        let access = self.tokens.issue(&id, &sid).await?;
        let platform = ProjectId::platform();
        let change = self
            .make_room(&id)
            .await?
            .and(self.sealed.write(&platform, &session_key(&id, &sid), None, &session).await?)
            .and(self.sealed.write(&platform, &refresh_key(&sid), None, &refresh).await?)
            .and(throttle::forgive(attempt));
        let ctx = as_user(ctx, &id, user, &sid);
        let record = event(LOGIN, Target::platform("session").named(sid.as_str()));
        let outcome = self.kit.commit(&ctx, record, change).await?;
        Ok(matches!(outcome, Outcome::Committed { .. }).then(|| pair(access, &token)))
    }

    /// Ends a user's oldest session if there are too many.
    async fn make_room(&self, user: &UserId) -> Result<Transaction> {
        let range = Range::prefix(&session_key(user, "")).limit(MAX_SESSIONS);
        let entries = self.kit.db.range(range).await?.entries;
        let full = entries.len() >= MAX_SESSIONS;
        match entries.into_iter().next().filter(|_| full) {
            Some(entry) => {
                let sid = entry.key.rsplit('/').next().unwrap_or_default();
                Ok(Transaction::new().delete(entry.key.clone()).delete(refresh_key(sid)))
            }
            None => Ok(Transaction::new()),
        }
    }

    /// Exchanges a refresh token for the next pair. A token that was used before ends the session:
    /// one of the two who had it is a thief.
    ///
    /// # Errors
    /// `Unauthenticated` if the token does not work.
    pub async fn refresh(&self, ctx: &RequestContext, request: Refresh) -> Result<TokenPair> {
        let text = Sensitive::new(request.refresh_token);
        if self.kit.barrier.is_sealed() {
            return Err(self.kit.barrier.sealed());
        }
        let Some(token) = RefreshToken::parse(text.expose()) else {
            return self.refuse(ctx, REFRESH, None, "no refresh token").await;
        };
        for _ in 0..ATTEMPTS {
            let key = refresh_key(token.sid);
            let found = self.sealed.fresh::<RefreshRecord>(&ProjectId::platform(), &key).await?;
            let Some(Fresh { entry, record }) = found else {
                return self.refuse(ctx, REFRESH, None, "the session has ended").await;
            };
            let user = UserId::parse(&record.user)?;
            match record.judge(&token) {
                Presented::Foreign => return self.refuse(ctx, REFRESH, None, "no refresh token").await,
                Presented::Used => {
                    return self.revoke(ctx, &user, token.sid, "a refresh token was used twice").await;
                }
                Presented::Current => {}
            }
            let Some((session, live)) = self.fresh_session(&user, token.sid).await? else {
                return self.revoke(ctx, &user, token.sid, "the session has ended").await;
            };
            if record.expires_at <= self.kit.now() {
                return self.revoke(ctx, &user, token.sid, "the refresh token has expired").await;
            }
            if let Some(pair) = self.carry_on(ctx, &session, &live, entry, record).await? {
                return Ok(pair);
            }
        }
        Err(Error::unavailable("login_busy", "too many refreshes at once; try again in a moment"))
    }

    /// Replaces the refresh token; `None` if somebody else did so at the same moment.
    async fn carry_on(
        &self,
        ctx: &RequestContext,
        session: &SessionRecord,
        live: &LiveUser,
        entry: Entry,
        mut record: RefreshRecord,
    ) -> Result<Option<TokenPair>> {
        let now = self.kit.now();
        let token = record.next(&session.sid, session.ends_at.min(now.after(REFRESH_LIFETIME)))?;
        let access = self.tokens.issue(&live.user, &session.sid).await?;
        let platform = ProjectId::platform();
        let change = self
            .sealed
            .write(&platform, &entry.key, Some(&entry), &record)
            .await?
            .when(Condition::Present(session_key(&live.user, &session.sid)));
        let ctx = as_live(ctx, live, &session.sid);
        let record = event(REFRESH, Target::platform("session").named(session.sid.as_str()));
        let outcome = self.kit.commit(&ctx, record, change).await?;
        Ok(matches!(outcome, Outcome::Committed { .. }).then(|| pair(access, &token)))
    }

    /// Ends the caller's session: its access tokens stop working everywhere within a second.
    ///
    /// # Errors
    /// `Invalid` if the caller has none.
    pub async fn logout(&self, ctx: &RequestContext) -> Result<()> {
        let PrincipalKind::User { user, session, .. } = &ctx.principal.kind else {
            return Err(Error::invalid("only a user's access token has a session that can be ended"));
        };
        let record = event(LOGOUT, Target::platform("session").named(&**session));
        self.kit.commit(ctx, record, ending(user, session)).await?;
        Ok(())
    }

    /// The session and its user, if both still stand.
    pub(crate) async fn session(
        &self,
        user: &UserId,
        sid: &str,
    ) -> Result<Option<(Arc<SessionRecord>, Arc<LiveUser>)>> {
        let platform = ProjectId::platform();
        let keep = |record: SessionRecord, _| Ok(record);
        let session = self.sealed.cached(&platform, &session_key(user, sid), keep).await?;
        let build = |record: UserRecord, _| LiveUser::new(&record);
        let live = self.sealed.cached(&platform, &user_key(user), build).await?;
        let (Some(session), Some(live)) = (session, live) else { return Ok(None) };
        let stands = session.belongs_to(&live) && session.ends_at > self.kit.now();
        Ok(stands.then_some((session, live)))
    }

    /// The same, past the cache: before a session is ended because it does not stand.
    async fn fresh_session(&self, user: &UserId, sid: &str) -> Result<Option<(SessionRecord, LiveUser)>> {
        let platform = ProjectId::platform();
        let session = self.sealed.fresh::<SessionRecord>(&platform, &session_key(user, sid)).await?;
        let live = self.sealed.fresh::<UserRecord>(&platform, &user_key(user)).await?;
        let (Some(session), Some(live)) = (session, live) else { return Ok(None) };
        let (session, live) = (session.record, LiveUser::new(&live.record)?);
        let stands = session.belongs_to(&live) && session.ends_at > self.kit.now();
        Ok(stands.then_some((session, live)))
    }

    /// Ends a session because of what its refresh token tells, and refuses the token.
    async fn revoke(
        &self,
        ctx: &RequestContext,
        user: &UserId,
        sid: &str,
        reason: &'static str,
    ) -> Result<TokenPair> {
        let record = event(REFRESH, Target::platform("session").named(sid))
            .outcome(AuditOutcome::Denied)
            .reason(Some(format!("{reason}; the session of `{user}` is revoked")));
        self.kit.commit(ctx, record, ending(user, sid)).await?;
        Err(refusal(REFRESH))
    }

    /// Records a refusal and gives the one answer to all of them.
    async fn refuse(
        &self,
        ctx: &RequestContext,
        action: &'static str,
        user: Option<&UserId>,
        reason: &'static str,
    ) -> Result<TokenPair> {
        self.record_refusal(ctx, action, user, reason).await?;
        Err(refusal(action))
    }

    async fn record_refusal(
        &self,
        ctx: &RequestContext,
        action: &'static str,
        user: Option<&UserId>,
        reason: &'static str,
    ) -> Result<()> {
        let target = match user {
            Some(user) => Target::platform("user").named(user.as_str()),
            None => Target::platform("user"),
        };
        let record = event(action, target).outcome(AuditOutcome::Denied).reason(Some(reason.to_owned()));
        self.kit.audit.access(ctx, record).await
    }
}

/// The one answer to everything that is wrong with a login, or with a refresh token.
fn refusal(action: &str) -> Error {
    let text = if action == LOGIN {
        "the user or the password is wrong"
    } else {
        "the refresh token does not work; log in again"
    };
    Error::new(ErrorKind::Unauthenticated, "unauthenticated", text)
}

/// What ends a session. It needs no condition: ending twice is ending once.
fn ending(user: &UserId, sid: &str) -> Transaction {
    Transaction::new().delete(session_key(user, sid)).delete(refresh_key(sid))
}

/// A session's id: ordered by time, and no secret.
fn new_sid(now: Timestamp) -> Result<String> {
    let millis = u64::try_from(now.as_millis()).unwrap_or(0);
    let id: Uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random::<10>()?).into_uuid();
    Ok(id.simple().to_string())
}

fn pair(access: String, refresh: &Sensitive<String>) -> TokenPair {
    TokenPair {
        access_token: access,
        token_type: "Bearer".to_owned(),
        expires_in: ACCESS_LIFETIME.as_secs(),
        refresh_token: refresh.expose().clone(),
    }
}

/// The request as one of the user who has just proved who it is.
fn as_user(ctx: &RequestContext, user: &UserId, record: &UserRecord, sid: &str) -> RequestContext {
    let kind = PrincipalKind::User { user: user.clone(), role: record.role, session: Arc::from(sid) };
    RequestContext { principal: Arc::new(Principal { kind }), ..ctx.clone() }
}

fn as_live(ctx: &RequestContext, live: &LiveUser, sid: &str) -> RequestContext {
    RequestContext { principal: Arc::new(live.principal(Arc::from(sid))), ..ctx.clone() }
}
