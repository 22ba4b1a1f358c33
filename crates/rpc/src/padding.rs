//! Short messages made long enough for HTTP/2.
//!
//! Implementations of HTTP/2 (h2 among them) count the short data frames that wait to be read, and close the whole connection when
//! they are too many: to them it looks like an attack. A Pod that writes byte by byte to somebody who reads slowly is none. Frames of
//! this length are not counted; how many of them wait is bounded by the flow control of HTTP/2, as for all bytes.

use bytes::Bytes;

/// The shortest message that is sent without padding, in bytes: h2 and others count frames below 256.
const UNPADDED_BYTES_MIN: usize = 256;

static ZEROS: [u8; UNPADDED_BYTES_MIN] = [0; UNPADDED_BYTES_MIN];

/// What makes a message that carries so many bytes long enough.
#[must_use]
pub fn padding(carried: usize) -> Bytes {
    Bytes::from_static(&ZEROS[..UNPADDED_BYTES_MIN.saturating_sub(carried)])
}
