//! The chunks of a body, measured.

/// The longest line before a chunk, its extensions included, in bytes.
const SIZE_LINE_BYTES_MAX: usize = 1 << 10;

/// The longest trailers, in bytes.
const TRAILERS_BYTES_MAX: usize = 16 << 10;

/// Digits of the largest size that is believed: 2^60 bytes.
const DIGITS_MAX: usize = 15;

/// Where in a chunked body the stream is.
#[derive(Debug)]
pub(super) enum Chunks {
    Size { digits: usize, size: u64, length: usize, in_extension: bool },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataEnd { has_return: bool },
    Trailers { line: usize, length: usize, has_return: bool },
}

impl Default for Chunks {
    fn default() -> Self {
        Self::Size { digits: 0, size: 0, length: 0, in_extension: false }
    }
}

impl Chunks {
    /// How much of the bytes belongs to the body, and how it ended if it did.
    pub(super) fn take(&mut self, bytes: &[u8]) -> (usize, Option<Result<(), ()>>) {
        let mut at = 0;
        while at < bytes.len() {
            if let Self::Data { left } = self {
                let piece = (bytes.len() - at).min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= piece as u64;
                at += piece;
                if *left == 0 {
                    *self = Self::DataEnd { has_return: false };
                }
                continue;
            }
            let byte = bytes[at];
            at += 1;
            match self.step(byte) {
                Ok(false) => {}
                Ok(true) => return (at, Some(Ok(()))),
                Err(()) => return (at, Some(Err(()))),
            }
        }
        (at, None)
    }

    /// Returns whether the body is over.
    fn step(&mut self, byte: u8) -> Result<bool, ()> {
        *self = match (&*self, byte) {
            (Self::Size { digits: 1.., size, .. }, b'\r') => Self::SizeEnd { size: *size },
            (Self::Size { .. }, _) => return self.size(byte).map(|()| false),
            (Self::SizeEnd { size: 0 }, b'\n') => Self::Trailers { line: 0, length: 0, has_return: false },
            (Self::SizeEnd { size }, b'\n') => Self::Data { left: *size },
            (Self::DataEnd { has_return: false }, b'\r') => Self::DataEnd { has_return: true },
            (Self::DataEnd { has_return: true }, b'\n') => Self::default(),
            (Self::Trailers { line: 0, has_return: true, .. }, b'\n') => return Ok(true),
            (Self::Trailers { length, has_return, line }, _) => trailer(*line, *length, *has_return, byte)?,
            (Self::SizeEnd { .. } | Self::DataEnd { .. } | Self::Data { .. }, _) => return Err(()),
        };
        Ok(false)
    }

    fn size(&mut self, byte: u8) -> Result<(), ()> {
        let Self::Size { digits, size, length, in_extension } = self else { return Err(()) };
        *length += 1;
        match (char::from(byte).to_digit(16), *in_extension) {
            (Some(digit), false) if *digits < DIGITS_MAX => {
                *digits += 1;
                *size = *size << 4 | u64::from(digit);
            }
            (None, false) if *digits > 0 && matches!(byte, b';' | b' ' | b'\t') => *in_extension = true,
            (_, true) if byte == b'\t' || byte >= b' ' && byte != 0x7f => {}
            _ => return Err(()),
        }
        if *length > SIZE_LINE_BYTES_MAX { Err(()) } else { Ok(()) }
    }
}

fn trailer(line: usize, length: usize, has_return: bool, byte: u8) -> Result<Chunks, ()> {
    let length = length + 1;
    if length > TRAILERS_BYTES_MAX {
        return Err(());
    }
    match (has_return, byte) {
        (true, b'\n') => Ok(Chunks::Trailers { line: 0, length, has_return: false }),
        (true, _) | (false, b'\n') => Err(()),
        (false, b'\r') => Ok(Chunks::Trailers { line, length, has_return: true }),
        (false, _) => Ok(Chunks::Trailers { line: line + 1, length, has_return: false }),
    }
}
