// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Request ids: the caller's own if it is well-formed, else one that this process has not used.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName};

/// The header, in requests and answers.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How long a caller's request id may be.
const MAX_BYTES: usize = 128;

/// Makes request ids: 64 random bits for the process, and a counter.
#[derive(Debug)]
pub(crate) struct RequestIds {
    process: u64,
    next: AtomicU64,
}

impl RequestIds {
    /// Draws the process's part.
    pub(crate) fn new() -> Self {
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        Self { process: high ^ low, next: AtomicU64::new(1) }
    }

    /// The id of a request.
    pub(crate) fn of(&self, headers: &HeaderMap) -> Arc<str> {
        let given = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
        match given {
            Some(id) if is_well_formed(id) => Arc::from(id),
            _ => self.make(),
        }
    }

    fn make(&self) -> Arc<str> {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        let mut text = [b'0'; 24];
        write_hex(&mut text, u128::from(self.process) << 32 | u128::from(count & 0xffff_ffff));
        std::str::from_utf8(&text).map_or_else(|_| Arc::from("0"), Arc::from)
    }
}

/// `[A-Za-z0-9._-]{1,128}`: nothing that could break out of a log line or a header.
fn is_well_formed(id: &str) -> bool {
    (1..=MAX_BYTES).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn write_hex(text: &mut [u8], mut number: u128) {
    for digit in text.iter_mut().rev() {
        let nibble = u8::try_from(number & 0xf).unwrap_or(0);
        *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        number >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(id: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, id.try_into().unwrap());
        headers
    }

    #[test]
    fn well_formed_ids_are_kept_and_others_replaced() {
        let ids = RequestIds::new();
        assert_eq!(&*ids.of(&with("build-7.x_1")), "build-7.x_1");
        for bad in ["", "a b", "a\"b", &"x".repeat(129)] {
            assert_ne!(&*ids.of(&with(bad)), bad);
        }
    }

    #[test]
    fn made_ids_differ() {
        let ids = RequestIds::new();
        let (one, two) = (ids.of(&HeaderMap::new()), ids.of(&HeaderMap::new()));
        assert_ne!(one, two);
        assert!(is_well_formed(&one) && one.len() == 24);
    }
}
