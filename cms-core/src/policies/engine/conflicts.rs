// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Makes contradictions an error, as they are in OPA.
//!
//! When a rule or a function yields two values, or an object two values for one key, the machine
//! by itself takes the last value or none. A policy that says `allow if not deny` would then allow,
//! because `deny` contradicts itself. So every place that yields a value first compares it with the
//! one that is there already, and a difference ends the evaluation.
//!
//! A body that yields nothing must also give way to its `else`, which the machine forgets when the
//! body ends with a loop.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use regorus::rvm::instructions::{BuiltinCallParams, ComprehensionMode, FunctionCallParams, GuardMode};
use regorus::rvm::program::{BuiltinInfo, FunctionInfo, RuleInfo, RuleType};
use regorus::rvm::{Instruction, Program};
use regorus::{LimitError, Value};

use super::bytecode::{Owner, code_of, owner};
use super::relocate::{self, Unfit};

/// The register that holds a rule's value.
const RESULT: u8 = 0;

/// Numbers from here on, in the place of a limit, name a conflict. The machine lets errors about
/// limits through, but no others.
const FIRST: usize = usize::MAX / 2;

/// The conflict that an error about a limit names.
pub(super) fn conflict_of(limit: usize) -> Option<usize> {
    limit.checked_sub(FIRST)
}

/// Adds the comparisons, but not to the rules that join rules with data, and replace a part of it on
/// purpose. Gives what each conflict is about: the name of a rule.
pub(super) fn detect(program: &mut Program, joining: &BTreeSet<usize>) -> Result<Vec<String>, Unfit> {
    let plan = Plan::of(program, joining)?;
    let rules = plan.checks.iter().map(|check| check.rule);
    let names =
        rules.map(|rule| program.rule_infos.get(rule).map(|rule| rule.name.clone()).unwrap_or_default());
    let names = names.collect();
    plan.apply(program)?;
    Ok(names)
}

/// What to change.
#[derive(Default)]
struct Plan {
    checks: Vec<Check>,
    /// Rules whose definitions must see each other's values.
    several: Vec<usize>,
    /// Ends of bodies that have an `else`.
    ends: Vec<usize>,
    /// Beginnings of definitions, which would drop the value of the one before.
    beginnings: Vec<usize>,
}

/// A value that is about to be yielded.
struct Check {
    pc: usize,
    rule: usize,
    /// Where the earlier value is: in a register, or in an object under a key.
    earlier: Earlier,
    value: u8,
}

#[derive(Clone, Copy)]
enum Earlier {
    Register,
    Entry { object: u8, key: u8 },
}

impl Plan {
    fn of(program: &Program, joining: &BTreeSet<usize>) -> Result<Self, Unfit> {
        let code = code_of(program);
        let mut plan = Self::default();
        for (rule, info) in program.rule_infos.iter().enumerate() {
            let alike = info.definitions.len() < 2 || info.early_exit_on_first_success;
            if matches!(info.rule_type, RuleType::Complete) && !alike {
                plan.several.push(rule);
            }
        }
        for (pc, instruction) in program.instructions.iter().enumerate() {
            if let Some(owner) = owner(&code, pc).filter(|owner| !joining.contains(&owner.rule)) {
                plan.note(program, pc, instruction, owner)?;
            }
        }
        Ok(plan)
    }

    fn note(
        &mut self,
        program: &Program,
        pc: usize,
        instruction: &Instruction,
        owner: Owner,
    ) -> Result<(), Unfit> {
        let Some(info) = program.rule_infos.get(owner.rule) else { return Ok(()) };
        let has_else = info.else_bodies.get(owner.definition).is_some_and(|bodies| bodies.contains(&true));
        let several = self.several.contains(&owner.rule);
        let complete = matches!(info.rule_type, RuleType::Complete);
        let check = match *instruction {
            Instruction::RuleInit { .. } if several && owner.definition > 0 => {
                // An earlier definition's value would hide that a body yields none.
                if has_else {
                    return Err(Unfit);
                }
                self.beginnings.push(pc);
                return Ok(());
            }
            Instruction::RuleReturn {} if complete && has_else => {
                self.ends.push(pc);
                return Ok(());
            }
            Instruction::Move { dest: RESULT, src } if complete => {
                let repeats = in_loop(program, pc) && !is_constant(program, pc, src);
                (several || repeats).then_some((Earlier::Register, src))
            }
            Instruction::ObjectSet { obj: RESULT, key, value } => {
                matches!(info.rule_type, RuleType::PartialObject)
                    .then_some((Earlier::Entry { object: RESULT, key }, value))
            }
            Instruction::ComprehensionYield { value_reg, key_reg: Some(key) } => {
                comprehension(program, pc).map(|object| (Earlier::Entry { object, key }, value_reg))
            }
            _ => None,
        };
        let check = check.map(|(earlier, value)| Check { pc, rule: owner.rule, earlier, value });
        self.checks.extend(check);
        Ok(())
    }

    fn apply(self, program: &mut Program) -> Result<(), Unfit> {
        let builtin = if self.checks.is_empty() { 0 } else { add_builtin(program) };
        let guard = Instruction::Guard { register: RESULT, mode: GuardMode::NotUndefined };
        let mut additions: BTreeMap<_, _> = self.ends.into_iter().map(|pc| (pc, vec![guard])).collect();
        let mut scratch = BTreeMap::new();
        for (number, check) in self.checks.iter().enumerate() {
            let register = match scratch.get(&check.rule) {
                Some(register) => *register,
                None => *scratch.entry(check.rule).or_insert(add_registers(program, check.rule)?),
            };
            additions.insert(check.pc, check.code(program, builtin, number, register)?);
        }
        for pc in self.beginnings {
            if let Some(instruction) = program.instructions.get_mut(pc) {
                *instruction = Instruction::Move { dest: RESULT, src: RESULT };
            }
        }
        relocate::insert(program, additions)?;
        self.several.into_iter().try_for_each(|rule| join_definitions(program, rule))
    }
}

impl Check {
    /// Compares the earlier value, if there is one, with the new one. `scratch` is the first of two
    /// free registers.
    fn code(
        &self,
        program: &mut Program,
        builtin: u16,
        number: usize,
        scratch: u8,
    ) -> Result<Vec<Instruction>, Unfit> {
        let mut code = Vec::with_capacity(4);
        let earlier = match self.earlier {
            Earlier::Register => {
                // A definition without a value must not take the earlier one away.
                code.push(Instruction::Guard { register: self.value, mode: GuardMode::NotUndefined });
                RESULT
            }
            Earlier::Entry { object, key } => {
                code.push(Instruction::Index { dest: scratch, container: object, key });
                scratch
            }
        };
        let literal_idx = u16::try_from(program.literals.len()).map_err(|_| Unfit)?;
        program.literals.push(Value::from(number));
        code.push(Instruction::Load { dest: scratch + 1, literal_idx });
        let params_index = program.add_builtin_call_params(BuiltinCallParams {
            dest: scratch + 1,
            builtin_index: builtin,
            num_args: 3,
            args: [earlier, self.value, scratch + 1, 0, 0, 0, 0, 0],
        });
        code.push(Instruction::BuiltinCall { params_index });
        Ok(code)
    }
}

/// Adds the function that compares. The machine does not call it when an argument is undefined.
fn add_builtin(program: &mut Program) -> u16 {
    program.resolved_builtins.push((
        |_, _, args, _| match args {
            [earlier, value, _] if earlier == value => Ok(Value::Bool(true)),
            [_, _, number] => {
                let number = number.as_u64().ok().and_then(|number| usize::try_from(number).ok());
                let limit = FIRST.saturating_add(number.unwrap_or_default());
                Err(LimitError::RegexSizeLimitExceeded { limit }.into())
            }
            _ => Ok(Value::Undefined),
        },
        3,
    ));
    program.add_builtin_info(BuiltinInfo { name: "internal.same".to_owned(), num_args: 3 })
}

/// Gives a rule two more registers.
fn add_registers(program: &mut Program, rule: usize) -> Result<u8, Unfit> {
    let info = program.rule_infos.get_mut(rule).ok_or(Unfit)?;
    let first = info.num_registers;
    info.num_registers = first.checked_add(2).ok_or(Unfit)?;
    program.max_rule_window_size = program.max_rule_window_size.max(info.num_registers);
    Ok(first)
}

/// Lets the definitions of a rule share the register of its value. The machine does so for functions;
/// so what is none becomes one without parameters, and the rule, which is still evaluated only
/// once, calls it.
fn join_definitions(program: &mut Program, rule: usize) -> Result<(), Unfit> {
    let function = u16::try_from(program.rule_infos.len()).map_err(|_| Unfit)?;
    let start = u32::try_from(program.instructions.len()).map_err(|_| Unfit)?;
    let rule_index = u16::try_from(rule).map_err(|_| Unfit)?;
    let Some(info) = program.rule_infos.get_mut(rule).filter(|info| info.function_info.is_none()) else {
        return Ok(());
    };
    let mut moved: RuleInfo = info.clone();
    // Found by its number alone; no reference has such a name.
    moved.name.push_str(" definitions");
    moved.function_info = Some(FunctionInfo { param_names: Vec::new(), num_params: 0 });
    moved.default_literal_index = None;
    info.definitions = Arc::new(vec![vec![start]]);
    info.destructuring_blocks = vec![None];
    info.else_bodies = vec![vec![false]];
    info.num_registers = 2;
    program.rule_infos.push(moved);
    let call = FunctionCallParams { func_rule_index: function, dest: 1, num_args: 0, args: [0; 8] };
    let params_index = program.add_function_call_params(call);
    for instruction in [
        Instruction::RuleInit { result_reg: RESULT, rule_index },
        Instruction::FunctionCall { params_index },
        Instruction::Move { dest: RESULT, src: 1 },
        Instruction::RuleReturn {},
    ] {
        program.add_instruction(instruction, None);
    }
    if program.instructions.len() > Program::MAX_INSTRUCTIONS { Err(Unfit) } else { Ok(()) }
}

/// Whether an instruction may run several times in one definition.
fn in_loop(program: &Program, pc: usize) -> bool {
    let loops = program.instruction_data.loop_params.iter();
    loops
        .into_iter()
        .any(|params| (usize::from(params.body_start)..usize::from(params.loop_end)).contains(&pc))
}

/// Whether the register that an instruction reads was filled with a constant just before.
fn is_constant(program: &Program, pc: usize, register: u8) -> bool {
    match pc.checked_sub(1).and_then(|before| program.instructions.get(before)) {
        Some(
            Instruction::Load { dest, .. }
            | Instruction::LoadTrue { dest }
            | Instruction::LoadFalse { dest }
            | Instruction::LoadNull { dest }
            | Instruction::LoadBool { dest, .. },
        ) => *dest == register,
        _ => false,
    }
}

/// The register of the object that the innermost comprehension around an instruction builds.
fn comprehension(program: &Program, pc: usize) -> Option<u8> {
    let around = program.instruction_data.comprehension_begin_params.iter().filter(|params| {
        (usize::from(params.body_start)..usize::from(params.comprehension_end)).contains(&pc)
    });
    let innermost = around.max_by_key(|params| params.body_start)?;
    matches!(innermost.mode, ComprehensionMode::Object).then_some(innermost.result_reg)
}
