// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two servers with one Redis.

use std::time::{Duration, Instant};

use cms_tests::{Caller, Installation, Process, Redis};
use libtest_mimic::Failed;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::time::sleep;

/// Something that is done to Redis.
type Change = fn(&mut Redis);

/// What each caller may ask a minute.
const LIMIT: u64 = 60;

fn serve(it: &Installation, redis: &Redis, timeout_ms: &str) -> Process {
    let settings = [
        ("CMS_LIMITS_CALLER_PER_MINUTE", "60"),
        ("CMS_REDIS_URL", &redis.url()),
        ("CMS_REDIS_TIMEOUT_MS", timeout_ms),
    ];
    it.serve_with("warn", &settings)
}

/// Asks so often, at both in turn; answers how many were served. What is not served is 429.
async fn ask(at: [&Caller; 2], count: usize) -> u64 {
    let mut served = 0;
    for place in 0..count {
        let reply = at[place % 2].get("auth/me").await;
        assert!([200, 429].contains(&reply.status), "{} {}", reply.status, reply.text());
        assert!(reply.status == 200 || !reply.header("retry-after").is_empty());
        served += u64::from(reply.status == 200);
    }
    served
}

async fn backend(caller: &Caller) -> Value {
    let reply = caller.get("health/ready").await;
    assert_eq!(reply.status, 200, "without Redis, servers are ready: {}", reply.text());
    reply.json()["backends"][1].clone()
}

pub fn together() -> Result<(), Failed> {
    let (redis, it) = (Redis::start(), Installation::new());
    Runtime::new()?.block_on(async {
        let (one, two) = (serve(&it, &redis, "10000"), serve(&it, &redis, "10000"));
        let (first, second) = (it.root_at(&one), it.root_at(&two));
        assert_eq!(backend(&first).await["state"], "ok");
        let started = Instant::now();
        let served = ask([&first, &second], 200).await;
        // One comes back each second.
        let most = LIMIT + started.elapsed().as_secs() + 1;
        println!("of 200 requests over two servers {served} were served; the limit is {LIMIT}, with what came back at most {most}");
        assert!((LIMIT..=most).contains(&served), "{served} were served");
        assert!(one.stop().0 && two.stop().0);
        Ok(())
    })
}

pub fn alone() -> Result<(), Failed> {
    let (mut redis, it) = (Redis::start(), Installation::new());
    Runtime::new()?.block_on(async {
        let (one, two) = (serve(&it, &redis, "100"), serve(&it, &redis, "100"));
        let (first, second) = (it.root_at(&one), it.root_at(&two));
        ask([&first, &second], 10).await;
        let faults: [(&str, Change, Change); 2] = [
            ("killed", Redis::kill, Redis::launch),
            ("stopped", |redis| redis.pause(), |redis| redis.resume()),
        ];
        for (what, break_it, mend) in faults {
            break_it(&mut redis);
            let (mut served, mut longest) = (0, Duration::ZERO);
            let started = Instant::now();
            for _ in 0..50 {
                let began = Instant::now();
                served += ask([&first, &second], 2).await;
                longest = longest.max(began.elapsed() / 2);
            }
            // Each counts alone, and both go on from what they had counted.
            let most = 2 * (LIMIT + started.elapsed().as_secs() + 1);
            assert!(served <= most, "{served} were served");
            assert_eq!(one.nobody().with_token("cms_wrong").get("auth/me").await.status, 401);
            let told = backend(&first).await;
            assert_eq!(told["state"], "unavailable");
            assert!(told["detail"].as_str().is_some_and(|text| text.contains("alone")), "{told}");
            let metrics = first.get("/metrics").await.text();
            let counted = metrics.lines().find(|line| line.starts_with("cms_limits_counted_alone_total"));
            println!("Redis {what}: 100 requests over two servers answered, {served} served, the slowest pair {longest:?} each; {counted:?}");
            assert!(counted.is_some_and(|line| !line.ends_with(" 0")), "{counted:?}");

            mend(&mut redis);
            let back = Instant::now();
            while backend(&first).await["state"] != "ok" || backend(&second).await["state"] != "ok" {
                assert!(back.elapsed() < Duration::from_secs(30), "Redis is not found again");
                sleep(Duration::from_millis(20)).await;
            }
            println!("Redis back: found by both after {:?}", back.elapsed());
        }
        assert!(one.stop().0 && two.stop().0);
        Ok(())
    })
}
