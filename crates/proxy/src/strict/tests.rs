//! What is let in, what is refused, and that pieces make no difference.

use bytes::BytesMut;

use super::*;

const HOST: &str = "Host: web\r\n";

/// What the parser sees of bytes that come in pieces of a length, and the refusal.
fn seen(bytes: &str, piece: usize) -> (String, Option<(u64, Refusal)>) {
    let (mut inspector, mut out) = (Inspector::default(), BytesMut::new());
    for piece in bytes.as_bytes().chunks(piece) {
        if inspector.passes(piece) {
            out.extend_from_slice(piece);
        } else {
            inspector.take(piece, &mut out);
        }
    }
    (String::from_utf8_lossy(&out).into_owned(), inspector.refused())
}

fn refusal(bytes: &str) -> Option<Refusal> {
    let whole = seen(bytes, bytes.len());
    assert_eq!(seen(bytes, 1).1, whole.1, "in pieces: {bytes:?}");
    whole.1.map(|(_, refusal)| refusal)
}

#[test]
fn requests_pass_as_they_are_in_whatever_pieces_they_come() {
    let stream = format!(
        "GET / HTTP/1.1\r\n{HOST}\r\n\r\nPOST /a HTTP/1.1\r\n{HOST}Content-Length: 5\r\n\r\nGET /OPTIONS * HTTP/1.0\r\n\r\n\
         PUT http://web/b HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n{HOST}\r\n5;x=\"y\"\r\nhello\r\n0\r\nA: b\r\n\r\n\
         CONNECT web:1 HTTP/1.1\r\n{HOST}Expect: 100-Continue\r\n\r\n"
    );
    // An empty line between requests is overlooked.
    let wanted = stream.replace("web\r\n\r\n\r\nPOST", "web\r\n\r\nPOST");
    for piece in [1, 2, 3, 7, 50, 10_000] {
        assert_eq!(seen(&stream, piece), (wanted.clone(), None), "pieces of {piece}");
    }
}

#[test]
fn what_has_no_one_meaning_is_refused() {
    for (fields, wanted) in [
        (String::new(), Refusal::NoHost),
        (format!("{HOST}host: web\r\n"), Refusal::ManyHosts),
        ("Host: a b\r\n".into(), Refusal::Malformed),
        (format!("{HOST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), Refusal::Ambiguous),
        (format!("{HOST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), Refusal::Ambiguous),
        (format!("{HOST}Content-Length: 5\r\nContent-Length: 6\r\n"), Refusal::Ambiguous),
        (format!("{HOST}Content-Length: 5, 5\r\n"), Refusal::Ambiguous),
        (format!("{HOST}Content-Length: +5\r\n"), Refusal::Ambiguous),
        (format!("{HOST}Content-Length:\r\n"), Refusal::Ambiguous),
        (format!("{HOST}Content-Length: 18446744073709551615\r\n"), Refusal::Ambiguous),
        (format!("{HOST}Transfer-Encoding: chunked, chunked\r\n"), Refusal::Ambiguous),
        (format!("{HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), Refusal::Ambiguous),
        (format!("{HOST}Transfer-Encoding: gzip, chunked\r\n"), Refusal::UnknownCoding),
        (format!("{HOST}Transfer-Encoding: identity\r\n"), Refusal::UnknownCoding),
        (format!("{HOST}A: b\r\n c\r\n"), Refusal::Malformed),
        (format!("{HOST}A : b\r\n"), Refusal::Malformed),
        (format!("{HOST}: b\r\n"), Refusal::Malformed),
        (format!("{HOST}A\r\n"), Refusal::Malformed),
        (format!("{HOST}A: b\rc\r\n"), Refusal::Malformed),
        (format!("{HOST}A: b\n"), Refusal::Malformed),
        (format!("{HOST}A: \0\r\n"), Refusal::Malformed),
        (format!("{HOST}Expect: gold\r\n"), Refusal::Expectation),
    ] {
        assert_eq!(refusal(&format!("GET / HTTP/1.1\r\n{fields}\r\n")), Some(wanted), "{fields:?}");
    }
}

#[test]
fn lines_that_are_no_request_are_refused() {
    for (line, wanted) in [
        ("GET / HTTP/2.0", Refusal::Version),
        ("GET / HTTP/0.9", Refusal::Version),
        ("PRI * HTTP/2.0", Refusal::Version),
        ("GET / HTTP/1.10", Refusal::Malformed),
        ("GET / http/1.1", Refusal::Malformed),
        ("GET /", Refusal::Malformed),
        ("GET  / HTTP/1.1", Refusal::Malformed),
        ("GET / HTTP/1.1 ", Refusal::Malformed),
        ("G(T / HTTP/1.1", Refusal::Malformed),
        ("GET web HTTP/1.1", Refusal::Malformed),
        ("GET /\t HTTP/1.1", Refusal::Malformed),
        ("\u{16}\u{3}\u{1}", Refusal::Malformed),
    ] {
        assert_eq!(refusal(&format!("{line}\r\n{HOST}\r\n")), Some(wanted), "{line:?}");
    }
    assert_eq!(refusal("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), Some(Refusal::Ambiguous));
}

#[test]
fn a_refused_request_is_answered_in_its_turn_and_nothing_follows() {
    let good = format!("GET / HTTP/1.1\r\n{HOST}\r\n");
    let (out, refused) = seen(&format!("{good}{good}GET / HTTP/1.1\r\n\r\n{good}"), 10_000);
    let stand_in = String::from_utf8_lossy(STAND_IN);
    assert_eq!(out, format!("{good}{good}{stand_in}"));
    assert_eq!(refused, Some((3, Refusal::NoHost)));
}

#[test]
fn a_head_has_its_limits_and_those_are_allowed() {
    let with = |target: usize, fields: usize, value: usize| {
        let fields: String = (0..fields).map(|_| format!("a: {}\r\n", "v".repeat(value))).collect();
        format!("GET /{} HTTP/1.1\r\n{HOST}{fields}\r\n", "t".repeat(target))
    };
    assert_eq!(refusal(&with(head::TARGET_BYTES_MAX - 1, 0, 0)), None);
    assert_eq!(refusal(&with(head::TARGET_BYTES_MAX, 0, 0)), Some(Refusal::TargetTooLong));
    assert_eq!(refusal(&with(0, head::FIELDS_MAX - 1, 1)), None);
    assert_eq!(refusal(&with(0, head::FIELDS_MAX, 1)), Some(Refusal::HeadTooLarge));
    let rest = with(0, 1, 0).len();
    assert_eq!(refusal(&with(0, 1, HEAD_BYTES_MAX - rest)), None);
    assert_eq!(refusal(&with(0, 1, HEAD_BYTES_MAX - rest + 1)), Some(Refusal::HeadTooLarge));
    // Who never ends is refused all the same.
    let endless = with(0, 1, HEAD_BYTES_MAX);
    assert_eq!(refusal(&endless[..endless.len() - 4]), Some(Refusal::HeadTooLarge));
    let endless = with(2 * head::TARGET_BYTES_MAX, 0, 0);
    assert_eq!(refusal(&endless[..2 * head::TARGET_BYTES_MAX]), Some(Refusal::TargetTooLong));
}

#[test]
fn a_body_that_is_framed_wrongly_ends_the_connection() {
    let head = format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n");
    for body in [
        "5\nhello",
        "5\r\nhelloX",
        "x\r\n",
        "-1\r\n",
        "\r\n",
        "0\r\nA: b\n\r\n",
        "1000000000000000\r\n",
        "5 5 \u{1}\r\n",
    ] {
        let after = format!("GET /smuggled HTTP/1.1\r\n{HOST}\r\n");
        let (out, refused) = seen(&format!("{head}{body}{after}"), 10_000);
        assert!(out.starts_with(&head) && !out.contains("smuggled HTTP"), "{body:?} {out:?}");
        assert_eq!(refused, None);
    }
}
