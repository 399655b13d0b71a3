// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `sprintf`, as Go's `fmt` does it.

use regorus::Value;

use super::template_string::write_term;
use super::{Outcome, array, float, meter, text};

/// The widest field, and the most digits after a point.
const WIDEST: usize = 9_999;

/// Formats values.
pub(super) fn sprintf(arguments: &[Value]) -> Outcome {
    let (format, values) = (text(arguments, 0)?, array(arguments, 1)?);
    meter::afford_text(arguments)?;
    format_values(format, values).map(Value::from)
}

/// Formats values; what does not fit its verb is named in the text, as Go does.
pub(super) fn format_values(format: &str, values: &[Value]) -> Result<String, super::Failure> {
    let values: Vec<Argument> = values.iter().map(Argument::of).collect();
    let mut written = String::new();
    let mut next = 0;
    let mut reordered = false;
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        let (before, directive) = rest.split_at_checked(at).unwrap_or((rest, ""));
        written.push_str(before);
        let mut parser =
            Parser { rest: directive.get(1..).unwrap_or_default(), next, reordered: false, values: &values };
        let spec = parser.spec();
        rest = parser.rest;
        next = parser.next;
        reordered |= parser.reordered;
        meter::at_most(
            WIDEST,
            spec.width.unwrap_or(0).max(spec.precision.unwrap_or(0)),
            "characters of a field",
        )?;
        match spec.verb {
            None => written.push_str("%!(NOVERB)"),
            Some('%') => written.push('%'),
            Some(verb) if spec.bad_index => written.push_str(&format!("%!{verb}(BADINDEX)")),
            Some(verb) => match values.get(next) {
                Some(value) => {
                    next += 1;
                    written.push_str(&spec.format(verb, value));
                }
                None => written.push_str(&format!("%!{verb}(MISSING)")),
            },
        }
        meter::afford(written.len())?;
    }
    written.push_str(rest);
    if !reordered && next < values.len() {
        let extra: Vec<String> =
            values.iter().skip(next).map(|value| format!("{}={}", value.kind(), value.plain())).collect();
        written.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    Ok(written)
}

/// A value in the form of one of Go's types.
pub(super) enum Argument {
    Integer(i64),
    /// A number beyond that, in decimal digits.
    Large(String),
    Float(f64),
    Text(String),
}

impl Argument {
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::String(text) => Self::Text(text.to_string()),
            Value::Number(number) => match (value.as_i64(), number.as_f64()) {
                (Ok(integer), _) => Self::Integer(integer),
                (_, Some(float)) if float.fract() != 0.0 => Self::Float(float),
                _ => Self::Large(number.format_decimal()),
            },
            other => {
                let mut text = String::new();
                write_term(&mut text, other);
                Self::Text(text)
            }
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Integer(_) => "int64",
            Self::Large(_) => "big.Int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
        }
    }

    pub(super) fn plain(&self) -> String {
        match self {
            Self::Integer(integer) => integer.to_string(),
            Self::Large(digits) => digits.clone(),
            Self::Float(number) => float::general(*number, None, false),
            Self::Text(text) => text.clone(),
        }
    }
}

/// A verb with its flags.
#[derive(Default)]
struct Spec {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
    verb: Option<char>,
    bad_index: bool,
}

struct Parser<'a> {
    rest: &'a str,
    next: usize,
    reordered: bool,
    values: &'a [Argument],
}

impl Parser<'_> {
    fn spec(&mut self) -> Spec {
        let mut spec = Spec::default();
        while let Some(flag) = self.rest.chars().next() {
            match flag {
                '+' => spec.plus = true,
                '-' => spec.minus = true,
                '#' => spec.sharp = true,
                ' ' => spec.space = true,
                '0' => spec.zero = true,
                _ => break,
            }
            self.skip(1);
        }
        self.index(&mut spec);
        spec.width = self.size(&mut spec);
        if self.rest.starts_with('.') {
            self.skip(1);
            self.index(&mut spec);
            spec.precision = Some(self.size(&mut spec).unwrap_or(0));
        }
        self.index(&mut spec);
        spec.verb = self.rest.chars().next();
        self.skip(spec.verb.map_or(0, char::len_utf8));
        spec
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    /// A width or precision: digits, or a star for the next value.
    fn size(&mut self, spec: &mut Spec) -> Option<usize> {
        if self.rest.starts_with('*') {
            self.skip(1);
            let given = self.values.get(self.next);
            self.next += 1;
            return match given {
                Some(Argument::Integer(size)) => {
                    spec.minus |= *size < 0;
                    Some(usize::try_from(size.unsigned_abs()).unwrap_or(usize::MAX))
                }
                _ => None,
            };
        }
        let digits = self.rest.len() - self.rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let size = self.rest.get(..digits).filter(|digits| !digits.is_empty());
        let size = size.map(|digits| digits.parse().unwrap_or(usize::MAX));
        self.skip(digits);
        size
    }

    /// The number of a value in brackets, from 1.
    fn index(&mut self, spec: &mut Spec) {
        let Some(inner) = self.rest.strip_prefix('[') else { return };
        let Some(end) = inner.find(']') else { return };
        self.reordered = true;
        let number = inner.get(..end).and_then(|digits| digits.parse::<usize>().ok());
        match number.filter(|number| (1..=self.values.len()).contains(number)) {
            Some(number) => self.next = number - 1,
            None => spec.bad_index = true,
        }
        self.skip(end + 2);
    }
}

impl Spec {
    fn format(&self, verb: char, value: &Argument) -> String {
        if verb == 'T' {
            return self.padded(value.kind(), false);
        }
        self.fitting(verb, value).unwrap_or_else(|| {
            let plain = self.fitting('v', value).unwrap_or_default();
            format!("%!{verb}({}={plain})", value.kind())
        })
    }

    /// A value by a verb that fits its type.
    fn fitting(&self, verb: char, value: &Argument) -> Option<String> {
        match value {
            Argument::Integer(number) => self.integer(verb, *number),
            Argument::Large(digits) => matches!(verb, 'd' | 'v' | 's')
                .then(|| self.signed(digits.trim_start_matches('-'), digits.starts_with('-'))),
            Argument::Float(number) => self.float(verb, *number),
            Argument::Text(text) => self.text(verb, text),
        }
    }

    fn integer(&self, verb: char, number: i64) -> Option<String> {
        let size = number.unsigned_abs();
        let character =
            || u32::try_from(number).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
        let (digits, prefix) = match verb {
            'd' | 'v' => (size.to_string(), ""),
            'b' => (format!("{size:b}"), "0b"),
            'o' => (format!("{size:o}"), "0"),
            'O' => return Some(self.signed(&format!("0o{size:o}"), number < 0)),
            'x' => (format!("{size:x}"), "0x"),
            'X' => (format!("{size:X}"), "0X"),
            'c' => return Some(self.padded(&character().to_string(), false)),
            'q' => return Some(self.padded(&format!("'{}'", character().escape_default()), false)),
            'U' => return Some(self.padded(&format!("U+{size:04X}"), false)),
            _ => return None,
        };
        let zeros = self.precision.unwrap_or(0).saturating_sub(digits.len());
        let prefix = if self.sharp { prefix } else { "" };
        Some(self.signed(&format!("{prefix}{}{digits}", "0".repeat(zeros)), number < 0))
    }

    fn float(&self, verb: char, number: f64) -> Option<String> {
        let size = number.abs();
        let text = match verb {
            'v' | 'g' | 'G' => float::general(size, self.precision, self.sharp),
            'e' | 'E' => float::scientific(size, self.precision.unwrap_or(6)),
            'f' | 'F' => format!("{size:.*}", self.precision.unwrap_or(6)),
            _ => return None,
        };
        let text = if verb.is_uppercase() { text.to_uppercase() } else { text };
        let zero = Self { precision: None, zero: self.zero, ..*self };
        Some(zero.signed(&text, number < 0.0))
    }

    fn text(&self, verb: char, text: &str) -> Option<String> {
        let cut: String = text.chars().take(self.precision.unwrap_or(usize::MAX)).collect();
        let written = match verb {
            's' | 'v' => cut,
            'q' if self.sharp && !text.contains('`') => format!("`{cut}`"),
            'q' => quoted(&cut),
            'x' => self.hexadecimal(cut.bytes().map(|byte| format!("{byte:02x}"))),
            'X' => self.hexadecimal(cut.bytes().map(|byte| format!("{byte:02X}"))),
            _ => return None,
        };
        Some(self.padded(&written, self.zero))
    }

    fn hexadecimal(&self, bytes: impl Iterator<Item = String>) -> String {
        bytes.collect::<Vec<_>>().join(if self.space { " " } else { "" })
    }

    /// A number with its sign, at its width.
    fn signed(&self, digits: &str, is_negative: bool) -> String {
        let sign = match (is_negative, self.plus, self.space) {
            (true, _, _) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        };
        if self.zero && !self.minus && self.precision.is_none() {
            let zeros = self.width.unwrap_or(0).saturating_sub(digits.len() + sign.len());
            return format!("{sign}{}{digits}", "0".repeat(zeros));
        }
        self.padded(&format!("{sign}{digits}"), false)
    }

    fn padded(&self, text: &str, with_zeros: bool) -> String {
        let missing = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        let padding = if with_zeros && !self.minus { "0" } else { " " }.repeat(missing);
        if self.minus { format!("{text}{padding}") } else { format!("{padding}{text}") }
    }
}

/// A text in quotes, as Go writes it.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\u{b}' => quoted.push_str("\\v"),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
