// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Load over HTTP, by wrk pinned to a core of its own: closed loop, so a slow server gets fewer requests.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::process::Process;
use crate::Result;

/// What to send.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body; `{n}` becomes a number that the next thousand requests do not repeat.
    pub body: String,
    /// Added to the path, with `{n}` as in the body.
    pub suffix: String,
}

impl Request {
    /// A GET.
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            method: "GET".into(),
            url: url.into(),
            headers: Vec::new(),
            body: String::new(),
            suffix: String::new(),
        }
    }

    /// A POST of JSON.
    pub fn post(url: impl Into<String>, body: impl Into<String>) -> Self {
        Self { method: "POST".into(), body: body.into(), ..Self::get(url) }
            .header("Content-Type", "application/json")
    }

    /// The same with a header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    fn script(&self) -> String {
        let headers: String =
            self.headers.iter().map(|(name, value)| format!("headers[{name:?}] = {value:?}\n")).collect();
        // Built once where nothing varies: the generator shall cost less than the server.
        let varies = self.body.contains("{n}") || self.suffix.contains("{n}");
        let (body, suffix) = (lua(&self.body), lua(&self.suffix));
        let method = &self.method;
        let build = format!("wrk.format({method:?}, wrk.path .. suffix, headers, body)");
        let request = if varies {
            format!(
                "local n = 0\nrequest = function()\n n = (n + 1) % 1000\n local body = string.gsub({body}, \"{{n}}\", n)\n local suffix = string.gsub({suffix}, \"{{n}}\", n)\n return {build}\nend\n"
            )
        } else {
            format!(
                "local text\ninit = function()\n local body, suffix = {body}, {suffix}\n text = {build}\nend\nrequest = function() return text end\n"
            )
        };
        format!(
            "local headers = {{}}\n{headers}{request}\
             done = function(summary, latency)\n\
             io.write(string.format(\"RESULT %d %d %d %d %f %f %f\\n\", summary.requests, summary.duration, \
             summary.errors.status, summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout, \
             latency:percentile(50), latency:percentile(99), latency.max))\nend\n"
        )
    }
}

/// What one run of load showed.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Answers a second.
    pub rate: f64,
    /// Median latency in nanoseconds.
    pub p50: f64,
    /// The latency that 99 % stay below, in nanoseconds.
    pub p99: f64,
    /// Processor time of the server for one answer, in nanoseconds.
    pub cpu: f64,
    /// Answers with a status of 400 and above, and broken connections.
    pub failures: u64,
}

/// Sends a request over and over, from `connections` connections, and watches the server meanwhile. With
/// a core, the generator is pinned to it.
///
/// # Errors
/// When wrk is missing or fails.
pub fn run(
    request: &Request,
    server: &[&Process],
    connections: usize,
    length: Duration,
    core: Option<usize>,
) -> Result<Load> {
    let script = tempfile::Builder::new().suffix(".lua").tempfile()?;
    fs::write(script.path(), request.script())?;
    let before = cpu(server)?;
    let mut command = match core {
        Some(core) => {
            let mut pinned = Command::new("taskset");
            pinned.args(["-c", &core.to_string(), "wrk"]);
            pinned
        }
        None => Command::new("wrk"),
    };
    let output = command
        .args(["-t1", "--timeout", "10s"])
        .arg(format!("-c{connections}"))
        .arg(format!("-d{}s", length.as_secs().max(1)))
        .arg("-s")
        .arg(script.path())
        .arg(&request.url)
        .output()
        .map_err(|error| format!("wrk and taskset are needed (Debian: wrk, util-linux): {error}"))?;
    let cpu = cpu(server)?.saturating_sub(before);
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("RESULT "));
    let line = line.ok_or_else(|| format!("wrk: {text}{}", String::from_utf8_lossy(&output.stderr)))?;
    let figures: Vec<f64> = line.split(' ').filter_map(|figure| figure.parse().ok()).collect();
    let [answers, micros, status, broken, p50, p99, _] = figures[..] else {
        return Err(format!("wrk: {line}").into());
    };
    Ok(Load {
        rate: answers / (micros / 1e6),
        p50: p50 * 1e3,
        p99: p99 * 1e3,
        cpu: cpu.as_secs_f64() * 1e9 / answers.max(1.0),
        failures: (status + broken) as u64,
    })
}

/// Tells whether an executable is on the path.
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| Path::new(&folder).join(program).is_file())
}

fn cpu(server: &[&Process]) -> Result<Duration> {
    server.iter().map(|process| Ok(process.usage()?.cpu)).sum()
}

/// A Lua string of any text.
fn lua(text: &str) -> String {
    format!("[==[{text}]==]")
}
