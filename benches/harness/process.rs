// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Other programs: started on a free port, pinned, watched through `/proc`, stopped by their id.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;

/// A running program; killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
}

/// A figure of a process at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Processor time of all its threads.
    pub cpu: Duration,
    /// Resident memory in MiB.
    pub rss: f64,
}

impl Process {
    /// Starts a program with its output in a file; `core` pins it.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start<S: AsRef<OsStr>>(
        name: &str,
        core: Option<usize>,
        program: &Path,
        arguments: &[S],
        log: &Path,
        prepare: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let mut command = match core {
            Some(core) => {
                let mut pinned = Command::new("taskset");
                pinned.arg("-c").arg(core.to_string()).arg(program);
                pinned
            }
            None => Command::new(program),
        };
        let output = File::create(log)?;
        command.args(arguments).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        prepare(&mut command);
        let child =
            command.spawn().map_err(|error| format!("start {name} ({}): {error}", program.display()))?;
        Ok(Self { name: name.to_owned(), child })
    }

    /// Waits until something accepts connections at an address, and returns how long that took.
    ///
    /// # Errors
    /// When the program ends before, or 30 s pass.
    pub fn listening(&mut self, address: SocketAddr) -> Result<Duration> {
        let start = Instant::now();
        loop {
            if TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok() {
                return Ok(start.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("{} ended at once: {status}", self.name).into());
            }
            if start.elapsed() > Duration::from_secs(30) {
                return Err(format!("{} does not listen at {address}", self.name).into());
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The operating system's id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the process has used so far.
    ///
    /// # Errors
    /// When it is gone.
    pub fn usage(&self) -> Result<Usage> {
        usage(self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process has used so far.
///
/// # Errors
/// When there is no such process.
pub fn usage(id: u32) -> Result<Usage> {
    let mut stat = String::new();
    File::open(format!("/proc/{id}/stat"))?.read_to_string(&mut stat)?;
    // The second field, the name in parentheses, may hold spaces.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| -> Result<u64> { Ok(fields.get(at).ok_or("short /proc/stat")?.parse()?) };
    let cpu = Duration::from_millis((ticks(11)? + ticks(12)?) * 10);
    Ok(Usage { cpu, rss: resident(id)? })
}

/// The resident memory of a process, in MiB.
///
/// # Errors
/// When there is no such process.
pub fn resident(id: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

/// An address of the loopback interface that was free a moment ago.
///
/// # Errors
/// When there is none.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
