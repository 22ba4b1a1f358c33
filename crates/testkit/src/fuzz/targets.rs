//! The decoders, one row each.

use consensus::decoders::Format;

use super::{Bound, Target, parts};

/// A format of `consensus` as a target.
macro_rules! format {
    ($name:literal, $format:ident, $base:expr, $each:expr) => {
        Target {
            name: $name,
            bound: Bound { base: $base, each: $each },
            samples: |chance| parts::samples(Format::$format, chance),
            mend: |bytes| Format::$format.mend(bytes),
            read: |input, scale| parts::read(Format::$format, input, scale),
        }
    };
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// All decoders.
#[must_use]
pub fn targets() -> Vec<Target> {
    vec![
        format!("hello", Hello, 4 * KIB, 16),
        format!("frame", Frame, 9 * MIB, 64),
        format!("message", Message, 4 * KIB, 64),
        format!("change", Change, 4 * KIB, 16),
        format!("records", Records, 4 * KIB, 64),
        format!("log", Log, 4 * MIB, 64),
        format!("snapshot", Snapshot, MIB, 16),
        format!("transfer", Transfer, 10 * MIB, 16),
    ]
}
