// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Writes an explanation for people: one line for a definition, and one below it for what decided.

use std::fmt;

use super::{Explanation, Failure, Outcome, Seen, Shown, Tried};

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for result in &self.results {
            writeln!(f, "{}", sentence(result))?;
        }
        for tried in &self.tried {
            write_tried(f, tried, 1)?;
        }
        match &self.incomplete {
            Some(reason) => writeln!(f, "incomplete: {reason}"),
            None => Ok(()),
        }
    }
}

impl Explanation {
    /// The lines of the text for people.
    pub fn lines(&self) -> Vec<String> {
        self.to_string().lines().map(str::to_owned).collect()
    }
}

fn write_tried(f: &mut fmt::Formatter<'_>, tried: &Tried, depth: usize) -> fmt::Result {
    let indent = "  ".repeat(depth);
    let word = match tried.outcome {
        Outcome::Held => "held",
        Outcome::Failed => "failed",
        Outcome::Default => "default",
        Outcome::Stopped => "stopped",
    };
    write!(f, "{indent}{word:<7} {} ({}:{})", tried.rule, tried.document, tried.line)?;
    let arguments: Vec<String> = tried.arguments.iter().map(|argument| short(&argument.value)).collect();
    if !arguments.is_empty() {
        write!(f, " for {}", arguments.join(", "))?;
    }
    let values: Vec<String> =
        tried.values.iter().map(|value| short(&value.value)).filter(|value| value != "true").collect();
    if !values.is_empty() {
        write!(f, " = {}", values.join(" | "))?;
    }
    writeln!(f)?;
    if let Some(Failure { line, text, values }) = &tried.failure {
        writeln!(f, "{indent}  at {line}: {text}")?;
        for value in values {
            writeln!(f, "{indent}    {}", sentence(value))?;
        }
    }
    for variable in &tried.variables {
        writeln!(f, "{indent}    {}", sentence(variable))?;
    }
    tried.because.iter().try_for_each(|inner| write_tried(f, inner, depth + 1))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` does not hold", self.text)?;
        self.values.iter().try_for_each(|value| write!(f, "; {}", sentence(value)))
    }
}

fn sentence(shown: &Shown) -> String {
    match &shown.value {
        Seen::Undefined => format!("{} is undefined", shown.name),
        seen => format!("{} is {}", shown.name, short(seen)),
    }
}

fn short(seen: &Seen) -> String {
    match seen {
        Seen::Undefined => "undefined".to_owned(),
        Seen::Json(text) => text.clone(),
        Seen::Described(words) => words.clone(),
    }
}
