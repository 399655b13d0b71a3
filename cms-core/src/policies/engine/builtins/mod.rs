// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Built-in functions that OPA has and regorus lacks, or that behave otherwise there: one file per
//! family, one list of names. What a function may cost is in [`costs`](super::costs).

mod arrays;
mod crypto;
mod decimal;
mod dialect;
mod float;
mod glob;
mod globs;
mod json;
mod jwt;
mod net;
mod numbers;
mod objects;
mod operators;
mod paths;
mod refused;
mod regex;
mod semver;
mod sprintf;
mod strings;
mod template;
mod template_string;
mod time;
mod uri;
mod urlquery;
mod walk;
mod x509;

use regorus::rvm::Program;
use regorus::rvm::program::BuiltinInfo;
use regorus::{LimitError, Value};

use super::{guards, meter};

pub use refused::refused;
pub(super) use refused::{refusal, varies};

/// What comes of a call.
type Outcome = Result<Value, Failure>;

/// Why a call has no value.
#[derive(Debug)]
pub(super) enum Failure {
    /// It would exceed a limit, which ends the evaluation.
    Limit(LimitError),
    /// An argument has the wrong type.
    Type(String),
    /// Two values at once, where there may be one.
    Conflict(String),
    /// Anything else.
    Failed(String),
}

impl From<LimitError> for Failure {
    fn from(error: LimitError) -> Self {
        Self::Limit(error)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::Failed(message.to_owned())
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Failed(message)
    }
}

/// A call that failed, and ends the evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CallError {
    /// [`TYPE_ERROR`] or one of its like.
    pub(super) code: &'static str,
    pub(super) message: String,
}

/// The error of a function of the library.
pub(super) fn library_error(function: &str, text: &str) -> CallError {
    let (code, message) = match library_failure(text) {
        Failure::Type(message) => (TYPE_ERROR, message),
        Failure::Failed(message) | Failure::Conflict(message) => (BUILTIN_ERROR, message),
        Failure::Limit(error) => (BUILTIN_ERROR, error.to_string()),
    };
    let message = message.trim_start_matches(&format!("{function}: "));
    CallError { code, message: format!("`{function}`: {message}") }
}

/// Why a function of the library has no value, from its words.
pub(super) fn library_failure(text: &str) -> Failure {
    // It says where in which policy, which is not true, and then what.
    let what = text.rsplit("error: ").next().unwrap_or(text).split_whitespace().collect::<Vec<_>>().join(" ");
    let of_type = ["expects ", "requires ", "must be"].iter().any(|word| what.contains(word));
    if of_type { Failure::Type(what) } else { Failure::Failed(what) }
}

/// How a call ends that has no value.
pub(super) enum Ending {
    /// The evaluation ends.
    Limit(LimitError),
    /// The call is undefined.
    Failed,
}

/// Calls a function, and counts what it produces.
fn run(function: &'static str, call: fn(&[Value]) -> Outcome, arguments: &[Value]) -> Result<Value, Ending> {
    meter::enter(function);
    let outcome = call(arguments).and_then(|value| {
        meter::charge(&value)?;
        Ok(value)
    });
    outcome.map_err(|failure| {
        let (code, message) = match failure {
            Failure::Limit(error) => return Ending::Limit(error),
            Failure::Type(message) => (TYPE_ERROR, message),
            Failure::Conflict(message) => (CONFLICT_ERROR, message),
            Failure::Failed(message) => (BUILTIN_ERROR, message),
        };
        if !meter::is_strict() && code != CONFLICT_ERROR {
            return Ending::Failed;
        }
        Ending::Limit(meter::fail(CallError { code, message: format!("`{function}`: {message}") }))
    })
}

/// OPA's names for what may be wrong with a call.
pub(super) const TYPE_ERROR: &str = "eval_type_error";
pub(super) const CONFLICT_ERROR: &str = "eval_conflict_error";
pub(super) const BUILTIN_ERROR: &str = "eval_builtin_error";

/// Lists the functions: name, number of arguments, and what computes them.
macro_rules! functions {
    ($($name:literal $arity:literal $call:path,)*) => {
        const FUNCTIONS: &[(&str, u8)] = &[$(($name, $arity)),*];

        /// Calls a function by its name.
        fn call(name: &str, arguments: &[Value]) -> Result<Value, Ending> {
            match name {
                $($name => run($name, $call, arguments),)*
                _ => Ok(Value::Undefined),
            }
        }

        /// Adds a function to a program's table.
        fn install(program: &mut Program, name: &str) {
            match name {
                $($name => program.resolved_builtins.push((
                    |_, _, arguments, _| match run($name, $call, arguments) {
                        Ok(value) => Ok(value),
                        Err(Ending::Limit(error)) => Err(error.into()),
                        Err(Ending::Failed) => Ok(Value::Undefined),
                    },
                    $arity,
                )),)*
                _ => {}
            }
        }
    };
}

functions! {
    "and" 2 operators::and,
    "array.flatten" 1 arrays::flatten,
    "base64.is_valid" 1 json::base64_is_valid,
    "crypto.hmac.equal" 2 crypto::hmac_equal,
    "crypto.hmac.md5" 2 crypto::hmac_md5,
    "crypto.hmac.sha1" 2 crypto::hmac_sha1,
    "crypto.hmac.sha256" 2 crypto::hmac_sha256,
    "crypto.hmac.sha512" 2 crypto::hmac_sha512,
    "crypto.md5" 1 crypto::md5,
    "crypto.parse_private_keys" 1 x509::parse_private_keys,
    "crypto.sha1" 1 crypto::sha1,
    "crypto.sha256" 1 crypto::sha256,
    "crypto.x509.parse_and_verify_certificates" 1 x509::parse_and_verify_certificates,
    "crypto.x509.parse_and_verify_certificates_with_options" 2 x509::parse_and_verify_certificates_with_options,
    "crypto.x509.parse_certificate_request" 1 x509::parse_certificate_request,
    "crypto.x509.parse_certificates" 1 x509::parse_certificates,
    "crypto.x509.parse_keypair" 2 x509::parse_keypair,
    "crypto.x509.parse_rsa_private_key" 1 x509::parse_rsa_private_key,
    "div" 2 operators::div,
    "equal" 2 operators::equal,
    "glob.match" 3 glob::matches,
    "glob.quote_meta" 1 strings::quote_meta,
    "gt" 2 operators::gt,
    "gte" 2 operators::gte,
    "indexof" 2 strings::indexof,
    "indexof_n" 2 strings::indexof_n,
    "internal.member_2" 2 operators::member,
    "internal.member_3" 3 operators::member_with_key,
    "internal.template_string" 1 template_string::template_string,
    "io.jwt.decode" 1 jwt::decode,
    "io.jwt.decode_verify" 2 jwt::decode_verify,
    "io.jwt.encode_sign" 3 jwt::encode_sign,
    "io.jwt.encode_sign_raw" 3 jwt::encode_sign_raw,
    "io.jwt.verify_eddsa" 2 jwt::verify_eddsa,
    "io.jwt.verify_es256" 2 jwt::verify_es256,
    "io.jwt.verify_es384" 2 jwt::verify_es384,
    "io.jwt.verify_es512" 2 jwt::verify_es512,
    "io.jwt.verify_hs256" 2 jwt::verify_hs256,
    "io.jwt.verify_hs384" 2 jwt::verify_hs384,
    "io.jwt.verify_hs512" 2 jwt::verify_hs512,
    "io.jwt.verify_ps256" 2 jwt::verify_ps256,
    "io.jwt.verify_ps384" 2 jwt::verify_ps384,
    "io.jwt.verify_ps512" 2 jwt::verify_ps512,
    "io.jwt.verify_rs256" 2 jwt::verify_rs256,
    "io.jwt.verify_rs384" 2 jwt::verify_rs384,
    "io.jwt.verify_rs512" 2 jwt::verify_rs512,
    "json.filter" 2 paths::filter,
    "json.is_valid" 1 json::is_valid,
    "json.marshal" 1 json::marshal,
    "json.match_schema" 2 json::match_schema,
    "json.patch" 2 json::patch,
    "json.remove" 2 paths::remove,
    "json.verify_schema" 1 json::verify_schema,
    "lower" 1 strings::lower,
    "lt" 2 operators::lt,
    "lte" 2 operators::lte,
    "minus" 2 operators::minus,
    "mul" 2 operators::mul,
    "neq" 2 operators::neq,
    "net.cidr_contains" 2 net::cidr_contains,
    "net.cidr_contains_matches" 2 net::cidr_contains_matches,
    "net.cidr_intersects" 2 net::cidr_intersects,
    "net.cidr_merge" 1 net::cidr_merge,
    "numbers.range_step" 3 numbers::range_step,
    "object.subset" 2 objects::subset,
    "object.union_n" 1 objects::union_n,
    "or" 2 operators::or,
    "plus" 2 operators::plus,
    "rem" 2 operators::rem,
    "regex.globs_match" 2 globs::globs_match,
    "regex.find_all_string_submatch_n" 3 regex::find_all_string_submatch_n,
    "regex.find_n" 3 regex::find_n,
    "regex.is_valid" 1 regex::is_valid,
    "regex.match" 2 regex::matches,
    "regex.replace" 3 regex::replace,
    "regex.split" 2 regex::split,
    "regex.template_match" 4 regex::template_match,
    "semver.compare" 2 semver::compare,
    "semver.is_valid" 1 semver::is_valid,
    "sprintf" 2 sprintf::sprintf,
    "strings.count" 2 strings::count,
    "strings.render_template" 2 template::render_template,
    "strings.replace_n" 2 strings::replace_n,
    "strings.split_n" 3 strings::split_n,
    "sum" 1 operators::sum,
    "time.add_date" 4 time::add_date,
    "time.diff" 2 time::diff,
    "time.format" 1 time::format,
    "time.parse_duration_ns" 1 time::parse_duration_ns,
    "to_number" 1 numbers::to_number,
    "trace" 1 strings::trace,
    "units.parse" 1 strings::parse_units,
    "units.parse_bytes" 1 strings::parse_bytes,
    "upper" 1 strings::upper,
    "uri.is_valid" 1 uri::is_valid,
    "uri.parse" 1 uri::parse,
    "urlquery.decode" 1 urlquery::decode,
    "urlquery.decode_object" 1 urlquery::decode_object,
    "urlquery.encode" 1 urlquery::encode,
    "urlquery.encode_object" 1 urlquery::encode_object,
    "walk" 1 walk::walk,
    "yaml.is_valid" 1 json::yaml_is_valid,
}

/// Calls a function for its stub, which gives the arguments as an array, and the name.
pub(super) fn call_by_stub(arguments: &[Value]) -> Result<Value, Ending> {
    match arguments {
        [Value::Array(given), Value::String(name)] => call(name, given.as_slice()),
        _ => Ok(Value::Undefined),
    }
}

/// The number of a function in a program's table, to which it is added if it is not there.
pub(super) fn number_in(program: &mut Program, function: &str) -> u16 {
    // Under a name of its own: the table may hold the library's function of this name, too.
    let name = format!("cms.{function}");
    let known = program.builtin_info_table.iter().position(|info| info.name == name);
    known.and_then(|index| u16::try_from(index).ok()).unwrap_or_else(|| {
        install(program, function);
        let num_args = u16::from(arity(function).unwrap_or_default());
        program.add_builtin_info(BuiltinInfo { name, num_args })
    })
}

/// Whether a function is one of these.
pub(super) fn is_ours(name: &str) -> bool {
    FUNCTIONS.iter().any(|(known, _)| *known == name)
}

/// The names of all of them.
pub(super) fn ours() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|(name, _)| *name)
}

/// Whether there is a function of this name, here or in the library.
pub(super) fn is_function(name: &str) -> bool {
    is_ours(name) || guards::is_function(name)
}

/// How many arguments a function takes.
pub(super) fn arity(name: &str) -> Option<u8> {
    let ours = FUNCTIONS.iter().find(|(known, _)| *known == name).map(|(_, arity)| *arity);
    ours.or_else(|| guards::arity(name))
}

/// The function whose stub has this name.
pub(super) fn named(stub: &str) -> Option<&'static str> {
    ours().find(|name| name.replace('.', "__") == stub)
}

/// The type of a value, as OPA calls it.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Set(_) => "set",
        Value::Object(_) => "object",
        Value::Undefined => "undefined",
    }
}

fn mismatch(arguments: &[Value], index: usize, wanted: &str) -> Failure {
    let given = arguments.get(index).map_or("nothing", type_of);
    Failure::Type(format!("operand {} must be {wanted} but got {given}", index + 1))
}

/// The text that an argument is.
fn text(arguments: &[Value], index: usize) -> Result<&str, Failure> {
    match arguments.get(index) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(mismatch(arguments, index, "string")),
    }
}

/// The integer that an argument is.
fn integer(arguments: &[Value], index: usize) -> Result<i64, Failure> {
    match arguments.get(index) {
        Some(number @ Value::Number(_)) => number.as_i64().map_err(|_| {
            let wanted = "must be integer number but got floating-point number";
            Failure::Type(format!("operand {} {wanted}", index + 1))
        }),
        _ => Err(mismatch(arguments, index, "number")),
    }
}

/// A number as a double, the nearest there is.
fn nearest(value: &Value) -> Option<f64> {
    let number = value.as_number().ok()?;
    number.as_f64().or_else(|| number.format_decimal().parse().ok())
}

/// The array that an argument is.
fn array(arguments: &[Value], index: usize) -> Result<&[Value], Failure> {
    match arguments.get(index) {
        Some(Value::Array(items)) => Ok(items.as_slice()),
        _ => Err(mismatch(arguments, index, "array")),
    }
}

/// The items of an argument that is an array or a set.
fn items(arguments: &[Value], index: usize) -> Result<Vec<&Value>, Failure> {
    match arguments.get(index) {
        Some(Value::Array(items)) => Ok(items.iter().collect()),
        Some(Value::Set(items)) => Ok(items.iter().collect()),
        _ => Err(mismatch(arguments, index, "one of {array, set}")),
    }
}

fn array_of<T: Into<Value>>(items: impl Iterator<Item = T>) -> Value {
    Value::from(items.map(Into::into).collect::<Vec<_>>())
}

/// Calls a function of the library, with its guard.
fn library(name: &'static str, arguments: &[Value]) -> Outcome {
    guards::call(name, arguments)
}

/// Calls a function of the library that is undefined where OPA's fails.
fn library_or_fail(name: &'static str, arguments: &[Value], failure: &str) -> Outcome {
    match library(name, arguments)? {
        Value::Undefined => Err(failure.into()),
        value => Ok(value),
    }
}
