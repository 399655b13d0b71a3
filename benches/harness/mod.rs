// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Measuring, printing, and running peers.

pub mod cms;
pub mod etcd;
pub mod http;
pub mod measure;
pub mod opa_ffi;
pub mod peers;
pub mod process;
pub mod servers;
pub mod table;
pub mod wrk;

use std::time::Duration;

/// How long a benchmark may take. `--quick` or `BENCH_QUICK=1` only shows that it runs.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// How often each contender has its turn.
    pub rounds: usize,
    /// How long a turn lasts.
    pub slice: Duration,
    /// How long one run of the load generator lasts.
    pub load: Duration,
}

impl Effort {
    /// Reads the arguments and the environment.
    pub fn from_env() -> Self {
        let quick = std::env::args().any(|argument| argument == "--quick")
            || std::env::var_os("BENCH_QUICK").is_some();
        if quick {
            Self { rounds: 3, slice: Duration::from_millis(5), load: Duration::from_secs(1) }
        } else {
            Self { rounds: 9, slice: Duration::from_millis(40), load: Duration::from_secs(4) }
        }
    }

    /// Fewer rounds, for contenders whose every run is long.
    pub fn rounds(self, rounds: usize) -> Self {
        Self { rounds: rounds.min(self.rounds), ..self }
    }
}

/// Whether `cargo bench -- NAME` asked for this part, or for everything.
pub fn wanted(part: &str) -> bool {
    let mut asked = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
    asked.peek().is_none() || asked.any(|argument| part.contains(&argument))
}
