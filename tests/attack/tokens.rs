// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Forged access tokens.

use std::time::{Duration, Instant};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use cms_tests::{Served, served};
use data_encoding::{BASE64, BASE64URL, BASE64URL_NOPAD};
use serde_json::{Value, json};

struct Token {
    header: Value,
    claims: Value,
    signature: String,
    text: String,
}

async fn genuine(it: &Served) -> Token {
    it.user("eve", Some("cms-admin")).await;
    let text = it.login("eve").await["access_token"].as_str().unwrap().to_owned();
    let parts: Vec<&str> = text.split('.').collect();
    let json =
        |part: &str| serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap();
    Token {
        header: json(parts[0]),
        claims: json(parts[1]),
        signature: parts[2].to_owned(),
        text: text.clone(),
    }
}

fn encode(value: &Value) -> String {
    BASE64URL_NOPAD.encode(value.to_string().as_bytes())
}

fn with(mut value: Value, field: &str, new: Value) -> Value {
    value[field] = new;
    value
}

/// Signs with a key of the attacker's own.
fn signed(header: &Value, claims: &Value, pair: &Ed25519KeyPair) -> String {
    let text = format!("{}.{}", encode(header), encode(claims));
    let signature = BASE64URL_NOPAD.encode(pair.sign(text.as_bytes()).as_ref());
    format!("{text}.{signature}")
}

fn mac(header: &Value, claims: &Value, key: &[u8]) -> String {
    let text = format!("{}.{}", encode(header), encode(claims));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    let tag = aws_lc_rs::hmac::sign(&key, text.as_bytes());
    format!("{text}.{}", BASE64URL_NOPAD.encode(tag.as_ref()))
}

#[test]
fn row_38_forged_tokens_are_refused() {
    served(async |it| {
        let token = genuine(it).await;
        it.holder(&token.text).get("auth/me").await.is(200);
        for (attack, forged) in forgeries(it, &token).await {
            let started = Instant::now();
            let reply = it.holder(&forged).get("auth/me").await;
            assert!([401, 431].contains(&reply.status), "{attack}: {} {}", reply.status, reply.text());
            assert!(started.elapsed() < Duration::from_secs(2), "{attack}: {:?}", started.elapsed());
        }
        it.holder(&token.text).get("auth/me").await.is(200);
    });
}

async fn forgeries(it: &Served, token: &Token) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let Token { header, claims, signature, text } = token;
    let (head, body) = (encode(header), encode(claims));
    let jwks = it.nobody().get("auth/jwks").await.is(200);
    let public = BASE64URL_NOPAD.decode(jwks["keys"][0]["x"].as_str().unwrap().as_bytes()).unwrap();
    let own = Ed25519KeyPair::generate().unwrap();
    let own_x = BASE64URL_NOPAD.encode(own.public_key().as_ref());

    for none in ["none", "None", "NONE", "nOnE", "", " none", "none\u{0}"] {
        let header = with(header.clone(), "alg", json!(none));
        for signature in ["", signature.as_str()] {
            all.push((format!("alg {none:?}"), format!("{}.{body}.{signature}", encode(&header))));
        }
    }
    all.push((
        "no alg".into(),
        format!("{}.{body}.{signature}", encode(&json!({"typ": "JWT", "kid": header["kid"]}))),
    ));
    for alg in ["HS256", "HS512", "RS256", "ES256", "PS256", "eddsa", "Ed25519"] {
        let header = with(header.clone(), "alg", json!(alg));
        all.push((format!("alg {alg}"), format!("{}.{body}.{signature}", encode(&header))));
    }
    let confused = with(header.clone(), "alg", json!("HS256"));
    for key in [
        public.clone(),
        own_x.clone().into_bytes(),
        jwks.to_string().into_bytes(),
        Vec::new(),
        b"secret".to_vec(),
    ] {
        all.push(("HMAC with the public key".into(), mac(&confused, claims, &key)));
    }
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": own_x, "kid": header["kid"]});
    for (field, value) in [
        ("jwk", jwk),
        ("jku", json!("http://127.0.0.1:9/jwks")),
        ("x5u", json!("http://127.0.0.1:9/x")),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
    ] {
        all.push((format!("header {field}"), signed(&with(header.clone(), field, value), claims, &own)));
    }
    for kid in ["../../etc/passwd", "' OR 1=1 --", "http://127.0.0.1:9/", "\u{0}", "", &"k".repeat(10_000)] {
        all.push((format!("kid {kid:.20}"), signed(&with(header.clone(), "kid", json!(kid)), claims, &own)));
    }
    all.push((
        "kid of another type".into(),
        signed(&with(header.clone(), "kid", json!(["a"])), claims, &own),
    ));
    all.push(("another's key".into(), signed(header, claims, &own)));
    for (field, value) in [
        ("sub", json!("root")),
        ("sub", json!("EVE")),
        ("exp", json!(4_102_444_800_u64)),
        ("exp", json!("4102444800")),
        ("exp", json!(1e300)),
        ("nbf", json!(0)),
        ("iss", json!("other")),
        ("aud", json!("other")),
        ("role", json!("cms-admin")),
    ] {
        let changed = encode(&with(claims.clone(), field, value.clone()));
        all.push((
            format!("{field} {value} under the old signature"),
            format!("{head}.{changed}.{signature}"),
        ));
        all.push((
            format!("{field} {value} under another's key"),
            signed(header, &with(claims.clone(), field, value), &own),
        ));
    }
    let flipped = |at: usize| {
        let mut bytes = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
        bytes[at] ^= 1;
        BASE64URL_NOPAD.encode(&bytes)
    };
    all.push(("a flipped bit".into(), format!("{head}.{body}.{}", flipped(3))));
    all.push(("a flipped bit at the end".into(), format!("{head}.{body}.{}", flipped(63))));
    all.push(("zeros".into(), format!("{head}.{body}.{}", BASE64URL_NOPAD.encode(&[0; 64]))));
    all.push(("half a signature".into(), format!("{head}.{body}.{}", &signature[..43])));
    let bytes = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    all.push(("a padded signature".into(), format!("{head}.{body}.{}", BASE64URL.encode(&bytes))));
    all.push(("another alphabet".into(), format!("{head}.{body}.{}", BASE64.encode(&bytes))));
    all.push(("a padded header".into(), format!("{head}=.{body}.{signature}")));
    all.push(("a point too many".into(), format!("{text}.")));
    all.push(("a point too few".into(), format!("{head}.{body}")));
    all.push(("five parts".into(), format!("{text}.a.b")));
    all.push(("blanks".into(), format!("{head} .{body}.{signature}")));
    all.push(("a megabyte of claims".into(), format!("{head}.{}.{signature}", "A".repeat(20_000))));
    let twice = claims.to_string().replacen('{', "{\"sub\":\"root\",", 1);
    all.push((
        "a claim twice".into(),
        format!("{head}.{}.{signature}", BASE64URL_NOPAD.encode(twice.as_bytes())),
    ));
    all
}
