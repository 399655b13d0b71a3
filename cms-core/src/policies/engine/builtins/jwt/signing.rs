// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Signs tokens with a JSON Web Key.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, RsaSignatureEncoding};
use data_encoding::BASE64URL_NOPAD;
use regorus::Value;
use serde_json::Value as Json;

use super::super::{Failure, Outcome, json, mismatch, text};
use super::keys::{Curve, member, padded, point, unsigned};

/// Signs a header and a payload that are objects.
pub(in super::super) fn encode_sign(arguments: &[Value]) -> Outcome {
    let written = |index: usize| match arguments.get(index) {
        Some(value @ Value::Object(_)) => json::marshalled(value).map(String::into_bytes),
        _ => Err(mismatch(arguments, index, "object")),
    };
    sign(&written(0)?, &written(1)?, &written(2)?)
}

/// Signs a header and a payload that are texts.
pub(in super::super) fn encode_sign_raw(arguments: &[Value]) -> Outcome {
    sign(text(arguments, 0)?.as_bytes(), text(arguments, 1)?.as_bytes(), text(arguments, 2)?.as_bytes())
}

fn sign(header: &[u8], payload: &[u8], key: &[u8]) -> Outcome {
    let parsed = |text: &[u8], what: &str| -> Result<Json, Failure> {
        serde_json::from_slice(text)
            .map_err(|error| Failure::Failed(format!("the {what} is no JSON: {error}")))
    };
    let (fields, jwk) = (parsed(header, "header")?, parsed(key, "key")?);
    if fields.get("typ").and_then(Json::as_str).is_none_or(|kind| kind == "JWT") {
        parsed(payload, "payload")?;
    }
    let algorithm = fields.get("alg").and_then(Json::as_str).unwrap_or_default();
    let signed = format!("{}.{}", BASE64URL_NOPAD.encode(header), BASE64URL_NOPAD.encode(payload));
    let signature = signature(algorithm, &jwk, signed.as_bytes())?;
    Ok(Value::from(format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))))
}

fn signature(algorithm: &str, jwk: &Json, message: &[u8]) -> Result<Vec<u8>, Failure> {
    match algorithm {
        "HS256" => keyed(hmac::HMAC_SHA256, jwk, message),
        "HS384" => keyed(hmac::HMAC_SHA384, jwk, message),
        "HS512" => keyed(hmac::HMAC_SHA512, jwk, message),
        "RS256" => rsa(&signature::RSA_PKCS1_SHA256, jwk, message),
        "RS384" => rsa(&signature::RSA_PKCS1_SHA384, jwk, message),
        "RS512" => rsa(&signature::RSA_PKCS1_SHA512, jwk, message),
        "PS256" => rsa(&signature::RSA_PSS_SHA256, jwk, message),
        "PS384" => rsa(&signature::RSA_PSS_SHA384, jwk, message),
        "PS512" => rsa(&signature::RSA_PSS_SHA512, jwk, message),
        "ES256" => ecdsa(Curve::P256, &signature::ECDSA_P256_SHA256_FIXED_SIGNING, jwk, message),
        "ES384" => ecdsa(Curve::P384, &signature::ECDSA_P384_SHA384_FIXED_SIGNING, jwk, message),
        "ES512" => ecdsa(Curve::P521, &signature::ECDSA_P521_SHA512_FIXED_SIGNING, jwk, message),
        "EdDSA" => ed25519(jwk, message),
        other => Err(format!("unknown JWS algorithm: {other}").into()),
    }
}

fn keyed(algorithm: hmac::Algorithm, jwk: &Json, message: &[u8]) -> Result<Vec<u8>, Failure> {
    of_type(jwk, "oct")?;
    let key = hmac::Key::new(algorithm, &member(jwk, "k")?);
    Ok(hmac::sign(&key, message).as_ref().to_vec())
}

fn rsa(encoding: &'static RsaSignatureEncoding, jwk: &Json, message: &[u8]) -> Result<Vec<u8>, Failure> {
    of_type(jwk, "RSA")?;
    let number = |name: &str| member(jwk, name).map(unsigned);
    let key = KeyPair::from_components(&KeyPairComponents {
        public_key: PublicKeyComponents { n: number("n")?, e: number("e")? },
        d: number("d")?,
        p: number("p")?,
        q: number("q")?,
        dP: number("dp")?,
        dQ: number("dq")?,
        qInv: number("qi")?,
    })
    .map_err(unfit)?;
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(encoding, &SystemRandom::new(), message, &mut signature).map_err(unfit)?;
    Ok(signature)
}

fn ecdsa(
    curve: Curve,
    algorithm: &'static EcdsaSigningAlgorithm,
    jwk: &Json,
    message: &[u8],
) -> Result<Vec<u8>, Failure> {
    of_type(jwk, "EC")?;
    let private = padded(&member(jwk, "d")?, curve.width());
    let public = point(curve, &member(jwk, "x")?, &member(jwk, "y")?);
    let key = EcdsaKeyPair::from_private_key_and_public_key(algorithm, &private, &public).map_err(unfit)?;
    key.sign(&SystemRandom::new(), message).map(|signature| signature.as_ref().to_vec()).map_err(unfit)
}

fn ed25519(jwk: &Json, message: &[u8]) -> Result<Vec<u8>, Failure> {
    of_type(jwk, "OKP")?;
    let key =
        Ed25519KeyPair::from_seed_and_public_key(&member(jwk, "d")?, &member(jwk, "x")?).map_err(unfit)?;
    Ok(key.sign(message).as_ref().to_vec())
}

fn of_type(jwk: &Json, wanted: &str) -> Result<(), Failure> {
    let given = jwk.get("kty").and_then(Json::as_str).unwrap_or_default();
    if given == wanted {
        Ok(())
    } else {
        Err(format!("the algorithm needs a key of type `{wanted}`, not `{given}`").into())
    }
}

/// Says no more: why a private key is rejected might tell of the key.
fn unfit<E>(_: E) -> Failure {
    Failure::from("the key does not fit the algorithm")
}
