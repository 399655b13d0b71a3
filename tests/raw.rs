// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bytes on a socket, for what no proper client would send.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What came back.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Everything that was received.
    pub text: String,
    /// Whether the server closed the connection.
    pub closed: bool,
}

impl Heard {
    /// The status of each answer, in order.
    pub fn statuses(&self) -> Vec<u16> {
        self.text
            .match_indices("HTTP/1.1 ")
            .filter_map(|(at, _)| self.text.get(at + 9..at + 12)?.parse().ok())
            .collect()
    }

    /// The status of the only answer.
    #[track_caller]
    pub fn status(&self) -> u16 {
        let statuses = self.statuses();
        assert_eq!(statuses.len(), 1, "not one answer: {:?}", self.text);
        statuses[0]
    }
}

/// Connects to the server of a URL.
pub async fn connect(url: &str) -> TcpStream {
    TcpStream::connect(url.trim_start_matches("http://")).await.unwrap()
}

/// Sends bytes and listens until the server closes or has been silent for a while.
pub async fn exchange(url: &str, bytes: &[u8]) -> Heard {
    exchange_for(url, bytes, Duration::from_millis(700)).await
}

/// The same with more patience.
pub async fn exchange_for(url: &str, bytes: &[u8], silence: Duration) -> Heard {
    let mut stream = connect(url).await;
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    listen(&mut stream, silence).await
}

/// Listens until the server closes or has been silent for this long.
pub async fn listen(stream: &mut TcpStream, silence: Duration) -> Heard {
    let mut received = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    let closed = loop {
        match tokio::time::timeout(silence, stream.read(&mut buffer)).await {
            Err(_) => break false,
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(length)) => received.extend_from_slice(&buffer[..length]),
        }
    };
    Heard { text: String::from_utf8_lossy(&received).into_owned(), closed }
}

/// The text of a request with these headers beside `Host`.
pub fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: cms\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n" + body
}
