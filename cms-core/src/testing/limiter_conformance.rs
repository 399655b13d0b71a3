// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What every [`RateLimiter`] must do, as a table of named cases that any test harness can run. The cases use
//! limits of their own, so that they may share a limiter.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};

use crate::limits::{Limit, Rate, RateLimiter, Verdict, Who};

/// Finds out whether a limiter shows a behaviour.
pub type Run = fn(Arc<dyn RateLimiter>) -> BoxFuture<'static, Result<(), String>>;

/// One thing that a limiter must do.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The behaviour.
    pub name: &'static str,
    /// Finds out whether a limiter shows it.
    pub run: Run,
}

/// Builds the table from the functions' own names.
macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        [$(Case { name: stringify!($case), run: |limiter| Box::pin($case(limiter)) }),+]
    };
}

/// All cases.
pub fn cases() -> Vec<Case> {
    cases![
        as_many_at_once_as_the_rate_says,
        each_is_counted_alone,
        each_limit_is_counted_alone,
        room_comes_back_part_by_part,
        those_who_come_together_never_get_more,
        a_high_rate_is_no_obstacle,
    ]
    .into()
}

/// The limits that the cases count by, for limiters that must know them before.
pub fn limits() -> Vec<Limit> {
    vec![DAILY, OTHER, QUICK, TOGETHER, HIGH]
}

const DAILY: Limit = limit("suite-daily", 7, 86_400_000);
const OTHER: Limit = limit("suite-other", 7, 86_400_000);
/// One each 300 ms.
const QUICK: Limit = limit("suite-quick", 3, 900);
const TOGETHER: Limit = limit("suite-together", 100, 86_400_000);
const HIGH: Limit = limit("suite-high", 60_000_000, 60_000);

const fn limit(name: &'static str, count: u32, millis: u64) -> Limit {
    let count = match NonZeroU32::new(count) {
        Some(count) => count,
        None => NonZeroU32::MIN,
    };
    Limit { name, rate: Rate { count, period: Duration::from_millis(millis) } }
}

async fn as_many_at_once_as_the_rate_says(limiter: Arc<dyn RateLimiter>) -> Result<(), String> {
    let who = who("at-once");
    for left in (0..7).rev() {
        expect(count(&*limiter, DAILY, &who).await?, &Verdict::Allowed { remaining: left })?;
    }
    match count(&*limiter, DAILY, &who).await? {
        // One seventh of a day, less what the case has taken.
        Verdict::Refused { wait } if wait.as_secs().abs_diff(86_400 / 7) < 60 => Ok(()),
        other => Err(format!("after all were used up: {other:?}")),
    }
}

async fn each_is_counted_alone(limiter: Arc<dyn RateLimiter>) -> Result<(), String> {
    let first = count(&*limiter, DAILY, &who("one")).await?;
    expect(first, &count(&*limiter, DAILY, &who("another")).await?)?;
    expect(first, &count(&*limiter, DAILY, &Who::Address("192.0.2.7".parse().ok())).await?)
}

async fn each_limit_is_counted_alone(limiter: Arc<dyn RateLimiter>) -> Result<(), String> {
    let who = who("limits");
    let first = count(&*limiter, DAILY, &who).await?;
    expect(first, &count(&*limiter, OTHER, &who).await?)
}

async fn room_comes_back_part_by_part(limiter: Arc<dyn RateLimiter>) -> Result<(), String> {
    let who = who("part");
    // However slow the machine is, only so much time is left as was told.
    let wait = loop {
        if let Verdict::Refused { wait } = count(&*limiter, QUICK, &who).await? {
            break wait;
        }
    };
    if wait > Duration::from_millis(300) {
        return Err(format!("{wait:?} until there is room, but one comes each 300 ms"));
    }
    tokio::time::sleep(wait).await;
    match count(&*limiter, QUICK, &who).await? {
        Verdict::Allowed { .. } => Ok(()),
        refused => Err(format!("after the time that was told: {refused:?}")),
    }
}

async fn those_who_come_together_never_get_more(limiter: Arc<dyn RateLimiter>) -> Result<(), String> {
    let who = who("together");
    let counted = join_all((0..400).map(|_| limiter.count(TOGETHER, &who))).await;
    let allowed = counted.iter().filter(|counted| matches!(counted, Ok(Verdict::Allowed { .. }))).count();
    let unanswered = counted.iter().filter(|counted| counted.is_err()).count();
    if (allowed, unanswered) == (100, 0) {
        return Ok(());
    }
    Err(format!("of 400 at once {allowed} were allowed and {unanswered} not answered, but 100 may"))
}

async fn a_high_rate_is_no_obstacle(limiter: Arc<dyn RateLimiter>) -> Result<(), String> {
    let who = who("high");
    for _ in 0..200 {
        if let Verdict::Refused { wait } = count(&*limiter, HIGH, &who).await? {
            return Err(format!("refused for {wait:?} at a million a second"));
        }
    }
    Ok(())
}

fn who(name: &str) -> Who {
    Who::Key(name.into())
}

async fn count(limiter: &dyn RateLimiter, limit: Limit, who: &Who) -> Result<Verdict, String> {
    limiter.count(limit, who).await.map_err(|error| format!("no answer: {error}"))
}

fn expect(found: Verdict, expected: &Verdict) -> Result<(), String> {
    if found == *expected { Ok(()) } else { Err(format!("{found:?}, but expected {expected:?}")) }
}
