// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where sealed values lie, and which number each is bound to. The barrier seals nothing for any
//! other place: rotation finds what an old key has sealed by this list, and retires the key after.

use crate::ids::ProjectId;
use crate::store::Entry;

/// The number that a value is bound to beside its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Always 0.
    Zero,
    /// The number that the key ends with, behind `@`.
    Key,
    /// How often the key was written.
    Writes,
}

/// A range of keys whose values are sealed with one project's data key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// What the keys begin with.
    pub(crate) prefix: String,
    /// What their values are bound to.
    pub(crate) bound: Bound,
}

/// Within each project, sealed with its own data key.
const OWN: [(&str, Bound); 5] = [
    ("sec/", Bound::Zero),
    ("secv/", Bound::Key),
    ("sign/", Bound::Writes),
    ("declog/", Bound::Zero),
    ("hook/", Bound::Writes),
];
/// Outside of projects, sealed with the data key of `platform`.
const SHARED: [&str; 6] =
    ["auth/user/", "auth/session/", "auth/refresh/", "auth/signing/", "sys/root", FIRST_ANSWERS];
/// Within each project, sealed with the data key of `platform`.
const KEYS: &str = "key/";
/// The first answers to requests that may be sent twice.
pub(crate) const FIRST_ANSWERS: &str = "idem/";

impl Place {
    fn new(prefix: String, bound: Bound) -> Self {
        Self { prefix, bound }
    }

    /// The number that an entry's value is bound to, and the one that its next value will be.
    pub(crate) fn versions(&self, entry: &Entry) -> Option<(u64, u64)> {
        match self.bound {
            Bound::Zero => Some((0, 0)),
            Bound::Key => {
                let number = entry.key.rsplit_once('@')?.1.parse().ok()?;
                Some((number, number))
            }
            Bound::Writes => Some((entry.version, entry.version + 1)),
        }
    }
}

/// Every place of a project's data key; `all` are the projects that there are.
pub(crate) fn places(project: &ProjectId, all: &[ProjectId]) -> Vec<Place> {
    let own = OWN.map(|(part, bound)| Place::new(format!("p/{project}/{part}"), bound));
    let mut places = Vec::from(own);
    if project.is_platform() {
        places.extend(SHARED.map(|prefix| Place::new(prefix.to_owned(), Bound::Writes)));
        places.extend(all.iter().map(|other| Place::new(format!("p/{other}/{KEYS}"), Bound::Writes)));
    }
    places
}

/// Whether a value of the project's data key may lie at a key.
pub(super) fn is_place(project: &ProjectId, key: &str) -> bool {
    let Some((owner, rest)) = key.strip_prefix("p/").and_then(|key| key.split_once('/')) else {
        return project.is_platform() && SHARED.iter().any(|prefix| key.starts_with(prefix));
    };
    let own = owner == project.as_str() && OWN.iter().any(|(part, _)| rest.starts_with(part));
    own || (project.is_platform() && rest.starts_with(KEYS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_is_what_may_be_sealed() {
        let (platform, rag) = (ProjectId::platform(), ProjectId::parse("rag").unwrap());
        for project in [&platform, &rag] {
            for place in places(project, &[platform.clone(), rag.clone()]) {
                assert!(is_place(project, &format!("{}x", place.prefix)), "{place:?}");
            }
        }
        for key in ["p/rag/key/x", "p/other/sec/x", "auth/user/eve", "p/rag/doc/x", "sec/x"] {
            assert!(!is_place(&rag, key), "{key}");
        }
        for key in ["p/rag/sec/x", "auth/other/x", "keys/rag"] {
            assert!(!is_place(&platform, key), "{key}");
        }
    }
}
