// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A proxy before OpenBao that passes connections on, or answers each with an error of its own and counts them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const ANSWER: &[u8] =
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 29\r\nConnection: close\r\n\r\n{\"errors\":[\"internal error\"]}";

pub struct Proxy {
    pub address: String,
    fails: watch::Sender<bool>,
    failed: Arc<AtomicU64>,
}

impl Proxy {
    pub async fn start(upstream: String) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let (fails, failing) = watch::channel(false);
        let failed = Arc::<AtomicU64>::default();
        let counted = failed.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, upstream.clone(), failing.clone(), counted.clone()));
            }
        });
        Ok(Self { address, fails, failed })
    }

    /// Fails from now on, also for who is connected; or does not any more.
    pub fn fail(&self, fails: bool) {
        self.fails.send_replace(fails);
    }

    /// How many connections were answered with an error.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::SeqCst)
    }
}

async fn serve(
    mut client: TcpStream,
    upstream: String,
    mut fails: watch::Receiver<bool>,
    failed: Arc<AtomicU64>,
) {
    if *fails.borrow() {
        failed.fetch_add(1, Ordering::SeqCst);
        let mut request = vec![0; 64 * 1024];
        let _ = client.read(&mut request).await;
        let _ = client.write_all(ANSWER).await;
        let _ = client.shutdown().await;
        return;
    }
    let Ok(mut server) = TcpStream::connect(upstream.trim_start_matches("http://")).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _ = fails.wait_for(|fails| *fails) => {}
    }
}
