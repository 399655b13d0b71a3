// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who CMS is at etcd: by a certificate, by a user and a password.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cms_core::sensitive::Sensitive;
use cms_core::store::{Durability, Store, StoreErrorKind, Transaction};
use cms_store::etcd::{EtcdConfig, EtcdStore};
use cms_tests::{Caller, Etcd};
use data_encoding::BASE64;
use futures_util::StreamExt;
use libtest_mimic::Failed;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use crate::{ensure, put, wait};

pub fn by_certificate() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let [ca, cert, key] = certificates(place.path())?;
    let stranger = tempfile::tempdir()?;
    let [other_ca, other_cert, other_key] = certificates(stranger.path())?;
    let etcd = Etcd::with_tls(&ca, &cert, &key);
    let config = |ca: &PathBuf, identity: Option<(&PathBuf, &PathBuf)>| {
        let mut config = EtcdConfig::parse(&etcd.location(), true)?;
        config.timeout = Duration::from_secs(3);
        config.ca = Some(ca.clone());
        config.identity = identity.map(|(cert, key)| (cert.clone(), key.clone()));
        Ok::<_, Failed>(config)
    };
    wait(async {
        let store = EtcdStore::connect(config(&ca, Some((&cert, &key)))?).await?;
        put(&store, "a", "1").await?;
        ensure(store.get("a").await?.is_some(), || "what was written is not there".to_owned())?;
        let strangers = [
            ("without a certificate", config(&ca, None)?),
            ("with a certificate of somebody else", config(&ca, Some((&other_cert, &other_key)))?),
            ("to a member that somebody else vouches for", config(&other_ca, Some((&cert, &key)))?),
            ("without TLS", EtcdConfig::parse(&etcd.location(), false)?),
        ];
        for (what, config) in strangers {
            let Err(error) = EtcdStore::connect(config).await else {
                return Err(format!("{what}: somebody got in").into());
            };
            ensure(error.kind() == StoreErrorKind::Unavailable && error.to_string().contains("TLS"), || {
                format!("{what}: {error}")
            })?;
        }
        Ok(())
    })
}

pub fn by_password() -> Result<(), Failed> {
    let mut etcd = Etcd::single();
    let config = |password: Option<&str>, folder: &str| {
        let mut config = EtcdConfig::parse(&format!("{}/{folder}", etcd.location()), false)?;
        config.user = password.map(|_| "cms".to_owned());
        config.password = password.map(|password| Sensitive::new(password.to_owned()));
        Ok::<_, Failed>(config)
    };
    let (nobody, wrong, right, elsewhere) = (
        config(None, "test")?,
        config(Some("wrong"), "test")?,
        config(Some("secret"), "test")?,
        config(Some("secret"), "test2")?,
    );
    wait(async {
        ask_for_passwords(&etcd.location()).await?;
        for (config, expected) in
            [(nobody, "etcd.password_file"), (wrong, "mend `etcd.user`"), (elsewhere, "`readwrite`")]
        {
            let Err(error) = EtcdStore::connect(config).await else { return Err("somebody got in".into()) };
            let text = error.to_string();
            ensure(text.contains(expected) && !text.contains("secret"), || text.clone())?;
        }
        let store = EtcdStore::connect(right).await?;
        let mut watch = store.watch("", 0).await?;
        put(&store, "a", "1").await?;
        ensure(watch.next().await.ok_or("the watch ended")??.events.len() == 1, || "no change".to_owned())?;
        let lease = store.grant_lease(Duration::from_secs(60)).await?;
        store.keep_lease(lease).await?;
        store.revoke_lease(lease).await?;
        let gone =
            Transaction { durability: Durability::Power, ..Transaction::new().delete("a").erasing("a") };
        store.transact(gone).await?;
        store.check().await?;
        // A member that starts anew has forgotten who was logged in.
        etcd.kill(0);
        etcd.launch(0);
        etcd.wait_until_well(0);
        put(&store, "b", "1").await?;
        let last = loop {
            let batch = watch.next().await.ok_or("the watch ended")??;
            if batch.events.iter().any(|event| event.key == "b") {
                break batch;
            }
        };
        ensure(last.revision == store.revision().await?, || format!("{last:?}"))
    })
}

/// An authority, and a certificate of it for this machine with its key, as files.
fn certificates(place: &Path) -> Result<[PathBuf; 3], Failed> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = authority.self_signed(&authority_key)?;
    let key = KeyPair::generate()?;
    let params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let cert = params.signed_by(&key, &Issuer::new(authority, authority_key))?;
    let files = ["ca.pem", "cert.pem", "key.pem"].map(|name| place.join(name));
    for (file, text) in files.iter().zip([ca.pem(), cert.pem(), key.serialize_pem()]) {
        fs::write(file, text)?;
    }
    Ok(files)
}

/// Makes the users `root` and `cms`, and lets nobody else in.
async fn ask_for_passwords(location: &str) -> Result<(), Failed> {
    let admin = Caller::new(&format!("http:{location}"));
    let (start, end) = (BASE64.encode(b"test/"), BASE64.encode(b"test0"));
    let permission = json!({"permType": "READWRITE", "key": start, "range_end": end});
    let steps: [(&str, Value); 8] = [
        ("user/add", json!({"name": "root", "password": "root"})),
        ("role/add", json!({"name": "root"})),
        ("user/grant", json!({"user": "root", "role": "root"})),
        ("user/add", json!({"name": "cms", "password": "secret"})),
        ("role/add", json!({"name": "cms"})),
        ("role/grant", json!({"name": "cms", "perm": permission})),
        ("user/grant", json!({"user": "cms", "role": "cms"})),
        ("enable", json!({})),
    ];
    for (path, body) in steps {
        let reply = admin.post(&format!("/v3/auth/{path}"), body).await;
        ensure(reply.status == 200, || format!("{path}: {} {}", reply.status, reply.text()))?;
    }
    Ok(())
}
