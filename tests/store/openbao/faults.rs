// SPDX-License-Identifier: Apache-2.0 OR MIT
//! OpenBao that is sealed, restarted, fails or does not know the token any more, under load; and one whose entries
//! somebody has changed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cms_core::api::secrets::{PutSecret, RevealSecret};
use cms_core::ids::Name;
use cms_core::secrets::material::Material;
use cms_store::openbao::{Login, OpenBao, OpenBaoConfig, OpenBaoMaterial};
use cms_tests::Bao;
use cms_tests::openbao::MOUNT;
use libtest_mimic::Failed;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::load::Load;
use super::proxy::Proxy;
use crate::{ensure, wait};

/// How long a fault lasts, and how long after it all must work again.
const FAULT: Duration = Duration::from_secs(3);
const BACK: Duration = Duration::from_secs(3);

pub fn sealed() -> Result<(), Failed> {
    let bao = Bao::start();
    wait(async {
        let material = bao.material();
        let load = Load::start(material.clone()).await?;
        sleep(Duration::from_secs(1)).await;
        bao.seal();
        sleep(FAULT).await;
        let words = material.health().await.err().unwrap_or_default();
        ensure(words == "OpenBao is sealed", || format!("told as `{words}`"))?;
        bao.unseal();
        let recovered = recovery(&*material).await?;
        sleep(Duration::from_secs(1)).await;
        let told = load.check(&format!("sealed for {FAULT:?}, well {recovered:?} after")).await?;
        ensure(told.refused > 0, || "no write met the seal".to_owned())
    })
}

pub fn restarted() -> Result<(), Failed> {
    let mut bao = Bao::start();
    wait(async {
        let material = bao.material();
        let load = Load::start(material.clone()).await?;
        sleep(Duration::from_secs(1)).await;
        bao.kill();
        sleep(FAULT).await;
        bao.launch();
        bao.unseal();
        let recovered = recovery(&*material).await?;
        sleep(Duration::from_secs(1)).await;
        let told = load.check(&format!("killed for {FAULT:?}, well {recovered:?} after")).await?;
        ensure(told.refused > 0, || "no write met the gap".to_owned())
    })
}

pub fn revoked() -> Result<(), Failed> {
    let bao = Bao::start();
    let login = bao.app_role("1h");
    wait(async {
        let load = Load::start(material(&bao.address(), login)?).await?;
        for _ in 0..3 {
            sleep(Duration::from_millis(1_200)).await;
            bao.must("PUT", "sys/leases/revoke-prefix/auth/approle/login", Value::Null);
        }
        sleep(Duration::from_secs(1)).await;
        let told = load.check("tokens revoked three times").await?;
        ensure(told.refused == 0, || format!("{} writes did not survive a new login", told.refused))
    })
}

pub fn short_lived() -> Result<(), Failed> {
    let bao = Bao::start();
    let login = bao.app_role("4s");
    wait(async {
        let material = material(&bao.address(), login)?;
        let load = Load::start(material.clone()).await?;
        sleep(Duration::from_secs(10)).await;
        let told = load.check("a token of 4 s, for 10 s").await?;
        ensure(told.refused == 0, || format!("{} writes met a token that had ended", told.refused))
    })
}

pub fn failing() -> Result<(), Failed> {
    let bao = Bao::start();
    wait(async {
        let proxy = Proxy::start(bao.address()).await?;
        let material = material(&proxy.address, Login::Token { file: bao.token_file() })?;
        let load = Load::start(material.clone()).await?;
        sleep(Duration::from_secs(1)).await;
        proxy.fail(true);
        sleep(FAULT).await;
        proxy.fail(false);
        let asked = proxy.failed();
        let recovered = recovery(&*material).await?;
        sleep(Duration::from_secs(1)).await;
        let what = format!("status 500 for {FAULT:?} ({asked} requests), well {recovered:?} after");
        let told = load.check(&what).await?;
        ensure(told.refused > 20, || format!("only {} writes were refused", told.refused))?;
        // Those under way at once, those that open the circuit, and one a second.
        ensure(asked <= 4 + 3 + 2 * FAULT.as_secs(), || format!("{asked} requests are a storm"))
    })
}

/// Entries of two secrets change places, and then one goes back to what it was: each shows.
pub fn swapped() -> Result<(), Failed> {
    let bao = Bao::start();
    wait(async {
        let material = bao.material();
        let load = Load::start(material.clone()).await?;
        let (cms, root, project) = (load.cms.clone(), load.root.clone(), load.project.clone());
        load.end().await?;
        let names = [Name::parse("x/one")?, Name::parse("x/two")?];
        let before = material.list(&project).await?;
        let mut ids = Vec::new();
        for name in &names {
            let put: PutSecret = serde_json::from_value(json!({"data": {"v": name.as_str()}}))?;
            cms.secrets().put(&root, &project, name, put, None).await?;
            let now = material.list(&project).await?;
            ids.extend(
                now.into_iter().filter(|id| !before.contains(id) && !ids.contains(id)).collect::<Vec<_>>(),
            );
        }
        let path = |id: &String| format!("{MOUNT}/data/cms/load/{id}");
        let held: Vec<Value> =
            ids.iter().map(|id| bao.must("GET", &path(id), Value::Null)["data"]["data"].clone()).collect();
        ensure(!held[0].to_string().contains("x/one"), || "a value lies there in the clear".to_owned())?;
        bao.must("POST", &path(&ids[0]), json!({"data": held[1]}));
        bao.must("POST", &path(&ids[1]), json!({"data": held[0]}));
        for name in &names {
            let reveal = cms.secrets().reveal(&root, &project, name, RevealSecret::default()).await;
            ensure(reveal.is_err(), || format!("`{name}` was revealed from an entry that is not its own"))?;
        }
        let report = cms.verify(&root, &|_| ()).await?;
        ensure(report.problem_count == 2, || format!("{report:#?}"))?;
        bao.must("POST", &path(&"stranger".to_owned()), json!({"data": held[0]}));
        let report = cms.verify(&root, &|_| ()).await?;
        let named = report.problems.iter().any(|problem| problem.contains("`stranger`"));
        ensure(named && report.problem_count == 3, || format!("{report:#?}"))?;
        cms.shutdown().await;
        Ok(())
    })
}

/// How long it takes until it is well again.
async fn recovery(material: &dyn Material) -> Result<Duration, Failed> {
    let begun = Instant::now();
    while material.health().await.is_err() {
        ensure(begun.elapsed() < BACK, || format!("not well again after {BACK:?}"))?;
        sleep(Duration::from_millis(20)).await;
    }
    Ok(begun.elapsed())
}

fn material(address: &str, login: Login) -> Result<Arc<OpenBaoMaterial>, Failed> {
    let bao = OpenBao::new(OpenBaoConfig::new(address, login)?)?;
    Ok(Arc::new(OpenBaoMaterial::new(bao, MOUNT, "cms")?))
}
