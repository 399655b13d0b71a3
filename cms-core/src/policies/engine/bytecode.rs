// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the register machine's compiler does not check of its own output: recursion, the depth of
//! calls, and the number of arguments. Without these checks a policy could overflow the stack, and
//! a wrong call would be silently undefined.

use std::collections::BTreeSet;

use regorus::Value;
use regorus::rvm::instructions::LiteralOrRegister;
use regorus::rvm::{Instruction, Program};

/// What is wrong with a program.
#[derive(Debug)]
pub(super) enum Flaw {
    /// The machine cannot run it as it should; the interpreter can.
    Unsupported,
    /// These rules call each other in a circle.
    Recursion { rules: Vec<String>, at: Option<At> },
    /// A function is called with the wrong number of arguments.
    Arguments { name: String, expected: usize, given: usize, at: Option<At> },
    /// A function has more parameters than a call can pass.
    Parameters { name: String, most: usize },
    /// Calls nest too deeply.
    Depth,
}

/// A place in the code: the rule that it belongs to, and where in that rule's file it stands.
///
/// The file is not told: the compiler numbers files in two ways that need not agree.
#[derive(Debug, Clone)]
pub(super) struct At {
    pub(super) rule: String,
    pub(super) place: (u32, u32),
}

impl At {
    fn of(program: &Program, pc: usize) -> Option<Self> {
        let rule = owner(&code_of(program), pc).and_then(|owner| program.rule_infos.get(owner.rule))?;
        let span = program.get_instruction_span(pc).filter(|span| span.line > 0)?;
        Some(Self {
            rule: rule.name.clone(),
            place: (u32::try_from(span.line).ok()?, u32::try_from(span.column).ok()?),
        })
    }
}

/// The most arguments that an instruction can pass.
const MAX_ARGUMENTS: usize = 8;

/// Checks a program and gives the length of its longest chain of calls.
///
/// # Errors
/// The first flaw.
pub(super) fn inspect(program: &Program, call_depth: usize) -> Result<usize, Flaw> {
    check_parameters(program)?;
    program
        .instructions
        .iter()
        .enumerate()
        .try_for_each(|(pc, instruction)| check_call(program, pc, instruction))?;
    let depth = Calls::of(program).longest(program)?;
    if depth > call_depth { Err(Flaw::Depth) } else { Ok(depth) }
}

fn check_parameters(program: &Program) -> Result<(), Flaw> {
    let wide =
        program.rule_infos.iter().find(|rule| parameters(rule).is_some_and(|count| count > MAX_ARGUMENTS));
    wide.map_or(Ok(()), |rule| Err(Flaw::Parameters { name: rule.name.clone(), most: MAX_ARGUMENTS }))
}

fn parameters(rule: &regorus::rvm::program::RuleInfo) -> Option<usize> {
    rule.function_info.as_ref().and_then(|info| usize::try_from(info.num_params).ok())
}

/// Compares what a call passes with what its function takes.
fn check_call(program: &Program, pc: usize, instruction: &Instruction) -> Result<(), Flaw> {
    let (name, expected, given) = match *instruction {
        Instruction::BuiltinCall { params_index } => {
            let Some(call) = program.instruction_data.get_builtin_call_params(params_index) else {
                return Ok(());
            };
            let Some(builtin) = program.get_builtin_info(call.builtin_index) else { return Ok(()) };
            if builtin.name == "walk" {
                // The machine would give all pairs as one array.
                return Err(Flaw::Unsupported);
            }
            (&builtin.name, usize::from(builtin.num_args), usize::from(call.num_args))
        }
        Instruction::FunctionCall { params_index } => {
            let Some(call) = program.instruction_data.get_function_call_params(params_index) else {
                return Ok(());
            };
            let Some(rule) = program.rule_infos.get(usize::from(call.func_rule_index)) else { return Ok(()) };
            (&rule.name, parameters(rule).unwrap_or_default(), usize::from(call.num_args))
        }
        Instruction::HostAwait { .. } => return Err(Flaw::Unsupported),
        _ => return Ok(()),
    };
    if expected == given {
        return Ok(());
    }
    Err(Flaw::Arguments { name: name.clone(), expected, given, at: At::of(program, pc) })
}

/// Who calls whom.
pub(super) struct Calls {
    /// For each rule, the rules that it calls, and from which instruction.
    edges: Vec<Vec<(usize, usize)>>,
}

impl Calls {
    pub(super) fn of(program: &Program) -> Self {
        let starts = code_of(program);
        let mut edges: Vec<Vec<(usize, usize)>> = vec![Vec::new(); program.rule_infos.len()];
        for (pc, instruction) in program.instructions.iter().enumerate() {
            let Some(calls) = owner(&starts, pc).and_then(|owner| edges.get_mut(owner.rule)) else {
                continue;
            };
            calls.extend(callees(program, instruction).into_iter().map(|callee| (callee, pc)));
        }
        Self { edges }
    }

    /// The rules that the code at an entry point may evaluate.
    pub(super) fn reached_from(&self, program: &Program, start: usize) -> BTreeSet<usize> {
        let entry = program.instructions.iter().skip(start);
        let entry = entry.take_while(|instruction| !matches!(instruction, Instruction::Return { .. }));
        let mut open: Vec<usize> = entry.flat_map(|instruction| callees(program, instruction)).collect();
        let mut reached = BTreeSet::new();
        while let Some(rule) = open.pop() {
            if reached.insert(rule) {
                let calls = self.edges.get(rule).map(Vec::as_slice).unwrap_or_default();
                open.extend(calls.iter().map(|(callee, _)| *callee));
            }
        }
        reached
    }

    /// The number of rules on the longest chain of calls.
    fn longest(&self, program: &Program) -> Result<usize, Flaw> {
        let mut depths: Vec<Option<usize>> = vec![None; self.edges.len()];
        for rule in 0..self.edges.len() {
            self.visit(rule, &mut depths, program)?;
        }
        Ok(depths.into_iter().flatten().max().unwrap_or_default())
    }

    /// Walks depth first, without recursion of its own.
    fn visit(&self, start: usize, depths: &mut [Option<usize>], program: &Program) -> Result<(), Flaw> {
        let mut path: Vec<(usize, usize)> = vec![(start, 0)];
        while let Some((rule, next)) = path.last_mut() {
            let rule = *rule;
            if depths.get(rule).is_some_and(Option::is_some) {
                path.pop();
                continue;
            }
            let calls = self.edges.get(rule).map(Vec::as_slice).unwrap_or_default();
            if let Some((callee, pc)) = calls.get(*next) {
                *next += 1;
                if let Some(from) = path.iter().position(|(visited, _)| visited == callee) {
                    return Err(recursion(program, path.get(from..).unwrap_or_default(), *callee, *pc));
                }
                path.push((*callee, 0));
                continue;
            }
            let below = calls.iter().filter_map(|(callee, _)| depths.get(*callee).copied().flatten()).max();
            if let Some(depth) = depths.get_mut(rule) {
                *depth = Some(below.unwrap_or_default() + 1);
            }
            path.pop();
        }
        Ok(())
    }
}

fn recursion(program: &Program, path: &[(usize, usize)], closing: usize, pc: usize) -> Flaw {
    let rules = path.iter().map(|(rule, _)| *rule).chain([closing]);
    let rules = rules.filter_map(|rule| program.rule_infos.get(rule)).map(|rule| rule.name.clone()).collect();
    Flaw::Recursion { rules, at: At::of(program, pc) }
}

/// Whose code an instruction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner {
    pub(super) rule: usize,
    pub(super) definition: usize,
}

/// Where the code of each definition begins, in the order of the code. It is laid out definition by
/// definition.
pub(super) fn code_of(program: &Program) -> Vec<(usize, Owner)> {
    let mut starts = Vec::new();
    for (rule, info) in program.rule_infos.iter().enumerate() {
        for (definition, bodies) in info.definitions.iter().enumerate() {
            let block = info.destructuring_blocks.get(definition).copied().flatten();
            let pcs = bodies.iter().copied().chain(block).filter_map(|pc| usize::try_from(pc).ok());
            starts.extend(pcs.map(|pc| (pc, Owner { rule, definition })));
        }
    }
    starts.sort_unstable();
    starts
}

/// Whose code an instruction is, by what [`code_of`] gives.
pub(super) fn owner(starts: &[(usize, Owner)], pc: usize) -> Option<Owner> {
    let index = starts.partition_point(|(start, _)| *start <= pc).checked_sub(1)?;
    starts.get(index).map(|(_, owner)| *owner)
}

/// The rules that an instruction may call.
fn callees(program: &Program, instruction: &Instruction) -> Vec<usize> {
    match *instruction {
        Instruction::CallRule { rule_index, .. } => vec![usize::from(rule_index)],
        Instruction::FunctionCall { params_index } => program
            .instruction_data
            .get_function_call_params(params_index)
            .map(|call| vec![usize::from(call.func_rule_index)])
            .unwrap_or_default(),
        Instruction::VirtualDataDocumentLookup { params_index } => {
            let params = program.instruction_data.get_virtual_data_document_lookup_params(params_index);
            let mut found = Vec::new();
            if let Some(params) = params {
                looked_up(program, &program.rule_tree["data"], &params.path_components, &mut found);
            }
            found
        }
        _ => Vec::new(),
    }
}

/// The rules that a look-up with this path may evaluate; a part that is computed may be anything.
fn looked_up(program: &Program, node: &Value, path: &[LiteralOrRegister], found: &mut Vec<usize>) {
    match node {
        Value::Number(_) => found.extend(node.as_u64().ok().and_then(|rule| usize::try_from(rule).ok())),
        Value::Object(children) => match path.split_first() {
            Some((LiteralOrRegister::Literal(index), rest)) => {
                if let Some(child) =
                    program.literals.get(usize::from(*index)).and_then(|key| children.get(key))
                {
                    looked_up(program, child, rest, found);
                }
            }
            Some((LiteralOrRegister::Register(_), rest)) => {
                children.values().for_each(|child| looked_up(program, child, rest, found));
            }
            None => children.values().for_each(|child| looked_up(program, child, path, found)),
        },
        _ => {}
    }
}
