// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One limiter, while its server fails or holds what it should not.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use cms_core::limits::{Limit, NoAnswer, Rate, RateLimiter, Verdict, Who};
use cms_core::sensitive::Sensitive;
use cms_store::redis::{RedisConfig, RedisLimits};
use cms_tests::Redis;
use libtest_mimic::Failed;
use tokio::runtime::Runtime;
use tokio::time::sleep;

use super::limits;

/// Twice a day, so that no time passes for it.
const TWICE: Limit = Limit {
    name: "twice",
    rate: Rate { count: NonZeroU32::new(2).unwrap(), period: Duration::from_secs(86_400) },
};
/// How long a call may take in tests of time.
const BOUND: Duration = Duration::from_millis(100);

async fn count(limits: &dyn RateLimiter) -> Result<Option<u32>, NoAnswer> {
    Ok(match limits.count(TWICE, &Who::Root).await? {
        Verdict::Allowed { remaining } => Some(remaining),
        Verdict::Refused { .. } => None,
    })
}

pub fn foreign_values() -> Result<(), Failed> {
    let redis = Redis::start();
    let limits = limits(&redis);
    Runtime::new()?.block_on(async {
        assert_eq!(count(&*limits).await?, Some(1));
        let keys = redis.ask("KEYS *");
        let [key] = keys.as_slice() else { panic!("one key, but {keys:?}") };
        assert!(key.starts_with("cms:limit:") && !key.contains("root"), "{key}");
        for value in ["nan", "inf", "-inf", "9e18", "words", "-1"] {
            redis.ask(&format!("SET {key} {value}"));
            assert_eq!(count(&*limits).await?, Some(1), "after {value}");
            assert_eq!(count(&*limits).await?, Some(0), "after {value}");
            assert_eq!(count(&*limits).await?, None, "after {value}");
        }
        for command in ["LPUSH", "SADD"] {
            redis.ask(&format!("DEL {key}"));
            redis.ask(&format!("{command} {key} x"));
            assert_eq!(count(&*limits).await?, Some(1), "after {command}");
            assert_eq!(count(&*limits).await?, Some(0), "after {command}");
        }
        // It goes by itself.
        let left: u64 = redis.ask(&format!("PTTL {key}"))[0].parse()?;
        assert!((1..=86_400_000).contains(&left), "{left} ms");
        Ok(())
    })
}

pub fn flushed() -> Result<(), Failed> {
    let redis = Redis::start();
    let limits = limits(&redis);
    Runtime::new()?.block_on(async {
        for left in [Some(1), Some(0), None] {
            assert_eq!(count(&*limits).await?, left);
        }
        redis.ask("FLUSHALL");
        redis.ask("SCRIPT FLUSH");
        assert_eq!(count(&*limits).await?, Some(1));
        Ok(())
    })
}

pub fn killed() -> Result<(), Failed> {
    let mut redis = Redis::start();
    fault("killed", &mut redis, Redis::kill, Redis::launch)
}

pub fn paused() -> Result<(), Failed> {
    let mut redis = Redis::start();
    fault("stopped", &mut redis, |redis| redis.pause(), |redis| redis.resume())
}

/// Breaks a server, sees that every call ends in time, and that the first one after it is back comes through.
fn fault(
    what: &str,
    redis: &mut Redis,
    break_it: fn(&mut Redis),
    mend: fn(&mut Redis),
) -> Result<(), Failed> {
    let mut config = RedisConfig::parse(&redis.url())?;
    config.timeout = BOUND;
    Runtime::new()?.block_on(async {
        let limits = RedisLimits::new(&config)?;
        limits.reach().await?;
        break_it(redis);
        let (mut longest, mut refused) = (Duration::ZERO, 0);
        for _ in 0..20 {
            let started = Instant::now();
            refused += u32::from(count(&limits).await.is_err());
            longest = longest.max(started.elapsed());
        }
        assert_eq!(refused, 20, "somebody answered");
        mend(redis);
        let back = Instant::now();
        while limits.check().await.is_err() {
            assert!(back.elapsed() < Duration::from_secs(30), "not found again");
            sleep(Duration::from_millis(10)).await;
        }
        println!("Redis {what}: 20 calls told so, each within {longest:?} (bound {BOUND:?}); found again after {:?}", back.elapsed());
        // The bound holds with room for a machine under load.
        assert!(longest < BOUND * 10, "a call took {longest:?}");
        Ok(())
    })
}

pub fn by_tls_and_password() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let file = |name: &str| place.path().join(name).display().to_string();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    std::fs::write(file("cert"), made.cert.pem())?;
    std::fs::write(file("key"), made.signing_key.serialize_pem())?;
    let port = cms_tests::etcd::free_ports(1)[0];
    let more = [
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &file("cert"),
        "--tls-key-file",
        &file("key"),
        "--tls-ca-cert-file",
        &file("cert"),
        "--tls-auth-clients",
        "no",
        "--requirepass",
        "open sesame",
    ];
    let _redis = Redis::start_with(&more.map(str::to_owned));
    Runtime::new()?.block_on(async {
        let mut config = RedisConfig::parse(&format!("rediss://127.0.0.1:{port}"))?;
        config.ca = Some(std::fs::read(file("cert"))?);
        config.password = Some(Sensitive::new("open sesame".to_owned()));
        config.timeout = Duration::from_secs(5);
        let limits = RedisLimits::new(&config)?;
        limits.reach().await?;
        assert_eq!(count(&limits).await?, Some(1));

        let mut other = config.clone();
        other.password = Some(Sensitive::new("simsalabim".to_owned()));
        let refused = RedisLimits::new(&other)?.reach().await.unwrap_err().to_string();
        assert!(refused.contains("authentication failed") && !refused.contains("simsalabim"), "{refused}");
        // The machine knows no such authority.
        config.ca = None;
        RedisLimits::new(&config)?.reach().await.unwrap_err();
        Ok(())
    })
}
