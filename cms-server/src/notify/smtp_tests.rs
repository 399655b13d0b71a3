// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Mails as a mail server on this machine receives them.

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::*;

/// A mail server for one connection that answers the command `refuses` with 550; all that it was told in the
/// clear, at the end.
async fn server(refuses: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let told = tokio::spawn(async move {
        let mut told = String::from("\n");
        let mut stream = BufReader::new(listener.accept().await.unwrap().0);
        stream.write_all(b"220 here\r\n").await.unwrap();
        converse(&mut stream, &mut told, refuses, "").await;
        told
    });
    (port, told)
}

/// The same with TLS: its certificate, and what it was told in the clear and what not.
async fn secure_server(tls: SmtpTls) -> (u16, Vec<u8>, tokio::task::JoinHandle<(String, String)>) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let pem = made.cert.pem().into_bytes();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let told = tokio::spawn(async move {
        let (mut clear, mut secure) = (String::from("\n"), String::from("\n"));
        let mut stream = BufReader::new(listener.accept().await.unwrap().0);
        if tls == SmtpTls::StartTls {
            stream.write_all(b"220 here\r\n").await.unwrap();
            converse(&mut stream, &mut clear, "", "250-STARTTLS\r\n").await;
        }
        let Ok(stream) = acceptor.accept(stream.into_inner()).await else { return (clear, secure) };
        let mut stream = BufReader::new(stream);
        if tls == SmtpTls::Implicit {
            stream.write_all(b"220 here\r\n").await.unwrap();
        }
        converse(&mut stream, &mut secure, "", "").await;
        (clear, secure)
    });
    (port, pem, told)
}

/// Answers until the client goes, or TLS begins.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    told: &mut String,
    refuses: &str,
    offers: &str,
) {
    let (mut line, mut is_data) = (String::new(), false);
    while stream.read_line(&mut line).await.is_ok_and(|bytes| bytes > 0) {
        let said = std::mem::take(&mut line);
        let said = said.trim_end_matches(['\r', '\n']);
        told.push_str(said);
        told.push('\n');
        let answer = match said.split(' ').next().unwrap() {
            "." if is_data => {
                is_data = false;
                "250 taken".to_owned()
            }
            _ if is_data => continue,
            word if word == refuses => "550 not for you, the password is hunter2".to_owned(),
            "EHLO" => format!("250-here\r\n{offers}250 AUTH PLAIN LOGIN"),
            "STARTTLS" if !offers.is_empty() => "220 go on".to_owned(),
            "AUTH" => "235 welcome".to_owned(),
            "DATA" => {
                is_data = true;
                "354 go on".to_owned()
            }
            "QUIT" => "221 bye".to_owned(),
            _ => "250 fine".to_owned(),
        };
        if stream.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() || answer == "220 go on" {
            break;
        }
    }
}

fn mailer(port: u16, tls: SmtpTls) -> SmtpMailer {
    trusting(port, tls, None)
}

fn trusting(port: u16, tls: SmtpTls, authority: Option<Vec<u8>>) -> SmtpMailer {
    let login = Some(("cms".to_owned(), Sensitive::new("a password".to_owned())));
    let from = "CMS <cms@example.org>".to_owned();
    SmtpMailer::new(&Smtp { host: "127.0.0.1".into(), port: Some(port), tls, authority, login, from })
        .unwrap()
}

fn mail(subject: &str) -> Mail {
    Mail {
        id: "evt_1".into(),
        to: "ann@example.org".into(),
        subject: subject.into(),
        text: "Line one\n.\nLine two\n".into(),
    }
}

#[tokio::test]
async fn a_mail_arrives_whole_and_a_title_stays_one_header() {
    let (port, told) = server("").await;
    let mailer = mailer(port, SmtpTls::None);
    mailer.send(&mail("ap\u{e4}rt\r\nBcc: eve@example.org\r\n\r\nbody")).await.unwrap();
    drop(mailer);
    let told = told.await.unwrap();
    assert_eq!(told.matches("RCPT TO:").count(), 1, "{told}");
    assert!(told.contains("RCPT TO:<ann@example.org>") && told.contains("AUTH PLAIN"), "{told}");
    let (head, body) = told.split_once("\n\n").unwrap();
    assert!(!head.lines().any(|line| line.starts_with("Bcc") || line == "body"), "{head}");
    assert!(head.contains("\nMessage-ID: <evt_1@example.org>\n"), "{head}");
    assert!(head.contains("\nAuto-Submitted: auto-generated\n"), "{head}");
    assert!(head.contains("\nMIME-Version: 1.0\n"), "{head}");
    assert!(body.contains("Line one\n..\nLine two"), "a line with a dot does not end it: {body}");
}

#[tokio::test]
async fn a_refusal_is_told_by_its_number_alone() {
    for command in ["RCPT", "AUTH"] {
        let (port, _told) = server(command).await;
        let refused = mailer(port, SmtpTls::None).send(&mail("s")).await.unwrap_err();
        assert_eq!(refused, "the mail server refused it with 550", "{command}");
    }
}

#[tokio::test]
async fn nothing_is_said_in_the_clear_where_tls_is_asked_for() {
    let (port, told) = server("").await;
    let refused = mailer(port, SmtpTls::StartTls).send(&mail("s")).await.unwrap_err();
    assert!(refused.contains("TLS"), "{refused}");
    let told = told.await.unwrap();
    assert!(!told.contains("AUTH") && !told.contains("MAIL"), "{told}");
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let refused = mailer(free, SmtpTls::None).send(&mail("s")).await.unwrap_err();
    assert_eq!(refused, "the mail server could not be reached");
}

#[tokio::test]
async fn over_tls_all_but_the_wish_for_it_is_hidden() {
    for tls in [SmtpTls::StartTls, SmtpTls::Implicit] {
        let (port, pem, told) = secure_server(tls).await;
        let mailer = trusting(port, tls, Some(pem));
        mailer.send(&mail("s")).await.unwrap();
        drop(mailer);
        let (clear, secure) = told.await.unwrap();
        let said: Vec<_> = clear.split_whitespace().filter(|word| word.len() > 3).collect();
        assert!(!said.iter().any(|word| ["AUTH", "MAIL", "RCPT", "DATA"].contains(word)), "{tls:?}: {clear}");
        assert_eq!(clear.contains("\nSTARTTLS\n"), tls == SmtpTls::StartTls, "{clear}");
        assert!(
            secure.contains("\nAUTH PLAIN") && secure.contains("\nRCPT TO:<ann@example.org>"),
            "{secure}"
        );
    }
}

#[tokio::test]
async fn a_mail_server_with_another_certificate_is_told_nothing() {
    for tls in [SmtpTls::StartTls, SmtpTls::Implicit] {
        let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap().cert.pem();
        for authority in [None, Some(other.into_bytes())] {
            let (port, _, told) = secure_server(tls).await;
            let refused = trusting(port, tls, authority).send(&mail("s")).await.unwrap_err();
            assert!(refused.contains("TLS") || refused.contains("could not be reached"), "{refused}");
            let (clear, secure) = told.await.unwrap();
            assert!(!clear.contains("AUTH") && secure == "\n", "{clear}{secure}");
        }
    }
}
