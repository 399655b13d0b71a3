// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a policy sees when it refers to a place with several rules below it: to a package, or to the
//! first part of rules named `users.admin` and `users.guest`.
//!
//! It is an object of the data there and of the rules that have a value. The machine by itself would
//! include rules without a value, or take all of the rules for one. So each such place becomes a
//! rule that builds the object.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use regorus::Value;
use regorus::rvm::instructions::{ChainedIndexParams, GuardMode, LiteralOrRegister};
use regorus::rvm::program::{RuleInfo, RuleType};
use regorus::rvm::{Instruction, Program};

use super::path::below_data;
use super::relocate::Unfit;
use super::words;

/// The paths of all rules that are no functions.
pub(super) type RulePaths = BTreeSet<Vec<String>>;

/// Registers of a rule that builds an object.
const RESULT: u8 = 0;
const VALUE: u8 = 1;
const KEY: u8 = 2;

/// The rules that a program refers to as parts of a larger place, but does not contain.
pub(super) fn missing(program: &Program, rules: &RulePaths) -> Vec<Vec<String>> {
    let known: BTreeSet<Vec<String>> = program.rule_infos.iter().map(|rule| below_data(&rule.name)).collect();
    let places = known.iter().filter(|path| !rules.contains(*path));
    let below = places.flat_map(|path| below(rules, path));
    below.filter(|path| !known.contains(*path)).cloned().collect()
}

/// Replaces every such place by a rule that builds it. Gives the numbers of these rules.
pub(super) fn build(program: &mut Program, rules: &RulePaths) -> Result<BTreeSet<usize>, Unfit> {
    let known = program.rule_infos.iter().enumerate().map(|(index, rule)| (below_data(&rule.name), index));
    let mut builder = Builder { rules, known: known.collect(), built: BTreeMap::new() };
    let places: Vec<Vec<String>> =
        builder.known.keys().filter(|path| !rules.contains(*path)).cloned().collect();
    for path in places.iter().filter(|path| below(rules, path).next().is_some()) {
        builder.place(program, path)?;
    }
    if !builder.built.is_empty() {
        program.rule_tree = builder.tree(program)?;
    }
    for pc in 0..program.instructions.len() {
        if let Some((dest, path)) =
            looked_up(program, pc).filter(|(_, path)| below(rules, path).next().is_some())
        {
            let rule_index = builder.place(program, &path)?;
            if let Some(instruction) = program.instructions.get_mut(pc) {
                *instruction = Instruction::CallRule { dest, rule_index };
            }
        }
    }
    Ok(builder.built.into_values().map(usize::from).collect())
}

/// The rules strictly below a path, unless the path lies in a rule.
fn below<'a>(rules: &'a RulePaths, path: &'a [String]) -> impl Iterator<Item = &'a Vec<String>> {
    let from = rules.range(path.to_vec()..).take_while(move |rule| rule.starts_with(path));
    let inside = (0..=path.len()).any(|length| path.get(..length).is_some_and(|path| rules.contains(path)));
    from.filter(move |_| !inside)
}

/// Where a look-up with a constant path leads, and where its result goes.
fn looked_up(program: &Program, pc: usize) -> Option<(u8, Vec<String>)> {
    let Instruction::VirtualDataDocumentLookup { params_index } = program.instructions.get(pc)? else {
        return None;
    };
    let params = program.instruction_data.get_virtual_data_document_lookup_params(*params_index)?;
    let path = params.path_components.iter().map(|part| match part {
        LiteralOrRegister::Literal(index) => match program.literals.get(usize::from(*index)) {
            Some(Value::String(text)) => Some(text.to_string()),
            _ => None,
        },
        LiteralOrRegister::Register(_) => None,
    });
    Some((params.dest, path.collect::<Option<_>>()?))
}

struct Builder<'a> {
    rules: &'a RulePaths,
    known: BTreeMap<Vec<String>, usize>,
    built: BTreeMap<Vec<String>, u16>,
}

impl Builder<'_> {
    /// The machine's own table of rules by path, without the places that are none.
    fn tree(&self, program: &mut Program) -> Result<Value, Unfit> {
        let kept = std::mem::replace(&mut program.rule_tree, Value::new_object());
        for (path, index) in self.known.iter().filter(|(path, _)| self.rules.contains(*path)) {
            let Some((name, above)) = path.split_last() else { continue };
            let above: Vec<String> =
                std::iter::once("data".to_owned()).chain(above.iter().cloned()).collect();
            program.add_rule_to_tree(&above, name, *index).map_err(|_| Unfit)?;
        }
        Ok(std::mem::replace(&mut program.rule_tree, kept))
    }

    /// The rule that builds the object at a path. Recurses as deep as the path of a rule is long.
    fn place(&mut self, program: &mut Program, path: &[String]) -> Result<u16, Unfit> {
        if let Some(index) = self.built.get(path) {
            return Ok(*index);
        }
        let mut children: Vec<(String, u16)> = Vec::new();
        let mut names: Vec<String> =
            below(self.rules, path).filter_map(|rule| rule.get(path.len()).cloned()).collect();
        names.dedup();
        for name in names {
            let child = [path, std::slice::from_ref(&name)].concat();
            let index = match self.rules.contains(&child) {
                true => *self.known.get(&child).ok_or(Unfit)?,
                false => usize::from(self.place(program, &child)?),
            };
            children.push((name, u16::try_from(index).map_err(|_| Unfit)?));
        }
        let index = self.known.get(path).copied().unwrap_or(program.rule_infos.len());
        let rule = self.rule(program, path, u16::try_from(index).map_err(|_| Unfit)?, &children)?;
        match program.rule_infos.get_mut(index) {
            Some(place) => *place = rule,
            None => program.rule_infos.push(rule),
        }
        let index = u16::try_from(index).map_err(|_| Unfit)?;
        self.built.insert(path.to_vec(), index);
        Ok(index)
    }

    /// Writes the code: a definition for the data, and one for each part.
    fn rule(
        &self,
        program: &mut Program,
        path: &[String],
        rule_index: u16,
        children: &[(String, u16)],
    ) -> Result<RuleInfo, Unfit> {
        let begin = Instruction::RuleInit { result_reg: RESULT, rule_index };
        let defined = Instruction::Guard { register: VALUE, mode: GuardMode::NotUndefined };
        let mut definitions = vec![vec![position(program)?]];
        let data = data_at(program, path)?;
        add(program, [begin, Instruction::LoadData { dest: KEY }, data, defined]);
        add(program, [Instruction::Move { dest: RESULT, src: VALUE }, Instruction::RuleReturn {}]);
        for (name, child) in children {
            definitions.push(vec![position(program)?]);
            let literal_idx = literal(program, name)?;
            add(program, [begin, Instruction::CallRule { dest: VALUE, rule_index: *child }, defined]);
            add(program, [Instruction::Load { dest: KEY, literal_idx }]);
            add(program, [Instruction::ObjectSet { obj: RESULT, key: KEY, value: VALUE }]);
            add(program, [Instruction::RuleReturn {}]);
        }
        let name = format!("data.{}", path.join("."));
        let definitions = Arc::new(definitions);
        Ok(RuleInfo::new(name, RuleType::PartialObject, definitions, RESULT, 3))
    }
}

fn position(program: &Program) -> Result<u32, Unfit> {
    if program.instructions.len() > Program::MAX_INSTRUCTIONS {
        return Err(Unfit);
    }
    u32::try_from(program.instructions.len()).map_err(|_| Unfit)
}

fn add<const N: usize>(program: &mut Program, code: [Instruction; N]) {
    code.into_iter().for_each(|instruction| program.add_instruction(instruction, None));
}

fn literal(program: &mut Program, text: &str) -> Result<u16, Unfit> {
    u16::try_from(program.add_literal(Value::from(words::written(text)))).map_err(|_| Unfit)
}

/// Reads the data at a path, with all of the data in one register.
fn data_at(program: &mut Program, path: &[String]) -> Result<Instruction, Unfit> {
    let parts = path.iter().map(|part| literal(program, part).map(LiteralOrRegister::Literal));
    let path_components = parts.collect::<Result<_, _>>()?;
    let all = &mut program.instruction_data.chained_index_params;
    let params_index = u16::try_from(all.len()).map_err(|_| Unfit)?;
    all.push(ChainedIndexParams { dest: VALUE, root: KEY, path_components });
    Ok(Instruction::ChainedIndex { params_index })
}
