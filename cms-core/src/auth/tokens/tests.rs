// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Access tokens: what we issue is verified by us and by others, and nothing else is.

use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Value, json};

use super::super::fixture::{PASSWORD, World};
use super::*;

fn encode(part: &Value) -> String {
    BASE64URL_NOPAD.encode(part.to_string().as_bytes())
}

/// A session of a user, and what is needed to forge tokens for it.
struct Forge {
    world: World,
    token: String,
    header: Value,
    claims: Value,
    keys: Arc<SigningKeys>,
}

impl Forge {
    async fn new() -> Self {
        let world = World::new().await;
        world.user("eve", None).await;
        let token = world.login("eve", PASSWORD).await.unwrap().access_token;
        let part = |at| -> Value {
            let part = token.split('.').nth(at).unwrap();
            serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
        };
        let (header, claims) = (part(0), part(1));
        let tokens = Tokens::new(world.kit.clone(), "cms");
        let keys = tokens.read().await.unwrap().unwrap();
        Self { header, claims, keys, world, token }
    }

    /// Signs with the true key.
    fn sign(&self, message: &str) -> String {
        let key = &self.keys.keys[0];
        let signer = (DEFAULT_PROVIDER.signer_factory)(&Algorithm::EdDSA, &key.signs).unwrap();
        BASE64URL_NOPAD.encode(&signer.try_sign(message.as_bytes()).unwrap())
    }

    fn signed(&self, header: &Value, claims: &Value) -> String {
        self.signed_parts(&encode(header), &encode(claims))
    }

    fn signed_parts(&self, header: &str, claims: &str) -> String {
        let message = format!("{header}.{claims}");
        format!("{message}.{}", self.sign(&message))
    }

    fn with_header(&self, name: &str, value: Value) -> String {
        let mut header = self.header.clone();
        header[name] = value;
        self.signed(&header, &self.claims)
    }

    /// Under the true header, to the letter.
    fn with_claims(&self, claims: &Value) -> String {
        self.signed_parts(self.token.split('.').next().unwrap(), &encode(claims))
    }

    fn with_claim(&self, name: &str, value: Value) -> String {
        let mut claims = self.claims.clone();
        claims[name] = value;
        self.with_claims(&claims)
    }

    fn without_claim(&self, name: &str) -> String {
        let mut claims = self.claims.clone();
        claims.as_object_mut().unwrap().remove(name);
        self.with_claims(&claims)
    }

    async fn accepts(&self, token: &str) -> bool {
        self.world.who(token).await.is_ok()
    }

    async fn refuses_all(&self, tokens: impl IntoIterator<Item = (String, String)>) -> usize {
        let mut count = 0;
        for (what, token) in tokens {
            assert!(!self.accepts(&token).await, "{what}: {token}");
            count += 1;
        }
        assert!(self.accepts(&self.token).await, "the true token still works");
        count
    }
}

fn named<I: IntoIterator<Item = String>>(what: &str, tokens: I) -> Vec<(String, String)> {
    tokens.into_iter().map(|token| (what.to_owned(), token)).collect()
}

#[tokio::test]
async fn a_token_of_our_own_making_is_accepted() {
    let forge = Forge::new().await;
    assert!(forge.accepts(&forge.token).await);
    // The forge works: what it signs unchanged is a token, so what it changes is why it is refused.
    assert!(forge.accepts(&forge.with_claims(&forge.claims)).await);
    assert!(forge.accepts(&forge.with_claim("jti", json!("another"))).await);
    let claims = ["iss", "sub", "aud", "iat", "exp", "jti", "sid"];
    assert!(claims.iter().all(|name| forge.claims.get(name).is_some()), "{}", forge.claims);
    assert_eq!(forge.claims["exp"].as_i64().unwrap() - forge.claims["iat"].as_i64().unwrap(), 900);
}

#[tokio::test]
async fn others_verify_our_tokens_with_the_public_keys() {
    let forge = Forge::new().await;
    let jwks = forge.world.auth.jwks().await.unwrap();
    let set: jsonwebtoken::jwk::JwkSet =
        serde_json::from_value(serde_json::to_value(&jwks).unwrap()).unwrap();
    let header = jsonwebtoken::decode_header(&forge.token).unwrap();
    let jwk = set.find(header.kid.as_deref().unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&["cms"]);
    validation.set_issuer(&["cms"]);
    validation.validate_exp = false;
    let key = DecodingKey::from_jwk(jwk).unwrap();
    let read = jsonwebtoken::decode::<Claims>(&forge.token, &key, &validation).unwrap();
    assert_eq!(read.claims.sub, "eve");
    let text = serde_json::to_string(&jwks).unwrap();
    assert!(!text.contains("\"d\"") && text.contains("\"use\":\"sig\""), "{text}");
}

#[tokio::test]
async fn no_header_but_our_own_is_accepted() {
    let forge = Forge::new().await;
    let mut tokens = Vec::new();
    for alg in [
        "none",
        "None",
        "NONE",
        "nOnE",
        "none ",
        "",
        "HS256",
        "HS384",
        "HS512",
        "RS256",
        "PS256",
        "ES256",
        "ES256K",
        "ES384",
        "ES512",
        "EdDSA ",
        "eddsa",
        "EDDSA",
        "Ed25519",
        "Ed448",
        "PBES2-HS256+A128KW",
        "dir",
        "A128KW",
    ] {
        tokens.extend(named(alg, [forge.with_header("alg", json!(alg))]));
        let mut header = forge.header.clone();
        header["alg"] = json!(alg);
        let unsigned = format!("{}.{}", encode(&header), encode(&forge.claims));
        tokens.extend(named(alg, [format!("{unsigned}."), unsigned.clone(), format!("{unsigned}.AA")]));
    }
    for (name, value) in [
        ("alg", json!(null)),
        ("alg", json!(["EdDSA"])),
        ("kid", json!("")),
        ("kid", json!(null)),
        ("kid", json!(["x"])),
        ("kid", json!("../../../../etc/passwd")),
        ("kid", json!("/dev/null")),
        ("kid", json!("x' UNION SELECT 'k")),
        ("kid", json!("http://192.0.2.1/key")),
        ("kid", json!("a\u{0}b")),
        ("kid", json!("k".repeat(10_000))),
        ("jwk", json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})),
        ("jku", json!("http://192.0.2.1/jwks")),
        ("x5u", json!("http://192.0.2.1/cert")),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("x")),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("p2c", json!(2_147_483_647_u32)),
        ("enc", json!("A128GCM")),
        ("cty", json!("JWT")),
        ("typ", json!("JWT")),
        ("typ", json!("jwt")),
        ("typ", json!("dpop+jwt")),
        ("typ", json!(null)),
    ] {
        tokens.extend(named(name, [forge.with_header(name, value)]));
    }
    assert!(forge.refuses_all(tokens).await > 100);
}

#[tokio::test]
async fn a_public_key_is_no_shared_secret() {
    let forge = Forge::new().await;
    let jwk = forge.world.auth.jwks().await.unwrap().keys.remove(0);
    let raw = BASE64URL_NOPAD.decode(jwk.x.as_bytes()).unwrap();
    let mut header = forge.header.clone();
    header["alg"] = json!("HS256");
    let message = format!("{}.{}", encode(&header), encode(&forge.claims));
    let secrets = [raw.clone(), jwk.x.clone().into_bytes(), serde_json::to_vec(&jwk).unwrap(), Vec::new()];
    let tokens = secrets.map(|secret| {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
        let tag = aws_lc_rs::hmac::sign(&key, message.as_bytes());
        format!("{message}.{}", BASE64URL_NOPAD.encode(tag.as_ref()))
    });
    forge.refuses_all(named("HMAC with the public key", tokens)).await;
}

#[tokio::test]
async fn no_signature_but_the_true_one_is_accepted() {
    let forge = Forge::new().await;
    let (message, signature) = forge.token.rsplit_once('.').unwrap();
    let raw = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    let mut tokens = Vec::new();
    for length in [0, 1, 32, 63, 65, 128] {
        let mut cut = raw.clone();
        cut.resize(length, 0);
        tokens.push(format!("{message}.{}", BASE64URL_NOPAD.encode(&cut)));
    }
    for at in 0..raw.len() {
        let mut flipped = raw.clone();
        flipped[at] ^= 1;
        tokens.push(format!("{message}.{}", BASE64URL_NOPAD.encode(&flipped)));
    }
    tokens.push(format!("{message}.{}", BASE64URL_NOPAD.encode(&[0; 64])));
    // S + L is the same signature to a careless verifier.
    let order = data_encoding::HEXLOWER
        .decode(b"edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
        .unwrap();
    let mut shifted = raw.clone();
    let mut carry = 0_u16;
    for (byte, add) in shifted[32..].iter_mut().zip(&order) {
        let sum = u16::from(*byte) + u16::from(*add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    tokens.push(format!("{message}.{}", BASE64URL_NOPAD.encode(&shifted)));
    let other = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
    tokens.push(format!("{message}.{}", BASE64URL_NOPAD.encode(other.sign(message.as_bytes()).as_ref())));
    forge.refuses_all(named("signature", tokens)).await;
}

#[tokio::test]
async fn no_claims_but_the_right_ones_are_accepted() {
    let forge = Forge::new().await;
    let now = forge.world.kit.now().as_secs();
    let mut tokens = Vec::new();
    for name in ["iss", "sub", "aud", "iat", "exp", "jti", "sid"] {
        tokens.extend(named(
            name,
            [
                forge.without_claim(name),
                forge.with_claim(name, json!(null)),
                forge.with_claim(name, json!([])),
                forge.with_claim(name, json!({})),
                forge.with_claim(name, json!(true)),
            ],
        ));
    }
    for (name, value) in [
        ("iss", json!("CMS")),
        ("iss", json!("cms/")),
        ("iss", json!("")),
        ("aud", json!(["cms"])),
        ("aud", json!("other")),
        ("sub", json!("")),
        ("sub", json!("nobody")),
        ("sub", json!("root")),
        ("sub", json!("eve/../ada")),
        ("sid", json!("")),
        ("sid", json!("../../user/eve")),
        ("jti", json!("")),
        ("exp", json!(now)),
        ("exp", json!(now - 1)),
        ("exp", json!(-1)),
        ("exp", json!(now + 901)),
        ("exp", json!(i64::MAX)),
        ("exp", json!(1e300)),
        ("exp", json!((now + 100).to_string())),
        ("exp", json!(now as f64 + 100.5)),
        ("iat", json!(now + 10_000)),
        ("iat", json!(i64::MIN)),
        ("iat", json!("now")),
        ("nbf", json!(now + 100)),
        ("role", json!("cms-admin")),
        ("scope", json!("root")),
    ] {
        tokens.extend(named(name, [forge.with_claim(name, value)]));
    }
    forge.refuses_all(tokens).await;
}

#[tokio::test]
async fn duplicate_claims_are_refused() {
    let forge = Forge::new().await;
    let header = forge.token.split('.').next().unwrap();
    let text = forge.claims.to_string();
    let body = text.strip_prefix('{').unwrap();
    let tokens = ["\"sub\":\"ada\",", "\"exp\":9999999999,", "\"sid\":\"x\","].map(|extra| {
        forge.signed_parts(header, &BASE64URL_NOPAD.encode(format!("{{{extra}{body}").as_bytes()))
    });
    forge.refuses_all(named("duplicate", tokens)).await;
}

#[tokio::test]
async fn no_encoding_but_the_one_form_is_accepted() {
    let forge = Forge::new().await;
    let token = &forge.token;
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let padded = data_encoding::BASE64URL.encode(forge.claims.to_string().as_bytes());
    let standard = data_encoding::BASE64.encode(&BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap());
    // The last character carries bits that decode to nothing: there are other ways to write it.
    let last = signature.chars().last().unwrap();
    let twin = char::from_u32(u32::from(last) + 1).unwrap();
    assert!("AQgw".contains(last), "64 bytes leave four bits of the last character unused");
    let mut tokens = vec![
        format!("{token}="),
        format!("{token}=="),
        format!("{token} "),
        format!("{token}\n"),
        format!("{token}."),
        format!("{token}.{signature}"),
        format!("{header}={claims}.{signature}"),
        format!("{header}.{claims}=.{signature}"),
        format!("{header}..{signature}"),
        format!("{header}.{claims}."),
        format!("{header}.{claims}"),
        format!("{header}. {claims}.{signature}"),
        format!("{header}.{claims}.{standard}"),
        format!("{header}.{claims}.{}{twin}", &signature[..signature.len() - 1]),
        token.to_uppercase(),
        header.to_owned(),
        "ey..".to_owned(),
        json!({"protected": header, "payload": claims, "signature": signature}).to_string(),
        format!("{header}.{claims}.{}.{}.{}", "AA", "AA", signature),
    ];
    if padded.contains('=') {
        tokens.push(forge.signed_parts(header, &padded));
    }
    let spaced = BASE64URL_NOPAD.encode(forge.header.to_string().replace(',', ", ").as_bytes());
    tokens.push(forge.signed_parts(&spaced, claims));
    let reordered = encode(&json!({"kid": forge.header["kid"], "alg": "EdDSA", "typ": "at+jwt"}));
    if reordered != header {
        tokens.push(forge.signed_parts(&reordered, claims));
    }
    forge.refuses_all(named("encoding", tokens)).await;
}

#[tokio::test]
async fn large_tokens_are_refused_without_a_look() {
    let forge = Forge::new().await;
    let huge = forge.with_claim("jti", json!("x".repeat(1024 * 1024)));
    let start = std::time::Instant::now();
    forge.refuses_all(named("1 MiB", [huge, format!("ey{}", ".".repeat(1024 * 1024))])).await;
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_token_of_another_installation_is_refused() {
    let (forge, other) = (Forge::new().await, Forge::new().await);
    assert!(!forge.accepts(&other.token).await && other.accepts(&other.token).await);
    let issuer = Tokens::new(forge.world.kit.clone(), "another");
    assert!(issuer.verify(&forge.token).await.unwrap().is_none());
}

#[tokio::test]
async fn tokens_outlive_the_rotation_of_their_key_but_not_its_withdrawal() {
    let forge = Forge::new().await;
    let world = &forge.world;
    let other = world.another().await;
    world.auth.rotate_signing_key(&world.root(), false).await.unwrap();
    assert_eq!(world.auth.jwks().await.unwrap().keys.len(), 2);
    assert!(forge.accepts(&forge.token).await && other.who(&forge.token).await.is_ok());
    world.clock.advance(Duration::from_secs(61));
    let newer = world.login("eve", PASSWORD).await.unwrap().access_token;
    assert_ne!(newer.split('.').next(), forge.token.split('.').next());
    world.auth.rotate_signing_key(&world.root(), true).await.unwrap();
    assert!(!forge.accepts(&forge.token).await && !forge.accepts(&newer).await);
    assert_eq!(world.auth.jwks().await.unwrap().keys.len(), 1);
    assert_eq!(world.records("auth:rotate-signing-key").await.len(), 3, "the first key, and two rotations");
}

#[tokio::test]
async fn a_key_is_replaced_when_its_time_is_over() {
    let forge = Forge::new().await;
    let world = &forge.world;
    world.clock.advance(signing::LIFETIME);
    world.login("eve", PASSWORD).await.unwrap();
    assert_eq!(world.auth.jwks().await.unwrap().keys.len(), 2);
    world.clock.advance(signing::NOTICE);
    let token = world.login("eve", PASSWORD).await.unwrap().access_token;
    assert!(forge.accepts(&token).await);
    assert_ne!(token.split('.').next(), forge.token.split('.').next());
}

#[tokio::test]
async fn processes_that_start_together_agree_on_one_key() {
    let world = World::new().await;
    let other = world.another().await;
    world.user("eve", None).await;
    let (one, two) = tokio::join!(world.login("eve", PASSWORD), other.login("eve", PASSWORD));
    let (one, two) = (one.unwrap().access_token, two.unwrap().access_token);
    assert_eq!(world.auth.jwks().await.unwrap().keys.len(), 1);
    assert!(world.who(&two).await.is_ok() && other.who(&one).await.is_ok());
}
