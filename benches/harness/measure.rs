// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Times contenders in turns, so that what disturbs the machine disturbs all of them.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::Effort;
use crate::Result;

/// Something to time: a name, and one operation given its number.
pub struct Contender<'a> {
    name: String,
    operation: Box<dyn FnMut(usize) -> Result<()> + 'a>,
}

impl<'a> Contender<'a> {
    /// Names an operation.
    pub fn new<T>(name: impl Into<String>, mut operation: impl FnMut(usize) -> Result<T> + 'a) -> Self {
        let operation = move |number| operation(number).map(|made| drop(black_box(made)));
        Self { name: name.into(), operation: Box::new(operation) }
    }

    fn run(&mut self, first: usize, count: usize) -> Result<Duration> {
        let start = Instant::now();
        for number in first..first + count {
            (self.operation)(number)?;
        }
        Ok(start.elapsed())
    }
}

impl std::fmt::Debug for Contender<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

/// The times of one contender, a figure a round.
#[derive(Debug, Clone)]
pub struct Timing {
    /// The contender.
    pub name: String,
    /// Nanoseconds an operation, in the order of the rounds.
    pub nanos: Vec<f64>,
}

impl Timing {
    /// The median, in nanoseconds.
    pub fn median(&self) -> f64 {
        median(self.nanos.clone())
    }

    /// How many times faster this one is than `other`: the median over the rounds.
    pub fn times_faster_than(&self, other: &Self) -> f64 {
        median(self.nanos.iter().zip(&other.nanos).map(|(own, theirs)| theirs / own).collect())
    }

    /// How much longer this one takes than `other`: the median over the rounds.
    pub fn growth_from(&self, other: &Self) -> f64 {
        other.times_faster_than(self)
    }
}

/// Runs every contender once a round, each for about one slice, after finding out how many operations
/// that is.
///
/// # Errors
/// The first error of an operation.
pub fn interleaved(effort: Effort, contenders: &mut [Contender<'_>]) -> Result<Vec<Timing>> {
    let mut counts = Vec::new();
    let mut timings: Vec<Timing> = Vec::new();
    for contender in contenders.iter_mut() {
        counts.push(
            calibrate(effort.slice, contender).map_err(|error| format!("{}: {error}", contender.name))?,
        );
        timings.push(Timing { name: contender.name.clone(), nanos: Vec::new() });
    }
    for round in 0..effort.rounds {
        for ((contender, count), timing) in contenders.iter_mut().zip(&counts).zip(&mut timings) {
            let taken = contender.run(round * count, *count)?;
            timing.nanos.push(taken.as_secs_f64() * 1e9 / *count as f64);
        }
    }
    Ok(timings)
}

/// Times operations of a millisecond or more one by one, without dropping what they leave.
///
/// # Errors
/// The first error of an operation.
pub fn one_by_one<T>(effort: Effort, mut operation: impl FnMut(usize) -> Result<T>) -> Result<Timing> {
    let timed = |number| {
        let start = Instant::now();
        let made = black_box(operation(number)?);
        let taken = start.elapsed();
        drop(made);
        Ok(taken.as_secs_f64() * 1e9)
    };
    Ok(Timing { name: String::new(), nanos: (0..effort.rounds * 8).map(timed).collect::<Result<_>>()? })
}

/// The number of operations that fill a slice; running it is also the warm-up.
fn calibrate(slice: Duration, contender: &mut Contender<'_>) -> Result<usize> {
    let mut count = 1;
    loop {
        let taken = contender.run(0, count)?;
        if taken * 2 >= slice || count >= 1 << 24 {
            let fill = slice.as_secs_f64() / taken.as_secs_f64().max(1e-9) * count as f64;
            return Ok((fill as usize).clamp(1, 1 << 25));
        }
        count *= 4;
    }
}

/// The middle of some figures; 0 of none.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(0.0)
}

/// The figure below which this share of them lies; 0 of none.
pub fn percentile(mut figures: Vec<f64>, percent: f64) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    let at = (figures.len().saturating_sub(1)) as f64 * percent / 100.0;
    figures.get(at as usize).copied().unwrap_or(0.0)
}
