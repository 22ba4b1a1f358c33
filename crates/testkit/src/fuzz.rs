//! Feeds damaged bytes to every decoder that reads a wire or a disk. Whatever they are, a decoder may refuse or accept them,
//! but never panic, never run for long and never take more memory than its bound; and what it accepted, encoded again, means
//! the same.
//!
//! Each input follows from a seed and its number. [`targets`] lists the decoders; memory is only counted in a program that
//! has [`Counting`] as its allocator.

mod certificates;
mod engine;
mod meter;
mod mutate;
mod parts;
mod state;
mod streams;
mod targets;
mod texts;
mod torn;

pub use engine::{Broken, Finding, INPUT_TIME_MAX, Run, Tally, fuzz, judge, warm_up};
pub use meter::{Counting, Scale, held};
pub use targets::targets;

use bytes::Bytes;

/// What a decoder makes of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was read.
    Accepted,
    /// It was refused.
    Refused,
}

/// The most memory that a decoder may have taken at any moment, beside its input: `base` and `each` times the input's length.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// In bytes.
    pub base: usize,
    /// Bytes for each byte of input.
    pub each: usize,
}

impl Bound {
    /// For an input of so many bytes.
    #[must_use]
    pub fn of(self, length: usize) -> usize {
        self.base + self.each * length
    }
}

/// A decoder under test.
#[derive(Clone, Copy)]
pub struct Target {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it may take.
    pub bound: Bound,
    /// Valid inputs, by chance.
    pub samples: fn(&mut crate::Prng) -> Vec<Vec<u8>>,
    /// Brings a damaged input past the first hurdle: checksums, or an encoding around it.
    pub mend: fn(&mut Vec<u8>),
    /// Decodes within [`Scale::weigh`], and says what is wrong if something is.
    pub read: fn(&Bytes, &mut Scale) -> Result<Verdict, String>,
}
