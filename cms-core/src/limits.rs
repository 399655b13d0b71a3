// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How often somebody may do something: the port that counts it for all servers together. Who counts for
//! one process alone, and what holds when nobody counts for all, is in the front end.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::auth::{Principal, PrincipalKind};
use crate::ids::UserId;

/// How often something may happen: written `200/minute`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How often, also all at once.
    pub count: NonZeroU32,
    /// In which time.
    pub period: Duration,
}

impl Rate {
    /// So many times a minute.
    pub const fn per_minute(count: NonZeroU32) -> Self {
        Self { count, period: Duration::from_secs(60) }
    }
}

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let (count, unit) = text.split_once('/').ok_or(InvalidRate)?;
        let seconds = match unit.trim() {
            "s" | "second" => 1,
            "m" | "minute" => 60,
            "h" | "hour" => 3_600,
            "d" | "day" => 86_400,
            _ => return Err(InvalidRate),
        };
        let count = count.trim().parse().map_err(|_| InvalidRate)?;
        Ok(Self { count, period: Duration::from_secs(seconds) })
    }
}

/// A text that is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a rate is written as `200/minute`: a number, and `second`, `minute`, `hour` or `day`")]
pub struct InvalidRate;

/// One limit, which counts everybody by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limit {
    /// What is limited.
    pub name: &'static str,
    /// How often each may do it.
    pub rate: Rate,
}

/// Who is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    /// A user.
    User(UserId),
    /// An API key, by its id.
    Key(Arc<str>),
    /// The root credential.
    Root,
    /// Nobody in particular, by where the request comes from.
    Address(Option<IpAddr>),
}

impl Who {
    /// Whom a principal is counted as; where nobody need be known, by the address.
    pub fn of(principal: &Principal, address: Option<IpAddr>) -> Self {
        match &principal.kind {
            PrincipalKind::User { user, .. } => Self::User(user.clone()),
            PrincipalKind::Key { id, .. } => Self::Key(id.clone()),
            PrincipalKind::Root => Self::Root,
            PrincipalKind::System | PrincipalKind::Anonymous => Self::Address(address),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "user:{user}"),
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Root => write!(f, "root"),
            Self::Address(Some(address)) => write!(f, "address:{address}"),
            Self::Address(None) => write!(f, "address"),
        }
    }
}

/// What became of something that was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may happen.
    Allowed {
        /// How many more may follow at once.
        remaining: u32,
    },
    /// It may not, and was not counted.
    Refused {
        /// After which time there is room again.
        wait: Duration,
    },
}

/// Nobody counts for all servers now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(pub String);

/// Counts for all servers together.
///
/// What it knows may be lost at any time: then everybody begins anew. It MUST count as GCRA does: as many at
/// once as the rate's count, then one in each of its parts; and what it counts MUST be one step, whoever else
/// counts at the same time. It SHOULD keep no names.
#[async_trait]
pub trait RateLimiter: fmt::Debug + Send + Sync {
    /// The name of what counts.
    fn name(&self) -> &'static str;

    /// Counts one more.
    ///
    /// # Errors
    /// If it cannot be asked: whether this was counted is unknown.
    async fn count(&self, limit: Limit, who: &Who) -> Result<Verdict, NoAnswer>;

    /// Finds out whether it can be asked.
    ///
    /// # Errors
    /// If it cannot.
    async fn check(&self) -> Result<(), NoAnswer>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_a_number_and_a_unit() {
        let rate = |text: &str| text.parse::<Rate>().map(|rate| (rate.count.get(), rate.period.as_secs()));
        assert_eq!(rate("200/minute"), Ok((200, 60)));
        assert_eq!(rate("5 / second"), Ok((5, 1)));
        assert_eq!(rate("1/day"), Ok((1, 86_400)));
        for bad in ["", "200", "0/minute", "-1/minute", "x/minute", "5/fortnight", "5/minute/2"] {
            assert_eq!(rate(bad), Err(InvalidRate), "{bad}");
        }
    }
}
