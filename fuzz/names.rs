// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names that arrive from outside: what is accepted can be put into keys and paths as it is.

use cms_core::ids::{EnvironmentId, Name, ProjectId, UserId};

pub(crate) fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let words = [
        ProjectId::parse(text).map(|name| name.to_string()),
        EnvironmentId::parse(text).map(|name| name.to_string()),
        UserId::parse(text).map(|name| name.to_string()),
    ];
    for accepted in words.into_iter().flatten() {
        assert_eq!(accepted, text, "a name is kept as it was given");
        assert!(!accepted.contains(['/', '\\', '\0', '\n']), "`{accepted:?}` would leave its place in a key");
    }
    if let Ok(accepted) = Name::parse(text) {
        assert_eq!(accepted.as_str(), text, "a path is kept as it was given");
        let segments: Vec<&str> = text.split('/').collect();
        assert!((1..=8).contains(&segments.len()), "`{text}` has {} segments", segments.len());
        for segment in segments {
            let sound = !segment.is_empty() && !segment.starts_with(['-', '.']) && segment.len() <= 64;
            assert!(sound, "`{text}` has the segment `{segment}`");
        }
    }
}
