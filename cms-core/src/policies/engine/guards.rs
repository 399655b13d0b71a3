// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Puts a guard before the built-in functions of the library, which could exhaust memory or time, and
//! whose errors count where the evaluation is strict.
//!
//! The machine finds a function by its number in a table of the program. So the table of each
//! program gets our functions, which ask [`costs`](super::costs), call the original, and count what
//! it produced. New functions, which the machine's compiler does not know, can enter the same way.

use std::sync::LazyLock;

use regorus::rvm::instructions::{BuiltinCallParams, GuardMode};
use regorus::rvm::program::BuiltinInfo;
use regorus::rvm::{Instruction, Program};
use regorus::{Engine, LimitError, Value};

use super::builtins::{self, Ending, Failure};
use super::costs::{self, Check};
use super::meter;
use super::relocate::{self, Unfit};
use super::stubs;

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
    guard_arithmetic(program)
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
                $($name => slot.0 = |span, parameters, arguments, _| {
                    static ORIGINAL: LazyLock<(u16, Option<Check>)> =
                        LazyLock::new(|| (number_of($name), costs::of($name)));
                    let (number, check) = *ORIGINAL;
                    meter::enter($name);
                    if let Some(check) = check {
                        check(arguments)?;
                    }
                    let Some(original) = ORIGINALS.get_resolved_builtin(number) else {
                        return Ok(Value::Undefined);
                    };
                    // The machine takes most errors for undefined. Only those about limits end it.
                    let value = match original.0(span, parameters, arguments, meter::is_strict()) {
                        Err(error) if meter::is_strict() && !error.is::<LimitError>() => {
                            return Err(meter::fail(builtins::library_error($name, &error.to_string())).into());
                        }
                        other => other?,
                    };
                    meter::charge(&value)?;
                    Ok(value)
                },)*
                _ => {}
            }
        }
    };
}

guarded! {
    "__builtin_sets.intersection" "__builtin_sets.union" "abs" "array.concat" "array.reverse"
    "array.slice" "base64.decode" "base64.encode" "base64.is_valid" "base64url.decode" "base64url.encode"
    "base64url.encode_no_pad" "bits.and" "bits.lsh" "bits.negate" "bits.or" "bits.rsh" "bits.xor" "ceil"
    "concat" "contains" "count" "endswith" "floor" "format_int" "glob.match" "glob.quote_meta"
    "graph.reachable" "graph.reachable_paths" "hex.decode" "hex.encode" "indexof" "indexof_n"
    "intersection" "is_array" "is_boolean" "is_null" "is_number" "is_object" "is_set" "is_string"
    "json.filter" "json.is_valid" "json.marshal" "json.marshal_with_options" "json.match_schema"
    "json.patch" "json.remove" "json.unmarshal" "json.verify_schema" "lower" "max" "min"
    "net.cidr_contains" "net.cidr_expand" "net.cidr_is_valid" "numbers.range" "numbers.range_step"
    "object.filter" "object.get" "object.keys" "object.remove" "object.subset" "object.union"
    "object.union_n" "product" "rand.intn" "regex.find_all_string_submatch_n" "regex.find_n"
    "regex.is_valid" "regex.match" "regex.replace" "regex.split" "regex.template_match" "replace" "round"
    "semver.compare" "semver.is_valid" "sort" "split" "sprintf" "startswith" "strings.any_prefix_match"
    "strings.any_suffix_match" "strings.reverse" "substring" "sum" "time.add_date"
    "time.clock" "time.date" "time.diff" "time.format" "time.now_ns" "time.parse_duration_ns"
    "time.parse_ns" "time.parse_rfc3339_ns" "time.weekday" "to_number" "trim" "trim_left"
    "trim_prefix" "trim_right" "trim_space" "trim_suffix" "type_name" "union" "units.parse"
    "units.parse_bytes" "upper" "urlquery.decode" "urlquery.decode_object" "urlquery.encode"
    "urlquery.encode_object" "uuid.parse" "uuid.rfc4122" "walk" "yaml.is_valid" "yaml.marshal"
    "yaml.unmarshal"
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
            meter::enter(name);
            if let Some(check) = check {
                check(&arguments)?;
            }
            let given = parameters.get(..arguments.len()).unwrap_or_default();
            match original.0(&span, given, &arguments, meter::is_strict()) {
                Ok(value) => meter::charge(&value).map(|()| value).map_err(Into::into),
                Err(error) if error.is::<LimitError>() => Err(error),
                Err(error) if meter::is_strict() => {
                    Err(meter::fail(builtins::library_error(name, &error.to_string())).into())
                }
                Err(_) => Ok(Value::Undefined),
            }
        };
        let arity = original.1;
        engine
            .add_extension((*name).to_owned(), arity, Box::new(extension))
            .map_err(|error| error.to_string())?;
    }
    let host = |arguments: Vec<Value>| match builtins::call_by_stub(&arguments) {
        Ok(value) => Ok(value),
        Err(Ending::Limit(error)) => Err(error.into()),
        Err(Ending::Failed) => Ok(Value::Undefined),
    };
    engine.add_extension(stubs::HOST.to_owned(), 2, Box::new(host)).map_err(|error| error.to_string())
}

/// Calls a guarded function of the library for one of ours.
pub(super) fn call(name: &'static str, arguments: &[Value]) -> Result<Value, Failure> {
    if let Some(check) = costs::of(name) {
        check(arguments)?;
    }
    ORIGINAL_CALL.as_ref().map_or(Ok(Value::Undefined), |call| call(number_of(name), arguments))
}

/// Calls a function of the table of originals by its number. The functions want a place in a policy,
/// for their errors; this is one that serves for all.
static ORIGINAL_CALL: LazyLock<Option<Box<OriginalCall>>> = LazyLock::new(|| {
    let mut engine = Engine::new();
    engine.add_policy(String::new(), "package place".to_owned()).ok()?;
    let module = engine.get_modules().first()?;
    let (span, parameters) = (module.package.span.clone(), vec![module.package.refr.clone(); 8]);
    Some(Box::new(move |number, arguments| {
        let given = parameters.get(..arguments.len()).unwrap_or_default();
        let Some(original) = ORIGINALS.get_resolved_builtin(number) else { return Ok(Value::Undefined) };
        original.0(&span, given, arguments, true).map_err(|error| match error.downcast_ref::<LimitError>() {
            Some(_) => Failure::Limit(meter::exceeds(0, "bytes")),
            None => builtins::library_failure(&error.to_string()),
        })
    }))
});

type OriginalCall = dyn Fn(u16, &[Value]) -> Result<Value, Failure> + Send + Sync;

/// Whether the library has a function of this name.
pub(super) fn is_function(name: &str) -> bool {
    name == "print" || arity(name).is_some()
}

/// How many arguments a function of the library takes.
pub(super) fn arity(name: &str) -> Option<u8> {
    let mut program = Program::new();
    program.add_builtin_info(BuiltinInfo { name: name.to_owned(), num_args: 0 });
    program.initialize_resolved_builtins().ok()?;
    program.get_resolved_builtin(0).map(|function| function.1)
}

fn number_of(name: &str) -> u16 {
    let found = GUARDED.iter().position(|guarded| *guarded == name);
    found.and_then(|index| u16::try_from(index).ok()).unwrap_or(u16::MAX)
}

/// A partial object takes an entry whose key or value is undefined. So both have to be defined.
pub(super) fn guard_entries(program: &mut Program) -> Result<(), Unfit> {
    let defined = |register| Instruction::Guard { register, mode: GuardMode::NotUndefined };
    let guards = program.instructions.iter().enumerate().filter_map(|(pc, instruction)| match instruction {
        Instruction::ObjectSet { key, value, .. } => Some((pc, vec![defined(*key), defined(*value)])),
        _ => None,
    });
    let guards = guards.collect();
    relocate::insert(program, guards)
}

/// Whether what an instruction computes is a statement that has to hold.
fn is_statement(program: &Program, pc: usize, dest: u8) -> bool {
    matches!(program.instructions.get(pc + 1),
        Some(Instruction::Guard { register, mode: GuardMode::Condition }) if *register == dest)
}

/// Multiplication is an instruction, and squaring a number again and again would take all time there
/// is. Division is one, too, and does not tell that it divides by zero; and all of them would give
/// `0.1 + 0.2` more digits than OPA does. So these become calls.
fn guard_arithmetic(program: &mut Program) -> Result<(), Unfit> {
    for pc in 0..program.instructions.len() {
        let (function, dest, left, right) = match program.instructions.get(pc).copied() {
            // A membership in what is undefined would be false, which is the same only for a statement.
            Some(Instruction::Contains { dest, collection, value }) if !is_statement(program, pc, dest) => {
                ("internal.member_2", dest, value, collection)
            }
            Some(Instruction::Add { dest, left, right }) => ("plus", dest, left, right),
            Some(Instruction::Sub { dest, left, right }) => ("minus", dest, left, right),
            Some(Instruction::Mul { dest, left, right }) => ("mul", dest, left, right),
            Some(Instruction::Div { dest, left, right }) => ("div", dest, left, right),
            Some(Instruction::Mod { dest, left, right }) => ("rem", dest, left, right),
            _ => continue,
        };
        let builtin_index = builtins::number_in(program, function);
        let args = [left, right, 0, 0, 0, 0, 0, 0];
        let call = BuiltinCallParams { dest, builtin_index, num_args: 2, args };
        let params_index = program.add_builtin_call_params(call);
        *program.instructions.get_mut(pc).ok_or(Unfit)? = Instruction::BuiltinCall { params_index };
    }
    Ok(())
}
