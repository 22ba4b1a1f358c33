//! The decoders, one row each.

use bytes::Bytes;
use consensus::decoders::Format;

use super::{Bound, Scale, Target, Verdict, certificates, parts, state, streams, texts, torn};
use crate::Prng;

/// A format of `consensus` as a target.
macro_rules! of_consensus {
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

/// A target without checksums.
fn target(
    name: &'static str,
    base: usize,
    each: usize,
    samples: fn(&mut Prng) -> Vec<Vec<u8>>,
    read: fn(&Bytes, &mut Scale) -> Result<Verdict, String>,
) -> Target {
    Target { name, bound: Bound { base, each }, samples, mend: |_| (), read }
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// All decoders. What a bound's base holds: of a frame the room that is made ahead, of a log the buffer that it goes on with,
/// of a snapshot its blocks, of JSON and YAML their readers' buffers, of SPDY the decompressor, of WebSocket one message, of
/// schemas and expressions their patterns. What it allows for each byte is for many items of the
/// smallest kind, whose values are larger than their bytes, in a list that grows: two bytes of a command are an operation.
#[must_use]
pub fn targets() -> Vec<Target> {
    vec![
        of_consensus!("hello", Hello, 4 * KIB, 16),
        of_consensus!("frame", Frame, 512 * KIB, 64),
        of_consensus!("message", Message, 4 * KIB, 64),
        of_consensus!("change", Change, 4 * KIB, 16),
        of_consensus!("records", Records, 4 * KIB, 64),
        of_consensus!("log", Log, 4 * MIB, 64),
        of_consensus!("snapshot", Snapshot, MIB, 16),
        of_consensus!("transfer", Transfer, 2 * MIB, 64),
        target("torn", 24 * MIB, 16, torn::samples, torn::read),
        target("command", 4 * KIB, 300, state::commands, state::read_command),
        target("state", 256 * KIB, 300, state::samples, state::read),
        Target { mend: texts::wrap, ..target("page", 4 * KIB, 16, texts::pages, texts::read_page) },
        target("token", 4 * KIB, 64, texts::tokens, texts::read_token),
        Target { mend: texts::sign, ..target("account-token", 16 * KIB, 64, texts::claims, texts::read_account_token) },
        target("certificate-request", 16 * KIB, 300, certificates::requests, certificates::read_request),
        target("pod-identity", 4 * KIB, 300, certificates::identities, certificates::read_identity),
        target("trust-bundle", 16 * KIB, 300, certificates::bundles, certificates::read_bundle),
        target("url", 4 * KIB, 128, texts::urls, texts::read_url),
        target("labels", 4 * KIB, 300, texts::labels, texts::read_labels),
        target("fields", 4 * KIB, 300, texts::fields, texts::read_fields),
        target("owned-fields", 4 * KIB, 300, texts::owned_fields, texts::read_owned_fields),
        target("json", 64 * KIB, 500, texts::jsons, texts::read_json),
        target("cbor", 64 * KIB, 500, texts::cbors, texts::read_cbor),
        target("yaml", 64 * KIB, 1000, texts::yamls, texts::read_yaml),
        target("offered", 64 * KIB, 1000, texts::offered, texts::read_offered),
        target("spdy", 256 * KIB, 300, streams::spdy, streams::read_spdy),
        target("websocket", 256 * KIB, 64, streams::websockets, streams::read_websocket),
        target("schema", 8 * MIB, 1000, texts::schemas, texts::read_schema),
        target("role", 256 * KIB, 1000, texts::roles, texts::read_role),
        target("review", 16 * KIB, 500, texts::reviews, texts::read_review),
        target("expression", 8 * MIB, 1000, texts::expressions, texts::read_expression),
    ]
}
