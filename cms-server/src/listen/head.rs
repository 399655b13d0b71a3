// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A look at the head of an HTTP/1 request as it arrives, for what the parser behind tolerates and
//! a proxy in front might read differently: lines that end in a bare line feed, and a
//! `Content-Length` beside a `Transfer-Encoding` (RFC 9112, sections 2.2 and 6.3).

use memchr::memchr;

/// How much of a line is kept to recognise its name when a head comes in pieces.
const KEPT: usize = 24;

/// What is known of the head so far.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// Whether the last byte of an unfinished line was a carriage return.
    ends_in_return: bool,
    has_length: bool,
    has_encoding: bool,
    is_over: bool,
    is_ambiguous: bool,
}

impl HeadScan {
    /// Looks at the next bytes; what follows the head is not looked at.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !self.is_over {
            let Some(end) = memchr(b'\n', bytes) else {
                self.keep(bytes);
                return;
            };
            let (line, rest) = bytes.split_at(end);
            self.finish_line(line);
            bytes = rest.get(1..).unwrap_or_default();
        }
    }

    /// Whether two readers could understand the head differently.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.is_ambiguous || (self.has_length && self.has_encoding)
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = KEPT.saturating_sub(self.line.len());
        self.line.extend(bytes.iter().take(room));
        if let Some(last) = bytes.last() {
            self.ends_in_return = *last == b'\r';
        }
    }

    fn finish_line(&mut self, line: &[u8]) {
        let returned = line.last().map_or(self.ends_in_return, |last| *last == b'\r');
        self.is_ambiguous |= !returned;
        if self.line.is_empty() {
            self.judge(line);
        } else {
            self.keep(line);
            let joined = std::mem::take(&mut self.line);
            self.judge(&joined);
        }
        self.ends_in_return = false;
    }

    fn judge(&mut self, line: &[u8]) {
        match line.first() {
            None | Some(b'\r') => self.is_over = true,
            Some(b'c' | b'C') => self.has_length |= is_named(line, b"content-length"),
            Some(b't' | b'T') => self.has_encoding |= is_named(line, b"transfer-encoding"),
            Some(_) => {}
        }
    }
}

fn is_named(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        && line.get(name.len()).is_some_and(|next| matches!(next, b':' | b' ' | b'\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ambiguous(head: &str) -> bool {
        let mut whole = HeadScan::default();
        whole.feed(head.as_bytes());
        let mut bytewise = HeadScan::default();
        for byte in head.as_bytes() {
            bytewise.feed(std::slice::from_ref(byte));
        }
        assert_eq!(whole.is_ambiguous(), bytewise.is_ambiguous(), "{head:?}");
        whole.is_ambiguous()
    }

    #[test]
    fn plain_heads_pass() {
        for head in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{\n}\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\n\n\r\n0\r\n\r\ncontent-length: 3\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding-X: chunked\r\nContent-Length: 2\r\n\r\n",
        ] {
            assert!(!ambiguous(head), "{head:?}");
        }
    }

    #[test]
    fn heads_with_two_readings_are_told() {
        for head in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "POST / HTTP/1.1\r\ncontent-length: 2\r\nTRANSFER-ENCODING: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n",
        ] {
            assert!(ambiguous(head), "{head:?}");
        }
    }
}
