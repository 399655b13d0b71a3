// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `kill -9` of `cms serve` while it writes secrets whose values lie in OpenBao.

use std::time::Duration;

use cms_tests::openbao::MOUNT;
use cms_tests::{Bao, Caller, Installation};
use libtest_mimic::Failed;
use serde_json::{Value, json};

use crate::{ensure, wait};

const KILLS: u64 = 6;
const WRITERS: u64 = 3;

pub fn under_load() -> Result<(), Failed> {
    let bao = Bao::start();
    let it = Installation::with(vec![
        ("CMS_OPENBAO_ADDRESS", bao.address()),
        ("CMS_OPENBAO_TOKEN_FILE", bao.token_file().display().to_string()),
        ("CMS_OPENBAO_MOUNT", MOUNT.to_owned()),
    ]);
    wait(async {
        let mut taken: Vec<String> = Vec::new();
        for kill in 0..=KILLS {
            let server = it.serve("warn");
            let root = it.root_at(&server);
            if kill == 0 {
                root.post("projects", json!({"id": "p", "name": "p", "template": "empty"})).await.is(201);
            }
            for name in &taken {
                let found =
                    root.post(&format!("projects/p/secrets/-/reveal/{name}"), json!({})).await.is(200);
                ensure(found["data"]["v"] == **name, || format!("`{name}` holds something else"))?;
            }
            if kill == KILLS {
                ensure(server.stop().0, || "it did not end well".to_owned())?;
                break;
            }
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| tokio::spawn(write(root.clone(), format!("k{kill}/w{writer}"))))
                .collect();
            tokio::time::sleep(Duration::from_millis(300 + kill * 97 % 400)).await;
            server.kill();
            for writer in writers {
                taken.extend(writer.await?);
            }
            it.verify_clean();
        }
        it.verify_clean();
        let entries = bao.must("LIST", &format!("{MOUNT}/metadata/cms/p"), Value::Null);
        let entries = entries["data"]["keys"].as_array().map_or(0, Vec::len);
        println!(
            "{} versions acknowledged over {KILLS} kills, none lost; {} entries of unfinished ones wait to be removed",
            taken.len(),
            entries.saturating_sub(taken.len())
        );
        ensure(taken.len() > 50, || format!("only {} writes were made; that proves little", taken.len()))?;
        // Each writer had at most one under way at each kill, acknowledged or not.
        let unfinished = usize::try_from(KILLS * WRITERS)?;
        ensure(entries <= taken.len() + unfinished, || {
            format!("{entries} entries for {} versions", taken.len())
        })
    })
}

/// Writes until the server is gone; answers the names of what it has taken.
async fn write(root: Caller, folder: String) -> Vec<String> {
    let mut taken = Vec::new();
    for at in 0.. {
        let name = format!("{folder}/n{at}");
        let request = root.request("PUT", &format!("projects/p/secrets/{name}"));
        let body = json!({"data": {"v": name}, "cas": 0}).to_string();
        let Ok(answer) = request.header("content-type", "application/json").body(body).send().await else {
            break;
        };
        let status = answer.status().as_u16();
        // Half an answer is no acknowledgement.
        if answer.bytes().await.is_err() {
            break;
        }
        assert_eq!(status, 201, "{name}");
        taken.push(name);
    }
    taken
}
