// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Answers that were given before: the same question to the same release has the same answer, unless
//! its policies ask for the time or for chance.

use std::sync::atomic::{AtomicU32, Ordering};

use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};
use serde_json::value::RawValue;

use crate::policies::engine::{QueryPath, Snapshot};

/// The bound of what is remembered for one environment, in bytes of questions and answers.
const CAPACITY_BYTES: u64 = 1024 * 1024;
/// Larger questions and answers are not remembered.
const MAX_BYTES: usize = 8 * 1024;
/// What remembering takes beside the texts, about.
const OVERHEAD_BYTES: usize = 160;

/// How many questions take their time after one that took long.
const PATIENCE: u32 = 32;

/// The answers of one active release, and whether they come quickly. They go when the environment's
/// pointer moves.
#[derive(Debug)]
pub(super) struct Answers {
    kept: Option<Cache<Asked, Answer, BySize>>,
    patience: AtomicU32,
}

/// The result as JSON text; `None`: undefined.
pub(super) type Answer = Option<Box<RawValue>>;

/// What is asked. The input counts as it was written: reading it would cost more than most answers.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) struct Question<'a> {
    path: &'a [String],
    input: Option<&'a str>,
}

/// A question that was asked. Hashes like [`Question`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Asked {
    path: Box<[String]>,
    input: Option<Box<str>>,
}

impl<'a> Question<'a> {
    pub(super) fn new(path: &'a QueryPath, input: Option<&'a str>) -> Self {
        Self { path: path.segments(), input }
    }

    fn len(self) -> usize {
        self.path.iter().map(String::len).sum::<usize>() + self.input.map_or(0, str::len)
    }
}

impl Equivalent<Asked> for Question<'_> {
    fn equivalent(&self, asked: &Asked) -> bool {
        self.input == asked.input.as_deref() && *self.path == *asked.path
    }
}

#[derive(Debug, Clone)]
struct BySize;

impl Weighter<Asked, Answer> for BySize {
    fn weight(&self, asked: &Asked, answer: &Answer) -> u64 {
        let question = Question { path: &asked.path, input: asked.input.as_deref() };
        (question.len() + size(answer) + OVERHEAD_BYTES) as u64
    }
}

fn size(answer: &Answer) -> usize {
    answer.as_ref().map_or(0, |text| text.get().len())
}

impl Answers {
    /// Remembers the answers of a snapshot, if they can be.
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let keeps = snapshot.program().is_repeatable();
        let kept = keeps.then(|| Cache::with_weighter(4_096, CAPACITY_BYTES, BySize));
        Self { kept, patience: AtomicU32::new(0) }
    }

    fn kept(&self, question: Question<'_>) -> Option<&Cache<Asked, Answer, BySize>> {
        self.kept.as_ref().filter(|_| question.len() <= MAX_BYTES)
    }

    /// The answer that was given before.
    pub(super) fn known(&self, question: Question<'_>) -> Option<Answer> {
        self.kept(question)?.get(&question)
    }

    /// Remembers an answer.
    pub(super) fn keep(&self, question: Question<'_>, answer: &Answer) {
        if let Some(cache) = self.kept(question).filter(|_| size(answer) <= MAX_BYTES) {
            let asked = Asked { path: question.path.into(), input: question.input.map(Into::into) };
            cache.insert(asked, answer.clone());
        }
    }

    /// Whether the next answer is likely to come quickly: none of the last few took long.
    pub(super) fn may_hurry(&self) -> bool {
        let one_less = |patience: u32| patience.checked_sub(1);
        self.patience.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err()
    }

    /// Notes that an answer took long.
    pub(super) fn took_long(&self) {
        self.patience.store(PATIENCE, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::policies::engine::{Data, Limits, Module, Options, Program};

    fn snapshot(text: &str) -> Snapshot {
        let module = Module::new("p", format!("package p\n{text}"));
        let program = Program::compile(&[module], &Options::default()).unwrap();
        let data = Data::from_documents(std::iter::empty::<(&str, &str)>(), &Limits::default()).unwrap();
        Snapshot::new(Arc::new(program), &data).unwrap()
    }

    fn counted(answers: &Answers, path: &str, input: Option<&str>, asked: &mut u32) -> Answer {
        let path = QueryPath::parse(path).unwrap();
        let question = Question::new(&path, input);
        answers.known(question).unwrap_or_else(|| {
            *asked += 1;
            let answer = Some(RawValue::from_string(asked.to_string()).unwrap());
            answers.keep(question, &answer);
            answer
        })
    }

    #[test]
    fn the_same_question_is_evaluated_once_and_any_other_again() {
        let answers = Answers::of(&snapshot("x := input"));
        let mut asked = 0;
        let first = counted(&answers, "p/x", Some("1"), &mut asked);
        assert_eq!(counted(&answers, "p/x", Some("1"), &mut asked).unwrap().get(), first.unwrap().get());
        assert_eq!(asked, 1);
        for (path, input) in [("p/x", None), ("p/x", Some("1 ")), ("p", Some("1")), ("px", Some("1"))] {
            counted(&answers, path, input, &mut asked);
        }
        assert_eq!(asked, 5);
    }

    #[test]
    fn what_varies_or_is_large_is_evaluated_each_time() {
        let mut asked = 0;
        let varying = Answers::of(&snapshot("x := time.now_ns()"));
        let large = Answers::of(&snapshot("x := input"));
        let text = format!("\"{}\"", "a".repeat(MAX_BYTES));
        for _ in 0..2 {
            counted(&varying, "p/x", None, &mut asked);
            counted(&large, "p/x", Some(&text), &mut asked);
        }
        assert_eq!(asked, 4);
    }

    #[test]
    fn an_answer_that_took_long_makes_some_patient() {
        let answers = Answers::of(&snapshot("x := input"));
        assert!(answers.may_hurry());
        answers.took_long();
        assert!((0..PATIENCE).all(|_| !answers.may_hurry()));
        assert!(answers.may_hurry());
    }

    #[test]
    fn memory_is_bounded() {
        let answers = Answers::of(&snapshot("x := input"));
        let mut asked = 0;
        for number in 0..20_000 {
            counted(&answers, "p/x", Some(&format!("\"{number:0>100}\"")), &mut asked);
        }
        assert!(answers.kept.as_ref().unwrap().weight() <= CAPACITY_BYTES);
    }
}
