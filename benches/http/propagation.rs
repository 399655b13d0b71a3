// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Row 11: how long it takes from the commit of a config until those who wait for it at the front door have it,
//! one of them and the last of 1,000, beside etcd's put and watch. All share the machine with their watchers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cms_benches::Result;
use cms_benches::harness::etcd::Etcd;
use cms_benches::harness::http::Client;
use cms_benches::harness::measure::{median, percentile};
use cms_benches::harness::table::{Table, Target, time};
use cms_benches::harness::{Effort, cms, servers};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How many wait at once.
const MANY: usize = 1_000;
/// How many watches of etcd share a connection.
const STREAMS: usize = 100;
/// How long those who have an answer have to ask again.
const PAUSE: Duration = Duration::from_millis(300);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The config, and the key in etcd.
const NAME: &str = "retrieval";

/// Nanoseconds to the last watcher, from the beginning of each write and from its acknowledgement.
#[derive(Default)]
struct Times {
    begun: Vec<f64>,
    acknowledged: Vec<f64>,
}

pub(crate) fn run(effort: Effort) -> Result<()> {
    let server = cms::serve(None)?;
    let reader = cms::onboard(&server, "bench", &["config:read"])?;
    server.client.send_text("PUT", PLACE, "application/json", "{\"n\":0}")?;
    let etcd = servers::etcd(None)?;
    let commits = effort.rounds * 10;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (one, many, etcd_one, etcd_many) = runtime.block_on(async {
        let etcd_one = over_etcd(etcd.client.address, 1, commits).await?;
        let one = at_front_door(&server.client, &reader, 1, commits).await?;
        let etcd_many = over_etcd(etcd.client.address, MANY, commits).await?;
        let many = at_front_door(&server.client, &reader, MANY, commits).await?;
        Ok::<_, Box<dyn std::error::Error>>((one, many, etcd_one, etcd_many))
    })?;
    let mut table = Table::new("11. from the commit of a config to those who wait for it", "");
    table.note("etcd put -> 1 watch", &shown(&etcd_one.begun));
    table.note("etcd put -> the last of 1,000 watches", &shown(&etcd_many.begun));
    table.note("CMS write begun -> 1 watcher", &shown(&one.begun));
    table.note("CMS write begun -> the last of 1,000", &shown(&many.begun));
    let ratio = median(one.acknowledged.clone()) / median(etcd_one.begun);
    let figures = shown(&one.acknowledged);
    table.row("CMS commit -> 1 watcher, of etcd's p50", &figures, ratio, "x", Target::AtMost(1.0));
    let (figures, last) = (shown(&many.acknowledged), percentile(many.acknowledged, 99.0) / 1e6);
    table.row("CMS commit -> the last of 1,000, p99", &figures, last, " ms", Target::AtMost(20.0));
    table.close();
    Ok(())
}

const PLACE: &str = "/api/v1/projects/bench/configs/retrieval";

/// Writes, and waits each time until all have it.
async fn measured(
    watchers: usize,
    commits: usize,
    mut seen: UnboundedReceiver<Instant>,
    mut write: impl AsyncFnMut(usize) -> Result<()>,
) -> Result<Times> {
    let mut times = Times::default();
    for number in 1..=commits {
        tokio::time::sleep(PAUSE).await;
        let begun = Instant::now();
        write(number).await?;
        let (acknowledged, mut last) = (Instant::now(), begun);
        for _ in 0..watchers {
            let one = tokio::time::timeout(PATIENCE, seen.recv()).await?;
            last = last.max(one.ok_or("the watchers have ended")?);
        }
        times.begun.push(last.duration_since(begun).as_nanos() as f64);
        times.acknowledged.push(last.saturating_duration_since(acknowledged).as_nanos() as f64);
    }
    Ok(times)
}

async fn at_front_door(writer: &Client, reader: &Client, watchers: usize, commits: usize) -> Result<Times> {
    let (tell, seen) = unbounded_channel();
    let mut waiting = Vec::new();
    for _ in 0..watchers {
        let first = Waiter::connect(reader).await?;
        let tell = tell.clone();
        waiting.push(tokio::spawn(async move { drop(first.wait(&tell).await) }));
    }
    drop(tell);
    let mut connection = connect(writer.address).await?;
    // Each round writes other texts than the one before it.
    let round = Instant::now();
    let times = measured(watchers, commits, seen, async |number| {
        let body = format!("{{\"n\":{number},\"watchers\":{watchers},\"round\":\"{round:?}\"}}");
        let answer = exchange(&mut connection, writer, "PUT", PLACE, (None, body)).await?;
        if answer.status().is_success() {
            Ok(())
        } else {
            Err(format!("a write: {}", answer.status()).into())
        }
    })
    .await;
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    times
}

/// Somebody who waits for a config, again and again.
struct Waiter {
    connection: SendRequest<Full<Bytes>>,
    client: Client,
    tag: HeaderValue,
}

impl Waiter {
    /// Connects, and reads what there is.
    async fn connect(client: &Client) -> Result<Self> {
        let mut connection = connect(client.address).await?;
        let place = format!("/config/{NAME}");
        let answer = exchange(&mut connection, client, "GET", &place, (None, String::new())).await?;
        let tag = answer.headers().get(ETAG).ok_or("a config without a tag")?.clone();
        Ok(Self { connection, client: client.clone(), tag })
    }

    async fn wait(mut self, tell: &UnboundedSender<Instant>) -> Result<()> {
        let place = format!("/config/{NAME}?wait=60");
        loop {
            let asked = (Some(&self.tag), String::new());
            let answer = exchange(&mut self.connection, &self.client, "GET", &place, asked).await?;
            if answer.status() == 200 {
                tell.send(Instant::now())?;
                self.tag = answer.headers().get(ETAG).ok_or("a config without a tag")?.clone();
            }
        }
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Sends a request and reads the answer to its end.
async fn exchange(
    connection: &mut SendRequest<Full<Bytes>>,
    client: &Client,
    method: &str,
    place: &str,
    (tag, body): (Option<&HeaderValue>, String),
) -> Result<Response<()>> {
    let mut request = Request::builder().method(method).uri(place).header("host", client.address.to_string());
    for (name, value) in &client.headers {
        request = request.header(name, value);
    }
    if let Some(tag) = tag {
        request = request.header(IF_NONE_MATCH, tag);
    }
    let request = request.header("content-type", "application/json").body(Full::new(Bytes::from(body)))?;
    connection.ready().await?;
    let (head, body) = connection.send_request(request).await?.into_parts();
    body.collect().await?;
    Ok(Response::from_parts(head, ()))
}

async fn over_etcd(address: SocketAddr, watchers: usize, commits: usize) -> Result<Times> {
    let (tell, seen) = unbounded_channel();
    let mut waiting = Vec::new();
    for first in (0..watchers).step_by(STREAMS) {
        let connection = Etcd::connect(address).await?;
        for _ in first..watchers.min(first + STREAMS) {
            let (mut watch, tell) = (connection.watch(NAME).await?, tell.clone());
            waiting.push(tokio::spawn(async move {
                while watch.message().await.is_ok() && tell.send(Instant::now()).is_ok() {}
            }));
        }
    }
    drop(tell);
    let writer = Etcd::connect(address).await?;
    let times = measured(watchers, commits, seen, async |number| {
        writer.put(NAME, format!("{{\"n\":{number}}}").as_bytes()).await
    })
    .await;
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    times
}

fn shown(values: &[f64]) -> String {
    format!("p50 {} p99 {}", time(percentile(values.to_vec(), 50.0)), time(percentile(values.to_vec(), 99.0)))
}
