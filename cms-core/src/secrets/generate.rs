// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Generators of new values, from the operating system's randomness and without bias.

use uuid::Builder;

use super::limits::invalid;
use crate::api::secrets::Generator;
use crate::error::{Error, Result};
use crate::sensitive::Sensitive;

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";
/// Without quotes, backslash, dollar and white space, which shells and connection strings mangle.
const SYMBOLS: &str = "!#%&()*+,-./:;<=>?@[]^_{}~";

/// The generators, by name.
const KINDS: &[(&str, Kind)] = &[
    ("alphanumeric", Kind::Random(&[LOWER, UPPER, DIGITS])),
    ("base64", Kind::Random(&[LOWER, UPPER, DIGITS, "-_"])),
    ("base64url", Kind::Random(&[LOWER, UPPER, DIGITS, "-_"])),
    ("digits", Kind::Random(&[DIGITS])),
    ("hex", Kind::Random(&[DIGITS, "abcdef"])),
    ("password", Kind::Password),
    ("random", Kind::Random(&[LOWER, UPPER, DIGITS])),
    ("uuid", Kind::Uuid),
];

/// The classes of characters of a password, by name.
const CLASSES: &[(&str, &str)] =
    &[("digit", DIGITS), ("lower", LOWER), ("symbol", SYMBOLS), ("upper", UPPER)];

/// How long a generated value is, if nothing is asked for.
const DEFAULT_LENGTH: usize = 32;
/// How short and how long it may be.
const LENGTHS: std::ops::RangeInclusive<usize> = 8..=1024;

#[derive(Clone, Copy)]
enum Kind {
    /// Any of the characters at each place.
    Random(&'static [&'static str]),
    /// At least one of each class.
    Password,
    /// A random UUID.
    Uuid,
}

/// Makes a value as JSON text.
pub(super) fn generate(generator: Option<&Generator>) -> Result<Sensitive<String>> {
    let text = match generator {
        None => random(&[LOWER, UPPER, DIGITS], DEFAULT_LENGTH)?,
        Some(generator) => by_kind(generator)?,
    };
    // No alphabet holds what JSON escapes, so quoting is all.
    let mut json = Sensitive::new(String::with_capacity(text.expose().len() + 2));
    json.expose_mut().push('"');
    json.expose_mut().push_str(text.expose());
    json.expose_mut().push('"');
    Ok(json)
}

/// Checks a generator without using it.
pub(super) fn check(generator: &Generator) -> Result<()> {
    by_kind(generator).map(drop)
}

fn by_kind(generator: &Generator) -> Result<Sensitive<String>> {
    let found = KINDS.iter().find(|(name, _)| *name == generator.kind);
    let Some((_, kind)) = found else {
        let known: Vec<String> = KINDS.iter().map(|(name, _)| format!("`{name}`")).collect();
        let text = format!("there is no generator of this kind; there are {}", known.join(", "));
        return Err(invalid("unknown_generator", "/generator/kind", text));
    };
    if generator.classes.is_some() && !matches!(kind, Kind::Password) {
        return Err(invalid("invalid_generator", "/generator/classes", "only `password` takes `classes`"));
    }
    let length = generator.length.unwrap_or(DEFAULT_LENGTH);
    if !LENGTHS.contains(&length) {
        let text = format!("`length` must be {} to {}", LENGTHS.start(), LENGTHS.end());
        return Err(invalid("invalid_generator", "/generator/length", text));
    }
    match kind {
        Kind::Random(alphabet) => random(alphabet, length),
        Kind::Password => password(&classes(generator.classes.as_deref())?, length),
        Kind::Uuid if generator.length.is_some() => {
            Err(invalid("invalid_generator", "/generator/length", "`uuid` takes no `length`"))
        }
        Kind::Uuid => uuid(),
    }
}

fn classes(names: Option<&[String]>) -> Result<Vec<&'static str>> {
    let Some(names) = names else { return Ok(CLASSES.iter().map(|(_, class)| *class).collect()) };
    let known = |name: &String| CLASSES.iter().find(|(known, _)| known == name).map(|(_, class)| *class);
    let mut chosen: Vec<&'static str> = names.iter().filter_map(known).collect();
    chosen.sort_unstable();
    chosen.dedup();
    if chosen.is_empty() || chosen.len() != names.len() {
        let text = "`classes` are `lower`, `upper`, `digit` and `symbol`, each at most once and at least one";
        return Err(invalid("invalid_generator", "/generator/classes", text));
    }
    Ok(chosen)
}

fn random(alphabet: &[&str], length: usize) -> Result<Sensitive<String>> {
    let alphabet: Vec<char> = alphabet.iter().flat_map(|part| part.chars()).collect();
    let mut text = Sensitive::new(String::with_capacity(length));
    for _ in 0..length {
        let character = alphabet.get(below(alphabet.len())?).copied().unwrap_or('0');
        text.expose_mut().push(character);
    }
    Ok(text)
}

/// Draws until every class is there: unlike putting one of each in place, this favours no password
/// over another. Eight characters of four classes take about two draws.
fn password(classes: &[&str], length: usize) -> Result<Sensitive<String>> {
    loop {
        let text = random(classes, length)?;
        if classes.iter().all(|class| text.expose().contains(|c| class.contains(c))) {
            return Ok(text);
        }
    }
}

fn uuid() -> Result<Sensitive<String>> {
    let mut bytes = [0_u8; 16];
    fill(&mut bytes)?;
    Ok(Sensitive::new(Builder::from_random_bytes(bytes).into_uuid().to_string()))
}

/// A number below `bound` (at most 256), each as likely as the others.
fn below(bound: usize) -> Result<usize> {
    let fair = 256 - 256 % bound.clamp(1, 256);
    loop {
        let mut byte = [0_u8; 1];
        fill(&mut byte)?;
        let drawn = usize::from(u8::from_ne_bytes(byte));
        if drawn < fair {
            return Ok(drawn % bound.max(1));
        }
    }
}

fn fill(bytes: &mut [u8]) -> Result<()> {
    aws_lc_rs::rand::fill(bytes).map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(kind: &str, length: Option<usize>, classes: Option<&[&str]>) -> Result<String> {
        let classes = classes.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        let json = generate(Some(&Generator { kind: kind.to_owned(), length, classes }))?;
        Ok(serde_json::from_str(json.expose()).unwrap())
    }

    #[test]
    fn every_generator_makes_what_it_says() {
        for (kind, allowed) in [
            ("alphanumeric", format!("{LOWER}{UPPER}{DIGITS}")),
            ("random", format!("{LOWER}{UPPER}{DIGITS}")),
            ("hex", "0123456789abcdef".to_owned()),
            ("base64url", format!("{LOWER}{UPPER}{DIGITS}-_")),
            ("digits", DIGITS.to_owned()),
            ("password", format!("{LOWER}{UPPER}{DIGITS}{SYMBOLS}")),
        ] {
            for length in [8, 32, 1024] {
                let text = made(kind, Some(length), None).unwrap();
                assert_eq!(text.len(), length, "{kind}");
                assert!(text.chars().all(|c| allowed.contains(c)), "{kind}: {text}");
            }
            // A long one uses the whole alphabet: nothing is cut off at its end.
            let text = made(kind, Some(1024), None).unwrap() + &made(kind, Some(1024), None).unwrap();
            let missing = allowed.chars().filter(|c| !text.contains(*c)).count();
            assert!(missing <= 1, "{kind} misses {missing} characters");
        }
        let uuid = made("uuid", None, None).unwrap();
        assert_eq!(uuid::Uuid::parse_str(&uuid).unwrap().get_version_num(), 4);
        let default = generate(None).unwrap();
        assert_eq!(default.expose().len(), 34);
        assert_ne!(default.expose(), generate(None).unwrap().expose());
    }

    #[test]
    fn passwords_hold_every_class_that_was_asked_for() {
        for _ in 0..200 {
            let text = made("password", Some(8), None).unwrap();
            for (_, class) in CLASSES {
                assert!(text.contains(|c| class.contains(c)), "{text}");
            }
        }
        let text = made("password", Some(64), Some(&["lower", "digit"])).unwrap();
        assert!(text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()));
    }

    #[test]
    fn what_no_generator_can_make_is_refused() {
        assert_eq!(made("magic", None, None).unwrap_err().code(), "unknown_generator");
        for (kind, length, classes) in [
            ("hex", Some(7), None),
            ("hex", Some(1025), None),
            ("uuid", Some(36), None),
            ("hex", None, Some(&["lower"][..])),
            ("password", None, Some(&[][..])),
            ("password", None, Some(&["lower", "lower"][..])),
            ("password", None, Some(&["emoji"][..])),
        ] {
            assert_eq!(made(kind, length, classes).unwrap_err().code(), "invalid_generator", "{kind}");
        }
    }
}
