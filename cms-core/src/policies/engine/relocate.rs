// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Inserts instructions into a program of the register machine or takes some out, and moves every jump
//! along.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use regorus::rvm::{Instruction, Program};

/// The program cannot be changed as it must be: for example, it would outgrow what a jump can reach.
#[derive(Debug)]
pub(super) struct Unfit;

/// Inserts code before instructions. Whatever jumped to one of them runs the inserted code first.
pub(super) fn insert(
    program: &mut Program,
    additions: BTreeMap<usize, Vec<Instruction>>,
) -> Result<(), Unfit> {
    edit(program, additions, &BTreeSet::new())
}

/// Inserts code before instructions, and takes instructions out. Whatever jumped to one of those runs what
/// follows it.
pub(super) fn edit(
    program: &mut Program,
    mut additions: BTreeMap<usize, Vec<Instruction>>,
    removals: &BTreeSet<usize>,
) -> Result<(), Unfit> {
    if additions.is_empty() && removals.is_empty() {
        return Ok(());
    }
    let added: usize = additions.values().map(Vec::len).sum();
    if program.instructions.len() + added > Program::MAX_INSTRUCTIONS + removals.len() {
        return Err(Unfit);
    }
    let old = std::mem::take(&mut program.instructions);
    let spans = std::mem::take(&mut program.instruction_spans);
    let mut moved = Vec::with_capacity(old.len() + 1);
    for (pc, instruction) in old.into_iter().enumerate() {
        moved.push(program.instructions.len());
        let span = spans.get(pc).cloned().flatten();
        let kept = if removals.contains(&pc) { None } else { Some(instruction) };
        for instruction in additions.remove(&pc).unwrap_or_default().into_iter().chain(kept) {
            program.instructions.push(instruction);
            program.instruction_spans.push(span.clone());
        }
    }
    moved.push(program.instructions.len());
    move_targets(program, &Moved(moved));
    Ok(())
}

/// Where each instruction is now, and the end.
struct Moved(Vec<usize>);

impl Moved {
    fn to(&self, old: usize) -> usize {
        self.0.get(old).copied().unwrap_or(old)
    }

    fn short(&self, old: &mut u16) {
        *old = u16::try_from(self.to(usize::from(*old))).unwrap_or(u16::MAX);
    }

    fn long(&self, old: &mut u32) {
        let moved = usize::try_from(*old).map_or(usize::MAX, |old| self.to(old));
        *old = u32::try_from(moved).unwrap_or(u32::MAX);
    }
}

fn move_targets(program: &mut Program, moved: &Moved) {
    for instruction in &mut program.instructions {
        move_target(instruction, moved);
    }
    for params in &mut program.instruction_data.loop_params {
        moved.short(&mut params.body_start);
        moved.short(&mut params.loop_end);
    }
    for params in &mut program.instruction_data.comprehension_begin_params {
        moved.short(&mut params.body_start);
        moved.short(&mut params.comprehension_end);
    }
    for rule in &mut program.rule_infos {
        Arc::make_mut(&mut rule.definitions).iter_mut().flatten().for_each(|pc| moved.long(pc));
        rule.destructuring_blocks.iter_mut().flatten().for_each(|pc| moved.long(pc));
    }
    program.entry_points.values_mut().for_each(|pc| *pc = moved.to(*pc));
    moved.long(&mut program.main_entry_point);
}

fn move_target(instruction: &mut Instruction, moved: &Moved) {
    match instruction {
        Instruction::LoopNext { body_start, loop_end } => {
            moved.short(body_start);
            moved.short(loop_end);
        }
        Instruction::LogicalBlockStart { end_pc, .. }
        | Instruction::AllOfNext { end_pc, .. }
        | Instruction::AnyOfNext { end_pc, .. } => moved.short(end_pc),
        _ => {}
    }
}
