// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Transit as the seal: what only its key unwraps, rotations of that key, and a server that waits for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cms_core::auth::Principal;
use cms_core::crypto::{DevSeal, Seal};
use cms_core::store::MemoryStore;
use cms_core::{Cms, RequestContext};
use cms_store::openbao::TransitSeal;
use cms_tests::{Bao, Installation};
use libtest_mimic::Failed;
use serde_json::{Value, json};

use crate::{ensure, wait};

/// How long after OpenBao is back the server must be unsealed.
const BACK: Duration = Duration::from_secs(5);

pub fn rotations() -> Result<(), Failed> {
    let bao = Bao::start();
    for key in ["cms", "other"] {
        bao.must("POST", &format!("transit/keys/{key}"), json!({}));
    }
    wait(async {
        let seal = |key: &str| -> Result<Arc<dyn Seal>, Failed> {
            Ok(Arc::new(TransitSeal::new(bao.root_client(), "transit", key)?))
        };
        let store = Arc::new(MemoryStore::new());
        let (cms, _) = Cms::builder(store.clone(), seal("cms")?).initialize().await?;
        let wrapped = seal("cms")?.wrap(b"root", b"here").await?;
        for (key, context) in [("cms", "there"), ("other", "here")] {
            let error = seal(key)?.unwrap(&wrapped, context.as_bytes()).await.err();
            let code = error.map(|error| error.code());
            ensure(code == Some("wrong_seal_key"), || format!("{key} {context}: {code:?}"))?;
        }
        let wrong = Cms::builder(store.clone(), seal("other")?).build().await.err().map(|error| error.code());
        ensure(wrong == Some("wrong_seal_key"), || format!("{wrong:?}"))?;
        let strange =
            Cms::builder(store.clone(), Arc::new(DevSeal)).build().await.err().map(|error| error.code());
        ensure(strange == Some("wrong_seal"), || format!("{strange:?}"))?;

        // A new version of the key at OpenBao wraps from the next change of the root keyring on.
        bao.must("POST", "transit/keys/cms/rotate", Value::Null);
        let root = RequestContext::new(Principal::root());
        cms.keyrings().rotate_root(&root, &|_, _| ()).await?;
        bao.must("POST", "transit/keys/cms/config", json!({"min_decryption_version": 2}));
        cms.shutdown().await;
        let again = Cms::builder(store, seal("cms")?).build().await?;
        let report = again.verify(&root, &|_| ()).await?;
        ensure(report.ok, || format!("{report:#?}"))?;
        again.shutdown().await;
        Ok(())
    })
}

pub fn waiting() -> Result<(), Failed> {
    let bao = Bao::start();
    bao.must("POST", "transit/keys/cms", json!({}));
    let it = Installation::with(vec![
        ("CMS_OPENBAO_ADDRESS", bao.address()),
        ("CMS_OPENBAO_TOKEN_FILE", bao.token_file().display().to_string()),
        ("CMS_SEAL_TRANSIT", "cms".to_owned()),
    ]);
    wait(async {
        bao.seal();
        let server = it.serve("warn");
        let root = it.root_at(&server);
        let refused = root.get("projects").await.problem(423, "sealed");
        ensure(refused.to_string().contains("OpenBao"), || format!("{refused}"))?;
        let health = root.get("health").await.is(200);
        let words = health["seal_detail"].as_str().unwrap_or_default();
        ensure(health["status"] == "sealed" && words.contains("is sealed"), || format!("{health}"))?;
        bao.unseal();
        let begun = Instant::now();
        while root.get("projects").await.status != 200 {
            ensure(begun.elapsed() < BACK, || format!("still sealed after {BACK:?}"))?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        println!("the server unsealed itself {:?} after OpenBao was there", begun.elapsed());
        let health = root.get("health").await.is(200);
        ensure(health["seal_detail"].is_null() && health["status"] == "ok", || format!("{health}"))?;
        ensure(server.stop().0, || "it did not end well".to_owned())
    })
}
