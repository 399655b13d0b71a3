// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whose turn it is where work takes long: every project has its share, and none waits behind another's
//! queue.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ids::ProjectId;

/// Turns, at most so many at a time, of which one project has at most a part.
#[derive(Debug)]
pub struct Turns {
    all: Arc<Semaphore>,
    each: usize,
    waiting: usize,
    projects: Mutex<HashMap<ProjectId, Queue>>,
}

/// A turn. It is over when this is dropped.
#[derive(Debug)]
pub struct Turn {
    _place: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
    _common: OwnedSemaphorePermit,
}

#[derive(Debug, Clone)]
struct Queue {
    /// Who has a turn, or waits for one.
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

impl Turns {
    /// `all` turns at a time, `each` of them for one project at most, which may have `waiting` more.
    pub fn new(all: usize, each: usize, waiting: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), each, waiting, projects: Mutex::default() }
    }

    /// Waits for a turn; `None` when the project has too many waiting already.
    pub async fn take(&self, project: &ProjectId) -> Option<Turn> {
        let Queue { places, turns } = {
            let fresh = || Queue {
                places: Arc::new(Semaphore::new(self.each + self.waiting)),
                turns: Arc::new(Semaphore::new(self.each)),
            };
            self.projects.lock().entry(project.clone()).or_insert_with(fresh).clone()
        };
        let place = places.try_acquire_owned().ok()?;
        // Its own turn first: so a project has at most `each` in the line that all stand in.
        let own = turns.acquire_owned().await.ok()?;
        let common = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Turn { _place: place, _own: own, _common: common })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_project_with_a_long_queue_keeps_nobody_waiting() {
        let turns = Arc::new(Turns::new(2, 1, 3));
        let (busy, quiet) = (ProjectId::parse("busy").unwrap(), ProjectId::parse("quiet").unwrap());
        let first = turns.take(&busy).await.unwrap();
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let (turns, busy) = (turns.clone(), busy.clone());
                tokio::spawn(async move { turns.take(&busy).await.is_some() })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(turns.take(&busy).await.is_none(), "a fifth is refused");
        assert!(turns.take(&quiet).await.is_some(), "another project has its turn");
        drop(first);
        for waiting in waiting {
            assert!(waiting.await.unwrap());
        }
    }
}
