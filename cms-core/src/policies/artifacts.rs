// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is compiled and parsed from the documents of a set, kept by the hash of what it was made
//! from: a change of data never recompiles policies, and two releases with the same policies share
//! one program.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::engine::{Data, Diagnostic, Limits, Module, Options, Program, Snapshot};
use super::places;
use crate::api::documents::Kind;
use crate::documents::record::SetRecord;
use crate::documents::set::{Member, read_string};
use crate::error::{Error, Result};
use crate::store::Scope;

/// How much source text the kept programs and data may come from, in bytes. What is kept takes up to
/// twenty times as much memory.
const CAPACITY_BYTES: u64 = 64 * 1024 * 1024;

/// Programs, data and snapshots by the hash of what they come from. Cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct Artifacts(Arc<Kinds>);

#[derive(Debug)]
struct Kinds {
    programs: Cache<String, Kept<Arc<Program>>, BySource>,
    data: Cache<String, Kept<Data>, BySource>,
    snapshots: Cache<String, Arc<Snapshot>>,
}

/// Something that was made from source text of a size.
#[derive(Debug, Clone)]
struct Kept<T> {
    value: T,
    source_bytes: u32,
}

/// Weighs what is kept by the text that it came from.
#[derive(Debug, Clone)]
struct BySource;

impl<T> Weighter<String, Kept<T>> for BySource {
    fn weight(&self, _: &String, kept: &Kept<T>) -> u64 {
        u64::from(kept.source_bytes.max(1_024))
    }
}

fn bounded<T: Clone>() -> Cache<String, Kept<T>, BySource> {
    Cache::with_weighter(256, CAPACITY_BYTES, BySource)
}

impl Artifacts {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Kinds { programs: bounded(), data: bounded(), snapshots: Cache::new(4_096) }))
    }

    /// The compiled policies and parsed data of a set.
    pub(crate) async fn snapshot(&self, scope: &Scope, set: &SetRecord) -> Result<Arc<Snapshot>> {
        let (policies, data) = (program_key(scope, set), data_key(scope, set));
        let key = format!("{policies} {data}");
        if let Some(snapshot) = self.0.snapshots.get(&key) {
            return Ok(snapshot);
        }
        let program = self.program(scope, set).await?;
        let data = self.data(scope, set).await?;
        let snapshot = Arc::new(Snapshot::new(program, &data).map_err(|found| refused(&found))?);
        self.0.snapshots.insert(key, snapshot.clone());
        Ok(snapshot)
    }

    /// The compiled policies of a set.
    pub(crate) async fn program(&self, scope: &Scope, set: &SetRecord) -> Result<Arc<Program>> {
        let key = program_key(scope, set);
        if let Some(kept) = self.0.programs.get(&key) {
            return Ok(kept.value);
        }
        let modules = self.modules(scope, set).await?;
        let program = compile(modules, options(scope)).await?;
        self.keep_program(scope, set, program.clone());
        Ok(program)
    }

    /// The parsed data of a set.
    pub(crate) async fn data(&self, scope: &Scope, set: &SetRecord) -> Result<Data> {
        let key = data_key(scope, set);
        if let Some(kept) = self.0.data.get(&key) {
            return Ok(kept.value);
        }
        let mut texts = Vec::new();
        for Member { name, hash, .. } in set.members(scope, Some(Kind::Data)).await? {
            texts.push((name, read_string(scope, &hash).await?));
        }
        let limits = options(scope).limits;
        let source_bytes = weight(texts.iter().map(|(_, text)| text.len()));
        let data = tokio::task::spawn_blocking(move || {
            Data::from_documents(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())), &limits)
        })
        .await
        .map_err(Error::internal)?
        .map_err(|found| refused(&found))?;
        self.0.data.insert(key, Kept { value: data.clone(), source_bytes });
        Ok(data)
    }

    /// Keeps what the gate has compiled, so that the activation that follows finds it.
    pub(crate) fn keep_program(&self, scope: &Scope, set: &SetRecord, program: Arc<Program>) {
        let source_bytes =
            u32::try_from(set.count(Kind::Policy).saturating_mul(8 * 1024)).unwrap_or(u32::MAX);
        self.0.programs.insert(program_key(scope, set), Kept { value: program, source_bytes });
    }

    /// Keeps what the gate has parsed.
    pub(crate) fn keep_data(&self, scope: &Scope, set: &SetRecord, data: Data, source_bytes: u32) {
        self.0.data.insert(data_key(scope, set), Kept { value: data, source_bytes });
    }

    /// How much text the kept data of a set came from, at most.
    pub(crate) fn data_bytes(&self, scope: &Scope, set: &SetRecord) -> u32 {
        self.0.data.get(&data_key(scope, set)).map_or(0, |kept| kept.source_bytes)
    }

    /// The policies of a set, as texts.
    pub(crate) async fn modules(&self, scope: &Scope, set: &SetRecord) -> Result<Vec<Module>> {
        let mut modules = Vec::new();
        for Member { name, hash, .. } in set.members(scope, Some(Kind::Policy)).await? {
            modules.push(Module::new(name, read_string(scope, &hash).await?));
        }
        Ok(modules)
    }
}

/// Compiles off the async threads.
pub(crate) async fn compile(modules: Vec<Module>, options: Options) -> Result<Arc<Program>> {
    tokio::task::spawn_blocking(move || Program::compile(&modules, &options))
        .await
        .map_err(Error::internal)?
        .map(Arc::new)
        .map_err(|found| refused(&found))
}

/// What the policies of a project may say and cost.
pub(crate) fn options(scope: &Scope) -> Options {
    if scope.project().is_platform() { Options::platform(Limits::default()) } else { Options::default() }
}

fn weight(sizes: impl Iterator<Item = usize>) -> u32 {
    u32::try_from(sizes.sum::<usize>()).unwrap_or(u32::MAX)
}

fn refused(found: &[Diagnostic]) -> Error {
    Error::unprocessable("invalid_policy", "the policies do not compile").with_places(places(found))
}

fn program_key(scope: &Scope, set: &SetRecord) -> String {
    format!("{} {}", scope.project(), set.kind_hash(Kind::Policy))
}

fn data_key(scope: &Scope, set: &SetRecord) -> String {
    format!("{} {}", scope.project(), set.kind_hash(Kind::Data))
}
