//! Writing to whoever reads: a pipe may be closed and a disk may be full, and neither is a reason to panic.

use std::{
    fmt,
    io::{self, Write as _},
};

/// Standard output does not take what was written.
#[derive(Debug)]
pub struct OutputError(io::Error);

impl OutputError {
    /// Whether the reader has gone, as `head` does when it has seen enough: that is no failure.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

impl From<io::Error> for OutputError {
    fn from(error: io::Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot write to standard output")
    }
}

impl std::error::Error for OutputError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// Writes to standard output.
///
/// # Errors
/// If nobody reads any more, or there is no room.
pub fn write(text: fmt::Arguments<'_>) -> Result<(), OutputError> {
    Ok(io::stdout().write_fmt(text)?)
}

/// Writes bytes to standard output, at once.
///
/// # Errors
/// If nobody reads any more, or there is no room.
pub fn write_bytes(bytes: &[u8]) -> Result<(), OutputError> {
    io::stdout().write_all(bytes)?;
    flush()
}

/// Hands over what standard output has not taken yet; without it an error at the very end would be lost.
///
/// # Errors
/// If nobody reads any more, or there is no room.
pub fn flush() -> Result<(), OutputError> {
    Ok(io::stdout().flush()?)
}

/// Writes to standard error. If that does not work, there is nobody left to tell.
pub fn complain(text: fmt::Arguments<'_>) {
    let _ = io::stderr().write_fmt(text);
}

/// Writes text to standard output; the error is the caller's to pass on.
#[macro_export]
macro_rules! out {
    ($($text:tt)*) => { $crate::terminal::write(::std::format_args!($($text)*)) };
}

/// Writes a line to standard output; the error is the caller's to pass on.
#[macro_export]
macro_rules! outln {
    () => { $crate::out!("\n") };
    ($text:literal $($values:tt)*) => { $crate::out!("{}\n", ::std::format_args!($text $($values)*)) };
}

/// Writes a line to standard error.
#[macro_export]
macro_rules! errln {
    ($text:literal $($values:tt)*) => {
        $crate::terminal::complain(::std::format_args!("{}\n", ::std::format_args!($text $($values)*)))
    };
}
