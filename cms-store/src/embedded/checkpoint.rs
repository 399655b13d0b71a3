// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Moving the write-ahead log into the main file. A thread of its own does most of it, so that no
//! commit waits; then the writer moves the little that came in meanwhile, and the log begins anew.
//! A log that is written over again and again needs cheaper fsyncs than one that grows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use cms_core::store::{StoreErrorKind, StoreResult};
use rusqlite::Connection;

use super::config::EmbeddedConfig;
use super::error::{fail, from_sqlite};
use super::schema::{Role, connect};

/// From this many pages of 4 KiB on, the thread moves the log in the background.
const MOVE_PAGES: usize = 1000;
/// From this many pages on, the writer does not wait for the thread.
const RESTART_PAGES: usize = 16 * 1024;

pub(super) struct Checkpointer {
    /// How many pages the log had after the last commit.
    pages: Arc<AtomicUsize>,
    /// Whether the thread has moved what it was woken for.
    moved: Arc<AtomicBool>,
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    /// How many pages it takes until the thread is woken again.
    next: usize,
    /// How many pages it takes until the writer acts by itself.
    limit: usize,
}

impl Checkpointer {
    /// Starts the thread; `writer` is the connection whose commits are counted.
    pub(super) fn start(writer: &mut Connection, config: &EmbeddedConfig) -> StoreResult<Self> {
        let pages = Arc::new(AtomicUsize::new(0));
        let counted = pages.clone();
        writer
            .wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
                counted.store(usize::try_from(pages).unwrap_or(0), Ordering::Relaxed);
                Ok(())
            }))
            .map_err(from_sqlite)?;
        let conn = connect(config, Role::Writer)?;
        let (wake, woken) = sync_channel(1);
        let moved = Arc::new(AtomicBool::new(false));
        let done = moved.clone();
        let builder = std::thread::Builder::new().name("cms-store-move".into());
        let thread = builder.spawn(move || run(&conn, &woken, &done));
        let thread = thread.map_err(|error| {
            fail(StoreErrorKind::Unavailable, "no thread can be started: raise the limit of threads")
                .with_source(error)
        })?;
        let (wake, thread) = (Some(wake), Some(thread));
        Ok(Self { pages, moved, wake, thread, next: MOVE_PAGES, limit: RESTART_PAGES })
    }

    /// Wakes the thread if the log has become long, and begins the log anew when it has been moved.
    pub(super) fn after_commit(&mut self, writer: &Connection) {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < MOVE_PAGES {
            (self.next, self.limit) = (MOVE_PAGES, RESTART_PAGES);
            return;
        }
        if self.moved.swap(false, Ordering::Acquire) || pages >= self.limit {
            // A reader that stands still may prevent it: the limit comes nearer only later.
            self.limit = pages + RESTART_PAGES / 4;
            self.next = pages + MOVE_PAGES;
            move_log(writer, "PRAGMA wal_checkpoint(RESTART)");
        } else if pages >= self.next {
            self.next = pages + MOVE_PAGES;
            if let Some(wake) = &self.wake {
                // It is full if the thread is still to wake: then it will see these pages too.
                let _ = wake.try_send(());
            }
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.wake.take();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn run(conn: &Connection, woken: &Receiver<()>, moved: &AtomicBool) {
    while woken.recv().is_ok() {
        move_log(conn, "PRAGMA wal_checkpoint(PASSIVE)");
        moved.store(true, Ordering::Release);
    }
}

/// A failure costs room only: the log still holds everything.
fn move_log(conn: &Connection, sql: &str) {
    let moved = conn.query_row(sql, [], |row| row.get::<_, i64>(0));
    if let Err(error) = moved {
        tracing::warn!(%error, "the write-ahead log could not be moved into the main file; trying again later");
    }
}
