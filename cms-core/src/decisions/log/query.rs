// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reading the log of decisions, newest first. There is no index: a page looks at a bounded number of
//! decisions and answers what it has found, with a cursor to go on from.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::segments;
use crate::api::decision_log::{DecisionQuery, LoggedDecision};
use crate::api::{Page, PageQuery};
use crate::auth::{Action, Target};
use crate::context::RequestContext;
use crate::decisions::{Decisions, only_environment};
use crate::error::{Error, Result};
use crate::ids::{EnvironmentId, ProjectId};
use crate::store::{Entry, Scope};

/// How many decisions one page looks at.
const MAX_EXAMINED: usize = 20_000;
/// How many segments are read at a time.
const SEGMENTS_READ: usize = 16;
/// A segment holds decisions of so many milliseconds after the first, at most.
const SEGMENT_SPAN: i64 = 60_000;

/// The log of one environment, for a caller who may read it.
pub(super) struct Reader<'a> {
    decisions: &'a Decisions,
    pub(super) scope: Scope,
    pub(super) environment: EnvironmentId,
}

/// Where a page ended: at the decision in this segment at this place.
#[derive(Debug, Clone)]
struct Cursor {
    segment: String,
    place: usize,
}

impl Cursor {
    fn parse(text: &str) -> Result<Self> {
        let parse = || {
            let (segment, place) = text.split_once(':')?;
            Some(Self { segment: segment.to_owned(), place: place.parse().ok()? })
        };
        parse().ok_or_else(|| Error::invalid("`cursor` is not one that this list has answered"))
    }
}

impl Decisions {
    /// Lists logged decisions, newest first.
    ///
    /// # Errors
    /// `Denied` without the permission; `Invalid` for a page that cannot be.
    pub async fn logged(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        query: &DecisionQuery,
    ) -> Result<Page<LoggedDecision>> {
        let reader = self.reader(ctx, project, query.environment.as_deref()).await?;
        reader.page(query, &query.page()).await
    }

    /// Reads one logged decision.
    ///
    /// # Errors
    /// `NotFound` if it was not logged, or is kept no longer.
    pub async fn logged_one(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        environment: Option<&str>,
        id: &str,
    ) -> Result<LoggedDecision> {
        let reader = self.reader(ctx, project, environment).await?;
        let found = match uuid::Uuid::try_parse(id).ok().and_then(|id| id.get_timestamp()) {
            Some(time) => reader.find(id, time.to_unix()).await?,
            None => None,
        };
        found.ok_or_else(|| {
            Error::not_found(format!("the decision in the log of `{}`", reader.environment))
                .with_hint("decisions appear about a second after they were made, if they are logged at all")
        })
    }

    /// Exports logged decisions in OPA's format, newest first, one JSON object a line.
    ///
    /// # Errors
    /// As [`Decisions::logged`]; an error in the middle ends the stream.
    pub async fn export_logged(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        query: DecisionQuery,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        self.reader(ctx, project, query.environment.as_deref()).await?;
        let state = (self.clone(), ctx.clone(), project.clone(), Some(query), VecDeque::<Bytes>::new());
        let lines = stream::try_unfold(state, |(log, ctx, project, mut query, mut ready)| async move {
            loop {
                if let Some(line) = ready.pop_front() {
                    return Ok(Some((line, (log, ctx, project, query, ready))));
                }
                let Some(asked) = query.take() else { return Ok(None) };
                let asked = DecisionQuery { limit: Some(crate::api::page::MAX_LIMIT), ..asked };
                let page = log.logged(&ctx, &project, &asked).await?;
                for decision in &page.items {
                    let mut line = Vec::new();
                    segments::add(&mut line, decision)?;
                    ready.push_back(line.into());
                }
                query = page.next_cursor.map(|cursor| DecisionQuery { cursor: Some(cursor), ..asked });
            }
        });
        Ok(lines.boxed())
    }

    pub(super) async fn reader(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        environment: Option<&str>,
    ) -> Result<Reader<'_>> {
        let named = environment.map(EnvironmentId::parse).transpose()?;
        let target = Target::new(project, "decision").environment(named.as_ref());
        let proof = self.kit.authorize(ctx, Action::DecisionRead, target).await?;
        let scope = self.kit.scope(&proof);
        let environment = match named {
            Some(environment) => environment,
            None => only_environment(&scope).await?,
        };
        Ok(Reader { decisions: self, scope, environment })
    }
}

impl Reader<'_> {
    /// Lists what matches, newest first.
    pub(super) async fn page(&self, query: &DecisionQuery, page: &PageQuery) -> Result<Page<LoggedDecision>> {
        let limit = page.limit()?;
        let cursor = page.after()?.map(|text| Cursor::parse(&text)).transpose()?;
        let (lowest, mut end) = self.bounds(query);
        if let Some(cursor) = &cursor {
            // The segment itself belongs to the page again: what it holds below the cursor.
            end = end.min(format!("{}{}\0", segments::prefix(&self.environment), cursor.segment));
        }
        let (mut found, mut examined) = (Vec::new(), 0);
        loop {
            let read = self.scope.between(&lowest, &end, SEGMENTS_READ).await?;
            for entry in &read.entries {
                let segment = self.segment(entry).to_owned();
                let lines = segments::read(&self.decisions.kit, &self.scope, entry).await?;
                let lines: Vec<_> =
                    lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
                let below = cursor.as_ref().filter(|cursor| cursor.segment == segment);
                for (place, line) in lines.iter().enumerate().rev() {
                    if below.is_some_and(|cursor| place >= cursor.place) {
                        continue;
                    }
                    examined += 1;
                    let decision: LoggedDecision = serde_json::from_slice(line).map_err(Error::internal)?;
                    if matches(query, &decision) {
                        found.push(decision);
                    }
                    if found.len() == limit || examined == MAX_EXAMINED {
                        return Ok(Page::new(found, Some(&format!("{segment}:{place}"))));
                    }
                }
                end = self.scope.relative(&entry.key).to_owned();
            }
            if !read.more {
                return Ok(Page::new(found, None));
            }
        }
    }

    /// Finds a decision that was made at about this time, in seconds and nanoseconds.
    async fn find(&self, id: &str, (seconds, nanos): (u64, u32)) -> Result<Option<LoggedDecision>> {
        let millis = i64::try_from(seconds.saturating_mul(1000) + u64::from(nanos / 1_000_000)).unwrap_or(0);
        let at = |millis| Some(crate::clock::Timestamp::from_millis(millis));
        let query = DecisionQuery { from: at(millis - 5), to: at(millis + 6), ..DecisionQuery::default() };
        let mut page = PageQuery { limit: Some(crate::api::page::MAX_LIMIT), cursor: None };
        loop {
            let found = self.page(&query, &page).await?;
            if let Some(decision) = found.items.into_iter().find(|decision| decision.decision_id == id) {
                return Ok(Some(decision));
            }
            match found.next_cursor {
                Some(cursor) => page.cursor = Some(cursor),
                None => return Ok(None),
            }
        }
    }

    /// The relative keys of the segments that can hold such decisions.
    fn bounds(&self, query: &DecisionQuery) -> (String, String) {
        let environment = &self.environment;
        let lowest = match query.from {
            Some(from) => {
                let start = from.as_millis().saturating_sub(SEGMENT_SPAN);
                segments::floor(environment, crate::clock::Timestamp::from_millis(start))
            }
            None => segments::prefix(environment),
        };
        let end = match query.to {
            Some(to) => segments::floor(environment, to),
            None => format!("{}~", segments::prefix(environment)),
        };
        (lowest, end)
    }

    fn segment<'e>(&self, entry: &'e Entry) -> &'e str {
        let relative = self.scope.relative(&entry.key);
        relative.strip_prefix(&segments::prefix(&self.environment)).unwrap_or(relative)
    }
}

fn matches(query: &DecisionQuery, decision: &LoggedDecision) -> bool {
    let is_under = |path: &String| {
        let wanted = path.strip_prefix("data.").unwrap_or(path).replace('.', "/");
        decision
            .path
            .strip_prefix(wanted.trim_matches('/'))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let is_of = |user: &String| decision.user.as_ref() == Some(user) || decision.caller == *user;
    query.user.as_ref().is_none_or(is_of)
        && query.path.as_ref().is_none_or(is_under)
        && query.outcome.is_none_or(|outcome| outcome == decision.outcome)
        && query.release.as_ref().is_none_or(|release| decision.release() == Some(release))
        && query.from.is_none_or(|from| decision.timestamp >= from)
        && query.to.is_none_or(|to| decision.timestamp < to)
}
