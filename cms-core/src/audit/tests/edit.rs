// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What somebody with an editor would do to a file of lines.

use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

/// Makes so many random edits and asks whether each one that changes the text is seen.
pub(super) fn every_edit_of(text: &str, cases: u32, seen: impl Fn(&[u8]) -> bool) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&edit(), |edit| {
        let edited = edit.apply(text);
        // Without its last line's end it still holds every record.
        prop_assume!(edited != text.as_bytes() && edited != text.trim_end().as_bytes());
        prop_assert!(seen(&edited), "not seen");
        Ok(())
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(_, edit)) => panic!("{edit:?} was not seen"),
        Err(abort) => panic!("{abort}"),
    }
}

/// One edit of a file: what somebody with an editor would do.
#[derive(Debug, Clone)]
pub(super) enum Edit {
    Flip { place: prop::sample::Index, bit: u8 },
    Drop(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Repeat(prop::sample::Index),
    Truncate(prop::sample::Index),
}

pub(super) fn edit() -> impl Strategy<Value = Edit> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        (index(), 0..8_u8).prop_map(|(place, bit)| Edit::Flip { place, bit }),
        index().prop_map(Edit::Drop),
        (index(), index()).prop_map(|(a, b)| Edit::Swap(a, b)),
        index().prop_map(Edit::Repeat),
        index().prop_map(Edit::Truncate),
    ]
}

impl Edit {
    pub(super) fn apply(&self, text: &str) -> Vec<u8> {
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        match self {
            Self::Flip { place, bit } => {
                let mut bytes = text.as_bytes().to_vec();
                let place = place.index(bytes.len());
                bytes[place] ^= 1 << bit;
                return bytes;
            }
            Self::Truncate(place) => return text.as_bytes()[..place.index(text.len())].to_vec(),
            Self::Drop(place) => drop(lines.remove(place.index(lines.len()))),
            Self::Swap(a, b) => lines.swap(a.index(text.lines().count()), b.index(text.lines().count())),
            Self::Repeat(place) => lines.push(lines[place.index(lines.len())]),
        }
        lines.concat().into_bytes()
    }
}
