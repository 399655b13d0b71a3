// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether the members are ones that CMS can rely on: their versions, alarms, and that they hold the same.

use cms_core::store::{Range, StoreErrorKind, StoreResult};
use etcd_client::AlarmType;

use super::calls::{Alarms, HashKv, Status};
use super::client::{Again, Client};
use super::error::{NAME, fail};
use super::keys::Keys;
use super::range;

/// What a member runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32, u32);

/// Refuses a cluster that is too old, and tells of one that may lose what it has acknowledged.
pub(super) async fn version(client: &Client) -> StoreResult<Option<String>> {
    let status = client.call(Status, Again::Safe).await?;
    Ok(judge(&status.version)?.inspect(|warning| tracing::warn!("{warning}")))
}

/// Checks everything under the prefix, and every member that answers.
pub(super) async fn check(client: &Client, keys: &Keys) -> StoreResult<()> {
    alarms(client).await?;
    let mut next = Range::prefix("");
    let revision = loop {
        let page = range::range(client, keys, &next).await?;
        match page.entries.last() {
            Some(last) if page.more => next = Range::prefix("").after(&last.key),
            _ => break page.revision,
        }
    };
    same_everywhere(client, super::keys::theirs(revision)).await
}

async fn alarms(client: &Client) -> StoreResult<()> {
    let raised = match client.call(Alarms, Again::Safe).await {
        Ok(answer) => answer.alarms,
        Err(error) => return unasked("the alarms", error),
    };
    for alarm in raised {
        let (kind, text) = match AlarmType::try_from(alarm.alarm) {
            Ok(AlarmType::Nospace) => (
                StoreErrorKind::Full,
                "has raised NOSPACE: compact, defragment, then `etcdctl alarm disarm`, or raise \
                 `--quota-backend-bytes`",
            ),
            Ok(AlarmType::Corrupt) => (
                StoreErrorKind::Corrupt,
                "has raised CORRUPT: it holds other data than the others; replace it",
            ),
            _ => continue,
        };
        return Err(fail(kind, format!("member {:x} {text}", alarm.member_id)));
    }
    Ok(())
}

/// Compares what the members hold at one revision.
async fn same_everywhere(client: &Client, revision: i64) -> StoreResult<()> {
    let mut first: Option<(u32, i64, &str)> = None;
    for (place, address) in client.addresses().enumerate() {
        match client.ask(place, Status).await {
            Ok(status) => {
                if let Some(warning) = judge(&status.version)? {
                    tracing::warn!(%address, "{warning}");
                }
            }
            Err(error) => {
                tracing::warn!(%address, %error, "a member of etcd does not answer and was not checked");
                continue;
            }
        }
        let hash = match client.ask(place, HashKv(revision)).await {
            Ok(hash) => hash,
            Err(error) => return unasked("the hash of all keys", error),
        };
        match first {
            Some((other, compacted, of)) if compacted == hash.compact_revision && other != hash.hash => {
                let text = format!(
                    "`{address}` and `{of}` hold different data: find the one that is wrong, and replace it"
                );
                return Err(fail(StoreErrorKind::Corrupt, text));
            }
            _ => first = Some((hash.hash, hash.compact_revision, address)),
        }
    }
    Ok(())
}

/// Some questions take rights that CMS need not have.
fn unasked(what: &str, error: cms_core::store::StoreError) -> StoreResult<()> {
    tracing::debug!(backend = NAME, %error, "could not ask for {what}");
    Ok(())
}

/// Whether CMS works with this version; if it does, what to warn of.
fn judge(version: &str) -> StoreResult<Option<String>> {
    let numbers: Vec<u32> = version.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect();
    let [major, minor, patch, ..] = numbers.as_slice() else {
        return Err(fail(
            StoreErrorKind::Unsupported,
            format!("etcd calls its version `{version}`: CMS needs 3.4 or later"),
        ));
    };
    let found = Version(*major, *minor, *patch);
    if found < Version(3, 4, 0) {
        return Err(fail(
            StoreErrorKind::Unsupported,
            format!("etcd is of version {version}: CMS needs 3.4 or later"),
        ));
    }
    let loses = (Version(3, 4, 0)..Version(3, 4, 21)).contains(&found)
        || (Version(3, 5, 0)..=Version(3, 5, 2)).contains(&found);
    Ok(loses.then(|| {
        format!(
            "etcd {version} may lose acknowledged writes when a member crashes: go to 3.4.21, 3.5.3 or later"
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_lose_writes_are_warned_of_and_old_ones_refused() {
        for version in ["3.4.0", "3.4.20", "3.5.0", "3.5.2"] {
            assert!(judge(version).unwrap().is_some(), "{version}");
        }
        for version in ["3.4.21", "3.4.23", "3.5.3", "3.6.0-rc.1", "4.0.0"] {
            assert_eq!(judge(version).unwrap(), None, "{version}");
        }
        for version in ["3.3.27", "2.3.8", "new", ""] {
            assert_eq!(judge(version).unwrap_err().kind(), StoreErrorKind::Unsupported, "{version}");
        }
    }
}
