// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The port's transactions as etcd's: one for one, never split.

use cms_core::store::{Condition, LeaseId, Operation, Outcome, StoreErrorKind, StoreResult, Transaction};
use etcd_client::proto::{PbKeyValue, PbTxnOpResponse, PbTxnResponse};
use etcd_client::{Compare, CompareOp, DeleteOptions, GetOptions, PutOptions, Txn, TxnOp};

use super::client::{Again, Answered, Client};
use super::config::EtcdConfig;
use super::error::fail;
use super::keys::{Keys, ours, theirs};
/// What an operation or a condition has besides its key and value, at most, and what a request has.
const ENVELOPE_BYTES: usize = 64;

/// Builds etcd's transaction, which shows in case of a conflict what the conditions were judged by.
///
/// # Errors
/// `TooLarge` for one that etcd would refuse, with the limit and the flag that raises it.
pub(super) fn request(config: &EtcdConfig, keys: &Keys, transaction: &Transaction) -> StoreResult<Txn> {
    let marked = usize::from(!transaction.erased.is_empty());
    let operations = (transaction.operations.len() + marked).max(transaction.conditions.len());
    if operations > config.max_operations {
        let text = format!(
            "a transaction of {operations} operations is past etcd's limit of {}: split it, or raise etcd's \
             `--max-txn-ops` and `etcd.max_operations` together",
            config.max_operations
        );
        return Err(fail(StoreErrorKind::TooLarge, text));
    }
    let bytes = bytes(keys, transaction);
    if bytes > config.max_request_bytes {
        let text = format!(
            "a transaction of {bytes} bytes is past etcd's limit of {}: split it, or raise etcd's \
             `--max-request-bytes` and `etcd.max_request_bytes` together",
            config.max_request_bytes
        );
        return Err(fail(StoreErrorKind::TooLarge, text));
    }
    let conditions = &transaction.conditions;
    let compared: Vec<Compare> = conditions.iter().map(|condition| compare(keys, condition)).collect();
    let mut written: Vec<TxnOp> =
        transaction.operations.iter().map(|operation| write(keys, operation)).collect();
    if marked > 0 {
        written.push(TxnOp::put(keys.mark(), [], None));
    }
    let judged: Vec<TxnOp> = conditions
        .iter()
        .map(|condition| TxnOp::get(keys.key(condition.key()), Some(GetOptions::new().with_keys_only())))
        .collect();
    Ok(Txn::new().when(compared).and_then(written).or_else(judged))
}

/// How large a transaction is on its way, at most.
fn bytes(keys: &Keys, transaction: &Transaction) -> usize {
    let of = |key: &str| keys.key(key).len() + ENVELOPE_BYTES;
    // Each condition stands there twice: to be compared, and to be shown.
    let conditions = transaction.conditions.iter().map(|condition| 2 * of(condition.key()));
    let operations = transaction.operations.iter().map(|operation| match operation {
        Operation::Put { key, value, .. } => of(key) + value.len(),
        Operation::Delete { key } => of(key),
        Operation::DeletePrefix { prefix } => 2 * of(prefix),
    });
    conditions.chain(operations).sum::<usize>() + of("")
}

/// Sends a transaction and finds out how it ended.
pub(super) async fn commit(client: &Client, transaction: &Transaction, request: Txn) -> StoreResult<Outcome> {
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
        |(_, kv): &(usize, Option<&PbKeyValue>)| kv.is_some_and(|kv| kv.mod_revision <= before);
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
fn failed<'a>(transaction: &Transaction, answer: &'a PbTxnResponse) -> Vec<(usize, Option<&'a PbKeyValue>)> {
    let found = answer.responses.iter().map(|response| match &response.response {
        Some(PbTxnOpResponse::ResponseRange(range)) => range.kvs.first(),
        _ => None,
    });
    let judged = transaction.conditions.iter().zip(found).enumerate();
    judged.filter(|(_, (condition, kv))| !holds(condition, *kv)).map(|(place, (_, kv))| (place, kv)).collect()
}

fn holds(condition: &Condition, kv: Option<&PbKeyValue>) -> bool {
    match condition {
        Condition::Absent(_) => kv.is_none(),
        Condition::Present(_) => kv.is_some(),
        Condition::Unchanged(_, revision) => kv.is_some_and(|kv| kv.mod_revision == theirs(*revision)),
    }
}

fn compare(keys: &Keys, condition: &Condition) -> Compare {
    let key = keys.key(condition.key());
    match condition {
        Condition::Absent(_) => Compare::version(key, CompareOp::Equal, 0),
        Condition::Present(_) => Compare::version(key, CompareOp::Greater, 0),
        Condition::Unchanged(_, revision) => Compare::mod_revision(key, CompareOp::Equal, theirs(*revision)),
    }
}

fn write(keys: &Keys, operation: &Operation) -> TxnOp {
    match operation {
        Operation::Put { key, value, lease } => {
            let lease = lease.map(|LeaseId(id)| i64::try_from(id).unwrap_or(i64::MAX));
            let options = lease.map(|lease| PutOptions::new().with_lease(lease));
            TxnOp::put(keys.key(key), value.as_ref(), options)
        }
        Operation::Delete { key } => TxnOp::delete(keys.key(key), None),
        Operation::DeletePrefix { prefix } => {
            let options = DeleteOptions::new().with_range(keys.prefix_end(prefix));
            TxnOp::delete(keys.key(prefix), Some(options))
        }
    }
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
