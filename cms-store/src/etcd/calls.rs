// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The calls to etcd that CMS makes, each as a value that can be sent again, with what its answer shows of
//! the cluster.

use std::future::Future;

use etcd_client::proto::{
    PbAlarmResponse, PbCompactionResponse, PbHashKvResponse, PbLeaseGrantResponse, PbLeaseRevokeResponse,
    PbRangeResponse, PbResponseHeader, PbStatusResponse, PbTxnResponse,
};
use etcd_client::{AlarmAction, AlarmType, Client, CompactionOptions, Error, GetOptions, Txn};

use super::client::MAX_ANSWER_BYTES;

/// A request that has one answer.
pub(super) trait Call: Clone + Send {
    /// The answer.
    type Answer: Headed + Send;
    /// Whether the answer shows everything that was committed before the request: its revision never goes back.
    const ORDERED: bool;

    /// Sends it.
    fn send(self, client: Client) -> impl Future<Output = Result<Self::Answer, Error>> + Send;
}

/// What every answer carries.
pub(super) trait Headed {
    /// Which cluster answered, and at which revision.
    fn header(&self) -> Option<&PbResponseHeader>;
}

/// Says of answers that they carry a header.
macro_rules! headed {
    ($($answer:ty),+) => {$(
        impl Headed for $answer {
            fn header(&self) -> Option<&PbResponseHeader> {
                self.header.as_ref()
            }
        }
    )+};
}

headed!(
    PbAlarmResponse,
    PbCompactionResponse,
    PbHashKvResponse,
    PbLeaseGrantResponse,
    PbLeaseRevokeResponse,
    PbRangeResponse,
    PbStatusResponse,
    PbTxnResponse
);

/// Reads a key, or with a range among its options, many.
#[derive(Debug, Clone, Default)]
pub(super) struct Get {
    pub key: Vec<u8>,
    pub options: GetOptions,
}

impl Call for Get {
    type Answer = PbRangeResponse;
    const ORDERED: bool = true;

    async fn send(self, client: Client) -> Result<Self::Answer, Error> {
        let mut kv = client.kv_client().max_decoding_message_size(MAX_ANSWER_BYTES);
        Ok(kv.get(self.key, Some(self.options)).await?.0)
    }
}

impl Call for Txn {
    type Answer = PbTxnResponse;
    const ORDERED: bool = true;

    async fn send(self, client: Client) -> Result<Self::Answer, Error> {
        let mut kv = client.kv_client().max_decoding_message_size(MAX_ANSWER_BYTES);
        Ok(kv.txn(self).await?.0)
    }
}

/// Forgets the history up to a revision; the answer waits until the member has removed it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Compact(pub i64);

impl Call for Compact {
    type Answer = PbCompactionResponse;
    const ORDERED: bool = false;

    async fn send(self, mut client: Client) -> Result<Self::Answer, Error> {
        Ok(client.compact(self.0, Some(CompactionOptions::new().with_physical())).await?.0)
    }
}

/// Grants a lease for some seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grant(pub i64);

impl Call for Grant {
    type Answer = PbLeaseGrantResponse;
    const ORDERED: bool = false;

    async fn send(self, mut client: Client) -> Result<Self::Answer, Error> {
        Ok(client.lease_grant(self.0, None).await?.0)
    }
}

/// Ends a lease.
#[derive(Debug, Clone, Copy)]
pub(super) struct Revoke(pub i64);

impl Call for Revoke {
    type Answer = PbLeaseRevokeResponse;
    const ORDERED: bool = false;

    async fn send(self, mut client: Client) -> Result<Self::Answer, Error> {
        Ok(client.lease_revoke(self.0).await?.0)
    }
}

/// Keeps a lease for another span.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keep(pub i64);

/// Whether the lease was still there. The answer's header stays inside of the client.
pub(super) struct Kept(pub bool);

impl Headed for Kept {
    fn header(&self) -> Option<&PbResponseHeader> {
        None
    }
}

impl Call for Keep {
    type Answer = Kept;
    const ORDERED: bool = false;

    async fn send(self, mut client: Client) -> Result<Self::Answer, Error> {
        match client.lease_keep_alive(self.0).await {
            Ok(_) => Ok(Kept(true)),
            Err(Error::LeaseKeepAliveError(_)) => Ok(Kept(false)),
            Err(error) => Err(error),
        }
    }
}

/// Asks a member what it runs and whom it follows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Status;

impl Call for Status {
    type Answer = PbStatusResponse;
    const ORDERED: bool = false;

    async fn send(self, mut client: Client) -> Result<Self::Answer, Error> {
        Ok(client.status().await?.0)
    }
}

/// Asks for the alarms that are raised.
#[derive(Debug, Clone, Copy)]
pub(super) struct Alarms;

impl Call for Alarms {
    type Answer = PbAlarmResponse;
    const ORDERED: bool = false;

    async fn send(self, mut client: Client) -> Result<Self::Answer, Error> {
        Ok(client.alarm(AlarmAction::Get, AlarmType::None, None).await?.0)
    }
}

/// Asks a member for the hash of all that it holds at a revision.
#[derive(Debug, Clone, Copy)]
pub(super) struct HashKv(pub i64);

impl Call for HashKv {
    type Answer = PbHashKvResponse;
    const ORDERED: bool = false;

    async fn send(self, mut client: Client) -> Result<Self::Answer, Error> {
        Ok(client.hash_kv(self.0).await?.0)
    }
}
