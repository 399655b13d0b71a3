// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The port through which mails leave: whoever embeds CMS brings the connection.

use std::fmt;

use async_trait::async_trait;

use crate::error::{Error, Place, Result};

/// The longest address, in characters (RFC 5321, 4.5.3.1.3, without its brackets).
const MAX_ADDRESS_CHARS: usize = 254;

/// A mail to one person.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// The same for every attempt, so that receivers can tell repetitions.
    pub id: String,
    /// The address.
    pub to: String,
    /// What it is about. What people wrote may be in it.
    pub subject: String,
    /// The text.
    pub text: String,
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Sends mails. An implementation MUST answer within some seconds, and MUST NOT let a subject or an address
/// become anything but one header.
#[async_trait]
pub trait Mailer: fmt::Debug + Send + Sync {
    /// Sends a mail once.
    ///
    /// # Errors
    /// What is shown to who administers the project: no address, nothing that the server has said.
    async fn send(&self, mail: &Mail) -> Result<(), String>;
}

/// Refuses what is no mail address that headers can bear as it is.
///
/// # Errors
/// `Unprocessable`, with the place `path`.
pub(crate) fn check_address(path: &str, address: &str) -> Result<()> {
    let is_plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.ends_with('.')
            && !part.contains("..")
            && part
                .chars()
                .all(|sign| !sign.is_control() && !sign.is_whitespace() && !r#"()<>[]:;@\,""#.contains(sign))
    };
    let is_address = address.split_once('@').is_some_and(|(local, host)| is_plain(local) && is_plain(host));
    if is_address && address.chars().count() <= MAX_ADDRESS_CHARS {
        return Ok(());
    }
    let message = String::from("must be a mail address such as `ann@example.org`");
    let place = Place { path: Some(path.to_owned()), message: message.clone(), ..Place::default() };
    Err(Error::unprocessable("invalid_user", message).with_places(vec![place]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_hold_nothing_that_a_header_would_not_bear() {
        for good in ["ann@example.org", "a.n+n@x", "ä@exämple.org"] {
            assert!(check_address("/email", good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "ann",
            "@x",
            "ann@",
            "a@b@c",
            "a b@c",
            "a@b\r\nBcc: c@d",
            "a@b\n",
            "Ann <a@b>",
            "a@b,c@d",
            "a..b@c",
            "\"a\"@b",
            "a@[127.0.0.1]",
        ] {
            assert!(check_address("/email", bad).is_err(), "{bad:?}");
        }
    }
}
