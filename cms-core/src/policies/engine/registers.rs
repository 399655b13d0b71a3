// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which registers the instructions of the register machine read and write.

use std::ops::Range;

use regorus::rvm::instructions::{InstructionData, LiteralOrRegister};
use regorus::rvm::{Instruction, Program};

/// Where each register of a body is read and written.
pub(super) struct Uses {
    /// The body.
    pub(super) body: Range<usize>,
    of: Vec<Use>,
}

#[derive(Debug, Clone, Default)]
struct Use {
    reads: Vec<usize>,
    writes: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

impl Uses {
    /// Those of a body; nothing if it holds an instruction that is not known.
    pub(super) fn of(program: &mut Program, body: Range<usize>) -> Option<Self> {
        let mut of = vec![Use::default(); usize::from(u8::MAX) + 1];
        for pc in body.clone() {
            visit(program, pc, |register, access| {
                let Some(known) = of.get_mut(usize::from(*register)) else { return };
                match access {
                    Access::Read => known.reads.push(pc),
                    Access::Write => known.writes.push(pc),
                }
            })?;
        }
        Some(Self { body, of })
    }

    /// The instructions that read a register.
    pub(super) fn reads(&self, register: u8) -> &[usize] {
        self.of.get(usize::from(register)).map_or(&[], |known| &known.reads)
    }

    /// The instructions that write a register.
    pub(super) fn writes(&self, register: u8) -> &[usize] {
        self.of.get(usize::from(register)).map_or(&[], |known| &known.writes)
    }

    /// Whether a register is written by this instruction alone, and read only behind it within a part of
    /// the code.
    pub(super) fn only_within(&self, register: u8, pc: usize, part: &Range<usize>) -> bool {
        self.writes(register) == [pc]
            && self.reads(register).iter().all(|read| pc < *read && part.contains(read))
    }
}

/// Lets an instruction read one register in the place of another.
pub(super) fn rename(program: &mut Program, pc: usize, from: u8, to: u8) {
    visit(program, pc, |register, access| {
        if access == Access::Read && *register == from {
            *register = to;
        }
    });
}

/// Visits the registers of an instruction; nothing if it is not known.
fn visit(program: &mut Program, pc: usize, mut seen: impl FnMut(&mut u8, Access)) -> Option<()> {
    use Access::{Read, Write};
    let Program { instructions, instruction_data: data, .. } = program;
    match instructions.get_mut(pc)? {
        Instruction::Load { dest, .. }
        | Instruction::LoadTrue { dest }
        | Instruction::LoadFalse { dest }
        | Instruction::LoadNull { dest }
        | Instruction::LoadBool { dest, .. }
        | Instruction::LoadData { dest }
        | Instruction::LoadInput { dest }
        | Instruction::ArrayNew { dest }
        | Instruction::SetNew { dest }
        | Instruction::CallRule { dest, .. }
        | Instruction::RuleInit { result_reg: dest, .. } => seen(dest, Write),
        Instruction::Move { dest, src } | Instruction::Not { dest, operand: src } => {
            seen(src, Read);
            seen(dest, Write);
        }
        Instruction::IndexLiteral { dest, container, .. } => {
            seen(container, Read);
            seen(dest, Write);
        }
        Instruction::Add { dest, left, right }
        | Instruction::Sub { dest, left, right }
        | Instruction::Mul { dest, left, right }
        | Instruction::Div { dest, left, right }
        | Instruction::Mod { dest, left, right }
        | Instruction::Eq { dest, left, right }
        | Instruction::Ne { dest, left, right }
        | Instruction::Lt { dest, left, right }
        | Instruction::Le { dest, left, right }
        | Instruction::Gt { dest, left, right }
        | Instruction::Ge { dest, left, right }
        | Instruction::And { dest, left, right }
        | Instruction::Or { dest, left, right }
        | Instruction::Index { dest, container: left, key: right }
        | Instruction::Contains { dest, collection: left, value: right } => {
            seen(left, Read);
            seen(right, Read);
            seen(dest, Write);
        }
        Instruction::Count { dest, collection } => {
            seen(collection, Read);
            seen(dest, Write);
        }
        Instruction::AssertEq { left, right } => {
            seen(left, Read);
            seen(right, Read);
        }
        Instruction::Guard { register, .. }
        | Instruction::ReturnUndefinedIfNotTrue { condition: register } => {
            seen(register, Read);
        }
        Instruction::ObjectSet { obj, key, value } => {
            seen(key, Read);
            seen(value, Read);
            changed(obj, &mut seen);
        }
        Instruction::ArrayPush { arr: whole, value }
        | Instruction::ArrayPushDefined { arr: whole, value }
        | Instruction::SetAdd { set: whole, value } => {
            seen(value, Read);
            changed(whole, &mut seen);
        }
        Instruction::LoopNext { .. } => {}
        // The value of the rule is in the first register.
        Instruction::RuleReturn {} => seen(&mut 0, Read),
        Instruction::LoopStart { .. }
        | Instruction::BuiltinCall { .. }
        | Instruction::FunctionCall { .. }
        | Instruction::ObjectCreate { .. }
        | Instruction::ArrayCreate { .. }
        | Instruction::SetCreate { .. }
        | Instruction::ChainedIndex { .. }
        | Instruction::VirtualDataDocumentLookup { .. } => {
            let instruction = instructions.get(pc).copied()?;
            visit_params(instruction, data, &mut seen)?;
        }
        _ => return None,
    }
    Some(())
}

/// Visits a register that is read and written.
fn changed(register: &mut u8, seen: &mut impl FnMut(&mut u8, Access)) {
    seen(&mut register.clone(), Access::Read);
    seen(register, Access::Write);
}

/// The same for an instruction whose registers lie in a table.
fn visit_params(
    instruction: Instruction,
    data: &mut InstructionData,
    seen: &mut impl FnMut(&mut u8, Access),
) -> Option<()> {
    use Access::{Read, Write};
    match instruction {
        Instruction::LoopStart { params_index } => {
            let params = data.loop_params.get_mut(usize::from(params_index))?;
            seen(&mut params.collection, Read);
            seen(&mut params.key_reg, Write);
            // Without a name for the key, both are one register.
            if params.value_reg != params.key_reg {
                seen(&mut params.value_reg, Write);
            }
            seen(&mut params.result_reg, Write);
        }
        Instruction::BuiltinCall { params_index } => {
            let params = data.builtin_call_params.get_mut(usize::from(params_index))?;
            params
                .args
                .iter_mut()
                .take(usize::from(params.num_args))
                .for_each(|argument| seen(argument, Read));
            seen(&mut params.dest, Write);
        }
        Instruction::FunctionCall { params_index } => {
            let params = data.function_call_params.get_mut(usize::from(params_index))?;
            params
                .args
                .iter_mut()
                .take(usize::from(params.num_args))
                .for_each(|argument| seen(argument, Read));
            seen(&mut params.dest, Write);
        }
        Instruction::ObjectCreate { params_index } => {
            let params = data.object_create_params.get_mut(usize::from(params_index))?;
            params.literal_key_fields.iter_mut().for_each(|(_, value)| seen(value, Read));
            for (key, value) in &mut params.fields {
                seen(key, Read);
                seen(value, Read);
            }
            seen(&mut params.dest, Write);
        }
        Instruction::ArrayCreate { params_index } => {
            let params = data.array_create_params.get_mut(usize::from(params_index))?;
            params.elements.iter_mut().for_each(|element| seen(element, Read));
            seen(&mut params.dest, Write);
        }
        Instruction::SetCreate { params_index } => {
            let params = data.set_create_params.get_mut(usize::from(params_index))?;
            params.elements.iter_mut().for_each(|element| seen(element, Read));
            seen(&mut params.dest, Write);
        }
        Instruction::ChainedIndex { params_index } => {
            let params = data.chained_index_params.get_mut(usize::from(params_index))?;
            seen(&mut params.root, Read);
            path(&mut params.path_components, seen);
            seen(&mut params.dest, Write);
        }
        Instruction::VirtualDataDocumentLookup { params_index } => {
            let params = data.virtual_data_document_lookup_params.get_mut(usize::from(params_index))?;
            path(&mut params.path_components, seen);
            seen(&mut params.dest, Write);
        }
        _ => return None,
    }
    Some(())
}

fn path(components: &mut [LiteralOrRegister], seen: &mut impl FnMut(&mut u8, Access)) {
    for component in components {
        if let LiteralOrRegister::Register(register) = component {
            seen(register, Access::Read);
        }
    }
}
