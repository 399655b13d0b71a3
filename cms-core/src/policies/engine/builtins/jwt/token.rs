// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The three parts of a token in its compact form.

use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};
use regorus::Value;

use super::super::super::{Limits, from_json};
use super::super::Failure;

/// A token, not yet decoded.
#[derive(Clone)]
pub(super) struct Token<'a> {
    /// What the signature is over: the header, a dot and the payload.
    pub(super) signed: &'a [u8],
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Token<'a> {
    pub(super) fn split(text: &'a str) -> Result<Self, Failure> {
        let parts: Vec<&str> = text.split('.').collect();
        match parts.as_slice() {
            [_] => Err("encoded JWT had no period separators".into()),
            [header, payload, signature] => {
                let signed = text.as_bytes().get(..header.len() + 1 + payload.len()).unwrap_or_default();
                Ok(Self { signed, header, payload, signature })
            }
            _ => Err(format!("encoded JWT must have 3 sections, found {}", parts.len()).into()),
        }
    }

    pub(super) fn header(&self) -> Result<Value, Failure> {
        let header = object(&decoded(self.header)?, "header")?;
        if matches!(header["enc"], Value::String(_)) {
            return Err("the token is encrypted, which is not supported".into());
        }
        Ok(header)
    }

    pub(super) fn claims(&self) -> Result<Value, Failure> {
        object(&decoded(self.payload)?, "payload")
    }

    pub(super) fn signature(&self) -> Result<Vec<u8>, Failure> {
        decoded(self.signature)
    }

    /// Whether the payload of a token with this header is a token itself.
    pub(super) fn is_nested(header: &Value) -> bool {
        header["cty"].as_string().is_ok_and(|kind| kind.eq_ignore_ascii_case("JWT"))
    }

    /// The text of the token that is the payload of this one.
    pub(super) fn inner(&self) -> Result<String, Failure> {
        String::from_utf8(decoded(self.payload)?).map_err(|_| Failure::from("the payload is no text"))
    }
}

/// Decodes base64url, with or without padding; padding must be complete.
pub(super) fn decoded(text: &str) -> Result<Vec<u8>, Failure> {
    let plain = if text.len().is_multiple_of(4) { text.trim_end_matches('=') } else { text }.as_bytes();
    LENIENT.decode(plain).map_err(|_| Failure::Failed(format!("illegal base64url string: {text}")))
}

/// Base64url that does not mind bits that are left over, as in OPA.
static LENIENT: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification: Specification = data_encoding::BASE64URL_NOPAD.specification();
    specification.check_trailing_bits = false;
    specification.encoding().unwrap_or(data_encoding::BASE64URL_NOPAD)
});

fn object(text: &[u8], part: &str) -> Result<Value, Failure> {
    let value = from_json(text, Limits::default().depth)
        .map_err(|error| Failure::Failed(format!("the token's {part} is no JSON: {error}")))?;
    match value {
        Value::Object(_) => Ok(value),
        _ => Err(Failure::Failed(format!("the token's {part} is no object"))),
    }
}
