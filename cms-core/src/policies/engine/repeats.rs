// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What recurs in a large document, such as the roles of its users: equal texts, and equal lists of texts,
//! share their memory. So the document takes less of it, and a copy of one of its levels is made sooner.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use regorus::Value;

/// How many of each kind are remembered at a time.
const SLOTS: usize = 1024;
/// How often one copy is used: threads that count references on the same word slow each other down.
const USES: u8 = 64;
/// The longest text that is compared, in bytes.
const TEXT_BYTES: usize = 64;
/// The longest list that is compared.
const ITEMS: usize = 8;

/// What a document has had so far, by its hash; what comes later takes the place of what came before.
#[derive(Debug)]
pub(super) struct Repeats {
    texts: Vec<Option<(Arc<str>, u8)>>,
    lists: Vec<Option<(Value, u8)>>,
}

impl Repeats {
    pub(super) fn new() -> Self {
        Self { texts: vec![None; SLOTS], lists: vec![None; SLOTS] }
    }

    /// A text, as a key or a value.
    pub(super) fn text(&mut self, text: &str) -> Value {
        let place = (text.len() <= TEXT_BYTES).then(|| place(|hasher| text.hash(hasher)));
        let known = place.and_then(|place| self.texts.get_mut(place));
        Value::String(shared(known, |known| **known == *text, || Arc::from(text)))
    }

    /// A list.
    pub(super) fn list(&mut self, items: Vec<Value>) -> Value {
        let is_compared = items.len() <= ITEMS && items.iter().all(|item| matches!(item, Value::String(_)));
        let place = is_compared.then(|| {
            place(|hasher| {
                items.iter().for_each(|item| {
                    if let Value::String(text) = item {
                        text.hash(hasher)
                    }
                })
            })
        });
        let list = Value::from(items);
        let known = place.and_then(|place| self.lists.get_mut(place));
        shared(known, |known| *known == list, || list.clone())
    }
}

/// What is in a slot, if it is the same and not used too often, else what `make` makes from here on.
fn shared<T: Clone>(
    slot: Option<&mut Option<(T, u8)>>,
    is_same: impl Fn(&T) -> bool,
    make: impl FnOnce() -> T,
) -> T {
    let Some(slot) = slot else { return make() };
    if let Some((known, uses)) = slot.as_mut().filter(|(known, uses)| *uses < USES && is_same(known)) {
        *uses += 1;
        return known.clone();
    }
    let made = make();
    *slot = Some((made.clone(), 1));
    made
}

fn place(hash: impl FnOnce(&mut DefaultHasher)) -> usize {
    let mut hasher = DefaultHasher::new();
    hash(&mut hasher);
    usize::try_from(hasher.finish() % SLOTS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_one(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::String(a), Value::String(b)) => Arc::ptr_eq(a, b),
            (Value::Array(a), Value::Array(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    #[test]
    fn what_recurs_is_there_once_for_so_many_uses() {
        let mut repeats = Repeats::new();
        let first = repeats.text("reader");
        assert!((1..USES).all(|_| is_one(&repeats.text("reader"), &first)));
        let next = repeats.text("reader");
        assert!(!is_one(&next, &first) && next == first);
        let list = |repeats: &mut Repeats| {
            let items = vec![repeats.text("reader"), repeats.text("writer")];
            repeats.list(items)
        };
        let (one, two) = (list(&mut repeats), list(&mut repeats));
        assert!(is_one(&one, &two));
    }

    #[test]
    fn what_is_long_is_not_compared() {
        let mut repeats = Repeats::new();
        let text = "x".repeat(TEXT_BYTES + 1);
        assert!(!is_one(&repeats.text(&text), &repeats.text(&text)));
        let items = vec![Value::from("x"); ITEMS + 1];
        assert!(!is_one(&repeats.list(items.clone()), &repeats.list(items)));
    }

    proptest! {
        #[test]
        fn nothing_becomes_something_else(lists in proptest::collection::vec(proptest::collection::vec("[ab]{0,3}", 0..4), 0..200)) {
            let mut repeats = Repeats::new();
            for list in lists {
                let items: Vec<Value> = list.iter().map(|text| repeats.text(text)).collect();
                let expected: Vec<Value> = list.iter().map(|text| Value::from(text.as_str())).collect();
                prop_assert_eq!(&items, &expected);
                prop_assert_eq!(repeats.list(items), Value::from(expected));
            }
        }
    }
}
