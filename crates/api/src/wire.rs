//! The few bytes of protobuf's wire format that the transcoder needs.

/// One value on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Payload<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// A fixed-width number, as its bits; no field of ours is one.
    Fixed(u64),
}

impl<'a> Payload<'a> {
    pub(crate) fn varint(self) -> u64 {
        if let Self::Varint(value) = self { value } else { 0 }
    }

    /// A signed number of 64 bits.
    pub(crate) fn int64(self) -> i64 {
        self.varint().cast_signed()
    }

    /// A signed number of 32 bits: the lower half of what comes, since negative ones come with 64.
    pub(crate) fn int32(self) -> i32 {
        let [a, b, c, d, ..] = self.varint().to_le_bytes();
        i32::from_le_bytes([a, b, c, d])
    }

    pub(crate) fn bytes(self) -> &'a [u8] {
        if let Self::Bytes(bytes) = self { bytes } else { &[] }
    }
}

/// The fields of a message, in the order in which they come. Ends at the first byte that makes no sense.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Packed numbers.
    pub(crate) fn varints(bytes: &'a [u8]) -> impl Iterator<Item = u64> {
        let mut reader = Self(bytes);
        std::iter::from_fn(move || reader.varint())
    }

    /// What was not read yet.
    pub(crate) fn unread(&self) -> &'a [u8] {
        self.0
    }

    /// Whether everything was read: false if the bytes are no message from some place on.
    pub(crate) fn finished(&self) -> bool {
        self.0.is_empty()
    }

    /// The next field, if it has a number.
    #[inline]
    pub(crate) fn next_of(&mut self, number: u32) -> Option<Payload<'a>> {
        let before = self.0;
        let tag = self.varint();
        let payload = tag.filter(|tag| tag >> 3 == u64::from(number)).and_then(|tag| self.payload(tag));
        if payload.is_none() {
            self.0 = before;
        }
        payload
    }

    /// Reads over bytes, if they are what comes next.
    pub(crate) fn pass_over(&mut self, bytes: &[u8]) -> bool {
        let rest = self.0.strip_prefix(bytes);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// Nearly all are numbers of fields and lengths: one byte, or two.
    #[inline]
    fn varint(&mut self) -> Option<u64> {
        match self.0 {
            [byte @ ..0x80, rest @ ..] => {
                self.0 = rest;
                Some(u64::from(*byte))
            }
            [low, high @ ..0x80, rest @ ..] => {
                self.0 = rest;
                Some(u64::from(low & 0x7f) | u64::from(*high) << 7)
            }
            [..] => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for (index, byte) in self.0.iter().enumerate().take(VARINT_BYTES_MAX) {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.0 = &self.0[index + 1..];
                return Some(value);
            }
        }
        None
    }

    #[inline]
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    #[inline]
    fn field(&mut self) -> Option<(u32, Payload<'a>)> {
        let tag = self.varint()?;
        let payload = self.payload(tag)?;
        Some((u32::try_from(tag >> 3).ok()?, payload))
    }

    #[inline]
    fn payload(&mut self, tag: u64) -> Option<Payload<'a>> {
        match tag & 7 {
            0 => Some(Payload::Varint(self.varint()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Some(Payload::Bytes(self.take(length)?))
            }
            wire => self.fixed(wire),
        }
    }

    fn fixed(&mut self, wire: u64) -> Option<Payload<'a>> {
        Some(Payload::Fixed(match wire {
            1 => u64::from_le_bytes(self.take(8)?.try_into().ok()?),
            5 => u32::from_le_bytes(self.take(4)?.try_into().ok()?).into(),
            _ => return None,
        }))
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = (u32, Payload<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let before = self.0;
        let field = self.field();
        if field.is_none() {
            // What was half read counts as not read, so that `finished` tells.
            self.0 = before;
        }
        field
    }
}

/// Parts the bytes of a message, whose fields come in order, before a field and behind its first occurrence.
pub(crate) fn split(bytes: &[u8], number: u32) -> (&[u8], &[u8]) {
    let mut reader = Reader::new(bytes);
    let mut unread = bytes;
    while let Some((found, _)) = reader.next() {
        if found >= number {
            let before = &bytes[..bytes.len() - unread.len()];
            return (before, if found == number { reader.unread() } else { unread });
        }
        unread = reader.unread();
    }
    (bytes, &[])
}

/// The most bytes that 64 bits take, seven in each.
const VARINT_BYTES_MAX: usize = 10;

/// Writes a varint.
pub(crate) fn put_varint(mut value: u64, into: &mut Vec<u8>) {
    while value >= 0x80 {
        into.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    into.push((value & 0x7f) as u8);
}

/// Writes a number field.
pub(crate) fn put_number(field: u32, value: u64, into: &mut Vec<u8>) {
    put_varint(u64::from(field) << 3, into);
    put_varint(value, into);
}

/// Writes a field of a number that need not be whole.
pub(crate) fn put_double(field: u32, value: f64, into: &mut Vec<u8>) {
    put_varint(u64::from(field) << 3 | 1, into);
    into.extend_from_slice(&value.to_le_bytes());
}

/// Writes a field of bytes.
pub(crate) fn put_bytes(field: u32, bytes: &[u8], into: &mut Vec<u8>) {
    put_varint(u64::from(field) << 3 | 2, into);
    put_varint(bytes.len() as u64, into);
    into.extend_from_slice(bytes);
}

/// Begins a field of bytes whose length is not known yet; [`close`] ends it. Answers where its content begins.
pub(crate) fn open(field: u32, into: &mut Vec<u8>) -> usize {
    put_varint(u64::from(field) << 3 | 2, into);
    // Most messages are shorter than 128 bytes, so that one byte is room enough for the length.
    into.push(0);
    into.len()
}

/// Ends a field that [`open`] began.
pub(crate) fn close(start: usize, into: &mut Vec<u8>) {
    let length = into.len() - start;
    if let Ok(short @ ..0x80) = u8::try_from(length) {
        into[start - 1] = short;
        return;
    }
    let mut prefix = Vec::with_capacity(VARINT_BYTES_MAX);
    put_varint(length as u64, &mut prefix);
    into.splice(start - 1..start, prefix);
}

/// Writes a field whose content `write` writes.
pub(crate) fn within(field: u32, into: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = open(field, into);
    write(into);
    close(start, into);
}
