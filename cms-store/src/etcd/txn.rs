// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The port's transactions as etcd's: one for one, never split.

use cms_core::store::{Condition, LeaseId, Operation, Outcome, StoreErrorKind, StoreResult, Transaction};
use prost::Message;

use super::client::{Again, Answered, Client};
use super::config::EtcdConfig;
use super::error::fail;
use super::keys::{Keys, ours, theirs};
use super::wire::{
    Compare, DeleteRangeRequest, EQUAL, GREATER, KeyValue, MODIFIED, PutRequest, RangeRequest, RequestOp,
    TxnRequest, TxnResponse, VERSION,
};

/// What a request has besides its transaction, at most.
const ENVELOPE_BYTES: usize = 512;

/// Builds etcd's transaction, which shows in case of a conflict what the conditions were judged by.
///
/// # Errors
/// `TooLarge` for one that etcd would refuse, with the limit and the flag that raises it.
pub(super) fn request(
    config: &EtcdConfig,
    keys: &Keys,
    transaction: &Transaction,
) -> StoreResult<TxnRequest> {
    let mut request = TxnRequest::default();
    for condition in &transaction.conditions {
        request.compare.push(compare(keys, condition));
        let key = keys.key(condition.key());
        request.failure.push(read(RangeRequest { key, keys_only: true, ..RangeRequest::default() }));
    }
    request.success = transaction.operations.iter().map(|operation| write(keys, operation)).collect();
    if !transaction.erased.is_empty() {
        request.success.push(put(PutRequest { key: keys.mark(), ..PutRequest::default() }));
    }
    let operations = request.success.len().max(request.compare.len());
    if operations > config.max_operations {
        let text = format!(
            "a transaction of {operations} operations is past etcd's limit of {}: split it, or raise etcd's \
             `--max-txn-ops` and `etcd.max_operations` together",
            config.max_operations
        );
        return Err(fail(StoreErrorKind::TooLarge, text));
    }
    let bytes = request.encoded_len() + ENVELOPE_BYTES;
    if bytes > config.max_request_bytes {
        let text = format!(
            "a transaction of {bytes} bytes is past etcd's limit of {}: split it, or raise etcd's \
             `--max-request-bytes` and `etcd.max_request_bytes` together",
            config.max_request_bytes
        );
        return Err(fail(StoreErrorKind::TooLarge, text));
    }
    Ok(request)
}

/// Sends a transaction and finds out how it ended.
pub(super) async fn commit(
    client: &Client,
    transaction: &Transaction,
    request: TxnRequest,
) -> StoreResult<Outcome> {
    let before = client.seen();
    let again = if holds_once(transaction) { Again::Guarded } else { Again::Never };
    let Answered { answer, repeated } = client.try_call(request, again).await?;
    if answer.succeeded {
        let revision = answer.header.as_ref().map_or(0, |header| header.revision);
        return Ok(Outcome::Committed { revision: ours(revision) });
    }
    let failed = failed(transaction, &answer);
    if failed.is_empty() {
        let text =
            "a condition failed that holds by what was read in the same transaction: check the members";
        return Err(fail(StoreErrorKind::Corrupt, text));
    }
    // A key that was changed before the first try failed its condition then, too.
    let from_the_beginning =
        |(_, kv): &(usize, Option<&KeyValue>)| kv.is_some_and(|kv| kv.mod_revision <= before);
    if repeated && !failed.iter().any(from_the_beginning) {
        let text = "the first try was not answered, and the second met a change that may be its own: read before \
                    trying again";
        return Err(fail(StoreErrorKind::Unknown, text));
    }
    Ok(Outcome::Conflict { failed: failed.into_iter().map(|(place, _)| place).collect() })
}

/// Whether a transaction cannot be carried out twice: it changes a key that it wants absent or unchanged.
fn holds_once(transaction: &Transaction) -> bool {
    transaction.conditions.iter().any(|condition| {
        let key = condition.key();
        transaction.operations.iter().any(|operation| match (condition, operation) {
            (Condition::Absent(_) | Condition::Unchanged(..), Operation::Put { key: put, .. }) => put == key,
            (Condition::Present(_) | Condition::Unchanged(..), Operation::Delete { key: gone }) => {
                gone == key
            }
            (Condition::Present(_) | Condition::Unchanged(..), Operation::DeletePrefix { prefix }) => {
                key.starts_with(prefix)
            }
            _ => false,
        })
    })
}

/// The conditions that did not hold, with what they were judged by.
fn failed<'a>(transaction: &Transaction, answer: &'a TxnResponse) -> Vec<(usize, Option<&'a KeyValue>)> {
    let found = answer.responses.iter().map(|response| response.range.as_ref()?.kvs.first());
    let judged = transaction.conditions.iter().zip(found).enumerate();
    judged.filter(|(_, (condition, kv))| !holds(condition, *kv)).map(|(place, (_, kv))| (place, kv)).collect()
}

fn holds(condition: &Condition, kv: Option<&KeyValue>) -> bool {
    match condition {
        Condition::Absent(_) => kv.is_none(),
        Condition::Present(_) => kv.is_some(),
        Condition::Unchanged(_, revision) => kv.is_some_and(|kv| kv.mod_revision == theirs(*revision)),
    }
}

fn compare(keys: &Keys, condition: &Condition) -> Compare {
    let key = keys.key(condition.key());
    let version = Compare { key: key.clone(), target: VERSION, version: Some(0), ..Compare::default() };
    match condition {
        Condition::Absent(_) => Compare { result: EQUAL, ..version },
        Condition::Present(_) => Compare { result: GREATER, ..version },
        Condition::Unchanged(_, revision) => Compare {
            key,
            result: EQUAL,
            target: MODIFIED,
            mod_revision: Some(theirs(*revision)),
            ..Compare::default()
        },
    }
}

fn write(keys: &Keys, operation: &Operation) -> RequestOp {
    match operation {
        Operation::Put { key, value, lease } => put(PutRequest {
            key: keys.key(key),
            value: value.clone(),
            lease: lease.map_or(0, |LeaseId(id)| i64::try_from(id).unwrap_or(i64::MAX)),
        }),
        Operation::Delete { key } => {
            delete(DeleteRangeRequest { key: keys.key(key), ..DeleteRangeRequest::default() })
        }
        Operation::DeletePrefix { prefix } => {
            delete(DeleteRangeRequest { key: keys.key(prefix), range_end: keys.prefix_end(prefix) })
        }
    }
}

fn read(range: RangeRequest) -> RequestOp {
    RequestOp { range: Some(range), ..RequestOp::default() }
}

fn put(put: PutRequest) -> RequestOp {
    RequestOp { put: Some(put), ..RequestOp::default() }
}

fn delete(delete: DeleteRangeRequest) -> RequestOp {
    RequestOp { delete: Some(delete), ..RequestOp::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_be_done_twice_is_sent_again() {
        let once = [
            Transaction::new().when(Condition::Absent("a".into())).put("a", "1"),
            Transaction::new().when(Condition::Unchanged("a".into(), 3)).put("a", "1"),
            Transaction::new().when(Condition::Present("a".into())).delete("a"),
            Transaction::new().when(Condition::Unchanged("p/a".into(), 3)).delete_prefix("p/"),
        ];
        for transaction in once {
            assert!(holds_once(&transaction), "{transaction:?}");
        }
        let more = [
            Transaction::new().put("a", "1"),
            Transaction::new().when(Condition::Present("a".into())).put("a", "1"),
            Transaction::new().when(Condition::Absent("a".into())).delete("a"),
            Transaction::new().when(Condition::Absent("b".into())).put("a", "1"),
        ];
        for transaction in more {
            assert!(!holds_once(&transaction), "{transaction:?}");
        }
    }

    #[test]
    fn what_etcd_would_refuse_is_refused_before_with_the_flag_that_raises_the_limit() {
        let config = EtcdConfig::parse("//a", false).unwrap();
        let keys = Keys::new("cms");
        let many = (0..129).fold(Transaction::new(), |all, number| all.put(format!("k{number}"), ""));
        let error = request(&config, &keys, &many).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::TooLarge);
        assert!(error.to_string().contains("--max-txn-ops"), "{error}");
        let large =
            (0..2).fold(Transaction::new(), |all, number| all.put(format!("k{number}"), vec![0; 800_000]));
        let error = request(&config, &keys, &large).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::TooLarge);
        assert!(error.to_string().contains("--max-request-bytes"), "{error}");
    }
}
