// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Mails as a mail server on this machine receives them.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::*;

/// A mail server for one connection that answers the command `refuses` with 550; all that it was told, at the end.
async fn server(refuses: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let told = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let (mut lines, mut told, mut is_data) = (BufReader::new(read).lines(), String::new(), false);
        write.write_all(b"220 here\r\n").await.unwrap();
        while let Ok(Some(line)) = lines.next_line().await {
            told.push_str(&line);
            told.push('\n');
            let answer = match line.split(' ').next().unwrap() {
                "." if is_data => {
                    is_data = false;
                    "250 taken"
                }
                _ if is_data => continue,
                word if word == refuses => "550 not for you, the password is hunter2",
                "EHLO" => "250-here\r\n250 AUTH PLAIN LOGIN",
                "AUTH" => "235 welcome",
                "DATA" => {
                    is_data = true;
                    "354 go on"
                }
                "QUIT" => "221 bye",
                _ => "250 fine",
            };
            if write.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
                break;
            }
        }
        told
    });
    (port, told)
}

fn mailer(port: u16, tls: SmtpTls) -> SmtpMailer {
    let login = Some(("cms".to_owned(), Sensitive::new("a password".to_owned())));
    let from = "CMS <cms@example.org>".to_owned();
    SmtpMailer::new(&Smtp { host: "127.0.0.1".into(), port: Some(port), tls, authority: None, login, from })
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
