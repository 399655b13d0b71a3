// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Takes out of loops what each round need not do again. The machine's compiler writes one statement after
//! the other; in a rule over lists, most of a round is then moving the item into a second register,
//! checking that it is there, and reading the same part of the input once more.
//!
//! A body with an instruction that [`registers`](super::registers) does not know is left as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use regorus::rvm::instructions::{GuardMode, LoopMode, LoopStartParams};
use regorus::rvm::program::RuleType;
use regorus::rvm::{Instruction, Program};

use super::bytecode::{Owner, code_of};
use super::registers::{Uses, rename};
use super::relocate::{self, Unfit};

/// The register that holds a rule's value.
const RESULT: u8 = 0;

/// A program with tighter bodies, which answers the same; the program as it is if that cannot be.
pub(super) fn tightened(program: Program) -> Program {
    let mut tighter = program.clone();
    match tighten(&mut tighter) {
        Ok(()) => tighter,
        Err(Unfit) => program,
    }
}

fn tighten(program: &mut Program) -> Result<(), Unfit> {
    for pass in [items, rounds] {
        let mut edits = Edits::default();
        for (body, owner) in bodies(program) {
            if let Some(uses) = Uses::of(program, body.clone()) {
                let loops = body.filter_map(|pc| Loop::at(program, pc)).collect();
                pass(program, &Body { owner, uses, loops }, &mut edits);
            }
        }
        relocate::edit(program, edits.additions, &edits.removals)?;
    }
    Ok(())
}

/// What is put before instructions, and what is taken out.
#[derive(Default)]
struct Edits {
    additions: BTreeMap<usize, Vec<Instruction>>,
    removals: BTreeSet<usize>,
}

/// One body of a rule.
struct Body {
    owner: Owner,
    uses: Uses,
    /// In the order of the code: a loop comes before those within it.
    loops: Vec<Loop>,
}

/// The code of each body, with whose it is.
fn bodies(program: &Program) -> Vec<(Range<usize>, Owner)> {
    let starts = code_of(program);
    let ends = starts.iter().skip(1).map(|(start, _)| *start).chain([program.instructions.len()]);
    let spans = starts.iter().zip(ends).map(|((start, owner), end)| (*start..end, *owner));
    // What follows the last return of all belongs to no rule.
    let returned = |span: Range<usize>| {
        let end = span.clone().find(|pc| matches!(at(program, *pc), Some(Instruction::RuleReturn {})))?;
        Some(span.start..end + 1)
    };
    spans.filter_map(|(span, owner)| Some((returned(span)?, owner))).collect()
}

fn at(program: &Program, pc: usize) -> Option<Instruction> {
    program.instructions.get(pc).copied()
}

/// A loop.
struct Loop {
    start: usize,
    number: u16,
    params: LoopStartParams,
    /// From its first instruction up to and with the one that begins the next round.
    body: Range<usize>,
}

impl Loop {
    fn at(program: &Program, pc: usize) -> Option<Self> {
        let Some(Instruction::LoopStart { params_index: number }) = at(program, pc) else { return None };
        let params = program.instruction_data.get_loop_params(number)?.clone();
        let body = usize::from(params.body_start)..usize::from(params.loop_end);
        Some(Self { start: pc, number, params, body })
    }
}

/// The item of a round is always there, and need not be in a register of its own.
fn items(program: &mut Program, body: &Body, edits: &mut Edits) {
    let uses = &body.uses;
    for round in &body.loops {
        let of_round = [round.params.key_reg, round.params.value_reg];
        let is_item = |register: u8| of_round.contains(&register) && uses.writes(register) == [round.start];
        let mut copies = Vec::new();
        for pc in round.body.clone() {
            match at(program, pc) {
                Some(Instruction::Move { dest, src })
                    if is_item(src) && dest != RESULT && uses.only_within(dest, pc, &round.body) =>
                {
                    uses.reads(dest).iter().for_each(|read| rename(program, *read, dest, src));
                    copies.push(dest);
                }
                Some(Instruction::Guard { register, mode: GuardMode::NotUndefined })
                    if copies.contains(&register) || is_item(register) => {}
                // A copy that was renamed already.
                _ => break,
            }
            edits.removals.insert(pc);
        }
    }
}

/// What is the same in all rounds is done once, and no round comes after the one that settles the value.
fn rounds(program: &mut Program, body: &Body, edits: &mut Edits) {
    let is_inner = |inner: &Loop| body.loops.iter().any(|outer| outer.body.contains(&inner.start));
    for outermost in body.loops.iter().filter(|round| !is_inner(round)) {
        move_out(program, &body.uses, outermost, edits);
    }
    leave_early(program, body, edits);
    join_comparisons(program, &body.uses, edits);
}

/// Reads before the loop what does not depend on the round. Reading never fails: what is not there is
/// undefined, and the guard that finds that stays where it is.
fn move_out(program: &Program, uses: &Uses, outermost: &Loop, edits: &mut Edits) {
    let mut fixed = BTreeSet::new();
    for pc in outermost.body.clone() {
        let Some(instruction) = at(program, pc) else { continue };
        let is_fixed = |register: u8| {
            let mut writes = uses.writes(register).iter();
            let before = |write: &usize| *write < outermost.start && is_whole(program, *write);
            fixed.contains(&register) || (writes.len() == 1 && writes.all(before))
        };
        let dest = match instruction {
            Instruction::Load { dest, .. }
            | Instruction::LoadInput { dest }
            | Instruction::LoadData { dest } => dest,
            Instruction::IndexLiteral { dest, container, .. } if is_fixed(container) => dest,
            Instruction::ChainedIndex { params_index } => {
                match program.instruction_data.get_chained_index_params(params_index) {
                    Some(params) if params.all_literals() && is_fixed(params.root) => params.dest,
                    _ => continue,
                }
            }
            _ => continue,
        };
        if dest != RESULT && uses.only_within(dest, pc, &outermost.body) {
            fixed.insert(dest);
            edits.removals.insert(pc);
            edits.additions.entry(outermost.start).or_default().push(instruction);
        }
    }
}

/// Whether an instruction fetches the whole input or all data.
fn is_whole(program: &Program, pc: usize) -> bool {
    matches!(at(program, pc), Some(Instruction::LoadInput { .. } | Instruction::LoadData { .. }))
}

/// A rule whose one value stands in its text has it after the first round that succeeds.
fn leave_early(program: &mut Program, body: &Body, edits: &mut Edits) {
    let Some(innermost) = body.loops.last() else { return };
    let rule = program.rule_infos.get(body.owner.rule);
    let next = innermost.body.end.saturating_sub(1);
    let before = |count: usize| next.checked_sub(count).and_then(|pc| at(program, pc));
    let yields_constant = match (before(2), before(1)) {
        (
            Some(
                Instruction::Load { dest, .. }
                | Instruction::LoadTrue { dest }
                | Instruction::LoadBool { dest, .. },
            ),
            Some(Instruction::Move { dest: RESULT, src }),
        ) => dest == src,
        _ => false,
    };
    // Each loop must be the last thing that the one around it does.
    let nested = body
        .loops
        .iter()
        .zip(body.loops.iter().skip(1))
        .all(|(outer, inner)| outer.body.contains(&inner.start) && inner.body.end + 1 == outer.body.end);
    let each = body.loops.iter().all(|round| matches!(round.params.mode, LoopMode::ForEach));
    let complete = rule.is_some_and(|rule| matches!(rule.rule_type, RuleType::Complete));
    if !(complete && yields_constant && nested && each) {
        return;
    }
    for round in &body.loops {
        if let Some(params) = program.instruction_data.loop_params.get_mut(usize::from(round.number)) {
            params.mode = LoopMode::Any;
        }
    }
    for inner in body.loops.iter().skip(1) {
        // A round succeeds if the loop within it did.
        let succeeded = Instruction::Guard { register: inner.params.result_reg, mode: GuardMode::Condition };
        edits.additions.entry(inner.body.end).or_default().push(succeeded);
    }
}

/// A comparison that has to hold is one instruction.
fn join_comparisons(program: &mut Program, uses: &Uses, edits: &mut Edits) {
    for pc in uses.body.clone() {
        let (Some(Instruction::Eq { dest, left, right }), Some(Instruction::Guard { register, mode })) =
            (at(program, pc), at(program, pc + 1))
        else {
            continue;
        };
        let alone = uses.writes(dest) == [pc] && uses.reads(dest) == [pc + 1];
        if dest == register && mode == GuardMode::Condition && alone {
            edits.removals.insert(pc + 1);
            if let Some(instruction) = program.instructions.get_mut(pc) {
                *instruction = Instruction::AssertEq { left, right };
            }
        }
    }
}
