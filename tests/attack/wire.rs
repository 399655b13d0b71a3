// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The wire itself: smuggling, floods, and those who never finish.

use std::time::{Duration, Instant};

use cms_server::Options;
use cms_tests::{Served, raw, served, served_with};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const HEALTH: &str = "GET /api/v1/health/live HTTP/1.1\r\nHost: cms\r\n\r\n";

async fn lives(it: &Served) {
    let started = Instant::now();
    it.nobody().get("health/live").await.is(200);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[test]
fn row_21_bodies_that_never_end() {
    served(async |it| {
        it.empty_project("p").await;
        let token = format!("Bearer {}", it.root_token());
        let url = it.nobody().url().to_owned();
        let claimed = raw::request(
            "POST",
            "/api/v1/projects",
            &[
                ("Authorization", &token),
                ("Content-Type", "application/json"),
                ("Content-Length", "1099511627776"),
            ],
            "{}",
        );
        assert_eq!(raw::exchange(&url, claimed.as_bytes()).await.status(), 413);
        let head = raw::request(
            "PUT",
            "/api/v1/projects/p/data/x",
            &[("Authorization", &token), ("Content-Type", "text/plain"), ("Transfer-Encoding", "chunked")],
            "",
        );
        let mut stream = raw::connect(&url).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x1_0000));
        // The answer comes before the end that never comes.
        for _ in 0..128 {
            if stream.write_all(chunk.as_bytes()).await.is_err() {
                break;
            }
        }
        let heard = raw::listen(&mut stream, Duration::from_secs(3)).await;
        assert_eq!(heard.status(), 413);
        lives(it).await;
    });
}

#[test]
fn row_24_no_request_hides_another() {
    served(async |it| {
        let url = it.nobody().url().to_owned();
        let smuggled = "GET /api/v1/auth/jwks HTTP/1.1\r\nHost: cms\r\n\r\n";
        let post = "POST /api/v1/auth/login HTTP/1.1\r\nHost: cms\r\nContent-Type: application/json\r\n";
        let attacks = [
            (
                "length and chunks",
                format!("{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"),
            ),
            (
                "a list of encodings",
                format!("{post}Transfer-Encoding: identity, chunked, identity\r\n\r\n0\r\n\r\n{smuggled}"),
            ),
            ("an unknown encoding", format!("{post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{smuggled}")),
            ("two lengths", format!("{post}Content-Length: 2\r\nContent-Length: 60\r\n\r\n{{}}{smuggled}")),
            ("a signed length", format!("{post}Content-Length: +2\r\n\r\n{{}}{smuggled}")),
            ("a negative length", format!("{post}Content-Length: -2\r\n\r\n{{}}{smuggled}")),
            ("a length in hexadecimal", format!("{post}Content-Length: 0x2\r\n\r\n{{}}{smuggled}")),
            ("a blank before the colon", format!("{post}Content-Length : 2\r\n\r\n{{}}{smuggled}")),
            ("a folded header", format!("{post}X-A: b\r\n Content-Length: 2\r\n\r\n{smuggled}")),
            (
                "a bad chunk size",
                format!("{post}Transfer-Encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n{smuggled}"),
            ),
            (
                "an overlong chunk size",
                format!(
                    "{post}Transfer-Encoding: chunked\r\n\r\n{}2\r\n{{}}\r\n0\r\n\r\n{smuggled}",
                    "f".repeat(20)
                ),
            ),
            (
                "a long chunk extension",
                format!(
                    "{post}Transfer-Encoding: chunked\r\n\r\n2;{}\r\n{{}}\r\n0\r\n\r\n{smuggled}",
                    "x".repeat(200_000)
                ),
            ),
            (
                "a control in a header",
                format!("{post}X-A: a\u{0}b\r\nContent-Length: 2\r\n\r\n{{}}{smuggled}"),
            ),
            ("an unknown version", "GET /api/v1/health/live HTTP/9.9\r\nHost: cms\r\n\r\n".to_owned()),
        ];
        for (attack, text) in attacks {
            let heard = raw::exchange(&url, text.as_bytes()).await;
            let statuses = heard.statuses();
            assert!(statuses.len() <= 1, "{attack}: {statuses:?}");
            assert!(statuses.iter().all(|status| (400..500).contains(status)), "{attack}: {statuses:?}");
            assert!(heard.closed, "{attack}: the connection stays open");
            assert!(!heard.text.contains("\"keys\""), "{attack}: {}", heard.text);
        }
        lives(it).await;
    });
}

#[test]
fn row_25_heads_that_are_too_much() {
    served(async |it| {
        let url = it.nobody().url().to_owned();
        let headers: String = (0..10_000).map(|at| format!("X-{at}: 1\r\n")).collect();
        let many = raw::exchange(
            &url,
            format!("GET /api/v1/health/live HTTP/1.1\r\nHost: cms\r\n{headers}\r\n").as_bytes(),
        )
        .await;
        assert!(many.statuses().iter().all(|status| *status == 431), "{:?}", many.statuses());
        let large =
            format!("GET /api/v1/health/live HTTP/1.1\r\nHost: cms\r\nX-A: {}\r\n\r\n", "a".repeat(1 << 20));
        let large = raw::exchange(&url, large.as_bytes()).await;
        assert!(large.statuses().iter().all(|status| *status == 431), "{:?}", large.statuses());
        let hosts =
            raw::exchange(&url, b"GET /api/v1/health/live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await;
        assert_eq!(hosts.status(), 400);
        let inside = raw::exchange(
            &url,
            b"GET http://169.254.169.254/latest/meta-data/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n",
        )
        .await;
        assert_eq!(inside.status(), 404);
        let tunnel = raw::exchange(&url, b"CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(tunnel.statuses().iter().all(|status| *status >= 400), "{:?}", tunnel.statuses());
        it.empty_project("p").await;
        let overridden =
            it.root().with("x-http-method-override", "DELETE").with("x-method-override", "DELETE");
        overridden.get("projects/p?_method=DELETE").await;
        it.root().get("projects/p").await.is(200);
        lives(it).await;
    });
}

#[test]
fn row_26_the_slow_ones_keep_nobody_waiting() {
    let mut options = Options::default();
    options.body_idle = Duration::from_secs(1);
    served_with(options, async |it| {
        let url = it.nobody().url().to_owned();
        let token = format!("Bearer {}", it.root_token());
        let mut heads = Vec::new();
        for _ in 0..200 {
            let mut stream = raw::connect(&url).await;
            stream.write_all(b"GET /api/v1/health/live HTTP/1.1\r\nHost: c").await.unwrap();
            heads.push(stream);
        }
        let slow = raw::request(
            "POST",
            "/api/v1/projects",
            &[("Authorization", &token), ("Content-Type", "application/json"), ("Content-Length", "100")],
            "{\"id\"",
        );
        let heard = raw::exchange_for(&url, slow.as_bytes(), Duration::from_secs(4)).await;
        assert_eq!(heard.status(), 408);
        let mut slowest = Duration::ZERO;
        for _ in 0..50 {
            let started = Instant::now();
            it.nobody().get("health/live").await.is(200);
            slowest = slowest.max(started.elapsed());
        }
        assert!(slowest < Duration::from_secs(1), "{slowest:?}");
        let started = Instant::now();
        for stream in &mut heads {
            let heard = raw::listen(stream, Duration::from_secs(15)).await;
            assert!(heard.closed, "a head that never ends is waited for after {:?}", started.elapsed());
        }
        assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    });
}

/// The beginning of every connection of HTTP/2 by prior knowledge: preface and empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
/// `GET http /` at `cms`, as HPACK.
const HEAD: &[u8] = b"\x82\x86\x84\x41\x03cms";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Writes until the server has had enough; tells whether it had.
async fn refused(stream: &mut TcpStream, mut next: impl FnMut(u32) -> Vec<u8>, most: u32) -> bool {
    for at in 0..most {
        if stream.write_all(&next(at)).await.is_err() {
            return true;
        }
    }
    raw::listen(stream, Duration::from_secs(2)).await.closed
}

#[test]
fn row_26_floods_of_http2_are_cut() {
    served(async |it| {
        let url = it.nobody().url().to_owned();
        let mut stream = raw::connect(&url).await;
        stream.write_all(PREFACE).await.unwrap();
        let reset =
            |at: u32| [frame(1, 5, at * 2 + 1, HEAD), frame(3, 0, at * 2 + 1, &8_u32.to_be_bytes())].concat();
        assert!(refused(&mut stream, reset, 20_000).await, "resets without end are served");
        let mut stream = raw::connect(&url).await;
        stream.write_all(PREFACE).await.unwrap();
        stream.write_all(&frame(1, 0, 1, HEAD)).await.unwrap();
        // A header that is not kept in any table, again and again.
        let continued = frame(9, 0, 1, b"\x00\x01a\x01b".repeat(1_000).as_slice());
        assert!(refused(&mut stream, |_| continued.clone(), 5_000).await, "headers without end are read");
        lives(it).await;
        let heard = raw::exchange(&url, HEALTH.as_bytes()).await;
        assert_eq!(heard.status(), 200);
    });
}
