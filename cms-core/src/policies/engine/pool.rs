// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Machines that are ready to run, so that a decision neither builds one nor waits for one.
//!
//! Each slot belongs, in effect, to a thread, and holds a machine per program. A machine has its
//! own copy of its program and of the outer levels of the data: threads that counted references
//! on the same words would slow each other down.

use std::num::NonZeroU32;
use std::sync::Arc;

use parking_lot::Mutex;
use regorus::Value;
use regorus::rvm::program::Program;
use regorus::rvm::vm::{RegoVM, VmError};
use regorus::utils::limits::ExecutionTimerConfig;

use super::limits::Limits;

/// More slots than threads decide at a time on the machines that this runs on.
const SLOTS: usize = 32;

/// Instructions between two looks at the clock.
const CLOCK_INTERVAL: NonZeroU32 = NonZeroU32::new(512).unwrap();

/// The machines of one snapshot.
pub(super) struct Pool {
    slots: Box<[Slot]>,
    programs: usize,
}

/// Apart by a cache line, so that threads do not disturb each other.
#[derive(Default)]
#[repr(align(128))]
struct Slot(Mutex<Vec<Option<Box<RegoVM>>>>);

impl Pool {
    pub(super) fn new(programs: usize) -> Self {
        Self { slots: (0..SLOTS).map(|_| Slot::default()).collect(), programs }
    }

    /// Runs `work` with a machine for program `index`, which `make` builds if there is none. The
    /// machine is kept unless `work` panics.
    pub(super) fn with<T>(
        &self,
        index: usize,
        make: impl FnOnce() -> Result<RegoVM, VmError>,
        work: impl FnOnce(&mut RegoVM) -> T,
    ) -> Result<T, VmError> {
        let first = slot_of_thread();
        let order = (0..SLOTS).filter_map(|step| self.slots.get((first + step) % SLOTS));
        let Some(mut machines) = order.filter_map(|slot| slot.0.try_lock()).next() else {
            return make().map(|mut machine| work(&mut machine));
        };
        if machines.len() < self.programs {
            machines.resize_with(self.programs, || None);
        }
        let Some(place) = machines.get_mut(index) else {
            return make().map(|mut machine| work(&mut machine));
        };
        // Taken out while it works: after a panic, it is gone.
        let mut machine = match place.take() {
            Some(machine) => machine,
            None => Box::new(make()?),
        };
        let result = work(&mut machine);
        *place = Some(machine);
        Ok(result)
    }
}

/// Builds a machine with its own copies.
pub(super) fn machine(program: &Program, data: &Value, limits: &Limits) -> Result<RegoVM, VmError> {
    let mut machine = RegoVM::new();
    machine.load_program(Arc::new(own_program(program)));
    machine.set_data(own_levels(data, OWN_LEVELS))?;
    machine.set_max_instructions(limits.instructions);
    machine.set_execution_timer_config(Some(ExecutionTimerConfig {
        limit: limits.time,
        check_interval: CLOCK_INTERVAL,
    }));
    Ok(machine)
}

fn own_program(program: &Program) -> Program {
    let mut own = program.clone();
    for rule in &mut own.rule_infos {
        rule.definitions = Arc::new(rule.definitions.as_ref().clone());
    }
    own.literals = own.literals.iter().map(|literal| own_levels(literal, OWN_LEVELS)).collect();
    own
}

const OWN_LEVELS: usize = 3;
const OWN_ENTRIES: usize = 256;

/// Copies the outer levels of a value, as far as they are small.
fn own_levels(value: &Value, levels: usize) -> Value {
    match value {
        Value::Object(entries) if levels > 0 && entries.len() <= OWN_ENTRIES => Value::from(
            entries
                .iter()
                .map(|(key, value)| (own_levels(key, 0), own_levels(value, levels - 1)))
                .collect::<regorus::value::Object>(),
        ),
        Value::String(text) => Value::String(Arc::from(text.as_ref())),
        other => other.clone(),
    }
}

/// A number that differs between threads, mostly.
fn slot_of_thread() -> usize {
    thread_local!(static MARK: u8 = const { 0 });
    MARK.with(|mark| {
        // Threads' storage lies at least a page apart.
        let address = std::ptr::from_ref(mark).addr() >> 12;
        (address ^ (address >> 7) ^ (address >> 13)) % SLOTS
    })
}
