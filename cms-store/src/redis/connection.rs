// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The one connection to Redis, which all calls share and which is made again when it was lost.
//!
//! The client's own manager is not used: it keeps an error other than one of the network for ever, such as that
//! of a Redis that still loads.

use std::sync::Arc;
use std::time::Duration;

use cms_core::limits::NoAnswer;
use parking_lot::RwLock;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// How long opening a connection may take; whoever asks need not wait for it.
pub(super) const CONNECT: Duration = Duration::from_secs(2);

/// A way to Redis. Cloning shares it.
#[derive(Clone)]
pub(super) struct Connection(Arc<Shared>);

struct Shared {
    client: Client,
    present: RwLock<Option<MultiplexedConnection>>,
    connecting: Mutex<()>,
}

impl Connection {
    /// Prepares the way; nothing is sent.
    pub(super) fn new(client: Client) -> Self {
        Self(Arc::new(Shared { client, present: RwLock::default(), connecting: Mutex::default() }))
    }

    /// Makes a call, and waits this long for its answer, the connection included.
    pub(super) async fn call<T>(
        &self,
        time: Duration,
        call: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Result<T, NoAnswer> {
        let called = async {
            let mut connection = self.open().await?;
            call(&mut connection).await.inspect_err(|error| {
                if error.is_unrecoverable_error() {
                    *self.0.present.write() = None;
                }
            })
        };
        match timeout(time, called).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(NoAnswer(format!("Redis does not answer as it should: {error}"))),
            Err(_) => Err(NoAnswer(format!("Redis has not answered within {time:?}"))),
        }
    }

    async fn open(&self) -> Result<MultiplexedConnection, RedisError> {
        if let Some(present) = self.present() {
            return Ok(present);
        }
        let it = self.clone();
        // A task of its own: it goes on when whoever began it has waited long enough.
        let connecting = tokio::spawn(async move {
            let _one = it.0.connecting.lock().await;
            if let Some(present) = it.present() {
                return Ok(present);
            }
            // How long an answer may take, each call says.
            let config =
                AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(None);
            let made = it.0.client.get_multiplexed_async_connection_with_config(&config).await?;
            Ok(it.0.present.write().insert(made).clone())
        });
        connecting.await.unwrap_or_else(|ended| Err(std::io::Error::other(ended).into()))
    }

    fn present(&self) -> Option<MultiplexedConnection> {
        self.0.present.read().clone()
    }
}
