// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What keeps OpenBao from doing what was asked, in words for anybody and in detail for the log.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use rustify::errors::ClientError as HttpError;
use vaultrs::error::ClientError;

/// What came of a call that was not answered with what was asked for.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// There is nothing at the path.
    Absent,
    /// It understood and refused: the entry exists already, or cannot be decrypted.
    Refused(Words),
    /// The token does not count, or may not do this.
    Forbidden(Words),
    /// It has not caught up with what it was asked about.
    Behind(Words),
    /// It does not answer, or not with what can be used.
    Down(Words),
}

/// For anybody, and for the log.
#[derive(Debug, Clone)]
pub(super) struct Words {
    public: &'static str,
    detail: String,
}

impl Trouble {
    pub(super) fn down(public: &'static str) -> Self {
        Self::Down(Words { public, detail: String::new() })
    }

    pub(super) fn with_detail(mut self, text: impl Into<String>) -> Self {
        match &mut self {
            Self::Absent => {}
            Self::Refused(words) | Self::Forbidden(words) | Self::Behind(words) | Self::Down(words) => {
                words.detail = text.into();
            }
        }
        self
    }

    /// The same of a login: what that refuses is who asks.
    pub(super) fn at_login(self) -> Self {
        match self {
            Self::Refused(words) | Self::Forbidden(words) => {
                Self::Forbidden(Words { public: "does not let CMS log in", ..words })
            }
            other => other,
        }
    }

    /// What the log may hold beside the words: OpenBao's own, never what was sent or answered.
    pub(super) fn detail(&self) -> &str {
        match self {
            Self::Absent => "",
            Self::Refused(words) | Self::Forbidden(words) | Self::Behind(words) | Self::Down(words) => {
                &words.detail
            }
        }
    }

    /// Whether it answered, whatever it was.
    pub(super) fn is_answer(&self) -> bool {
        matches!(self, Self::Absent | Self::Refused(_))
    }

    /// The error for whoever needs it to go on.
    pub(super) fn unavailable(self, code: &'static str) -> cms_core::Error {
        let text = format!("OpenBao, which this needs, {self}");
        let error = cms_core::Error::unavailable(code, text).with_retry_after(Duration::from_secs(2));
        match self.detail() {
            "" => error,
            detail => error.with_source(detail.to_owned()),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "has no such entry",
            Self::Refused(words) | Self::Forbidden(words) | Self::Behind(words) | Self::Down(words) => {
                words.public
            }
        })
    }
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::APIError { code, errors } => Self::of_status(*code, errors),
            ClientError::RestClientError { source: HttpError::ServerResponseError { code, .. } } => {
                Self::of_status(*code, &[])
            }
            ClientError::RestClientError { source: HttpError::RequestError { source, .. } } => {
                let causes: Vec<String> = source.chain().map(ToString::to_string).collect();
                Self::down("cannot be reached, or does not answer in time").with_detail(causes.join(": "))
            }
            // The rest may quote what was answered: only its kind is told.
            _ => Self::down("answers what cannot be read").with_detail(match error.source() {
                Some(_) => error.to_string(),
                None => String::from("the answer is not what was expected"),
            }),
        }
    }
}

impl Trouble {
    fn of_status(code: u16, errors: &[String]) -> Self {
        let told = errors.join("; ");
        let is_sealed = told.contains("is sealed");
        let (make, public): (fn(Words) -> Self, _) = match code {
            404 if errors.is_empty() => return Self::Absent,
            404 => (Self::Down, "has nothing mounted at the configured path"),
            400 | 405 => (Self::Refused, "refuses what was asked"),
            401 | 403 => (Self::Forbidden, "does not let CMS do this"),
            412 => (Self::Behind, "has not caught up with the latest change"),
            429 => (Self::Down, "asks for fewer requests"),
            472 | 473 => (Self::Down, "is a standby that answers no requests"),
            501 => (Self::Down, "is not initialised"),
            503 if is_sealed => (Self::Down, "is sealed"),
            _ => (Self::Down, "answers with an error of its own"),
        };
        make(Words { public, detail: format!("status {code}: {told}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: u16, errors: &[&str]) -> Trouble {
        let errors = errors.iter().map(|text| (*text).to_owned()).collect();
        ClientError::APIError { code, errors }.into()
    }

    #[test]
    fn every_answer_has_its_words() {
        let cases: [(u16, &[&str], &str); 9] = [
            (404, &[], "no such entry"),
            (404, &["no handler for route \"kv/data/x\""], "nothing mounted"),
            (403, &["permission denied"], "does not let CMS"),
            (412, &["required index state not present"], "not caught up"),
            (429, &["request path: rate limit quota exceeded"], "fewer requests"),
            (473, &[], "standby"),
            (501, &[], "not initialised"),
            (503, &["Vault is sealed"], "is sealed"),
            (500, &["internal error"], "error of its own"),
        ];
        for (code, errors, words) in cases {
            assert!(of(code, errors).to_string().contains(words), "{code}");
        }
    }

    #[test]
    fn a_missing_mount_is_not_a_missing_entry() {
        assert!(of(404, &[]).is_answer());
        assert!(!of(404, &["no handler for route \"kv/metadata/x\". route entry not found."]).is_answer());
    }

    #[test]
    fn the_log_is_not_given_what_was_answered() {
        let parsing = HttpError::ResponseParseError {
            source: "s3cret".parse::<u8>().unwrap_err().into(),
            content: Some("s3cret".into()),
        };
        let trouble = Trouble::from(ClientError::from(parsing));
        assert!(!format!("{trouble:?}").contains("s3cret"), "{trouble:?}");
    }
}
