//! The head of a request, read strictly.

use http::StatusCode;

/// The largest head, in bytes: four times what common servers take.
pub(crate) const HEAD_BYTES_MAX: usize = 64 << 10;

/// The longest target in a request line, in bytes.
pub(crate) const TARGET_BYTES_MAX: usize = 8 << 10;

/// The longest method, in bytes; the longest that is registered has 17.
const METHOD_BYTES_MAX: usize = 32;

/// The most fields in a head: as many as the parser behind this takes.
pub(crate) const FIELDS_MAX: usize = 100;

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Malformed,
    NoHost,
    ManyHosts,
    Ambiguous,
    UnknownCoding,
    Version,
    TargetTooLong,
    HeadTooLarge,
    Expectation,
}

impl Refusal {
    pub(crate) fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::Malformed => (StatusCode::BAD_REQUEST, "the head of the request is malformed\n"),
            Self::NoHost => (StatusCode::BAD_REQUEST, "the request has no Host\n"),
            Self::ManyHosts => (StatusCode::BAD_REQUEST, "the request has more than one Host\n"),
            Self::Ambiguous => (
                StatusCode::BAD_REQUEST,
                "the length of the body is ambiguous: one Content-Length or one Transfer-Encoding\n",
            ),
            Self::UnknownCoding => {
                (StatusCode::NOT_IMPLEMENTED, "the only Transfer-Encoding that is known is chunked\n")
            }
            Self::Version => (
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "HTTP/2 and other versions are not spoken here: use HTTP/1.1\n",
            ),
            Self::TargetTooLong => (StatusCode::URI_TOO_LONG, "the target of the request is longer than 8 KiB\n"),
            Self::HeadTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "the head of the request is larger than 64 KiB, or has more than 100 fields\n",
            ),
            Self::Expectation => {
                (StatusCode::EXPECTATION_FAILED, "the only expectation that is known is 100-continue\n")
            }
        }
    }
}

/// How long the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

/// What matters of a head.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) framing: Framing,
    pub(super) may_tunnel: bool,
}

/// What the fields say, while they are read.
#[derive(Default)]
struct Fields {
    count: usize,
    hosts: usize,
    length: Option<u64>,
    is_chunked: bool,
    wants_upgrade: bool,
}

impl Head {
    /// Reads a head with the empty line that ends it.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(Refusal::HeadTooLarge);
        }
        let mut lines = Lines(bytes);
        let (is_connect, is_1_1) = request_line(lines.next().ok_or(Refusal::Malformed)??)?;
        let mut fields = Fields::default();
        for line in lines {
            let line = line?;
            if line.is_empty() {
                break;
            }
            fields.add(line, is_1_1)?;
        }
        match fields.hosts {
            0 if is_1_1 => return Err(Refusal::NoHost),
            0 | 1 => {}
            _ => return Err(Refusal::ManyHosts),
        }
        let framing = match (fields.length, fields.is_chunked) {
            (Some(_), true) => return Err(Refusal::Ambiguous),
            (_, true) => Framing::Chunked,
            (length, false) => Framing::Length(length.unwrap_or(0)),
        };
        Ok(Self { framing, may_tunnel: is_connect || fields.wants_upgrade && is_1_1 })
    }
}

/// Whether the first line may be right, as far as it has come.
pub(super) fn first_line(bytes: &[u8]) -> Result<(), Refusal> {
    if let Some(line) = Lines(bytes).next() {
        return request_line(line?).map(drop);
    }
    if bytes == b"\r" {
        return Ok(());
    }
    let mut words = bytes.split(|byte| *byte == b' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_clean = bytes.iter().all(|byte| *byte >= b' ' && *byte != 0x7f || *byte == b'\r');
    if !method.iter().all(is_token) || method.len() > METHOD_BYTES_MAX || !is_clean {
        return Err(Refusal::Malformed);
    }
    if target.len() > TARGET_BYTES_MAX { Err(Refusal::TargetTooLong) } else { Ok(()) }
}

/// Lines that end as HTTP says; everything else in their place is an error.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = Result<&'a [u8], Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        let (line, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        Some(match line.strip_suffix(b"\r") {
            Some(line) if !line.contains(&b'\r') => Ok(line),
            _ => Err(Refusal::Malformed),
        })
    }
}

/// Returns whether the method is CONNECT, and the version 1.1.
fn request_line(line: &[u8]) -> Result<(bool, bool), Refusal> {
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let (Some(method), Some(target), Some(version), None) = (method, target, version, words.next()) else {
        return Err(Refusal::Malformed);
    };
    let is_clean = target.iter().all(|byte| *byte > b' ' && *byte != 0x7f);
    let is_1_1 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            return Err(Refusal::Version);
        }
        _ => return Err(Refusal::Malformed),
    };
    let is_word = !method.is_empty() && method.len() <= METHOD_BYTES_MAX && method.iter().all(is_token);
    if !is_word || !is_clean || !is_target(method, target) {
        return Err(Refusal::Malformed);
    }
    if target.len() > TARGET_BYTES_MAX { Err(Refusal::TargetTooLong) } else { Ok((method == b"CONNECT", is_1_1)) }
}

/// A path, a whole URI, or what the method has in its place.
fn is_target(method: &[u8], target: &[u8]) -> bool {
    match method {
        b"CONNECT" => !target.is_empty(),
        b"OPTIONS" if target == b"*" => true,
        _ => target.starts_with(b"/") || target.windows(3).any(|window| window == b"://"),
    }
}

impl Fields {
    fn add(&mut self, line: &[u8], is_1_1: bool) -> Result<(), Refusal> {
        self.count += 1;
        if self.count > FIELDS_MAX {
            return Err(Refusal::HeadTooLarge);
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or(Refusal::Malformed)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // A line that begins with a blank would continue the one before it; readers disagree about those.
        if name.is_empty() || !name.iter().all(is_token) {
            return Err(Refusal::Malformed);
        }
        if value.iter().any(|byte| *byte < b' ' && *byte != b'\t' || *byte == 0x7f) {
            return Err(Refusal::Malformed);
        }
        self.note(name, value, is_1_1)
    }

    fn note(&mut self, name: &[u8], value: &[u8], is_1_1: bool) -> Result<(), Refusal> {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        // The length tells most names apart at once.
        match name.len() {
            4 if is(b"host") => {
                self.hosts += 1;
                if value.iter().any(|byte| matches!(byte, b' ' | b'\t' | b',' | b'/' | b'@')) {
                    return Err(Refusal::Malformed);
                }
            }
            6 if is(b"expect") && !value.eq_ignore_ascii_case(b"100-continue") => return Err(Refusal::Expectation),
            7 if is(b"upgrade") => self.wants_upgrade = true,
            14 if is(b"content-length") => match self.length.replace(length(value)?) {
                None => {}
                Some(_) => return Err(Refusal::Ambiguous),
            },
            17 if is(b"transfer-encoding") => {
                if self.is_chunked || !is_1_1 {
                    return Err(Refusal::Ambiguous);
                }
                self.is_chunked = true;
                coding(value)?;
            }
            _ => {}
        }
        Ok(())
    }
}

fn length(value: &[u8]) -> Result<u64, Refusal> {
    if !value.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::Ambiguous);
    }
    // The two largest numbers mean something else to the parser.
    let length: Option<u64> = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
    length.filter(|length| *length < u64::MAX - 1).ok_or(Refusal::Ambiguous)
}

fn coding(value: &[u8]) -> Result<(), Refusal> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let is_known = |coding: &[u8]| coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
    let all_known = value.split(|byte| *byte == b',').all(is_known);
    Err(if all_known { Refusal::Ambiguous } else { Refusal::UnknownCoding })
}

fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}
