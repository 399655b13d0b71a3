// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Writing, reading and removing single keys.

use bytes::Bytes;

use super::{Factory, Verdict, absent, commit, equal, put, read};
use crate::store::Transaction;

pub(super) async fn an_absent_key_reads_as_none(factory: Factory) -> Verdict {
    let store = factory().await?;
    absent(&*store, "a").await?;
    absent(&*store, "").await?;
    absent(&*store, &"k".repeat(5000)).await?;
    equal("the revision of an empty store", store.revision().await?, 0)
}

pub(super) async fn a_value_is_read_as_it_was_written(factory: Factory) -> Verdict {
    let store = factory().await?;
    let values: [Bytes; 4] =
        ["".into(), "x".into(), (0..=255).collect::<Vec<u8>>().into(), vec![0; 70_000].into()];
    for (number, value) in values.iter().enumerate() {
        commit(&*store, Transaction::new().put(format!("k{number}"), value.clone())).await?;
    }
    for (number, value) in values.iter().enumerate() {
        equal("the value", &read(&*store, &format!("k{number}")).await?.value, value)?;
    }
    Ok(())
}

pub(super) async fn keys_may_hold_any_text(factory: Factory) -> Verdict {
    let store = factory().await?;
    let keys = ["a", "a\0b", "a/b", "ä€😀", " ", "%_'\"", "\u{10ffff}", "\u{d7ff}"];
    for key in keys {
        put(&*store, key, key).await?;
    }
    for key in keys {
        let entry = read(&*store, key).await?;
        equal("the key", entry.key.as_str(), key)?;
        equal("the value", &entry.value[..], key.as_bytes())?;
    }
    Ok(())
}

pub(super) async fn versions_and_revisions_are_counted(factory: Factory) -> Verdict {
    let store = factory().await?;
    equal("the first revision", put(&*store, "a", "1").await?, 1)?;
    equal("the second revision", put(&*store, "b", "1").await?, 2)?;
    // The same value again is a change as well.
    equal("the third revision", put(&*store, "a", "1").await?, 3)?;
    let entry = read(&*store, "a").await?;
    equal("created, modified, version", (entry.created, entry.modified, entry.version), (1, 3, 2))?;
    equal("the present revision", store.revision().await?, 3)
}

pub(super) async fn a_removed_key_begins_anew(factory: Factory) -> Verdict {
    let store = factory().await?;
    put(&*store, "a", "1").await?;
    put(&*store, "a", "2").await?;
    equal("the removal", commit(&*store, Transaction::new().delete("a")).await?, 3)?;
    absent(&*store, "a").await?;
    put(&*store, "a", "3").await?;
    let entry = read(&*store, "a").await?;
    equal("created, modified, version", (entry.created, entry.modified, entry.version), (4, 4, 1))
}

pub(super) async fn removing_what_is_not_there_changes_nothing(factory: Factory) -> Verdict {
    let store = factory().await?;
    put(&*store, "a", "1").await?;
    equal("a key", commit(&*store, Transaction::new().delete("b")).await?, 1)?;
    equal("a prefix", commit(&*store, Transaction::new().delete_prefix("b")).await?, 1)?;
    equal("no operation", commit(&*store, Transaction::new()).await?, 1)?;
    equal("the present revision", store.revision().await?, 1)
}

pub(super) async fn a_prefix_is_removed_without_its_neighbours(factory: Factory) -> Verdict {
    let store = factory().await?;
    let all = Transaction::new().put("p", "").put("p/", "").put("p/a", "").put("p/a/b", "").put("p0", "");
    commit(&*store, all.put("p\u{10ffff}", "").put("o", "")).await?;
    commit(&*store, Transaction::new().delete_prefix("p/")).await?;
    for gone in ["p/", "p/a", "p/a/b"] {
        absent(&*store, gone).await?;
    }
    for kept in ["o", "p", "p0", "p\u{10ffff}"] {
        read(&*store, kept).await?;
    }
    commit(&*store, Transaction::new().delete_prefix("p\u{10ffff}")).await?;
    absent(&*store, "p\u{10ffff}").await?;
    read(&*store, "p0").await.map(|_| ())
}
