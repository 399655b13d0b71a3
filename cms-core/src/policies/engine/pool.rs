// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Machines that are ready to run, so that a decision neither builds one nor waits for one.
//!
//! Each slot belongs, in effect, to a thread, and holds a machine per program. A machine has its
//! own copy of its program and of the outer levels of the data: threads that counted references
//! on the same words would slow each other down. In its copy, a rule that is indexed has only those
//! definitions that the input can satisfy.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use parking_lot::Mutex;
use regorus::Value;
use regorus::rvm::program::{Program, ProgramMetadata, RuleInfo};
use regorus::rvm::vm::{RegoVM, VmError};
use regorus::utils::limits::ExecutionTimerConfig;

use super::program::Shard;

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
struct Slot(Mutex<Vec<Option<Box<Machine>>>>);

impl Pool {
    pub(super) fn new(programs: usize) -> Self {
        Self { slots: (0..SLOTS).map(|_| Slot::default()).collect(), programs }
    }

    /// Runs `work` with a machine for program `index`, which `make` builds if there is none. The
    /// machine is kept unless `work` panics.
    pub(super) fn with<T>(
        &self,
        index: usize,
        make: impl FnOnce() -> Result<Machine, VmError>,
        work: impl FnOnce(&mut Machine) -> T,
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

/// A register machine with a program.
pub(super) struct Machine {
    pub(super) machine: RegoVM,
    program: Arc<Program>,
    /// The definitions that each indexed rule has at the moment; `None`: all.
    selected: Vec<Option<Vec<usize>>>,
    /// For the next selection, so that it need not allocate.
    found: Vec<usize>,
}

impl Machine {
    /// Builds a machine with its own copies.
    pub(super) fn new(shard: &Shard, data: &Value) -> Result<Self, VmError> {
        let program = Arc::new(own_program(&shard.program));
        let mut machine = RegoVM::new();
        machine.load_program(Arc::clone(&program));
        machine.set_data(own_levels(data, OWN_LEVELS))?;
        Ok(Self { machine, program, selected: vec![None; shard.indexes.len()], found: Vec::new() })
    }

    /// Bounds the next evaluation: its instructions, and its time.
    pub(super) fn bound(&mut self, (instructions, time): (usize, Duration)) {
        self.machine.set_max_instructions(instructions);
        let timer = ExecutionTimerConfig { limit: time, check_interval: CLOCK_INTERVAL };
        self.machine.set_execution_timer_config(Some(timer));
    }

    /// Leaves the rules that an entry point may reach those definitions that the input can satisfy.
    pub(super) fn select(&mut self, shard: &Shard, entry: usize, input: &Value) {
        for at in shard.reached.get(entry).into_iter().flatten() {
            let (Some(index), Some(selected)) = (shard.indexes.get(*at), self.selected.get_mut(*at)) else {
                continue;
            };
            index.select(input, &mut self.found);
            if selected.as_ref() == Some(&self.found) {
                continue;
            }
            // The machine lets go of the program, or all of it would be copied.
            self.machine.load_program(Arc::clone(&NOTHING));
            give(Arc::make_mut(&mut self.program), &shard.program, index.rule, &self.found);
            *selected = Some(self.found.clone());
        }
        if !Arc::ptr_eq(self.machine.get_program(), &self.program) {
            self.machine.load_program(Arc::clone(&self.program));
        }
    }
}

static NOTHING: LazyLock<Arc<Program>> = LazyLock::new(|| Arc::new(Program::new()));

/// Gives a rule some of the definitions that it has in `whole`.
fn give(program: &mut Program, whole: &Program, rule: usize, numbers: &[usize]) {
    let (Some(rule), Some(whole)) = (program.rule_infos.get_mut(rule), whole.rule_infos.get(rule)) else {
        return;
    };
    rule.definitions = Arc::new(some_of(&whole.definitions, numbers));
    rule.destructuring_blocks = some_of(&whole.destructuring_blocks, numbers);
    rule.else_bodies = some_of(&whole.else_bodies, numbers);
    lighten(rule);
}

fn some_of<T: Clone>(all: &[T], numbers: &[usize]) -> Vec<T> {
    numbers.iter().filter_map(|number| all.get(*number)).cloned().collect()
}

fn own_program(program: &Program) -> Program {
    let mut own = program.clone();
    // It would become a value at each load.
    own.metadata = ProgramMetadata {
        compiler_version: String::new(),
        compiled_at: String::new(),
        source_info: String::new(),
        language: own.metadata.language,
        optimization_level: 0,
        annotations: BTreeMap::new(),
    };
    for rule in &mut own.rule_infos {
        rule.definitions = Arc::new(rule.definitions.as_ref().clone());
        lighten(rule);
    }
    own.literals = own.literals.iter().map(|literal| own_levels(literal, OWN_LEVELS)).collect();
    own
}

/// Drops what says nothing: the machine copies all of it at every call of the rule.
fn lighten(rule: &mut RuleInfo) {
    rule.name = String::new();
    if let Some(function) = &mut rule.function_info {
        function.param_names = Vec::new();
    }
    if rule.destructuring_blocks.iter().all(Option::is_none) {
        rule.destructuring_blocks = Vec::new();
    }
    if !rule.else_bodies.iter().flatten().any(|is_else| *is_else) {
        rule.else_bodies = Vec::new();
    }
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
