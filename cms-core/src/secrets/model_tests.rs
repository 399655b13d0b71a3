// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Random operations on the service and on a model of a dozen lines; both must answer the same.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::fixture::{Fixture, path, put_text, rag};
use super::*;
use crate::api::secrets::SecretState;

#[derive(Debug, Clone)]
enum Step {
    Put { name: usize, cas: Option<u64>, value: u16 },
    Delete { name: usize, version: Option<u64> },
    Undelete { name: usize, version: u64 },
    Destroy { name: usize, version: u64 },
    RotateKeys,
    Restart,
}

/// The versions of each secret, from 1: the value and the state.
type Model = BTreeMap<usize, Vec<(u16, SecretState)>>;

fn step() -> impl Strategy<Value = Step> {
    let name = 0_usize..3;
    prop_oneof![
        5 => (name.clone(), proptest::option::of(0_u64..5), any::<u16>())
            .prop_map(|(name, cas, value)| Step::Put { name, cas, value }),
        2 => (name.clone(), proptest::option::of(1_u64..5)).prop_map(|(name, version)| Step::Delete { name, version }),
        2 => (name.clone(), 1_u64..5).prop_map(|(name, version)| Step::Undelete { name, version }),
        1 => (name, 1_u64..5).prop_map(|(name, version)| Step::Destroy { name, version }),
        1 => Just(Step::RotateKeys),
        1 => Just(Step::Restart),
    ]
}

fn at(versions: &mut [(u16, SecretState)], version: u64) -> Option<&mut (u16, SecretState)> {
    usize::try_from(version).ok()?.checked_sub(1).and_then(|at| versions.get_mut(at))
}

/// Does a step to the model; tells whether it must succeed.
fn predict(model: &mut Model, step: &Step) -> bool {
    match *step {
        Step::Put { name, cas, value } => {
            let current = model.get(&name).map_or(0, |versions| versions.len() as u64);
            let fits = cas.is_none_or(|cas| cas == current);
            if fits {
                model.entry(name).or_default().push((value, SecretState::Live));
            }
            fits
        }
        Step::Delete { name, version } => {
            let Some(versions) = model.get_mut(&name) else { return false };
            let latest = versions.len() as u64;
            let Some(found) = at(versions, version.unwrap_or(latest)) else { return false };
            let was_live = found.1 == SecretState::Live;
            if was_live {
                found.1 = SecretState::Deleted;
            }
            was_live || version.is_some()
        }
        Step::Undelete { name, version } => {
            match model.get_mut(&name).and_then(|versions| at(versions, version)) {
                None | Some((_, SecretState::Destroyed)) => false,
                Some(found) => {
                    found.1 = SecretState::Live;
                    true
                }
            }
        }
        Step::Destroy { name, version } => {
            match model.get_mut(&name).and_then(|versions| at(versions, version)) {
                None => false,
                Some(found) => {
                    found.1 = SecretState::Destroyed;
                    true
                }
            }
        }
        Step::RotateKeys | Step::Restart => true,
    }
}

async fn run(fixture: &mut Fixture, step: &Step) -> bool {
    let (secrets, ctx, project) = (&fixture.secrets, &fixture.ctx, rag());
    match *step {
        Step::Put { name, cas, value } => {
            fixture.put(&text(name), &PutSecret { cas, ..put_text(&value.to_string()) }).await.is_ok()
        }
        Step::Delete { name, version } => {
            secrets.delete(ctx, &project, &path(&text(name)), version.map(|v| vec![v]), None).await.is_ok()
        }
        Step::Undelete { name, version } => {
            secrets.undelete(ctx, &project, &path(&text(name)), Some(vec![version]), None).await.is_ok()
        }
        Step::Destroy { name, version } => {
            secrets.destroy(ctx, &project, &path(&text(name)), vec![version], None).await.is_ok()
        }
        Step::RotateKeys => {
            fixture.keyrings.rotate_project(ctx, &project).await.unwrap();
            secrets.reseal(ctx, &project, &|_| ()).await.is_ok()
        }
        Step::Restart => {
            *fixture = fixture.another_process().await;
            true
        }
    }
}

fn text(name: usize) -> String {
    format!("s/{name}")
}

async fn compare(fixture: &Fixture, model: &Model) {
    for (name, versions) in model {
        for (at, (value, state)) in versions.iter().enumerate() {
            let reveal = RevealSecret { version: Some(at as u64 + 1), reason: None };
            let revealed = fixture.secrets.reveal(&fixture.ctx, &rag(), &path(&text(*name)), reveal).await;
            match state {
                SecretState::Live => {
                    assert_eq!(revealed.unwrap().data.expose(), format!("{{\"key\":\"{value}\"}}"))
                }
                SecretState::Deleted => assert_eq!(revealed.unwrap_err().code(), "version_deleted"),
                SecretState::Destroyed => assert_eq!(revealed.unwrap_err().code(), "version_destroyed"),
            }
        }
    }
    let names: Vec<String> = model.keys().map(|name| text(*name)).collect();
    assert_eq!(fixture.list(None, 2).await, names);
    fixture.verify().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_service_does_what_the_model_does(steps in proptest::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut fixture = Fixture::new().await;
            let mut model = Model::new();
            for step in &steps {
                let expected = predict(&mut model, step);
                assert_eq!(run(&mut fixture, step).await, expected, "{step:?}");
            }
            compare(&fixture, &model).await;
        });
    }
}
