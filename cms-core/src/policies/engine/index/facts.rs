// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a body of a rule demands of the input before it does anything else, read from its code.
//!
//! The code is followed from its start as long as it is straight: up to the first loop, comprehension
//! or end. Every check on the way must hold for the body to succeed, whatever comes later.

use std::collections::{BTreeMap, BTreeSet};

use regorus::Value;
use regorus::rvm::instructions::{GuardMode, LiteralOrRegister};
use regorus::rvm::{Instruction, Program};

/// The value at a place in the input must be one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fact {
    /// Keys of objects, from the outermost.
    pub(super) path: Vec<Value>,
    pub(super) values: BTreeSet<Value>,
}

/// What is known of a register.
#[derive(Clone)]
enum Known {
    /// It holds what lies there in the input.
    Input(Vec<Value>),
    Constant(Value),
    /// It is true if, and only if, this holds.
    Check(Fact),
}

struct Reader<'a> {
    program: &'a Program,
    known: BTreeMap<u8, Known>,
    facts: Vec<Fact>,
}

/// The demands of the body that begins at `start`; at most one for each place in the input.
pub(super) fn facts(program: &Program, start: u32) -> Vec<Fact> {
    let mut reader = Reader { program, known: BTreeMap::new(), facts: Vec::new() };
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    for instruction in program.instructions.iter().skip(start) {
        if reader.read(instruction).is_none() {
            break;
        }
    }
    reader.facts
}

impl Reader<'_> {
    /// Follows one instruction; `None` where the code is no longer straight, or not understood.
    fn read(&mut self, instruction: &Instruction) -> Option<()> {
        let data = &self.program.instruction_data;
        match *instruction {
            Instruction::RuleInit { result_reg, .. } => self.set(result_reg, None),
            Instruction::Load { dest, literal_idx } => {
                self.set(dest, self.literal(literal_idx).map(Known::Constant))
            }
            Instruction::LoadTrue { dest } => self.set(dest, Some(Known::Constant(Value::Bool(true)))),
            Instruction::LoadFalse { dest } => self.set(dest, Some(Known::Constant(Value::Bool(false)))),
            Instruction::LoadBool { dest, value } => {
                self.set(dest, Some(Known::Constant(Value::Bool(value))))
            }
            Instruction::LoadNull { dest } => self.set(dest, Some(Known::Constant(Value::Null))),
            Instruction::LoadInput { dest } => self.set(dest, Some(Known::Input(Vec::new()))),
            Instruction::LoadData { dest } => self.set(dest, None),
            Instruction::Move { dest, src } => self.set(dest, self.known.get(&src).cloned()),
            Instruction::IndexLiteral { dest, container, literal_idx } => {
                self.set(dest, self.at(container, &[self.literal(literal_idx)]));
            }
            Instruction::Index { dest, container, key } => {
                self.set(dest, self.at(container, &[self.constant(key)]))
            }
            Instruction::ChainedIndex { params_index } => {
                let params = data.get_chained_index_params(params_index)?;
                let keys: Vec<_> = params.path_components.iter().map(|part| self.component(part)).collect();
                self.set(params.dest, self.at(params.root, &keys));
            }
            Instruction::SetCreate { params_index } => {
                let params = data.get_set_create_params(params_index)?;
                let items: Option<BTreeSet<Value>> =
                    params.elements.iter().map(|item| self.constant(*item)).collect();
                self.set(params.dest, items.map(|items| Known::Constant(Value::from(items))));
            }
            Instruction::ArrayCreate { params_index } => {
                let params = data.get_array_create_params(params_index)?;
                let items: Option<Vec<Value>> =
                    params.elements.iter().map(|item| self.constant(*item)).collect();
                self.set(params.dest, items.map(|items| Known::Constant(Value::from(items))));
            }
            Instruction::Eq { dest, left, right } => {
                self.set(dest, self.equal(left, right).map(Known::Check))
            }
            Instruction::Contains { dest, collection, value } => {
                self.set(dest, self.contained(collection, value).map(Known::Check));
            }
            Instruction::Ne { dest, .. }
            | Instruction::Lt { dest, .. }
            | Instruction::Le { dest, .. }
            | Instruction::Gt { dest, .. }
            | Instruction::Ge { dest, .. }
            | Instruction::And { dest, .. }
            | Instruction::Or { dest, .. }
            | Instruction::Not { dest, .. }
            | Instruction::Count { dest, .. }
            | Instruction::CallRule { dest, .. } => self.set(dest, None),
            Instruction::BuiltinCall { params_index } => {
                let call = data.get_builtin_call_params(params_index)?;
                let function = self.program.get_builtin_info(call.builtin_index)?;
                let check = match function.name.as_str() {
                    // What `in` has become.
                    "cms.internal.member_2" => self.contained(call.args[1], call.args[0]).map(Known::Check),
                    _ => None,
                };
                self.set(call.dest, check);
            }
            Instruction::FunctionCall { params_index } => {
                self.set(data.get_function_call_params(params_index)?.dest, None);
            }
            Instruction::VirtualDataDocumentLookup { params_index } => {
                self.set(data.get_virtual_data_document_lookup_params(params_index)?.dest, None);
            }
            Instruction::AssertEq { left, right } => {
                if let Some(fact) = self.equal(left, right) {
                    self.demand(fact);
                }
            }
            Instruction::Guard { register, mode: GuardMode::Condition } => {
                if let Some(Known::Check(fact)) = self.known.get(&register).cloned() {
                    self.demand(fact);
                }
            }
            Instruction::Guard { .. } => {}
            _ => return None,
        }
        Some(())
    }

    fn set(&mut self, register: u8, known: Option<Known>) {
        match known {
            Some(known) => self.known.insert(register, known),
            None => self.known.remove(&register),
        };
    }

    fn literal(&self, index: u16) -> Option<Value> {
        self.program.literals.get(usize::from(index)).cloned()
    }

    fn constant(&self, register: u8) -> Option<Value> {
        match self.known.get(&register)? {
            Known::Constant(value) => Some(value.clone()),
            _ => None,
        }
    }

    fn component(&self, part: &LiteralOrRegister) -> Option<Value> {
        match *part {
            LiteralOrRegister::Literal(index) => self.literal(index),
            LiteralOrRegister::Register(register) => self.constant(register),
        }
    }

    /// A place below one in the input. Only strings: a number may mean an element of an array.
    fn at(&self, container: u8, keys: &[Option<Value>]) -> Option<Known> {
        let Known::Input(path) = self.known.get(&container)? else { return None };
        let keys: Option<Vec<Value>> = keys.iter().cloned().collect();
        let keys = keys.filter(|keys| keys.iter().all(|key| matches!(key, Value::String(_))))?;
        Some(Known::Input([path.as_slice(), &keys].concat()))
    }

    fn equal(&self, left: u8, right: u8) -> Option<Fact> {
        match (self.known.get(&left)?, self.known.get(&right)?) {
            (Known::Input(path), Known::Constant(value)) | (Known::Constant(value), Known::Input(path)) => {
                Some(Fact { path: path.clone(), values: BTreeSet::from([value.clone()]) })
            }
            _ => None,
        }
    }

    fn contained(&self, collection: u8, value: u8) -> Option<Fact> {
        let Known::Input(path) = self.known.get(&value)? else { return None };
        let values: BTreeSet<Value> = match self.constant(collection)? {
            Value::Set(items) => items.iter().cloned().collect(),
            Value::Array(items) => items.iter().cloned().collect(),
            _ => return None,
        };
        Some(Fact { path: path.clone(), values })
    }

    /// Two demands of one place: the later one would only narrow the first down.
    fn demand(&mut self, fact: Fact) {
        if !fact.path.is_empty() && self.facts.iter().all(|known| known.path != fact.path) {
            self.facts.push(fact);
        }
    }
}
