// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rate limits, counted in Redis by one script.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use cms_core::limits::{Limit, NoAnswer, RateLimiter, Verdict, Who};
use data_encoding::BASE64URL_NOPAD;
use redis::{Script, cmd};

use super::config::{InvalidRedis, RedisConfig};
use super::connection::{CONNECT, Connection};

/// How much of a hash names a key: two of them do not meet.
const HASH_BYTES: usize = 16;

/// Rate limits that all servers with the same Redis share.
pub struct RedisLimits {
    connection: Connection,
    script: Script,
    prefix: String,
    timeout: Duration,
}

impl RedisLimits {
    /// Prepares the way; Redis need not be there.
    ///
    /// # Errors
    /// For settings that cannot be used.
    pub fn new(config: &RedisConfig) -> Result<Self, InvalidRedis> {
        Ok(Self {
            connection: Connection::new(config.client()?),
            script: Script::new(include_str!("gcra.lua")),
            prefix: config.prefix.clone(),
            timeout: config.timeout,
        })
    }

    /// Connects, and takes the time that this may take.
    ///
    /// # Errors
    /// If Redis cannot be reached or does not answer as it should.
    pub async fn reach(&self) -> Result<(), NoAnswer> {
        self.ping(CONNECT).await
    }

    /// Where somebody is counted. Other rates count anew.
    fn key(&self, limit: Limit, who: &Who) -> String {
        let Limit { name, rate } = limit;
        let text = format!("{name}\n{}\n{}\n{who}", rate.count, rate.period.as_micros());
        let hash = digest(&SHA256, text.as_bytes());
        let hash = hash.as_ref().get(..HASH_BYTES).unwrap_or_default();
        format!("{}:limit:{}", self.prefix, BASE64URL_NOPAD.encode(hash))
    }

    async fn ping(&self, time: Duration) -> Result<(), NoAnswer> {
        self.connection.call(time, async |connection| cmd("PING").exec_async(connection).await).await
    }
}

#[async_trait]
impl RateLimiter for RedisLimits {
    fn name(&self) -> &'static str {
        "redis"
    }

    async fn count(&self, limit: Limit, who: &Who) -> Result<Verdict, NoAnswer> {
        let count = limit.rate.count.get();
        // Redis counts microseconds: rather one more than a rate above what was asked for.
        let interval = limit.rate.period.as_micros().div_ceil(count.into()).max(1);
        let mut call = self.script.key(self.key(limit, who));
        call.arg(u64::try_from(interval).unwrap_or(u64::MAX)).arg(count);
        let counted =
            self.connection.call(self.timeout, async |connection| call.invoke_async(connection).await);
        let (allowed, number): (bool, u64) = counted.await?;
        Ok(if allowed {
            Verdict::Allowed { remaining: u32::try_from(number).unwrap_or(u32::MAX) }
        } else {
            Verdict::Refused { wait: Duration::from_micros(number) }
        })
    }

    async fn check(&self) -> Result<(), NoAnswer> {
        self.ping(self.timeout).await
    }
}

impl fmt::Debug for RedisLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLimits").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
