// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Keeps from asking what does not answer: after some failures in a row calls fail at once, and one at a time
//! finds out, about once a second, whether it is over.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::error::Trouble;

/// After how many failures in a row it opens.
const FAILURES: u32 = 3;
/// How long it stays open until somebody may try.
const PAUSE: Duration = Duration::from_secs(1);
/// By how much that differs, so that many processes do not try at once.
const SPREAD_MILLIS: u64 = 500;

/// Whether calls are let through.
#[derive(Debug, Default)]
pub(super) struct Circuit(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    because: Trouble,
    is_tried: bool,
}

/// Lets one call through. If it is dropped, nothing was found out.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    circuit: &'a Circuit,
    is_trial: bool,
}

impl Circuit {
    /// Why a call would fail at once, if it would.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        match &self.0.lock().open {
            Some(open) if open.is_tried || Instant::now() < open.until => Err(open.because.clone()),
            _ => Ok(()),
        }
    }

    /// Lets a call through.
    ///
    /// # Errors
    /// What the last call has met, while it is open.
    pub(super) fn enter(&self) -> Result<Pass<'_>, Trouble> {
        let mut state = self.0.lock();
        let Some(open) = &mut state.open else { return Ok(Pass { circuit: self, is_trial: false }) };
        if open.is_tried || Instant::now() < open.until {
            return Err(open.because.clone());
        }
        open.is_tried = true;
        Ok(Pass { circuit: self, is_trial: true })
    }
}

impl Pass<'_> {
    /// Notes that the call was answered.
    pub(super) fn answered(self) {
        let mut state = self.circuit.0.lock();
        state.failures = 0;
        if state.open.take().is_some() {
            tracing::info!("OpenBao answers again");
        }
    }

    /// Notes that the call was not.
    pub(super) fn failed(self, because: &Trouble) {
        let mut state = self.circuit.0.lock();
        state.failures += 1;
        if state.failures < FAILURES && state.open.is_none() {
            return;
        }
        if state.open.is_none() {
            tracing::warn!(reason = %because, detail = because.detail(), "OpenBao is not asked for now");
        }
        let until = Instant::now() + PAUSE + Duration::from_millis(chance(SPREAD_MILLIS));
        state.open = Some(Open { until, because: because.clone(), is_tried: false });
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.is_trial
            && let Some(open) = &mut self.circuit.0.lock().open
        {
            open.is_tried = false;
        }
    }
}

/// A random number below a bound. Without randomness everybody waits alike, which is no harm.
pub(super) fn chance(bound: u64) -> u64 {
    getrandom::u64().unwrap_or_default() % bound.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(circuit: &Circuit) {
        circuit.enter().unwrap().failed(&Trouble::down("it is sealed"));
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_says_why() {
        let circuit = Circuit::default();
        fail(&circuit);
        fail(&circuit);
        circuit.enter().unwrap().answered();
        fail(&circuit);
        fail(&circuit);
        assert!(circuit.check().is_ok());
        fail(&circuit);
        assert_eq!(circuit.check().unwrap_err().to_string(), "it is sealed");
        assert_eq!(circuit.enter().unwrap_err().to_string(), "it is sealed");
    }

    #[test]
    fn one_at_a_time_finds_out_whether_it_is_over() {
        let circuit = Circuit::default();
        for _ in 0..FAILURES {
            fail(&circuit);
        }
        circuit.0.lock().open.as_mut().unwrap().until = Instant::now();
        let trial = circuit.enter().unwrap();
        assert!(circuit.enter().is_err(), "a second one waits for what the first finds");
        drop(trial);
        circuit.enter().unwrap().failed(&Trouble::down("still"));
        assert_eq!(circuit.enter().unwrap_err().to_string(), "still");
        circuit.0.lock().open.as_mut().unwrap().until = Instant::now();
        circuit.enter().unwrap().answered();
        assert!(circuit.enter().is_ok() && circuit.check().is_ok());
    }
}
