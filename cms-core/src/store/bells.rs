// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bells for those who wait until something of a project changes: one for each area of its keys, so that a
//! commit wakes each of a thousand once, and nobody whom it does not concern.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::ids::ProjectId;

/// From how many bells on those are taken down that nobody listens to.
const BELLS: usize = 64;

/// Rings while it is not looked at are one ring.
pub(crate) type Bell = watch::Receiver<()>;

/// The bells, by `p/{project}/{area}/`. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub(super) struct Bells(Arc<Mutex<HashMap<String, watch::Sender<()>>>>);

impl Bells {
    /// Listens from now on.
    pub(super) fn bell(&self, project: &ProjectId, area: &str) -> Bell {
        let mut bells = self.0.lock();
        if bells.len() >= BELLS {
            bells.retain(|_, bell| bell.receiver_count() > 0);
        }
        bells.entry(format!("p/{project}/{area}/")).or_default().subscribe()
    }

    /// A key has changed.
    pub(super) fn ring(&self, key: &str) {
        let bells = self.0.lock();
        if let Some(bell) = area(key).and_then(|area| bells.get(area)) {
            bell.send_replace(());
        }
    }

    /// Anything may have changed.
    pub(super) fn ring_all(&self) {
        for bell in self.0.lock().values() {
            bell.send_replace(());
        }
    }
}

/// `p/{project}/{area}/` of a project's key.
fn area(key: &str) -> Option<&str> {
    let (end, _) = key.match_indices('/').nth(2)?;
    key.get(..=end).filter(|area| area.starts_with("p/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rang(bell: &mut Bell) -> bool {
        let rang = bell.has_changed().unwrap();
        bell.mark_unchanged();
        rang
    }

    #[test]
    fn a_bell_rings_for_its_area_alone() {
        let (bells, project) = (Bells::default(), ProjectId::parse("a").unwrap());
        let mut bell = bells.bell(&project, "env");
        for key in ["p/a/envlog/x", "p/b/env/x", "p/a/env", "sys/a/env/x", "x", "", "p/a/sec/env/x"] {
            bells.ring(key);
            assert!(!rang(&mut bell), "{key}");
        }
        bells.ring("p/a/env/prod");
        bells.ring("p/a/env/dev");
        assert!(rang(&mut bell));
        assert!(!rang(&mut bell), "twice is once");
        bells.ring_all();
        assert!(rang(&mut bell));
    }

    #[test]
    fn bells_that_nobody_hears_are_taken_down() {
        let bells = Bells::default();
        let kept = bells.bell(&ProjectId::parse("kept").unwrap(), "env");
        for number in 0..1_000 {
            drop(bells.bell(&ProjectId::parse(&format!("p{number}")).unwrap(), "env"));
        }
        assert!(bells.0.lock().len() <= BELLS);
        bells.ring("p/kept/env/prod");
        assert!(kept.has_changed().unwrap());
    }
}
