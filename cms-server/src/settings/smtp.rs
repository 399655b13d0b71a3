// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The settings of the mail server.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::files::{read_bytes, read_password};
use super::{SettingsError, needs, wrong};
use crate::notify::{Smtp, SmtpMailer, SmtpTls};

/// Through which server mails leave. Without a host, none is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SmtpSettings {
    /// Its name or address.
    pub host: Option<String>,
    /// Its port; 587, 465 or 25 by `tls` if not given.
    pub port: Option<u16>,
    /// `starttls`, `implicit`, or, for a server on this machine, `none`.
    pub tls: SmtpTls,
    /// A certificate authority of one's own, as a PEM file.
    pub ca_file: Option<PathBuf>,
    /// As whom to log in.
    pub user: Option<String>,
    /// A file with the password.
    pub password_file: Option<PathBuf>,
    /// The sender.
    pub from: Option<String>,
}

impl SmtpSettings {
    /// The server, if one is named.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub(super) fn server(&self) -> Result<Option<Smtp>, SettingsError> {
        let Some(host) = &self.host else {
            return match self {
                settings if *settings == Self::default() => Ok(None),
                _ => Err(needs("smtp.host", "mail.example.org", "the other keys of `smtp` are")),
            };
        };
        let is_local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if self.tls == SmtpTls::None && !is_local {
            return Err(wrong(
                "smtp.tls",
                "none",
                "`starttls` or `implicit` for a server on another machine",
            ));
        }
        let login = match (&self.user, &self.password_file) {
            (None, None) => None,
            (Some(user), Some(path)) => Some((user.clone(), read_password("smtp.password_file", path)?)),
            (Some(_), None) => {
                return Err(needs("smtp.password_file", "/etc/cms/smtp.password", "`smtp.user` is"));
            }
            (None, Some(_)) => return Err(needs("smtp.user", "cms", "`smtp.password_file` is")),
        };
        let from = self.from.clone();
        let smtp = Smtp {
            host: host.clone(),
            port: self.port,
            tls: self.tls,
            authority: self.ca_file.as_deref().map(|path| read_bytes("smtp.ca_file", path)).transpose()?,
            login,
            from: from.ok_or_else(|| needs("smtp.from", "CMS <cms@example.org>", "`smtp.host` is"))?,
        };
        // Whatever else is wrong is told before a port is bound.
        SmtpMailer::new(&smtp).map_err(SettingsError)?;
        Ok(Some(smtp))
    }
}
