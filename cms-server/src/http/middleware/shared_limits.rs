// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asks who counts for all servers together, and leaves it alone for a while when it does not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cms_core::limits::{Limit, NoAnswer, RateLimiter, Verdict, Who};
use prometheus_client::metrics::counter::Counter;

/// How long it is left alone after a question without an answer; then one asks for all.
const PAUSE: Duration = Duration::from_millis(500);
/// A limiter that has answered.
const WELL: u64 = 0;

/// The limiter of all servers.
#[derive(Debug)]
pub(crate) struct SharedLimits {
    limiter: Arc<dyn RateLimiter>,
    began: Instant,
    /// When it is asked again, in milliseconds since the beginning, or [`WELL`].
    again: AtomicU64,
    alone: Counter,
}

impl SharedLimits {
    pub(crate) fn new(limiter: Arc<dyn RateLimiter>) -> Self {
        Self { limiter, began: Instant::now(), again: AtomicU64::new(WELL), alone: Counter::default() }
    }

    /// The name of what counts.
    pub(crate) fn name(&self) -> &'static str {
        self.limiter.name()
    }

    /// How often it did not answer, so that this process counted alone.
    pub(crate) fn alone(&self) -> &Counter {
        &self.alone
    }

    /// Counts one more, if it answers.
    pub(crate) async fn count(&self, limit: Limit, who: &Who) -> Option<Verdict> {
        let verdict = match self.may_ask() {
            true => self.noted(self.limiter.count(limit, who).await).ok(),
            false => None,
        };
        if verdict.is_none() {
            self.alone.inc();
        }
        verdict
    }

    /// What is wrong with it, if anything is.
    pub(crate) async fn trouble(&self) -> Option<String> {
        let NoAnswer(text) = self.noted(self.limiter.check().await).err()?;
        Some(format!("{text}; each server counts its limits alone until it does"))
    }

    /// Whether it is well, or its pause is over and nobody else asks.
    fn may_ask(&self) -> bool {
        let again = self.again.load(Ordering::Relaxed);
        let now = self.now();
        let next = now + PAUSE.as_millis() as u64;
        again == WELL
            || now >= again
                && self.again.compare_exchange(again, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn noted<T>(&self, answer: Result<T, NoAnswer>) -> Result<T, NoAnswer> {
        let name = self.name();
        match &answer {
            Ok(_) => {
                if self.again.swap(WELL, Ordering::Relaxed) != WELL {
                    tracing::info!(limiter = name, "limits are counted for all servers together again");
                }
            }
            Err(error) => {
                let next = self.now() + PAUSE.as_millis() as u64;
                if self.again.swap(next, Ordering::Relaxed) == WELL {
                    tracing::warn!(limiter = name, %error, "each server counts its limits alone");
                }
            }
        }
        answer
    }

    /// Never [`WELL`].
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX / 2) + 1
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use async_trait::async_trait;
    use cms_core::limits::Rate;
    use std::num::NonZeroU32;

    use super::*;

    /// Refuses everything, or does not answer; counts how often it was asked.
    #[derive(Debug, Default)]
    struct Moody {
        silent: AtomicBool,
        asked: AtomicU64,
    }

    #[async_trait]
    impl RateLimiter for Moody {
        fn name(&self) -> &'static str {
            "moody"
        }

        async fn count(&self, _: Limit, _: &Who) -> Result<Verdict, NoAnswer> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.check().await.map(|()| Verdict::Refused { wait: Duration::from_secs(1) })
        }

        async fn check(&self) -> Result<(), NoAnswer> {
            if self.silent.load(Ordering::Relaxed) {
                Err(NoAnswer("nobody is there".to_owned()))
            } else {
                Ok(())
            }
        }
    }

    #[tokio::test]
    async fn who_does_not_answer_is_left_alone_for_a_while() {
        let moody = Arc::<Moody>::default();
        let shared = SharedLimits::new(moody.clone());
        let limit = Limit { name: "l", rate: Rate::per_minute(NonZeroU32::MIN) };
        let count = || shared.count(limit, &Who::Root);
        assert!(matches!(count().await, Some(Verdict::Refused { .. })));
        moody.silent.store(true, Ordering::Relaxed);
        for _ in 0..100 {
            assert_eq!(count().await, None);
        }
        assert_eq!(shared.alone().get(), 100);
        let asked = moody.asked.load(Ordering::Relaxed);
        assert!(asked < 100, "asked {asked} times although it was silent");
        let trouble = shared.trouble().await.unwrap();
        assert!(trouble.contains("nobody is there") && trouble.contains("alone"), "{trouble}");
        moody.silent.store(false, Ordering::Relaxed);
        assert_eq!(shared.trouble().await, None);
        assert!(count().await.is_some());
    }
}
