// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Edits of data by path, document by document.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn values(documents: &Value) -> Values {
    documents.as_object().unwrap().iter().map(|(name, value)| (parts(name), value.clone())).collect()
}

fn path(text: &str) -> Vec<String> {
    text.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// The documents after an edit, by name.
fn after(documents: &Value, at: &str, edit: &DataEdit) -> Result<Value> {
    let edited = edited(&values(documents), &path(at), edit)?;
    Ok(Value::Object(edited.into_iter().map(|(name, value)| (name.join("/"), value)).collect()))
}

fn put(documents: &Value, at: &str, value: Value) -> Value {
    after(documents, at, &DataEdit::Put(value)).unwrap()
}

#[test]
fn what_lies_in_no_document_becomes_one() {
    assert_eq!(put(&json!({}), "users/ada", json!({"age": 36})), json!({"users/ada": {"age": 36}}));
    assert_eq!(put(&json!({}), "list", json!([1])), json!({"list": [1]}));
    assert_eq!(put(&json!({}), "", json!({"a": 1, "b": {"c": 2}})), json!({"a": 1, "b": {"c": 2}}));
    let unnameable = put(&json!({}), "users/ada@example.org/age", json!(36));
    assert_eq!(unnameable, json!({"users": {"ada@example.org": {"age": 36}}}));
}

#[test]
fn a_path_leads_into_the_deepest_document_above_it() {
    let documents = json!({"users": {"ada": {"age": 1}, "bob": {}}, "users/eve": {"age": 2}});
    let changed = put(&documents, "users/ada/age", json!(36));
    assert_eq!(changed["users"], json!({"ada": {"age": 36}, "bob": {}}));
    assert_eq!(put(&documents, "users/eve/age", json!(3))["users/eve"], json!({"age": 3}));
    assert_eq!(put(&documents, "users/new/deep", json!(1))["users"]["new"], json!({"deep": 1}));
    assert_eq!(put(&json!({"list": [1, 2]}), "list/1", json!(3)), json!({"list": [1, 3]}));
}

#[test]
fn documents_below_a_path_keep_their_parts() {
    let documents = json!({"users/ada": {"age": 1}, "users/bob": {"age": 2}, "roles": {}});
    let changed = put(&documents, "users", json!({"ada": {"age": 36}, "cyd": {"age": 4}}));
    assert_eq!(changed, json!({"users/ada": {"age": 36}, "users/cyd": {"age": 4}, "roles": {}}));
    assert_eq!(put(&documents, "users", json!(null)), json!({"users": null, "roles": {}}));
    assert_eq!(put(&documents, "", json!({"roles": {"a": 1}})), json!({"roles": {"a": 1}}));
}

#[test]
fn what_is_removed_is_gone_from_every_document() {
    let documents = json!({"users": {"ada": 1, "eve": 0}, "users/bob": {"age": 2}});
    let removed = |at: &str| after(&documents, at, &DataEdit::Remove);
    assert_eq!(removed("users").unwrap(), json!({}));
    assert_eq!(removed("users/ada").unwrap()["users"], json!({"eve": 0}));
    assert_eq!(removed("users/bob/age").unwrap()["users/bob"], json!({}));
    for absent in ["users/nobody", "nothing", "users/ada/age"] {
        assert_eq!(removed(absent).unwrap_err().kind(), ErrorKind::NotFound, "{absent}");
    }
}

#[test]
fn patches_change_what_is_there() {
    let documents = json!({"users/ada": {"tags": ["a"]}, "users/bob": {}});
    let patch = |text: &str| DataEdit::patch(text.as_bytes()).unwrap();
    let added =
        patch(r#"[{"op": "add", "path": "/ada/tags/-", "value": "b"}, {"op": "remove", "path": "/bob"}]"#);
    assert_eq!(after(&documents, "users", &added).unwrap(), json!({"users/ada": {"tags": ["a", "b"]}}));
    let root = patch(r#"[{"op": "add", "path": "/new", "value": {"x": 1}}]"#);
    assert_eq!(after(&json!({}), "", &root).unwrap(), json!({"new": {"x": 1}}));
    let unfit = patch(r#"[{"op": "replace", "path": "/cyd/tags", "value": 1}]"#);
    assert_eq!(after(&documents, "users", &unfit).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(after(&documents, "absent", &added).unwrap_err().kind(), ErrorKind::NotFound);
    for refused in
        [r#"[{"op": "copy", "from": "/a", "path": "/a/b"}]"#, "{}", r#"[{"op": "add"}]"#, "nonsense"]
    {
        assert_eq!(DataEdit::patch(refused.as_bytes()).unwrap_err().kind(), ErrorKind::Invalid, "{refused}");
    }
}

#[test]
fn what_cannot_be_there_is_refused() {
    assert_eq!(
        after(&json!({"a": 1}), "a/b", &DataEdit::Put(json!(2))).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    for (at, value) in [("", json!([1])), ("@home", json!(1))] {
        assert_eq!(
            after(&json!({}), at, &DataEdit::Put(value)).unwrap_err().kind(),
            ErrorKind::Invalid,
            "{at}"
        );
    }
    assert_eq!(after(&json!({"a": 1}), "a", &DataEdit::Add(json!(2))).unwrap_err().kind(), ErrorKind::Stale);
}

#[test]
fn a_part_that_loses_its_document_finds_place_in_the_one_above() {
    let documents: Values =
        [("c", json!({})), ("c/b/b", json!(null))].map(|(name, value)| (parts(name), value)).into();
    let after = edited(&documents, &path("c"), &DataEdit::Put(json!({"b": null}))).unwrap();
    assert_eq!(after, Values::from([(parts("c"), json!({"b": null}))]));
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![Just(json!(null)), (0..9).prop_map(Value::from), Just(json!({})), Just(json!([1]))];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop::collection::btree_map("[a-c]", inner, 0..3)
            .prop_map(|entries| Value::Object(entries.into_iter().collect()))
    })
}

fn documents() -> impl Strategy<Value = Values> {
    // Documents whose parts do not collide, as a project has them.
    prop::collection::btree_map("[a-c](/[a-c]){0,2}", tree(), 0..4).prop_filter_map(
        "they collide",
        |documents| {
            let documents: Values =
                documents.into_iter().map(|(name, value)| (parts(&name), value)).collect();
            let apart = documents.iter().all(|(name, _)| {
                (1..name.len()).all(|length| {
                    let above = name.get(..length).unwrap();
                    documents.get(above).is_none_or(|outer| {
                        outer.as_object().is_some_and(|outer| !outer.contains_key(&name[length]))
                    })
                })
            });
            apart.then_some(documents)
        },
    )
}

proptest! {
    #[test]
    fn what_was_put_is_what_is_read(documents in documents(), at in "[a-c](/[a-c]){0,3}", value in tree()) {
        let at = path(&at);
        if let Ok(after) = edited(&documents, &at, &DataEdit::Put(value.clone())) {
            prop_assert_eq!(value_at(&after, &at), Some(value));
            let removed = edited(&after, &at, &DataEdit::Remove).unwrap();
            prop_assert_eq!(value_at(&removed, &at), None);
        }
    }
}
