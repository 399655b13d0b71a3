// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The fields of a secret as one JSON text that is wiped when it is dropped. Values are kept as they
//! were written: no number is rounded, no key reordered, and nothing is parsed to be handed out.

use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::sensitive::Sensitive;

/// The fields and values of one version of a secret. Serializes to them: for answers to a reveal.
#[derive(Clone)]
pub struct SecretData(Sensitive<String>);

impl SecretData {
    /// Parses a JSON object.
    ///
    /// # Errors
    /// `Invalid` if the text is none, or names a field twice.
    pub fn parse(text: Sensitive<String>) -> Result<Self> {
        let data = Self(text);
        data.fields()?;
        Ok(data)
    }

    /// Builds the object of fields that are given as JSON texts.
    pub(crate) fn from_fields<'a>(fields: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Result<Self> {
        let mut names = Vec::new();
        for (name, _) in fields.clone() {
            names.push(serde_json::to_string(name).map_err(Error::internal)?);
        }
        // The exact capacity: growing would leave copies of values behind that are not wiped.
        let length =
            fields.clone().zip(&names).map(|((_, value), name)| name.len() + value.len() + 2).sum::<usize>();
        let mut text = Sensitive::new(String::with_capacity(length + 2));
        let out = text.expose_mut();
        out.push('{');
        for (at, ((_, value), name)) in fields.zip(&names).enumerate() {
            if at > 0 {
                out.push(',');
            }
            out.push_str(name);
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        Ok(Self(text))
    }

    /// Takes what the barrier opened.
    pub(crate) fn from_stored(mut bytes: Sensitive<Vec<u8>>) -> Result<Self> {
        let bytes = std::mem::take(bytes.expose_mut());
        let text = String::from_utf8(bytes)
            .map_err(|error| Sensitive::new(error.into_bytes()))
            .map_err(|_| Error::internal("the stored value of a secret is no text"))?;
        Ok(Self(Sensitive::new(text)))
    }

    /// The whole object as JSON text.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The fields in their order, each value as JSON text.
    ///
    /// # Errors
    /// `Invalid` if it is no object, or a field is named twice.
    pub(crate) fn fields(&self) -> Result<Vec<(String, &RawValue)>> {
        let Fields(fields) = serde_json::from_str(self.expose())
            .map_err(|_| Error::invalid("`data` must be a JSON object that names each field once"))?;
        Ok(fields)
    }

    /// A field as a text: a string without its quotes, anything else as JSON.
    pub(crate) fn text_of(&self, field: &str) -> Option<Zeroizing<String>> {
        let fields = self.fields().ok()?;
        let (_, value) = fields.iter().find(|(name, _)| name == field)?;
        let text = serde_json::from_str::<String>(value.get());
        Some(Zeroizing::new(text.unwrap_or_else(|_| value.get().to_owned())))
    }
}

impl fmt::Debug for SecretData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Serialize for SecretData {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(self.expose())
            .map_err(|_| serde::ser::Error::custom("the value of a secret is no JSON"))?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SecretData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        // Takes over the buffer, so that no second copy is left behind.
        let text = Sensitive::new(Box::<str>::from(raw).into_string());
        Self::parse(text).map_err(|error| D::Error::custom(error.message()))
    }
}

struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields: Vec<(String, &'de RawValue)> = Vec::new();
        let mut names = std::collections::HashSet::new();
        while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom("a field is named twice"));
            }
            fields.push((name, value));
        }
        Ok(Fields(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(text: &str) -> Result<SecretData> {
        SecretData::parse(Sensitive::new(text.to_owned()))
    }

    #[test]
    fn only_objects_with_distinct_fields_are_data() {
        for bad in ["", "1", "[]", "null", "\"x\"", "{", r#"{"a":1,"a":2}"#, r#"{"a":1,"\u0061":2}"#, "{}x"] {
            assert!(data(bad).is_err(), "{bad}");
        }
        let fields = data(r#"{"a\n": "x", "b":[1e999, {"c":null}]}"#).unwrap();
        let fields = fields.fields().unwrap();
        assert_eq!(fields[0].0, "a\n");
        assert_eq!(fields[1].1.get(), r#"[1e999, {"c":null}]"#);
    }

    #[test]
    fn values_stay_as_they_were_written() {
        let text = r#"{"n":12345678901234567890.10,"s":"\u00e9 é"}"#;
        assert_eq!(serde_json::to_string(&data(text).unwrap()).unwrap(), text);
        let back: SecretData = serde_json::from_str(text).unwrap();
        assert_eq!(back.expose(), text);
        assert_eq!(format!("{back:?}"), "[redacted]");
    }

    #[test]
    fn objects_are_rebuilt_from_their_fields() {
        let built = SecretData::from_fields([("a\"b", "1"), ("c", r#""x""#)].into_iter()).unwrap();
        assert_eq!(built.expose(), r#"{"a\"b":1,"c":"x"}"#);
        assert_eq!(SecretData::from_fields([].into_iter()).unwrap().expose(), "{}");
    }
}
