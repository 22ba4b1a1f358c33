//! Damages inputs, in the ways in which decoders are most often wrong.

use crate::Prng;

/// The longest input, in bytes: some segments of the samples' logs, and enough of anything to see how memory grows.
pub(super) const INPUT_BYTES_MAX: usize = 64 << 10;

/// Bytes at the edges of what numbers and varints can be.
const EDGES: [u8; 7] = [0, 1, 0x7f, 0x80, 0x81, 0xfe, 0xff];

/// Numbers at the edges of 32 and 64 bits, and lengths that are too long for any memory.
const NUMBERS: [u64; 11] = [
    0,
    1,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffe,
    0xffff_ffff,
    1 << 24,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

/// The most damages to one input: more than a few and nothing of it is left.
const DAMAGES_MAX: u64 = 6;

/// An input: bytes at random, or a damaged one of those given. One in a few is whole.
pub(super) fn input(chance: &mut Prng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let Some(start) = chance.pick(corpus).filter(|_| !chance.clone().happens(50)) else { return noise(chance) };
    let mut bytes = start.clone();
    for _ in 0..chance.between(0, DAMAGES_MAX) {
        damage(chance, corpus, &mut bytes);
        bytes.truncate(INPUT_BYTES_MAX);
    }
    bytes
}

fn noise(chance: &mut Prng) -> Vec<u8> {
    let longest = if chance.happens(50) { 4096 } else { 64 };
    (0..chance.between(0, longest)).map(|_| chance.bits() as u8).collect()
}

fn damage(chance: &mut Prng, corpus: &[Vec<u8>], bytes: &mut Vec<u8>) {
    let at = place(chance, bytes);
    match chance.between(0, 11) {
        0 | 1 => overwrite(bytes, at, |old| old ^ (1 << (chance.bits() % 8))),
        2 => overwrite(bytes, at, |_| EDGES[(chance.bits() % EDGES.len() as u64) as usize]),
        3 => overwrite(bytes, at, |_| chance.bits() as u8),
        4 | 5 => number(chance, bytes, at),
        6 => bytes.truncate(at),
        7 => {
            let end = at + below(chance, bytes.len() - at + 1);
            bytes.drain(at..end);
        }
        8 => repeat(chance, bytes, at),
        9 => splice(chance, corpus, bytes, at),
        10 => {
            let more: Vec<u8> = (0..chance.between(1, 16)).map(|_| chance.bits() as u8).collect();
            bytes.splice(at..at, more);
        }
        _ => {
            let run = chance.pick(&EDGES).copied().unwrap_or_default();
            let end = bytes.len().min(at + below(chance, 12));
            bytes[at..end].fill(run);
        }
    }
}

fn below(chance: &mut Prng, end: usize) -> usize {
    (chance.bits() % end.max(1) as u64) as usize
}

/// A place in the bytes; one with something in it rather than one of many zeros.
fn place(chance: &mut Prng, bytes: &[u8]) -> usize {
    /// So often is looked for something.
    const TRIES: usize = 8;
    let mut at = below(chance, bytes.len() + 1);
    for _ in 0..TRIES {
        if bytes.get(at).is_none_or(|byte| *byte != 0) || chance.happens(100) {
            break;
        }
        at = below(chance, bytes.len() + 1);
    }
    at
}

fn overwrite(bytes: &mut [u8], at: usize, with: impl FnOnce(u8) -> u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte = with(*byte);
    }
}

/// Puts an extreme number, or one close to the input's length, where perhaps a length stands.
fn number(chance: &mut Prng, bytes: &mut [u8], at: usize) {
    let number = match chance.between(0, 3) {
        0 => ((bytes.len() - at) as u64 + chance.between(0, 8)).wrapping_sub(4),
        _ => chance.pick(&NUMBERS).copied().unwrap_or_default(),
    };
    let wide = number.to_le_bytes();
    let mut number = match chance.between(0, 2) {
        0 => wide.to_vec(),
        1 => wide[..2].to_vec(),
        _ => wide[..4].to_vec(),
    };
    if chance.happens(100) {
        number.reverse();
    }
    for (byte, new) in bytes[at..].iter_mut().zip(number) {
        *byte = new;
    }
}

/// Says some of the bytes again, mostly once, now and then as often as fits: that shows what small items cost.
fn repeat(chance: &mut Prng, bytes: &mut Vec<u8>, at: usize) {
    let length = below(chance, (bytes.len() - at).min(64) + 1);
    let some = bytes[at..at + length].to_vec();
    let room = INPUT_BYTES_MAX.saturating_sub(bytes.len()) / length.max(1);
    let times = if chance.happens(50) { below(chance, room + 1) } else { 1 };
    bytes.splice(at..at, some.repeat(times));
}

/// Goes on with the end of another input.
fn splice(chance: &mut Prng, corpus: &[Vec<u8>], bytes: &mut Vec<u8>, at: usize) {
    let Some(other) = chance.pick(corpus) else { return };
    let from = if chance.happens(500) { at.min(other.len()) } else { place(chance, other) };
    bytes.truncate(at);
    bytes.extend_from_slice(&other[from..]);
}
