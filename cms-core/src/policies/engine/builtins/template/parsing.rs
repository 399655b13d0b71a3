// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads templates.

use regorus::Value;

use super::{Failure, NESTING, Node, Pipeline, Term, meter};

/// Reads a template.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, Failure> {
    let mut parser = Parser { pieces: pieces(text)?, depth: 0 };
    match parser.nodes()? {
        (nodes, End::Text) => Ok(nodes),
        _ => Err("the template has an `end` or `else` too many".into()),
    }
}

/// A stretch of text, or the inside of an action.
enum Piece {
    Text(String),
    Action(String),
}

/// Splits a template at its actions, and trims around those that ask for it. In reverse order.
fn pieces(text: &str) -> Result<Vec<Piece>, Failure> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trims = false;
    while let Some((before, after)) = rest.split_once("{{") {
        let end = action_end(after).ok_or_else(|| Failure::from("the template has an unclosed action"))?;
        let (inner, next) = (after.get(..end).unwrap_or_default(), after.get(end + 2..).unwrap_or_default());
        let (inner, trims_before) = match inner.strip_prefix("- ") {
            Some(inner) => (inner, true),
            None => (inner, false),
        };
        let (inner, trims_after) = match inner.strip_suffix(" -") {
            Some(inner) => (inner, true),
            None => (inner, false),
        };
        let before = if trims { before.trim_start() } else { before };
        pieces.push(Piece::Text(if trims_before { before.trim_end() } else { before }.to_owned()));
        if !inner.trim().starts_with("/*") {
            pieces.push(Piece::Action(inner.trim().to_owned()));
        }
        trims = trims_after;
        rest = next;
    }
    pieces.push(Piece::Text(if trims { rest.trim_start() } else { rest }.to_owned()));
    pieces.reverse();
    Ok(pieces)
}

/// Where an action ends: at braces that are in no string.
fn action_end(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (index, character) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some('"') if character == '\\' => escaped = true,
            Some(open) if character == open => quote = None,
            Some(_) => {}
            None if matches!(character, '"' | '`') => quote = Some(character),
            None if text.get(index..).is_some_and(|rest| rest.starts_with("}}")) => return Some(index),
            None => {}
        }
    }
    None
}

struct Parser {
    /// What is not read yet, the next last.
    pieces: Vec<Piece>,
    depth: usize,
}

/// What a sequence of nodes ends with.
enum End {
    Text,
    Closed,
    /// With what follows on the word: `else if .x`.
    Else(String),
}

impl Parser {
    fn nodes(&mut self) -> Result<(Vec<Node>, End), Failure> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.pop() {
            let action = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(action) => action,
            };
            let (word, rest) = action.split_once(char::is_whitespace).unwrap_or((&action, ""));
            match word {
                "end" => return Ok((nodes, End::Closed)),
                "else" => return Ok((nodes, End::Else(rest.trim().to_owned()))),
                "if" | "with" | "range" => nodes.push(self.block(word, rest)?),
                "define" | "template" | "block" | "break" | "continue" => {
                    return Err(format!("the action `{word}` is not supported").into());
                }
                _ => nodes.push(Node::Action(pipeline(&action)?)),
            }
        }
        Ok((nodes, End::Text))
    }

    fn block(&mut self, word: &str, rest: &str) -> Result<Node, Failure> {
        self.depth += 1;
        meter::at_most(NESTING, self.depth, "blocks within each other")?;
        let value = pipeline(rest)?;
        let (then, end) = self.nodes()?;
        let otherwise = match end {
            End::Closed => Vec::new(),
            End::Else(next) if next.is_empty() => match self.nodes()? {
                (nodes, End::Closed) => nodes,
                _ => return Err("the template has a block without `end`".into()),
            },
            // The chain shares one `end`, so the inner block takes it.
            End::Else(next) => {
                let (word, rest) = next.split_once(char::is_whitespace).unwrap_or((&next, ""));
                vec![self.block(word, rest)?]
            }
            End::Text => return Err("the template has a block without `end`".into()),
        };
        self.depth -= 1;
        match word {
            "if" => Ok(Node::If { condition: value, then, otherwise }),
            "with" => Ok(Node::With { value, then, otherwise }),
            "range" => Ok(Node::Range { items: value, then, otherwise }),
            other => Err(format!("unexpected `{other}` in the template").into()),
        }
    }
}

/// Reads a pipeline, with the variables that take its value.
fn pipeline(text: &str) -> Result<Pipeline, Failure> {
    let (variables, rest) = match text.split_once(":=") {
        Some((names, rest)) if names.trim_start().starts_with('$') => {
            (names.split(',').map(|name| name.trim().trim_start_matches('$').to_owned()).collect(), rest)
        }
        _ => (Vec::new(), text),
    };
    let mut words = words(rest)?;
    words.reverse();
    let pipeline = commands(&mut words, variables)?;
    if words.is_empty() { Ok(pipeline) } else { Err("unexpected `)` in the template".into()) }
}

fn commands(words: &mut Vec<String>, variables: Vec<String>) -> Result<Pipeline, Failure> {
    let mut commands = Vec::new();
    let mut command = Vec::new();
    while let Some(word) = words.pop() {
        match word.as_str() {
            ")" => {
                words.push(word);
                break;
            }
            "|" => commands.push(std::mem::take(&mut command)),
            "(" => {
                let inner = self::commands(words, Vec::new())?;
                if words.pop().is_none() {
                    return Err("unclosed `(` in the template".into());
                }
                command.push(Term::Pipeline(inner));
            }
            _ => command.push(term(&word)?),
        }
    }
    commands.push(command);
    if commands.iter().any(Vec::is_empty) {
        Err("the template has an empty action".into())
    } else {
        Ok(Pipeline { variables, commands })
    }
}

fn term(word: &str) -> Result<Term, Failure> {
    let fields =
        |path: &str| path.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let constant = |text: &str| {
        Value::from_json_str(text)
            .map(Term::Constant)
            .map_err(|_| Failure::Failed(format!("unexpected `{word}` in the template")))
    };
    match word.chars().next() {
        Some('.') => Ok(Term::Fields(fields(word))),
        Some('$') => {
            let mut parts = word.trim_start_matches('$').split('.').map(str::to_owned);
            Ok(Term::Variable(parts.next().unwrap_or_default(), parts.collect()))
        }
        Some('`') => Ok(Term::Constant(Value::from(word.trim_matches('`')))),
        Some('"') => constant(word),
        Some(c) if c.is_ascii_digit() || c == '-' => constant(word),
        _ if matches!(word, "true" | "false") => constant(word),
        _ if word == "nil" => Ok(Term::Constant(Value::Null)),
        _ => Ok(Term::Name(word.to_owned())),
    }
}

/// Splits an action into words; brackets are words of their own.
fn words(text: &str) -> Result<Vec<String>, Failure> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut escaped = false;
    let mut open = 0;
    for character in text.chars() {
        match quote {
            Some(by) => {
                word.push(character);
                if escaped {
                    escaped = false;
                } else if by == '"' && character == '\\' {
                    escaped = true;
                } else if character == by {
                    quote = None;
                }
                continue;
            }
            None if matches!(character, '"' | '`') => quote = Some(character),
            None => {}
        }
        let is_word = !(character.is_whitespace() || matches!(character, '(' | ')' | '|'));
        if is_word {
            word.push(character);
            continue;
        }
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        open += usize::from(character == '(');
        meter::at_most(NESTING, open, "brackets of an action")?;
        if !character.is_whitespace() {
            words.push(character.to_string());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}
