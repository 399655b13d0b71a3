// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Mails as they lie in the store: whom to tell, and what. The address is looked up when a mail is sent.

use serde::{Deserialize, Serialize};

use crate::api::mails::MailDelivery;
use crate::webhooks::Progress;

/// What the relative keys of mails begin with.
pub(super) const MAILS: &str = "mail/";

/// One mail on its way to one person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MailRecord {
    pub(crate) v: u8,
    /// The id of the event.
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) user: String,
    /// Tells the user from another one who gets the name later.
    pub(crate) uid: String,
    pub(crate) subject: String,
    pub(crate) text: String,
    #[serde(flatten)]
    pub(crate) progress: Progress,
}

impl MailRecord {
    /// The mail as it goes on the wire.
    pub(super) fn to_wire(&self) -> MailDelivery {
        MailDelivery {
            id: self.id.clone(),
            kind: self.kind.clone(),
            user: self.user.clone(),
            subject: self.subject.clone(),
            state: self.progress.state,
            attempts: self.progress.attempts,
            created_at: self.progress.created_at,
            next_attempt_at: self.progress.next_attempt(),
            last_result: self.progress.last.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn the_record_of_version_1_stays_readable() {
        let record = MailRecord {
            v: 1,
            id: "evt_0199".into(),
            kind: "request.opened".into(),
            user: "ann".into(),
            uid: "00ff".into(),
            subject: "p: approval asked for: more".into(),
            text: "more\n".into(),
            progress: Progress::begun(Timestamp::from_millis(0)),
        };
        let golden = include_str!("../../testdata/mail_v1.json");
        assert_eq!(format!("{}\n", serde_json::to_string(&record).unwrap()), golden);
        assert_eq!(serde_json::from_str::<MailRecord>(golden).unwrap(), record);
    }
}
