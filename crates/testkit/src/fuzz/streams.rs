//! Frames of SPDY and WebSocket, as clients send them.

use bytes::Bytes;

use super::{Scale, Verdict, texts::verdict};
use crate::Prng;

pub(super) fn spdy(_: &mut Prng) -> Vec<Vec<u8>> {
    [0, 1, 3, 60].map(apiserver::decoders::spdy_sample).to_vec()
}

pub(super) fn read_spdy(input: &Bytes, scale: &mut Scale) -> Result<Verdict, String> {
    Ok(verdict(scale.weigh(|| apiserver::decoders::spdy(input))))
}

/// A frame whose mask changes nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u8;
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

pub(super) fn websockets(_: &mut Prng) -> Vec<Vec<u8>> {
    let close = frame(0x88, &[0x03, 0xe8]);
    vec![
        [frame(0x82, b"\0bytes"), frame(0x89, b"ping"), close.clone()].concat(),
        [frame(0x81, b"0Ynl0ZXM="), close.clone()].concat(),
        // A message in two frames.
        [frame(0x02, b"\x01by"), frame(0x80, b"tes"), close.clone()].concat(),
        close,
    ]
}

pub(super) fn read_websocket(input: &Bytes, scale: &mut Scale) -> Result<Verdict, String> {
    Ok(verdict(scale.weigh(|| apiserver::decoders::websocket(input))))
}
