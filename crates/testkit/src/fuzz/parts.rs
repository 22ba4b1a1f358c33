//! What the decoders of `consensus` promise, said once for all its formats.

use bytes::Bytes;
use consensus::decoders::Format;

use super::{Scale, Verdict};
use crate::Prng;

pub(super) fn samples(format: Format, chance: &mut Prng) -> Vec<Vec<u8>> {
    format.samples(&mut || chance.bits()).into_iter().map(Into::into).collect()
}

/// Decodes; encodes what came out, and it decodes to the same.
pub(super) fn read(format: Format, input: &Bytes, scale: &mut Scale) -> Result<Verdict, String> {
    let Some(value) = scale.weigh(|| format.decode(input)) else { return Ok(Verdict::Refused) };
    let Some(bytes) = value.encode() else { return Ok(Verdict::Accepted) };
    let again = if format == Format::Transfer { Format::Snapshot } else { format };
    match again.decode(&bytes) {
        Some(same) if same == value => Ok(Verdict::Accepted),
        other => Err(format!("{value:?} was read, but encoded and read again it is {other:?}")),
    }
}
