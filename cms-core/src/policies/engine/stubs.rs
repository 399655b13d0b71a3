// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Functions that neither evaluator's compiler knows: how policies come to call them.
//!
//! The front-end makes each call go to a stub, a function of the engine's own package. To the compiler
//! and to `with`, it is a function like any other. In the interpreter the stub calls one extension,
//! with the function's name; in a program of the machine, calls of stubs become calls of the function.

use std::collections::BTreeSet;

use regorus::rvm::instructions::BuiltinCallParams;
use regorus::rvm::{Instruction, Program};

use super::builtins;
use super::relocate::Unfit;

/// The package of the stubs.
pub(super) const PACKAGE: &str = "__cms.stubs";
/// Begins with something that no function does: else the stub of `max` would call itself.
const PREFIX: &str = "data.__cms.stubs.call_";

/// The one function that the compilers of both evaluators let through, whoever defines it.
pub(super) const HOST: &str = "__builtin_host_await";

/// How a policy refers to a function's stub.
pub(super) fn reference(function: &str) -> String {
    format!("{PREFIX}{}", function.replace('.', "__"))
}

/// The module that defines stubs.
pub(super) fn module(functions: &BTreeSet<String>) -> String {
    let mut text = format!("package {PACKAGE}\n");
    for function in functions {
        let count = builtins::arity(function).unwrap_or(1);
        let arguments: Vec<String> = (0..count).map(|index| format!("a{index}")).collect();
        let (name, arguments) = (function.replace('.', "__"), arguments.join(", "));
        if builtins::is_ours(function) {
            text.push_str(&format!("call_{name}({arguments}) := {HOST}([{arguments}], \"{function}\")\n"));
        } else {
            text.push_str(&format!("call_{name}({arguments}) := {function}({arguments})\n"));
        }
    }
    text
}

/// Makes a program call our functions instead of their stubs.
pub(super) fn link(program: &mut Program) -> Result<(), Unfit> {
    for pc in 0..program.instructions.len() {
        let linked = match program.instructions.get(pc) {
            Some(Instruction::FunctionCall { params_index }) => called(program, *params_index)?,
            // Only stubs say this; calls of it in a policy are unknown functions.
            Some(Instruction::HostAwait { dest, .. }) if is_stub(program, pc) => {
                Some(Instruction::LoadNull { dest: *dest })
            }
            _ => None,
        };
        if let (Some(linked), Some(instruction)) = (linked, program.instructions.get_mut(pc)) {
            *instruction = linked;
        }
    }
    Ok(())
}

fn is_stub(program: &Program, pc: usize) -> bool {
    let owner = super::bytecode::owner(&super::bytecode::code_of(program), pc);
    let rule = owner.and_then(|owner| program.rule_infos.get(owner.rule));
    rule.is_some_and(|rule| rule.name.starts_with(PREFIX))
}

/// The call that replaces the call of a stub.
fn called(program: &mut Program, params_index: u16) -> Result<Option<Instruction>, Unfit> {
    let Some(call) = program.instruction_data.get_function_call_params(params_index).cloned() else {
        return Ok(None);
    };
    let name = program.rule_infos.get(usize::from(call.func_rule_index)).map(|rule| rule.name.as_str());
    let function = name.and_then(|name| name.strip_prefix(PREFIX)).and_then(builtins::named);
    let Some(function) = function else { return Ok(None) };
    let builtin_index = builtins::number_in(program, function);
    let call = BuiltinCallParams { dest: call.dest, builtin_index, num_args: call.num_args, args: call.args };
    Ok(Some(Instruction::BuiltinCall { params_index: program.add_builtin_call_params(call) }))
}
