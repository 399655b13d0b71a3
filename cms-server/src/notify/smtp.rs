// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sending mails over SMTP, through the one server that the operator names.

use std::time::Duration;

use async_trait::async_trait;
use cms_core::mails::{Mail, Mailer};
use cms_core::sensitive::Sensitive;
use lettre::message::header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

/// How long one command may take.
const TIME: Duration = Duration::from_secs(10);
/// How long one mail may take as a whole.
const WHOLE: Duration = Duration::from_secs(30);
/// The longest subject, in characters.
const MAX_SUBJECT_CHARS: usize = 250;

/// How the connection to the mail server is protected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// TLS is asked for in the clear, and insisted on.
    #[default]
    StartTls,
    /// TLS from the first byte.
    Implicit,
    /// None: for a server on this machine.
    None,
}

/// The mail server, and as whom to send.
#[derive(Debug)]
pub struct Smtp {
    /// Its name or address.
    pub host: String,
    /// Its port; the usual one for `tls` if not given.
    pub port: Option<u16>,
    /// How the connection is protected.
    pub tls: SmtpTls,
    /// A certificate authority of one's own, in PEM form.
    pub authority: Option<Vec<u8>>,
    /// User and password.
    pub login: Option<(String, Sensitive<String>)>,
    /// The sender, such as `CMS <cms@example.org>`.
    pub from: String,
}

/// Sends mails over SMTP.
#[derive(Debug)]
pub struct SmtpMailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl SmtpMailer {
    /// A mailer for a server, which is not connected to yet.
    ///
    /// # Errors
    /// What is wrong with the settings, for who writes them.
    pub fn new(smtp: &Smtp) -> Result<Self, String> {
        let from = smtp.from.parse().map_err(|_| format!("the sender `{}` is no mail address", smtp.from))?;
        let tls = parameters(smtp)?;
        let (tls, port) = match smtp.tls {
            SmtpTls::StartTls => (Tls::Required(tls), 587),
            SmtpTls::Implicit => (Tls::Wrapper(tls), 465),
            SmtpTls::None => (Tls::None, 25),
        };
        let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&smtp.host)
            .port(smtp.port.unwrap_or(port))
            .tls(tls)
            .timeout(Some(TIME));
        let login = smtp.login.as_ref();
        let login = login.map(|(user, password)| Credentials::new(user.clone(), password.expose().clone()));
        let builder = match login {
            Some(login) => builder.credentials(login),
            None => builder,
        };
        Ok(Self { transport: builder.build(), from })
    }

    fn message(&self, mail: &Mail) -> Result<Message, &'static str> {
        let to: Address =
            mail.to.parse().map_err(|_| "the address of the user is none that mails are sent to")?;
        // A header of its own, which other automatic senders do not answer (RFC 3834).
        let automatic =
            HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".into());
        let id = format!("<{}@{}>", mail.id, self.from.email.domain());
        MessageBuilder::new()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(line(&mail.subject))
            .message_id(Some(id))
            .raw_header(automatic)
            .header(MIME_VERSION_1_0)
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text.clone())
            .map_err(|_| "the mail could not be written")
    }
}

fn parameters(smtp: &Smtp) -> Result<TlsParameters, String> {
    let builder = TlsParameters::builder(smtp.host.clone());
    let builder = match &smtp.authority {
        Some(pem) => {
            let certificate = Certificate::from_pem(pem);
            builder.add_root_certificate(
                certificate.map_err(|_| "`smtp.ca_file` holds no certificate in PEM form")?,
            )
        }
        None => builder,
    };
    builder.build().map_err(|_| format!("TLS cannot be set up for the mail server `{}`", smtp.host))
}

/// A text as one line: what would end a header does not.
fn line(text: &str) -> String {
    let sign = |sign: char| if sign.is_control() { ' ' } else { sign };
    text.chars().take(MAX_SUBJECT_CHARS).map(sign).collect()
}

#[async_trait]
impl Mailer for SmtpMailer {
    async fn send(&self, mail: &Mail) -> Result<(), String> {
        let message = self.message(mail)?;
        match tokio::time::timeout(WHOLE, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(told(&error)),
            Err(_) => Err(String::from("the mail server did not answer in time")),
        }
    }
}

/// What came of an attempt, without a word of what the server has said but its number.
fn told(error: &lettre::transport::smtp::Error) -> String {
    if let Some(code) = error.status() {
        return format!("the mail server refused it with {code}");
    }
    let text = match () {
        () if error.is_timeout() => "the mail server did not answer in time",
        () if error.is_tls() => "the mail server's TLS is not accepted",
        () if error.is_response() => "the mail server answered with something else than SMTP",
        () if error.is_client() => {
            "the mail server does not offer what is asked of it: TLS, or a way to log in"
        }
        () => "the mail server could not be reached",
    };
    text.to_owned()
}

#[cfg(test)]
#[path = "smtp_tests.rs"]
mod tests;
