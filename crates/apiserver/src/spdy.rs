//! SPDY/3.1, as far as `kubectl` speaks it: many streams over one connection, opened by the client.
//!
//! [`handshake`] agrees on it, [`frame`] reads and writes frames, [`headers`] the compressed blocks in them, [`connection`] carries streams. Everything a client
//! sends is bounded; a frame that makes no sense ends the connection with a word that says why.

pub(crate) mod connection;
pub(crate) mod frame;
pub(crate) mod handshake;
pub(crate) mod headers;
#[cfg(test)]
mod tests;

/// What a client did that ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The first bytes are no frame of this version.
    #[error("SPDY: version {0} is not spoken here; only 3.1 is")]
    Version(u16),
    /// A control frame is longer than any that is of use.
    #[error("SPDY: a control frame of {0} bytes is too long")]
    TooLong(usize),
    /// A control frame has another length than its type has.
    #[error("SPDY: a control frame of type {0} has a wrong length")]
    Length(u16),
    /// A block of headers cannot be decompressed or read.
    #[error("SPDY: a block of headers makes no sense")]
    Headers,
    /// A block of headers is larger than any that is of use.
    #[error("SPDY: a block of headers is too large")]
    HeadersTooLarge,
    /// A stream has an id that it must not have.
    #[error("SPDY: stream {0} must not be opened: a client's streams are odd, and each is higher than the one before")]
    Stream(u32),
    /// More is open than is allowed.
    #[error("SPDY: too many streams are open")]
    TooMany,
}
