// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Puts layers of a config on each other: objects are merged key by key, anything else replaces what was
//! there, and `null` in a layer above takes away (RFC 7386). Remembers which layer each value came from.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A value of which each part knows its layer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Layered {
    Object(BTreeMap<String, Layered>),
    /// Anything that is not merged, and the place of its layer.
    Leaf(Value, usize),
}

impl Layered {
    /// The lowest layer. What is `null` there stays.
    pub(crate) fn base(value: Map<String, Value>, layer: usize) -> Self {
        let read = |(key, value)| (key, Self::part(value, layer));
        Self::Object(value.into_iter().map(read).collect())
    }

    fn part(value: Value, layer: usize) -> Self {
        match value {
            Value::Object(object) if !object.is_empty() => Self::base(object, layer),
            value => Self::Leaf(value, layer),
        }
    }

    /// Puts a layer above.
    pub(crate) fn put(&mut self, value: Map<String, Value>, layer: usize) {
        if !matches!(self, Self::Object(_)) {
            *self = Self::Object(BTreeMap::new());
        }
        let Self::Object(parts) = self else { return };
        for (key, value) in value {
            match value {
                Value::Null => {
                    parts.remove(&key);
                }
                Value::Object(object) => {
                    let part = parts.entry(key).or_insert_with(|| Self::Object(BTreeMap::new()));
                    part.put(object, layer);
                    if matches!(part, Self::Object(inner) if inner.is_empty()) {
                        *part = Self::Leaf(Value::Object(Map::new()), layer);
                    }
                }
                value => {
                    parts.insert(key, Self::Leaf(value, layer));
                }
            }
        }
    }

    /// The value alone.
    pub(crate) fn into_value(self) -> Value {
        match self {
            Self::Leaf(value, _) => value,
            Self::Object(parts) => {
                Value::Object(parts.into_iter().map(|(key, part)| (key, part.into_value())).collect())
            }
        }
    }

    /// The layer of each part that is not merged, by its JSON Pointer.
    pub(crate) fn origins(&self) -> BTreeMap<String, usize> {
        let mut origins = BTreeMap::new();
        self.collect(&mut String::new(), &mut origins);
        origins
    }

    fn collect(&self, pointer: &mut String, origins: &mut BTreeMap<String, usize>) {
        match self {
            Self::Leaf(_, layer) => {
                origins.insert(pointer.clone(), *layer);
            }
            Self::Object(parts) => {
                for (key, part) in parts {
                    let length = pointer.len();
                    push(pointer, key);
                    part.collect(pointer, origins);
                    pointer.truncate(length);
                }
            }
        }
    }
}

/// Adds a key to a JSON Pointer (RFC 6901).
pub(crate) fn push(pointer: &mut String, key: &str) {
    pointer.push('/');
    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn layered(layers: &[Value]) -> Layered {
        let mut layers = layers.iter().cloned().map(object).enumerate();
        let mut whole = Layered::base(layers.next().unwrap().1, 0);
        layers.for_each(|(place, layer)| whole.put(layer, place));
        whole
    }

    #[test]
    fn objects_merge_the_rest_replaces_and_null_removes() {
        let whole = layered(&[
            json!({"a": {"x": 1, "y": [1, 2]}, "b": 2, "n": null, "e": {}}),
            json!({"a": {"y": [3]}, "b": null, "c": {"d": null, "f": 1}, "g": {}}),
            json!({"a": {"x": {"deep": true}}}),
        ]);
        let origins = whole.origins();
        let expected =
            json!({"a": {"x": {"deep": true}, "y": [3]}, "n": null, "e": {}, "c": {"f": 1}, "g": {}});
        assert_eq!(whole.into_value(), expected);
        assert_eq!(origins["/a/x/deep"], 2);
        assert_eq!((origins["/a/y"], origins["/n"], origins["/c/f"], origins["/g"]), (1, 0, 1, 1));
    }

    #[test]
    fn a_removal_of_everything_leaves_an_object() {
        assert_eq!(
            layered(&[json!({"a": {"b": 1}}), json!({"a": {"b": null}})]).into_value(),
            json!({"a": {}})
        );
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..5_i64).prop_map(Value::from),
            "[a-c/~]{0,2}".prop_map(Value::from),
            prop::collection::vec((0..3_i64).prop_map(Value::from), 0..3).prop_map(Value::Array),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop::collection::btree_map("[a-d~/]{1,2}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect()))
        })
    }

    fn config() -> impl Strategy<Value = Value> {
        prop::collection::btree_map("[a-d~/]{1,2}", value(), 0..4)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn provenance_explains_every_value(layers in prop::collection::vec(config(), 1..4)) {
            let whole = layered(&layers);
            let origins = whole.origins();
            let value = whole.clone().into_value();
            for (pointer, layer) in &origins {
                let found = value.pointer(pointer);
                prop_assert!(found.is_some(), "{pointer} is explained, but not there");
                let empty = found == Some(&json!({}));
                prop_assert!(empty || found == layers[*layer].pointer(pointer), "{pointer} from {layer}");
            }
            // Nothing is there that is not explained.
            let mut leaves = 0;
            count(&value, &mut leaves);
            let is_whole = value == json!({}) || leaves == origins.len();
            prop_assert!(is_whole);
            prop_assert_eq!(layered(&layers), whole);
        }
    }

    fn count(value: &Value, leaves: &mut usize) {
        match value {
            Value::Object(object) if !object.is_empty() => {
                object.values().for_each(|value| count(value, leaves));
            }
            _ => *leaves += 1,
        }
    }
}
