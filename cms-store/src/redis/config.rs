// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where Redis is, and who CMS is there.

use std::time::Duration;

use cms_core::sensitive::Sensitive;
use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionInfo, IntoConnectionInfo, RedisError, TlsCertificates};

/// The schemes, without TLS and with it.
const PLAIN: &str = "redis://";
const TLS: &str = "rediss://";
/// When a connection without a sign of life is given up by the machine.
const SIGN_OF_LIFE: Duration = Duration::from_secs(3);

/// How Redis is reached.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RedisConfig {
    /// `redis://HOST[:PORT][/DATABASE]`, or with TLS `rediss://`.
    pub url: String,
    /// The user, where Redis has users.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Sensitive<String>>,
    /// The authorities that its certificate must come from, as PEM; otherwise the machine's.
    pub ca: Option<Vec<u8>>,
    /// What all keys begin with.
    pub prefix: String,
    /// How long a call may take.
    pub timeout: Duration,
}

/// A setting for Redis that cannot be used. The text says what to write.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct InvalidRedis {
    text: &'static str,
    #[source]
    source: Option<RedisError>,
}

impl RedisConfig {
    /// Redis at this URL, with nothing else said.
    ///
    /// # Errors
    /// For what is no such URL, and for one with a password.
    pub fn parse(url: &str) -> Result<Self, InvalidRedis> {
        let location = url.strip_prefix(TLS).or_else(|| url.strip_prefix(PLAIN));
        let Some(location) = location else {
            return Err(wrong("the URL must be `redis://HOST[:PORT][/DATABASE]`, or with TLS `rediss://…`"));
        };
        if location.contains('@') {
            return Err(wrong(
                "the URL names a user: write it as `redis.user`, and its password as `redis.password_file`",
            ));
        }
        if location.contains(['?', '#']) {
            return Err(wrong("the URL has parameters: write them as settings of `redis`"));
        }
        let config = Self {
            url: url.to_owned(),
            user: None,
            password: None,
            ca: None,
            prefix: "cms".to_owned(),
            timeout: Duration::from_millis(50),
        };
        config.client()?;
        Ok(config)
    }

    /// Whether it is spoken to by TLS.
    pub fn is_tls(&self) -> bool {
        self.url.starts_with(TLS)
    }

    /// A client, which has sent nothing yet.
    pub(super) fn client(&self) -> Result<Client, InvalidRedis> {
        let about: ConnectionInfo =
            self.url.as_str().into_connection_info().map_err(InvalidRedis::unusable)?;
        let mut who = about.redis_settings().clone();
        if let Some(user) = &self.user {
            who = who.set_username(user);
        }
        if let Some(password) = &self.password {
            who = who.set_password(password.expose());
        }
        let about = about
            .set_redis_settings(who)
            .set_tcp_settings(TcpSettings::default().set_user_timeout(SIGN_OF_LIFE).set_nodelay(true));
        if self.is_tls() {
            let authorities = TlsCertificates { client_tls: None, root_cert: self.ca.clone() };
            Client::build_with_tls(about, authorities).map_err(InvalidRedis::unusable)
        } else {
            Client::open(about).map_err(InvalidRedis::unusable)
        }
    }
}

impl InvalidRedis {
    /// For what the client itself refuses.
    pub(super) fn unusable(source: RedisError) -> Self {
        let text = "the URL or the authorities cannot be used: check `redis.url` and `redis.ca`";
        Self { text, source: Some(source) }
    }
}

fn wrong(text: &'static str) -> InvalidRedis {
    InvalidRedis { text, source: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_place_and_nothing_else() {
        for url in ["redis://a", "redis://a:7000/3", "rediss://[::1]:6380"] {
            assert_eq!(RedisConfig::parse(url).unwrap().is_tls(), url.starts_with("rediss"), "{url}");
        }
        let cases = [
            ("http://a", "redis://"),
            ("a:6379", "redis://"),
            ("redis://me:pw@a", "password_file"),
            ("redis://a?protocol=resp3", "settings of `redis`"),
            ("redis://a/x", "redis.url"),
        ];
        for (url, expected) in cases {
            let error = RedisConfig::parse(url).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("pw"), "{url}: {error}");
        }
    }
}
