// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `crypto.*` without certificates: digests and keyed digests, in hexadecimal.
//!
//! MD5 is here only because OPA's policies may compare such digests; the product never relies on it.

use ::hmac::{Hmac, KeyInit, Mac};
use aws_lc_rs::hmac::{self, Key};
use aws_lc_rs::{constant_time, digest};
use data_encoding::HEXLOWER;
use md5::Digest;
use regorus::Value;

use super::{Failure, Outcome, text};

pub(super) fn md5(arguments: &[Value]) -> Outcome {
    Ok(hex(&md5::Md5::digest(text(arguments, 0)?)))
}

pub(super) fn sha1(arguments: &[Value]) -> Outcome {
    digested(&digest::SHA1_FOR_LEGACY_USE_ONLY, arguments)
}

pub(super) fn sha256(arguments: &[Value]) -> Outcome {
    digested(&digest::SHA256, arguments)
}

pub(super) fn hmac_md5(arguments: &[Value]) -> Outcome {
    let mut mac = Hmac::<md5::Md5>::new_from_slice(text(arguments, 1)?.as_bytes())
        .map_err(|_| Failure::from("the key does not fit"))?;
    mac.update(text(arguments, 0)?.as_bytes());
    Ok(hex(&mac.finalize().into_bytes()))
}

pub(super) fn hmac_sha1(arguments: &[Value]) -> Outcome {
    keyed(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, arguments)
}

pub(super) fn hmac_sha256(arguments: &[Value]) -> Outcome {
    keyed(hmac::HMAC_SHA256, arguments)
}

pub(super) fn hmac_sha512(arguments: &[Value]) -> Outcome {
    keyed(hmac::HMAC_SHA512, arguments)
}

/// Compares two digests, in a time that tells nothing about where they differ.
pub(super) fn hmac_equal(arguments: &[Value]) -> Outcome {
    let (left, right) = (text(arguments, 0)?.as_bytes(), text(arguments, 1)?.as_bytes());
    Ok(Value::from(constant_time::verify_slices_are_equal(left, right).is_ok()))
}

fn digested(algorithm: &'static digest::Algorithm, arguments: &[Value]) -> Outcome {
    Ok(hex(digest::digest(algorithm, text(arguments, 0)?.as_bytes()).as_ref()))
}

fn keyed(algorithm: hmac::Algorithm, arguments: &[Value]) -> Outcome {
    let key = Key::new(algorithm, text(arguments, 1)?.as_bytes());
    Ok(hex(hmac::sign(&key, text(arguments, 0)?.as_bytes()).as_ref()))
}

fn hex(bytes: &[u8]) -> Value {
    Value::from(HEXLOWER.encode(bytes))
}
