// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reading many keys.

use super::{Factory, Verdict, commit, ensure, equal};
use crate::store::{MAX_PAGE_BYTES, Page, Range, Store, Transaction};

fn keys(page: &Page) -> Vec<&str> {
    page.entries.iter().map(|entry| entry.key.as_str()).collect()
}

async fn fill(store: &dyn Store, keys: impl IntoIterator<Item = impl Into<String>>) -> Verdict {
    let all = keys.into_iter().fold(Transaction::new(), |all, key| all.put(key, "v"));
    commit(store, all).await.map(|_| ())
}

pub(super) async fn entries_come_in_byte_order(factory: Factory) -> Verdict {
    let store = factory().await?;
    let ordered = ["A", "a", "a\0", "a/", "a/b", "a0", "aa", "b", "z", "ä", "€", "😀"];
    fill(&*store, ordered.iter().rev().copied()).await?;
    let page = store.range(Range::prefix("")).await?;
    equal("ascending", keys(&page), ordered.to_vec())?;
    equal("more, revision", (page.more, page.revision), (false, 1))?;
    let page = store.range(Range::prefix("").descending()).await?;
    equal("descending", keys(&page), ordered.iter().rev().copied().collect())
}

pub(super) async fn pages_follow_without_gap_or_duplicate(factory: Factory) -> Verdict {
    let store = factory().await?;
    let names: Vec<String> = (0..25).map(|number| format!("p/{number:02}")).collect();
    fill(&*store, names.clone()).await?;
    fill(&*store, ["o", "p0", "q"]).await?;
    for descending in [false, true] {
        let mut found = Vec::new();
        let mut range = Range::prefix("p/").limit(7);
        if descending {
            range = range.descending();
        }
        let mut next = range.clone();
        loop {
            let page = store.range(next).await?;
            found.extend(page.entries.iter().map(|entry| entry.key.clone()));
            equal("more", page.more, found.len() < names.len())?;
            match page.entries.last() {
                Some(last) if page.more => next = range.clone().after(&last.key),
                _ => break,
            }
        }
        if descending {
            found.reverse();
        }
        equal("the keys", &found, &names)?;
    }
    Ok(())
}

pub(super) async fn bounds_are_kept(factory: Factory) -> Verdict {
    let store = factory().await?;
    fill(&*store, ["a", "b", "c", "d"]).await?;
    let range = |start: &str, end: &str, limit, descending| Range {
        start: start.to_owned(),
        end: end.to_owned(),
        limit,
        descending,
    };
    let cases: [(Range, &[&str], bool); 7] = [
        (range("b", "d", 0, false), &["b", "c"], false),
        (range("b", "", 0, false), &["b", "c", "d"], false),
        (range("b", "", 2, false), &["b", "c"], true),
        (range("b", "", 3, true), &["d", "c", "b"], false),
        (range("", "c", 1, true), &["b"], true),
        (range("c", "c", 0, false), &[], false),
        (range("d", "a", 0, false), &[], false),
    ];
    for (range, expected, more) in cases {
        let page = store.range(range.clone()).await?;
        equal(&format!("{range:?}"), (keys(&page), page.more), (expected.to_vec(), more))?;
    }
    Ok(())
}

pub(super) async fn a_page_of_large_values_ends_early(factory: Factory) -> Verdict {
    let store = factory().await?;
    let value = vec![7; 1024 * 1024];
    let all = MAX_PAGE_BYTES / value.len() + 2;
    for number in 0..all {
        commit(&*store, Transaction::new().put(format!("{number:03}"), value.clone())).await?;
    }
    let page = store.range(Range::prefix("")).await?;
    ensure(page.more && page.entries.len() < all, || format!("{} entries in one page", page.entries.len()))?;
    let rest = Range::prefix("").after(page.entries.last().map_or("", |entry| entry.key.as_str()));
    let rest = store.range(rest).await?;
    equal("all entries, more", (page.entries.len() + rest.entries.len(), rest.more), (all, false))
}
