// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How much a store takes, and that it refuses more.

use super::{Factory, Verdict, absent, commit, ensure, equal, read, refused};
use crate::store::{
    Condition, MAX_KEY_BYTES, MAX_TRANSACTION_ITEMS, MAX_VALUE_BYTES, StoreErrorKind, Transaction,
};

pub(super) async fn the_largest_key_and_value_are_taken(factory: Factory) -> Verdict {
    let store = factory().await?;
    let key = "k".repeat(MAX_KEY_BYTES);
    let value = vec![1; MAX_VALUE_BYTES];
    commit(&*store, Transaction::new().put(key.clone(), value.clone())).await?;
    equal("the value", &read(&*store, &key).await?.value[..], &value[..])?;
    let most = store.capabilities().transaction_items;
    equal("the revision", commit(&*store, puts(most)).await?, 2)
}

pub(super) async fn what_is_larger_is_refused(factory: Factory) -> Verdict {
    let store = factory().await?;
    let key = "k".repeat(MAX_KEY_BYTES + 1);
    let value = vec![1; MAX_VALUE_BYTES + 1];
    let most = store.capabilities().transaction_items;
    ensure(most <= MAX_TRANSACTION_ITEMS, || format!("{most} items are more than the port knows"))?;
    let larger = [
        ("key", Transaction::new().put("a", "1").put(key.clone(), "1")),
        ("removed key", Transaction::new().put("a", "1").delete(key.clone())),
        ("prefix", Transaction::new().put("a", "1").delete_prefix(key.clone())),
        ("condition", Transaction::new().when(Condition::Absent(key)).put("a", "1")),
        ("value", Transaction::new().put("a", "1").put("b", value)),
        ("transaction", puts(most + 1)),
        ("transaction for any backend", puts(MAX_TRANSACTION_ITEMS).when(Condition::Absent("z".into()))),
    ];
    for (what, transaction) in larger {
        refused(what, store.transact(transaction).await, StoreErrorKind::TooLarge)?;
    }
    absent(&*store, "a").await?;
    equal("the revision", store.revision().await?, 0)
}

fn puts(count: usize) -> Transaction {
    (0..count).fold(Transaction::new(), |all, number| all.put(format!("m{number}"), "v"))
}

pub(super) async fn an_empty_key_is_refused(factory: Factory) -> Verdict {
    let store = factory().await?;
    let empty = [
        Transaction::new().put("", "1"),
        Transaction::new().delete(""),
        Transaction::new().delete_prefix(""),
        Transaction::new().when(Condition::Absent(String::new())),
    ];
    for transaction in empty {
        refused("an empty key", store.transact(transaction).await, StoreErrorKind::Unsupported)?;
    }
    Ok(())
}
