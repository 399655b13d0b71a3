// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What every [`Material`] must do, as a table of named cases that any test harness can run. Each case uses
//! projects of its own; it is given a material in which nothing lies for them.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};

use crate::error::{Error, ErrorKind};
use crate::ids::ProjectId;
use crate::secrets::material::Material;

/// Finds out whether a material does what it must; if not, what it does instead.
pub type Run = fn(Arc<dyn Material>) -> BoxFuture<'static, Result<(), String>>;

/// One thing that a material must do.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The behaviour.
    pub name: &'static str,
    /// Finds out whether it does.
    pub run: Run,
}

/// What is wrong with the material.
struct Failure(String);

type Verdict = Result<(), Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(format!("unexpected {:?}: {error}", error.kind()))
    }
}

/// Builds the entries of the table from the functions' own names.
macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        vec![$(Case {
            name: stringify!($case),
            run: |material| Box::pin(async move { $case(&*material).await.map_err(|failure| failure.0) }),
        }),+]
    };
}

/// All cases.
pub fn cases() -> Vec<Case> {
    cases![
        an_absent_entry_reads_as_none,
        a_value_is_read_as_it_was_put,
        an_id_is_used_once,
        of_those_who_race_for_an_id_one_wins,
        what_is_destroyed_is_gone,
        destroying_what_is_not_there_is_no_error,
        every_id_is_listed,
        projects_do_not_meet,
        it_tells_that_it_is_well,
    ]
}

async fn an_absent_entry_reads_as_none(it: &dyn Material) -> Verdict {
    same(it.get(&project("absent")?, "nothing").await?, None)
}

async fn a_value_is_read_as_it_was_put(it: &dyn Material) -> Verdict {
    let project = project("values")?;
    let all: Vec<u8> = (0..=255).collect();
    for (id, length) in [("small", 1), ("all", 256), ("large", 96 * 1024)] {
        let value: Bytes = all.iter().copied().cycle().take(length).collect();
        it.put(&project, id, value.clone()).await?;
        same(it.get(&project, id).await?, Some(value))?;
    }
    Ok(())
}

async fn an_id_is_used_once(it: &dyn Material) -> Verdict {
    let project = project("once")?;
    it.put(&project, "id", Bytes::from_static(b"first")).await?;
    for value in [&b"second"[..], b"first"] {
        let Err(error) = it.put(&project, "id", Bytes::from_static(value)).await else {
            return Err(Failure(String::from("a second value was taken")));
        };
        same((error.kind(), error.code()), (ErrorKind::Unavailable, "material_unavailable"))?;
    }
    same(it.get(&project, "id").await?, Some(Bytes::from_static(b"first")))
}

async fn of_those_who_race_for_an_id_one_wins(it: &dyn Material) -> Verdict {
    let project = project("race")?;
    let puts = (0..8_u8).map(|value| it.put(&project, "id", Bytes::copy_from_slice(&[value])));
    let taken: Vec<bool> = join_all(puts).await.iter().map(Result::is_ok).collect();
    same(taken.iter().filter(|taken| **taken).count(), 1)?;
    let winner = taken.iter().position(|taken| *taken).and_then(|place| u8::try_from(place).ok());
    same(it.get(&project, "id").await?, winner.map(|value| Bytes::copy_from_slice(&[value])))
}

async fn what_is_destroyed_is_gone(it: &dyn Material) -> Verdict {
    let project = project("destroyed")?;
    it.put(&project, "goes", Bytes::from_static(b"x")).await?;
    it.put(&project, "stays", Bytes::from_static(b"y")).await?;
    it.destroy(&project, "goes").await?;
    same(it.get(&project, "goes").await?, None)?;
    same(it.get(&project, "stays").await?, Some(Bytes::from_static(b"y")))?;
    same(it.list(&project).await?, vec![String::from("stays")])
}

async fn destroying_what_is_not_there_is_no_error(it: &dyn Material) -> Verdict {
    let project = project("nothing")?;
    it.destroy(&project, "nothing").await?;
    it.put(&project, "id", Bytes::from_static(b"x")).await?;
    it.destroy(&project, "id").await?;
    it.destroy(&project, "id").await?;
    Ok(())
}

async fn every_id_is_listed(it: &dyn Material) -> Verdict {
    let project = project("listed")?;
    same(it.list(&project).await?, Vec::new())?;
    let ids: Vec<String> = (0..250).map(|number| format!("{number:032x}")).collect();
    for ids in ids.chunks(25) {
        for put in join_all(ids.iter().map(|id| it.put(&project, id, Bytes::from_static(b"x")))).await {
            put?;
        }
    }
    let mut listed = it.list(&project).await?;
    listed.sort();
    same(listed, ids)
}

async fn projects_do_not_meet(it: &dyn Material) -> Verdict {
    let (one, other) = (project("one")?, project("one-more")?);
    it.put(&one, "id", Bytes::from_static(b"1")).await?;
    it.put(&other, "id", Bytes::from_static(b"2")).await?;
    same(it.list(&one).await?, vec![String::from("id")])?;
    it.destroy(&one, "id").await?;
    same(it.get(&other, "id").await?, Some(Bytes::from_static(b"2")))
}

async fn it_tells_that_it_is_well(it: &dyn Material) -> Verdict {
    it.ready()?;
    same(it.health().await, Ok(()))
}

fn project(name: &str) -> Result<ProjectId, Failure> {
    Ok(ProjectId::parse(name)?)
}

fn same<T: PartialEq + fmt::Debug>(found: T, expected: T) -> Verdict {
    if found == expected {
        return Ok(());
    }
    Err(Failure(format!("found {found:.200?}, expected {expected:.200?}")))
}
