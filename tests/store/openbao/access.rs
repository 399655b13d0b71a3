// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who CMS is at OpenBao beyond tokens and AppRoles, and where.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cms_core::clock::{Clock, SystemClock};
use cms_core::ids::ProjectId;
use cms_core::secrets::material::Material;
use cms_store::openbao::{Login, OpenBao, OpenBaoConfig, OpenBaoMaterial};
use cms_tests::Bao;
use cms_tests::openbao::MOUNT;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use libtest_mimic::Failed;
use serde_json::{Value, json};

use crate::{ensure, wait};

/// A namespace has its own engines; what lies in one is nowhere else.
pub fn in_a_namespace() -> Result<(), Failed> {
    let bao = Bao::start();
    bao.must("POST", "sys/namespaces/team", json!({}));
    bao.must("POST", &format!("team/sys/mounts/{MOUNT}"), json!({"type": "kv", "options": {"version": "2"}}));
    std::thread::sleep(Duration::from_millis(500));
    wait(async {
        let mut config = OpenBaoConfig::new(&bao.address(), Login::Token { file: bao.token_file() })?;
        config.namespace = Some("team".to_owned());
        let inside = OpenBaoMaterial::new(OpenBao::new(config)?, MOUNT, "cms")?;
        let project = ProjectId::parse("rag")?;
        inside.put(&project, "id", Bytes::from_static(b"x")).await?;
        ensure(inside.list(&project).await? == ["id"], || "it is not listed".to_owned())?;
        let outside = bao.material().list(&project).await?;
        ensure(outside.is_empty(), || format!("{outside:?} lies outside of the namespace"))
    })
}

/// The login with a service account's token; OpenBao's method for signed tokens takes the same call.
pub fn with_a_service_account() -> Result<(), Failed> {
    let bao = Bao::start();
    bao.app_role("1h");
    let key = rcgen::KeyPair::generate()?;
    bao.must("POST", "sys/auth/pods", json!({"type": "jwt"}));
    bao.must("POST", "auth/pods/config", json!({"jwt_validation_pubkeys": [key.public_key_pem()]}));
    let role = json!({
        "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["cms"], "token_policies": "cms", "token_ttl": "1h",
    });
    bao.must("POST", "auth/pods/role/cms", role);
    let file = bao.home().join("jwt");
    let login =
        Login::Kubernetes { mount: "pods".to_owned(), role: "cms".to_owned(), jwt_file: file.clone() };
    wait(async {
        let material = Arc::new(OpenBaoMaterial::new(bao.client(login), MOUNT, "cms")?);
        let project = ProjectId::parse("rag")?;
        std::fs::write(&file, "no.such.token")?;
        let error = material.put(&project, "id", Bytes::from_static(b"x")).await.err();
        let told = error.as_ref().is_some_and(|error| error.to_string().contains("does not let CMS log in"));
        ensure(told, || format!("{error:?}"))?;
        let now = SystemClock.now().as_secs();
        let claims = json!({"sub": "pod", "aud": "cms", "iat": now, "nbf": now - 5, "exp": now + 600});
        let signing = EncodingKey::from_ec_der(&key.serialize_der());
        std::fs::write(&file, encode::<Value>(&Header::new(Algorithm::ES256), &claims, &signing)?)?;
        material.put(&project, "id", Bytes::from_static(b"x")).await?;
        Ok(())
    })
}
