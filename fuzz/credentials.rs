// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Access tokens and API keys: none but the exact text that was handed out lets anybody in.
//!
//! An input is either a credential of its own or, after a first byte of 0, 1 or 2, edits of a good one:
//! pairs of a position and a byte to put there.

use axum::body::Body;
use axum::http::{HeaderValue, Request, StatusCode};

use crate::installation::{self, Installation};

pub(crate) fn target(data: &[u8]) {
    installation::with(|installation| {
        // An input that is a credential of its own cannot be a good one.
        let (text, good) = match data {
            [base @ 0..=2, edits @ ..] => {
                let good = base_credential(installation, *base);
                (edited(&good, edits), good)
            }
            _ => (data.to_vec(), b"none".to_vec()),
        };
        if let Ok(bearer) = HeaderValue::from_bytes(&[b"Bearer ".as_slice(), &text].concat()) {
            check(installation, ("authorization", bearer), text == good);
        }
        if let Ok(key) = HeaderValue::from_bytes(&text) {
            check(installation, ("x-api-key", key), text == good);
        }
    });
}

fn base_credential(installation: &Installation, base: u8) -> Vec<u8> {
    match base {
        0 => installation.token.clone(),
        1 => installation.key.clone(),
        _ => installation.root.clone(),
    }
    .into_bytes()
}

fn edited(good: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut text = good.to_vec();
    for edit in edits.chunks_exact(2) {
        let place = usize::from(edit[0]) * text.len() / 256;
        text[place] = edit[1];
    }
    text
}

fn check(installation: &mut Installation, header: (&str, HeaderValue), is_good: bool) {
    let shown = format!("{header:?}");
    let request =
        Request::get("/api/v1/auth/me").header(header.0, header.1).body(Body::empty()).expect("a request");
    let answer = installation.ask(request);
    if is_good {
        assert_eq!(answer.status, StatusCode::OK, "{shown}");
    } else {
        let refused = [StatusCode::UNAUTHORIZED, StatusCode::BAD_REQUEST, StatusCode::TOO_MANY_REQUESTS];
        assert!(refused.contains(&answer.status), "{shown} is answered {}", answer.status);
    }
}
