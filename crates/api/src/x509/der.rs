//! The distinguished encoding of ASN.1, as much of it as certificates need: tag, length, content.

/// How many bytes the length of what is read may have: nothing here is longer than that says.
const LENGTH_BYTES_MAX: usize = 4;

/// An integer.
pub const INTEGER: u8 = 0x02;
/// Bits; the first byte of the content says how many of the last one do not count.
pub const BIT_STRING: u8 = 0x03;
/// Bytes.
pub const OCTET_STRING: u8 = 0x04;
/// What sort of thing something is.
pub const OBJECT_IDENTIFIER: u8 = 0x06;
/// A truth.
pub const BOOLEAN: u8 = 0x01;
/// A text.
pub const UTF8_STRING: u8 = 0x0c;
/// A text of few letters.
pub const PRINTABLE_STRING: u8 = 0x13;
/// A time before the year 2050.
pub const UTC_TIME: u8 = 0x17;
/// A time.
pub const GENERALIZED_TIME: u8 = 0x18;
/// Things in their order.
pub const SEQUENCE: u8 = 0x30;
/// Things in no order.
pub const SET: u8 = 0x31;

/// A thing that a structure tells apart by a number.
#[must_use]
pub const fn context(number: u8) -> u8 {
    0x80 | number
}

/// The same around things that have tags of their own.
#[must_use]
pub const fn explicit(number: u8) -> u8 {
    0xa0 | number
}

/// A thing of a sort.
#[must_use]
pub fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    match u8::try_from(length) {
        Ok(short @ ..0x80) => out.push(short),
        Ok(_) | Err(_) => {
            let bytes = length.to_be_bytes();
            let significant: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
            // A length has a few bytes at most.
            out.push(0x80 | significant.len().to_le_bytes()[0]);
            out.extend(significant);
        }
    }
    out.extend_from_slice(content);
    out
}

/// The content of the first thing of some bytes, and what is behind it; `None` if it is of another sort, or not written as
/// [`value`] writes it.
#[must_use]
pub fn take(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = bytes.strip_prefix(&[tag])?;
    let (first, rest) = rest.split_first()?;
    let count = usize::from(first & 0x7f);
    let (length, rest) = if *first < 0x80 {
        (count, rest)
    } else {
        let (length, rest) = rest.split_at_checked(count).filter(|_| (1..=LENGTH_BYTES_MAX).contains(&count))?;
        (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    let (content, behind) = rest.split_at_checked(length)?;
    let written = value(tag, content);
    bytes.starts_with(&written).then_some((content, behind))
}

/// A thing that consists of others.
#[must_use]
pub fn group(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    value(tag, &parts.concat())
}

/// An attribute of a name: a set of its own.
#[must_use]
pub fn attribute(identifier: &[u8], tag: u8, text: &str) -> Vec<u8> {
    let pair = [value(OBJECT_IDENTIFIER, identifier), value(tag, text.as_bytes())];
    value(SET, &group(SEQUENCE, &pair))
}
