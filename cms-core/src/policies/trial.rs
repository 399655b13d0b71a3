// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The first time that policies are compiled and their tests run: before they are written.
//!
//! The engine bounds what policies cost, and survives what they do, as far as a process can. What no
//! process survives, such as memory that cannot be had, is to happen elsewhere: a [`Trial`] may run a
//! [`Candidate`] in a process of its own, which `cms serve` does. The default is [`InProcess`].

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::engine::{Data, Diagnostic, Limits, Module, Options, Program, TestReport, Value, run_tests};
use crate::error::{Error, Result};
use crate::ids::ProjectId;

/// Runs candidates.
#[async_trait]
pub trait Trial: fmt::Debug + Send + Sync {
    /// Compiles the policies of a project, and runs their tests if they have some.
    ///
    /// # Errors
    /// `Unprocessable` if the candidate does not come to an end within its limits; `Unavailable` if it
    /// cannot be tried now.
    async fn run(&self, project: &ProjectId, candidate: Candidate) -> Result<Verdict>;
}

/// All policies of a project as they would be after a change, and the data that their tests see.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Candidate {
    modules: Vec<Module>,
    /// By the names of the documents.
    data: Vec<(String, Value)>,
    is_platform: bool,
    tests: bool,
}

/// What came of a candidate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Verdict {
    /// It does not compile.
    Refused(Vec<Diagnostic>),
    /// It compiles.
    Compiled,
    /// It compiles, and these are the results of its tests.
    Tested(TestReport),
}

impl Candidate {
    /// Policies that are only to be compiled.
    pub(crate) fn untested(modules: Vec<Module>, is_platform: bool) -> Self {
        Self { modules, data: Vec::new(), is_platform, tests: false }
    }

    /// Policies whose tests are to run over data.
    pub(crate) fn tested(modules: Vec<Module>, data: &Data, is_platform: bool) -> Self {
        // Without tests, nothing looks at the data; it may be large.
        let tests = modules.iter().any(|module| module.text.contains("test_"));
        let names = data.names().filter(|_| tests);
        let data = names.filter_map(|name| Some((name.to_owned(), data.document(name)?.clone()))).collect();
        Self { modules, data, is_platform, tests: true }
    }

    /// Compiles and tests here and now, on this thread.
    ///
    /// # Errors
    /// If the data does not fit together.
    pub fn run(self) -> Result<Verdict> {
        let options = match self.is_platform {
            true => Options::platform(Limits::default()),
            false => Options::project(Limits::default()),
        };
        if !self.tests {
            let compiled = Program::compile(&self.modules, &options);
            return Ok(compiled.map_or_else(Verdict::Refused, |_| Verdict::Compiled));
        }
        let data = self.data.into_iter().try_fold(Data::default(), |data, (name, value)| {
            data.with_value(&name, Some(value)).map_err(|found| Error::internal(found.to_string()))
        })?;
        Ok(run_tests(&self.modules, &data, &options).map_or_else(Verdict::Refused, Verdict::Tested))
    }
}

/// Tries candidates on a thread of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct InProcess;

#[async_trait]
impl Trial for InProcess {
    async fn run(&self, _: &ProjectId, candidate: Candidate) -> Result<Verdict> {
        tokio::task::spawn_blocking(move || candidate.run()).await.map_err(Error::internal)?
    }
}
