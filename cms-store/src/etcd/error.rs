// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From what gRPC and etcd answer to the port's kinds, each with what to do next.

use std::error::Error;

use cms_core::store::{StoreError, StoreErrorKind};
use tonic::{Code, ConnectError, Status};

/// The name of this backend.
pub(super) const NAME: &str = "etcd";

pub(super) fn fail(kind: StoreErrorKind, message: impl Into<String>) -> StoreError {
    StoreError::new(NAME, kind, message)
}

/// How far a call came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    /// It did not leave this process.
    Nobody,
    /// etcd has refused it: nothing was changed.
    Refused,
    /// It may have been carried out, or still be.
    Perhaps,
}

/// What gRPC says of a call that has failed.
pub(super) fn status_of(error: etcd_client::Error) -> Status {
    match error {
        etcd_client::Error::GRpcStatus(status) => status,
        error => Status::internal(error.to_string()),
    }
}

/// How far a call came that has ended like this.
pub(super) fn reached(status: &Status) -> Reached {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return Reached::Nobody;
        }
        cause = error.source();
    }
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::ResourceExhausted
        | Code::Unimplemented => Reached::Refused,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => Reached::Perhaps,
    }
}

/// Whether a new login may help.
pub(super) fn needs_login(status: &Status) -> bool {
    let text = status.message();
    status.code() == Code::Unauthenticated
        || text.contains("invalid auth token")
        || text.contains("revision of auth store is old")
}

/// What a refusal amounts to: nothing was changed.
pub(super) fn refusal(status: Status) -> StoreError {
    use StoreErrorKind as Kind;
    let text = status.message();
    let (kind, what) = match status.code() {
        // This is gRPC's client, not etcd.
        Code::OutOfRange if text.contains("message length too large") => {
            (Kind::TooLarge, "the answer is larger than what is read at once".to_owned())
        }
        Code::OutOfRange if text.contains("compacted") => {
            (Kind::Compacted, "the history up to this revision is forgotten: read afresh".to_owned())
        }
        Code::OutOfRange if text.contains("future revision") => {
            let what =
                "the cluster has not reached this revision: it was put back to an older state; read afresh";
            (Kind::Compacted, what.to_owned())
        }
        Code::NotFound if text.contains("lease") => (Kind::Unsupported, "the lease has ended".to_owned()),
        Code::InvalidArgument if text.contains("too many operations") => {
            let what = "more operations than etcd takes in one transaction: raise its `--max-txn-ops` and \
                        `etcd.max_operations` together";
            (Kind::TooLarge, what.to_owned())
        }
        Code::InvalidArgument if text.contains("too large") => (Kind::TooLarge, request_too_large()),
        Code::ResourceExhausted if text.contains("larger than max") => (Kind::TooLarge, request_too_large()),
        Code::InvalidArgument if text.contains("user name is empty") => {
            (Kind::Unavailable, "etcd asks for a user: write `etcd.user` and `etcd.password_file`".to_owned())
        }
        Code::InvalidArgument if text.contains("authentication") => {
            (Kind::Unavailable, "etcd knows no such user or another password: mend `etcd.user`".to_owned())
        }
        Code::PermissionDenied => (
            Kind::Unavailable,
            "etcd's user may not do this: grant its role `readwrite` on the prefix of the URL".to_owned(),
        ),
        Code::ResourceExhausted if text.contains("space exceeded") => (
            Kind::Full,
            "etcd has reached its quota: compact, defragment, then `etcdctl alarm disarm`, or raise \
             `--quota-backend-bytes`"
                .to_owned(),
        ),
        Code::Unimplemented => {
            (Kind::Unsupported, "what answers is no etcd of version 3.4 or later".to_owned())
        }
        _ => (Kind::Unavailable, format!("etcd refused: {text}")),
    };
    fail(kind, what).with_source(status)
}

fn request_too_large() -> String {
    "a larger transaction than etcd takes: raise its `--max-request-bytes` and `etcd.max_request_bytes` together"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_etcd_itself_refused_counts_as_not_done() {
        let timed_out = Status::unavailable("etcdserver: request timed out");
        assert_eq!(reached(&timed_out), Reached::Perhaps);
        assert_eq!(reached(&Status::unknown("h2 protocol error")), Reached::Perhaps);
        assert_eq!(reached(&Status::resource_exhausted("etcdserver: too many requests")), Reached::Refused);
        let unsent = Status::from_error(Box::new(ConnectError("refused".into())));
        assert_eq!(reached(&unsent), Reached::Nobody);
    }

    #[test]
    fn refusals_name_the_flag_of_etcd() {
        let cases = [
            (Status::invalid_argument("etcdserver: too many operations in txn request"), "--max-txn-ops"),
            (Status::invalid_argument("etcdserver: request is too large"), "--max-request-bytes"),
            (
                Status::resource_exhausted("etcdserver: mvcc: database space exceeded"),
                "--quota-backend-bytes",
            ),
        ];
        for (status, flag) in cases {
            let error = refusal(status);
            assert!(error.to_string().contains(flag), "{error}");
        }
    }
}
