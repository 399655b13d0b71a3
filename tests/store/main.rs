// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The durable stores as their users cannot test them from within: several processes, killed ones,
//! damaged files, disks that fail, clusters that lose members.
//!
//! The program starts itself again as the other process.

mod child;
mod crash;
mod damage;
mod disk;
mod etcd;
mod files;
mod openbao;
mod processes;
mod redis;

use std::path::Path;
use std::sync::Arc;

use cms_core::store::{Outcome, Revision, Store, StoreError, StoreResult, Transaction};
use libtest_mimic::{Arguments, Failed, Trial};

type Test = fn(&Path) -> Result<(), Failed>;

const TESTS: &[(&str, Test)] = &[
    ("processes::a_commit_reaches_the_watch_of_another_process", processes::a_commit_reaches_another_process),
    ("processes::increments_of_three_processes_are_all_counted", processes::increments_are_all_counted),
    ("processes::a_killed_process_loses_its_lease", processes::a_killed_process_loses_its_lease),
    (
        "processes::a_stopped_writer_holds_up_others_for_a_bounded_time",
        processes::a_stopped_writer_is_not_waited_for,
    ),
    ("processes::many_may_make_the_store_at_once", processes::many_may_make_the_store_at_once),
    ("crash::twenty_kills_lose_no_acknowledged_write", crash::twenty_kills_lose_nothing),
    ("damage::a_damaged_file_gives_an_error_or_the_right_value", damage::of_the_file),
    ("damage::a_damaged_log_gives_an_error_or_an_earlier_state", damage::of_the_log),
    ("damage::a_flipped_value_is_an_error_that_names_the_key", damage::of_a_value),
    ("files::they_are_for_their_owner_only", files::they_are_for_their_owner_only),
    ("files::a_file_of_another_program_is_refused_and_kept", files::a_foreign_file_is_refused),
    ("files::a_newer_format_is_refused_and_kept", files::a_newer_format_is_refused),
    ("files::an_unknown_scheme_names_the_known_ones", files::an_unknown_scheme_names_the_known_ones),
    ("files::erased_values_leave_the_files", files::erased_values_leave_the_files),
    ("files::forgotten_history_leaves_the_files", files::forgotten_history_leaves_the_files),
    ("files::old_history_does_not_grow", files::old_history_does_not_grow),
    ("disk::a_full_disk_refuses_writes_until_there_is_room", disk::a_full_disk_refuses_writes),
    ("disk::a_store_opens_on_a_full_disk", disk::a_store_opens_on_a_full_disk),
    ("disk::a_failed_sync_ends_the_writes_until_reopened", disk::a_failed_sync_ends_the_writes),
];

fn main() {
    if let Some(role) = std::env::var_os(child::ROLE) {
        child::run(&role.to_string_lossy());
        return;
    }
    let trials = TESTS.iter().map(|(name, test)| {
        Trial::test(*name, move || {
            let place = tempfile::tempdir()?;
            test(place.path())
        })
    });
    libtest_mimic::run(
        &Arguments::from_args(),
        trials.chain(etcd::trials()).chain(openbao::trials()).chain(redis::trials()).collect(),
    )
    .exit();
}

/// Runs a test's asynchronous part.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

async fn open(place: &Path) -> StoreResult<Arc<dyn Store>> {
    cms_store::open(&format!("embedded:{}", place.display())).await
}

async fn put(store: &dyn Store, key: &str, value: impl Into<Vec<u8>>) -> Result<Revision, StoreError> {
    match store.transact(Transaction::new().put(key, value.into())).await? {
        Outcome::Committed { revision } => Ok(revision),
        Outcome::Conflict { .. } => unreachable!("the transaction has no conditions"),
    }
}

fn ensure(condition: bool, text: impl FnOnce() -> String) -> Result<(), Failed> {
    if condition { Ok(()) } else { Err(text().into()) }
}
