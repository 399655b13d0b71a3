// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Puts a guard before the built-in functions that could exhaust memory or time.
//!
//! The machine finds a function by its number in a table of the program. So the table of each
//! program gets our functions, which ask [`costs`](super::costs), call the original, and count what
//! it produced. New functions, which the machine's compiler does not know, can enter the same way.

use std::sync::LazyLock;

use regorus::rvm::instructions::BuiltinCallParams;
use regorus::rvm::program::BuiltinInfo;
use regorus::rvm::{Instruction, Program};
use regorus::{Engine, LimitError, Value};

use super::costs::{self, Check};
use super::meter;
use super::relocate::Unfit;

/// A program that only serves to hold the original functions.
static ORIGINALS: LazyLock<Program> = LazyLock::new(|| {
    let mut program = Program::new();
    for name in GUARDED {
        program.add_builtin_info(BuiltinInfo { name: (*name).to_owned(), num_args: 0 });
    }
    // A name that is unknown leaves the rest of the table empty, which the tests would notice.
    drop(program.initialize_resolved_builtins());
    program
});

/// Guards a program.
pub(super) fn guard(program: &mut Program) -> Result<(), Unfit> {
    for index in 0..program.builtin_info_table.len() {
        replace(program, index);
    }
    guard_multiplication(program)
}

/// Names the functions once: for the table of originals, and for a function of their own each.
macro_rules! guarded {
    ($($name:literal)*) => {
        const GUARDED: &[&str] = &[$($name),*];

        /// Replaces one function of a program, if it is to be guarded.
        fn replace(program: &mut Program, index: usize) {
            let Some(name) = program.builtin_info_table.get(index).map(|info| info.name.as_str()) else { return };
            let Some(slot) = program.resolved_builtins.get_mut(index) else { return };
            match name {
                "strings.count" => slot.0 = |_, _, arguments, _| Ok(count(arguments)),
                $($name => slot.0 = |span, parameters, arguments, strict| {
                    static ORIGINAL: LazyLock<(u16, Option<Check>)> =
                        LazyLock::new(|| (number_of($name), costs::of($name)));
                    let (number, check) = *ORIGINAL;
                    if let Some(check) = check {
                        check(arguments)?;
                    }
                    let Some(original) = ORIGINALS.get_resolved_builtin(number) else {
                        return Ok(Value::Undefined);
                    };
                    let value = original.0(span, parameters, arguments, strict)?;
                    meter::charge(&value)?;
                    Ok(value)
                },)*
                _ => {}
            }
        }
    };
}

guarded! {
    "array.concat" "array.reverse" "array.slice" "base64.decode" "base64.encode" "base64url.decode"
    "base64url.encode" "base64url.encode_no_pad" "bits.lsh" "concat" "format_int" "glob.quote_meta"
    "graph.reachable" "graph.reachable_paths" "hex.decode" "hex.encode" "indexof_n" "intersection"
    "json.filter" "json.marshal" "json.marshal_with_options" "json.patch" "json.remove"
    "json.unmarshal" "lower" "net.cidr_expand" "numbers.range" "numbers.range_step" "object.filter"
    "object.keys" "object.remove" "object.union" "object.union_n" "product"
    "regex.find_all_string_submatch_n" "regex.find_n"
    "regex.replace" "regex.split" "replace" "sort" "split" "sprintf" "strings.replace_n"
    "strings.reverse" "substring" "time.format" "to_number" "trim" "trim_left" "trim_prefix"
    "trim_right" "trim_space" "trim_suffix" "union" "units.parse" "units.parse_bytes" "upper"
    "urlquery.decode" "urlquery.decode_object" "urlquery.encode" "urlquery.encode_object" "walk"
    "json.is_valid" "yaml.is_valid" "yaml.marshal" "yaml.unmarshal" "__builtin_sets.union" "__builtin_sets.intersection"
}

/// Gives an interpreter the same guards. Its errors are undefined, as the machine's are, but for
/// those about limits.
pub(super) fn guard_interpreter(engine: &mut Engine) -> Result<(), String> {
    let Some(module) = engine.get_modules().first() else { return Ok(()) };
    let span = module.package.span.clone();
    let parameters = vec![module.package.refr.clone(); 8];
    for name in GUARDED {
        let Some(original) = ORIGINALS.get_resolved_builtin(number_of(name)) else { continue };
        let (span, parameters, check) = (span.clone(), parameters.clone(), costs::of(name));
        let extension = move |arguments: Vec<Value>| {
            if let Some(check) = check {
                check(&arguments)?;
            }
            let given = parameters.get(..arguments.len()).unwrap_or_default();
            match original.0(&span, given, &arguments, false) {
                Ok(value) => meter::charge(&value).map(|()| value).map_err(Into::into),
                Err(error) if error.is::<LimitError>() => Err(error),
                Err(_) => Ok(Value::Undefined),
            }
        };
        let arity = original.1;
        engine
            .add_extension((*name).to_owned(), arity, Box::new(extension))
            .map_err(|error| error.to_string())?;
    }
    let counting = |arguments: Vec<Value>| Ok(count(&arguments));
    engine.add_extension("strings.count".to_owned(), 2, Box::new(counting)).map_err(|error| error.to_string())
}

/// Whether the library has a function of this name.
pub(super) fn is_function(name: &str) -> bool {
    let mut program = Program::new();
    program.add_builtin_info(BuiltinInfo { name: name.to_owned(), num_args: 0 });
    name == "print" || program.initialize_resolved_builtins().is_ok()
}

fn number_of(name: &str) -> u16 {
    let found = GUARDED.iter().position(|guarded| *guarded == name);
    found.and_then(|index| u16::try_from(index).ok()).unwrap_or(u16::MAX)
}

/// Counts a text in another one. The original panics when the text is empty, which OPA finds before
/// and after every character.
fn count(arguments: &[Value]) -> Value {
    match arguments {
        [Value::String(text), Value::String(part)] if part.is_empty() => {
            Value::from(text.chars().count() + 1)
        }
        [Value::String(text), Value::String(part)] => Value::from(text.matches(part.as_ref()).count()),
        _ => Value::Undefined,
    }
}

/// Multiplication is an instruction, and squaring a number again and again would take all time there
/// is. So it becomes a call.
fn guard_multiplication(program: &mut Program) -> Result<(), Unfit> {
    let multiplies = |instruction: &Instruction| matches!(instruction, Instruction::Mul { .. });
    if !program.instructions.iter().any(multiplies) {
        return Ok(());
    }
    program.resolved_builtins.push((|_, _, arguments, _| multiply(arguments).map_err(Into::into), 2));
    let builtin_index =
        program.add_builtin_info(BuiltinInfo { name: "internal.multiply".to_owned(), num_args: 2 });
    for pc in 0..program.instructions.len() {
        if let Some(Instruction::Mul { dest, left, right }) = program.instructions.get(pc).copied() {
            let args = [left, right, 0, 0, 0, 0, 0, 0];
            let call = BuiltinCallParams { dest, builtin_index, num_args: 2, args };
            let params_index = program.add_builtin_call_params(call);
            *program.instructions.get_mut(pc).ok_or(Unfit)? = Instruction::BuiltinCall { params_index };
        }
    }
    Ok(())
}

fn multiply(arguments: &[Value]) -> Result<Value, LimitError> {
    let [left, right] = arguments else { return Ok(Value::Undefined) };
    costs::multiply(left, right)?;
    match (left.as_number(), right.as_number()) {
        (Ok(left), Ok(right)) => left.mul(right).map(Value::from).map_err(|_| meter::refused()),
        _ => Ok(Value::Undefined),
    }
}
