//! Tells by the first bytes of a connection whether its client speaks HTTP/1.

/// The longest request line that is waited for, in bytes; who sends more without ending it speaks something else.
pub(crate) const LINE_BYTES_MAX: usize = 8 << 10;

/// The longest method that HTTP's registry has is 17 bytes.
const METHOD_BYTES_MAX: usize = 24;

/// What the bytes so far say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guess {
    /// A request line of HTTP/1.
    Http,
    /// Anything else.
    Bytes,
    /// It may become a request line.
    Open,
}

/// Guesses from all that the client has sent so far.
pub(crate) fn guess(first: &[u8]) -> Guess {
    // Servers are asked to overlook an empty line before a request.
    let text = first.strip_prefix(b"\r\n").unwrap_or(first);
    let end = text.iter().position(|byte| *byte == b'\n');
    let line = end.map_or(text, |end| &text[..end]);
    let method = line.iter().position(|byte| *byte == b' ');
    let name = method.map_or(line, |at| &line[..at]);
    let is_word = name.iter().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_'));
    let is_printed = line.iter().all(|byte| *byte > b' ' && *byte != 0x7f || matches!(byte, b' ' | b'\r'));
    if !is_word || name.len() > METHOD_BYTES_MAX || !is_printed || method == Some(0) {
        return Guess::Bytes;
    }
    match end {
        Some(_) => version(line),
        None if text.len() > LINE_BYTES_MAX => Guess::Bytes,
        None => Guess::Open,
    }
}

fn version(line: &[u8]) -> Guess {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let word = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let words = line.split(|byte| *byte == b' ').count();
    if words >= 3 && word.starts_with(b"HTTP/1.") { Guess::Http } else { Guess::Bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_line_is_told_from_other_protocols() {
        for (first, guess) in [
            ("", Guess::Open),
            ("GET", Guess::Open),
            ("GET /a?b=c HTTP/1", Guess::Open),
            ("GET / HTTP/1.1\r\n", Guess::Http),
            ("\r\nPOST /x HTTP/1.0\nHost: a", Guess::Http),
            ("M-SEARCH * HTTP/1.1\r\n", Guess::Http),
            ("CONNECT a:1 HTTP/1.1\r\n", Guess::Http),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Guess::Bytes),
            ("OPTIONS rtsp://a RTSP/1.0\r\n", Guess::Bytes),
            ("EHLO example.com\r\n", Guess::Bytes),
            ("*1\r\n$4\r\nPING\r\n", Guess::Bytes),
            ("\u{16}\u{3}\u{1}", Guess::Bytes),
            ("get / HTTP/1.1\r\n", Guess::Bytes),
            (" GET / HTTP/1.1\r\n", Guess::Bytes),
            ("PING\r\n", Guess::Bytes),
        ] {
            assert_eq!(super::guess(first.as_bytes()), guess, "{first:?}");
        }
    }

    #[test]
    fn an_endless_line_is_not_waited_for() {
        let line = |length: usize| format!("GET /{}", "x".repeat(length));
        assert_eq!(guess(line(LINE_BYTES_MAX - 5).as_bytes()), Guess::Open);
        assert_eq!(guess(line(LINE_BYTES_MAX).as_bytes()), Guess::Bytes);
    }
}
