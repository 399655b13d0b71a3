// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One request at a time, to set servers up; the load comes from wrk.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::Result;

/// A server, and the headers that every request to it carries.
#[derive(Debug, Clone)]
pub struct Client {
    /// The address.
    pub address: SocketAddr,
    /// The headers.
    pub headers: Vec<(String, String)>,
}

impl Client {
    /// A client that sends one header with everything.
    pub fn new(address: SocketAddr, name: &str, value: impl Into<String>) -> Self {
        Self { address, headers: vec![(name.to_owned(), value.into())] }
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends JSON, if there is any, and returns the JSON of the answer, or null without one.
    ///
    /// # Errors
    /// When there is no answer, or its status is 400 or above.
    pub fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        self.send_text(method, path, "application/json", &body)
    }

    /// The same with a body of any type.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn send_text(&self, method: &str, path: &str, kind: &str, body: &str) -> Result<Value> {
        let (status, answer) = self.exchange(method, path, kind, body)?;
        if status >= 400 {
            return Err(format!("{method} {path}: {status} {answer}").into());
        }
        Ok(if answer.trim().is_empty() { Value::Null } else { serde_json::from_str(&answer)? })
    }

    /// Sends a request and returns status and text of the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn exchange(&self, method: &str, path: &str, kind: &str, body: &str) -> Result<(u16, String)> {
        let mut stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for (name, value) in &self.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            request.push_str(&format!("Content-Type: {kind}\r\n"));
        }
        request.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        stream.write_all(request.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, text) = answer.split_once("\r\n\r\n").ok_or("an answer without a head")?;
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .ok_or("an answer without a status")?;
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        Ok((status, if chunked { join_chunks(text) } else { text.to_owned() }))
    }
}

fn join_chunks(mut text: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else { break };
        whole.push_str(rest.get(..size).unwrap_or_default());
        text = rest.get(size + 2..).unwrap_or_default();
    }
    whole
}
