// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How one question is answered: as it was before, here and now, or in the lane for what takes long.

use std::time::Instant;

use serde_json::value::RawValue;

use super::answers::{Answer, Question};
use super::{Decisions, Ready, failed, verdict};
use crate::error::{Error, ErrorKind, Result};
use crate::policies::engine::{Evaluation, EvaluationError, EvaluationOptions, Input, QueryPath, Snapshot};

impl Decisions {
    /// What stands at a path, as JSON text; `None`: undefined.
    pub(super) async fn answer(
        &self,
        ready: &Ready,
        path: &QueryPath,
        input: Option<&str>,
        options: EvaluationOptions,
    ) -> Result<Answer> {
        // What is remembered was asked without options.
        let question = (options == EvaluationOptions::default()).then(|| Question::new(path, input));
        let result = match question.and_then(|question| ready.answers.known(question)) {
            Some(answer) => Ok(answer),
            None => {
                let started = Instant::now();
                let result = self.evaluated(ready, path, input, options).await;
                self.kit.db.counts().evaluated(started);
                if let (Some(question), Ok(answer)) = (question, &result) {
                    ready.answers.keep(question, answer);
                }
                result
            }
        };
        self.kit.db.counts().decided(verdict(&result));
        result
    }

    /// Most policies are answered before another thread would have been woken. What takes longer is begun
    /// anew in the lane, where it keeps nobody else waiting: an evaluation has no effects.
    async fn evaluated(
        &self,
        ready: &Ready,
        path: &QueryPath,
        input: Option<&str>,
        options: EvaluationOptions,
    ) -> Result<Answer> {
        let input = read(&ready.snapshot, input)?;
        if ready.answers.may_hurry() {
            let hurried = ready.snapshot.evaluate_hurried(path, &input, options);
            if let Some(evaluation) = hurried.transpose() {
                return written(&ready.snapshot, evaluation);
            }
            ready.answers.took_long();
        }
        let (snapshot, path) = (ready.snapshot.clone(), path.clone());
        let work = move || written(&snapshot, snapshot.evaluate_with(&path, &input, options));
        self.kit.lane.run(&ready.project, work).await?
    }
}

/// Evaluates on this thread, for as long as it takes.
pub(super) fn run(
    snapshot: &Snapshot,
    path: &QueryPath,
    input: Option<&str>,
    options: EvaluationOptions,
) -> Result<Answer> {
    let input = read(snapshot, input)?;
    written(snapshot, snapshot.evaluate_with(path, &input, options))
}

fn read(snapshot: &Snapshot, input: Option<&str>) -> Result<Input> {
    let Some(text) = input else { return Ok(Input::NONE) };
    Input::from_json(text.as_bytes(), snapshot.program())
        .map_err(|error| Error::new(ErrorKind::Invalid, "invalid_input", error.to_string()))
}

fn written(snapshot: &Snapshot, evaluated: Result<Evaluation, EvaluationError>) -> Result<Answer> {
    let limit = snapshot.program().limits().output_bytes;
    let answer = evaluated.and_then(|evaluation| evaluation.to_json(limit)).map_err(failed)?;
    let Some(bytes) = answer else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(Error::internal)?;
    RawValue::from_string(text).map(Some).map_err(Error::internal)
}
