//! The state as a stream of bytes, for snapshots and backups. Checksums are the container's affair (`consensus`).
//!
//! A header message, then every claim, then every record in key order, each as a length-delimited protobuf message; the
//! counts in the header say how many of each follow. Numbers of fields are never reused.

use std::{
    io::{self, Read, Write},
    sync::Arc,
};

use api::{Key, Revision};
use bytes::Bytes;
use prost::Message;

use crate::{
    Record, View,
    state::{Digest, Root},
    txn::{self, BadTxn},
};

/// The largest message that is read, in bytes: far above any object (1.5 MiB), far below what would hurt.
const MESSAGE_MAX: usize = 16 << 20;

/// Most bytes that are allocated for a message before they are there: most objects fit.
const ROOM_MAX: usize = 64 << 10;

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(uint64, tag = "1")]
    revision: u64,
    #[prost(uint64, tag = "2")]
    claims: u64,
    #[prost(uint64, tag = "3")]
    records: u64,
    #[prost(uint64, tag = "4")]
    digest: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(string, tag = "2")]
    namespace: String,
    #[prost(string, tag = "3")]
    name: String,
    /// A claimed name; empty in records.
    #[prost(string, tag = "4")]
    claim: String,
    #[prost(bytes = "bytes", tag = "5")]
    bytes: Bytes,
    #[prost(uint64, tag = "6")]
    revision: u64,
    #[prost(uint64, tag = "7")]
    created: u64,
    /// The kind, if a user has defined it.
    #[prost(message, optional, tag = "8")]
    custom: Option<txn::wire::Custom>,
}

/// Writes a view.
pub(crate) fn write(view: &View, to: &mut dyn Write) -> io::Result<()> {
    let records = view.kinds().map(|kind| view.count(kind) as u64).sum();
    let (revision, claims, digest) = (view.revision().0, view.claims().count() as u64, view.digest().0);
    put(to, &Header { revision, claims, records, digest })?;
    for (claim, owner) in view.claims() {
        put(to, &named(owner, claim))?;
    }
    for record in view.kinds().flat_map(|kind| view.list(kind, None, None)) {
        let (revision, created) = (record.revision.0, record.created.0);
        put(to, &Named { bytes: record.bytes.clone(), revision, created, ..named(&record.key, "") })?;
    }
    Ok(())
}

fn named(key: &Key, claim: &str) -> Named {
    Named {
        kind: key.kind.info().code,
        custom: txn::custom(key.kind),
        namespace: key.namespace.to_string(),
        name: key.name.to_string(),
        claim: claim.to_owned(),
        ..Named::default()
    }
}

/// Reads what [`write`] wrote.
pub(crate) fn read(from: &mut dyn Read) -> io::Result<Root> {
    let header: Header = take(from)?;
    let mut root = Root::new(Revision(header.revision), Digest(header.digest));
    for _ in 0..header.claims {
        let claim: Named = take(from)?;
        let kind = txn::kind(claim.kind, claim.custom).map_err(invalid)?;
        let owner = Key::namespaced(kind, claim.namespace, claim.name);
        root.claim(claim.claim.as_str().into(), owner);
    }
    for _ in 0..header.records {
        let Named { kind, custom, namespace, name, bytes, revision, created, .. } = take(from)?;
        let key = Key::namespaced(txn::kind(kind, custom).map_err(invalid)?, namespace, name);
        root.insert(Arc::new(Record::known(key, bytes, Revision(revision), Revision(created))));
    }
    Ok(root)
}

fn put(to: &mut dyn Write, message: &impl Message) -> io::Result<()> {
    to.write_all(&message.encode_length_delimited_to_vec())
}

fn take<M: Message + Default>(from: &mut dyn Read) -> io::Result<M> {
    let length = length(from)?;
    if length > MESSAGE_MAX {
        return Err(io::Error::other(format!("a message of {length} bytes is longer than any that is written")));
    }
    M::decode(content(from, length)?).map_err(|error| invalid(error.into()))
}

/// Reads `length` bytes. For a long message memory is allocated as they come: a length alone must not take memory.
fn content(from: &mut dyn Read, length: usize) -> io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(length.min(ROOM_MAX));
    from.take(length as u64).read_to_end(&mut bytes)?;
    if bytes.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    bytes.shrink_to_fit();
    Ok(bytes.into())
}

/// A varint, byte by byte: the reader is buffered.
fn length(from: &mut dyn Read) -> io::Result<usize> {
    let mut length = 0_usize;
    for shift in (0..28).step_by(7) {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            return Ok(length);
        }
    }
    Err(io::Error::other("a message length of more than four bytes"))
}

fn invalid(error: BadTxn) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
