// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What every [`Store`] must do, as a table of named cases that any test harness can run.
//!
//! Give each case a place of its own: a factory that opens the same, at first empty, store at each
//! call.

mod conditions;
mod crud;
mod leases;
mod limits;
mod range;
mod reopen;
mod shared;
mod transactions;
mod watch;

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::store::{
    Capabilities, Entry, Outcome, Revision, Store, StoreError, StoreErrorKind, StoreResult, Transaction,
};

/// Opens the store of one case; always the same one.
pub type Factory = Arc<dyn Fn() -> BoxFuture<'static, StoreResult<Arc<dyn Store>>> + Send + Sync>;

/// One thing that a store must do.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The area and the behaviour.
    pub name: &'static str,
    /// Whether a store with these capabilities must do it.
    pub needs: fn(Capabilities) -> bool,
    /// Finds out whether it does.
    pub run: fn(Factory) -> BoxFuture<'static, Result<(), String>>,
}

/// What is wrong with the store.
struct Failure(String);

type Verdict = Result<(), Failure>;

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self(format!("unexpected {:?}: {error}", error.kind()))
    }
}

/// Builds the entries of the table from the functions' own names.
macro_rules! cases {
    ($needs:expr => $($area:ident :: $case:ident),+ $(,)?) => {
        [$(Case {
            name: concat!(stringify!($area), "::", stringify!($case)),
            needs: $needs,
            run: |factory| Box::pin(async move { $area::$case(factory).await.map_err(|failure| failure.0) }),
        }),+]
    };
}

/// All cases.
pub fn cases() -> Vec<Case> {
    let always = cases![|_| true =>
        crud::an_absent_key_reads_as_none,
        crud::a_value_is_read_as_it_was_written,
        crud::keys_may_hold_any_text,
        crud::versions_and_revisions_are_counted,
        crud::a_removed_key_begins_anew,
        crud::removing_what_is_not_there_changes_nothing,
        crud::a_prefix_is_removed_without_its_neighbours,
        conditions::each_condition_is_judged,
        conditions::a_conflict_names_what_failed_and_changes_nothing,
        conditions::a_transaction_may_only_ask,
        conditions::racing_increments_lose_none,
        range::entries_come_in_byte_order,
        range::pages_follow_without_gap_or_duplicate,
        range::bounds_are_kept,
        range::a_page_of_large_values_ends_early,
        transactions::all_operations_share_one_revision,
        transactions::touching_a_key_twice_is_refused,
        transactions::a_reader_never_sees_half_of_one,
        transactions::racing_ones_get_revisions_without_gap,
        transactions::a_dropped_call_leaves_all_or_nothing,
        limits::the_largest_key_and_value_are_taken,
        limits::what_is_larger_is_refused,
        limits::an_empty_key_is_refused,
        watch::everything_comes_in_order,
        watch::only_the_prefix_is_watched,
        watch::it_resumes_without_gap_or_duplicate,
        watch::an_erased_value_is_not_delivered_again,
        watch::a_batch_is_whole_and_in_key_order,
        watch::a_forgotten_revision_is_an_error,
        watch::compaction_keeps_the_present_state,
        watch::a_revision_of_the_future_is_an_error,
        watch::nothing_is_missed_while_many_write,
        watch::one_that_lags_catches_up,
        watch::many_watch_at_once,
        transactions::a_check_finds_nothing,
    ];
    let leased = cases![|store| store.leases =>
        leases::keys_go_when_a_lease_ends,
        leases::a_kept_lease_goes_on,
        leases::a_revoked_lease_takes_its_keys,
        leases::a_rewritten_key_is_free,
        leases::an_ended_lease_is_refused,
    ];
    let durable = cases![|store| store.durable =>
        reopen::everything_is_still_there,
        reopen::a_watch_goes_on_where_it_was,
        reopen::compaction_is_remembered,
    ];
    let shared = cases![|store| store.shared =>
        shared::commits_of_the_other_are_seen,
        shared::a_watch_sees_the_other_within_50_ms,
        shared::watches_miss_nothing_of_two_writers,
        shared::racing_increments_lose_none,
        shared::the_other_ends_a_lease,
    ];
    always.into_iter().chain(leased).chain(durable).chain(shared).collect()
}

/// Fails the case with a text unless the condition holds.
fn ensure(condition: bool, text: impl FnOnce() -> String) -> Verdict {
    if condition { Ok(()) } else { Err(Failure(text())) }
}

fn equal<T: PartialEq + fmt::Debug>(what: &str, found: T, expected: T) -> Verdict {
    ensure(found == expected, || format!("{what}: found {found:?}, expected {expected:?}"))
}

/// Commits; a conflict fails the case.
async fn commit(store: &dyn Store, transaction: Transaction) -> Result<Revision, Failure> {
    match store.transact(transaction).await? {
        Outcome::Committed { revision } => Ok(revision),
        Outcome::Conflict { failed } => Err(Failure(format!("unexpected conflict at {failed:?}"))),
    }
}

async fn put(store: &dyn Store, key: &str, value: &str) -> Result<Revision, Failure> {
    commit(store, Transaction::new().put(key, value.to_owned())).await
}

/// Reads a key that must be there.
async fn read(store: &dyn Store, key: &str) -> Result<Entry, Failure> {
    store.get(key).await?.ok_or_else(|| Failure(format!("`{key}` is not there")))
}

async fn absent(store: &dyn Store, key: &str) -> Verdict {
    equal(key, store.get(key).await?, None)
}

/// Asks for an error of one kind.
fn refused<T: fmt::Debug>(what: &str, result: StoreResult<T>, kind: StoreErrorKind) -> Verdict {
    match result {
        Err(error) => equal(what, error.kind(), kind),
        Ok(value) => Err(Failure(format!("{what}: found {value:?}, expected {kind:?}"))),
    }
}

/// Waits for something; past `limit` the case fails.
async fn within<T>(
    what: &str,
    limit: std::time::Duration,
    wait: impl Future<Output = T>,
) -> Result<T, Failure> {
    tokio::time::timeout(limit, wait)
        .await
        .map_err(|_| Failure(format!("{what} did not happen within {limit:?}")))
}
