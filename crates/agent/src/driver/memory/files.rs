//! Objects in files: the SHA-256 of what follows, then for each object the number of its kind, its length, and its bytes.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use api::{Kind, Object};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use sha2::{Digest as _, Sha256};

/// How long a digest is, in bytes.
const DIGEST_BYTES: usize = 32;

/// An object as it stands in a file.
#[derive(Clone, Debug)]
pub(super) struct Encoded {
    kind: Kind,
    bytes: Bytes,
}

impl From<&Object> for Encoded {
    fn from(object: &Object) -> Self {
        Self { kind: object.kind(), bytes: object.encode_bytes() }
    }
}

/// Makes a directory that only its owner may look into.
pub(super) fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Writes a file so that it is there whole or not at all, also after a loss of power. One that says the same is left alone.
pub(super) fn write<'a>(path: &Path, objects: impl IntoIterator<Item = &'a Encoded>) -> io::Result<()> {
    let bytes = encode(objects);
    if fs::read(path).is_ok_and(|known| known == bytes) {
        return Ok(());
    }
    // Two writers of one file write the same, or the later wins.
    let unfinished = path.with_added_extension("unfinished");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// The objects of a file; none if there is no such file or it is damaged.
pub(super) fn read(path: &Path) -> Option<Vec<Object>> {
    let bytes = fs::read(path).ok()?;
    let objects = decode(bytes.into());
    if objects.is_none() {
        tracing::warn!(path = %path.display(), "what was remembered is damaged, and counts as forgotten");
    }
    objects
}

fn encode<'a>(objects: impl IntoIterator<Item = &'a Encoded>) -> Vec<u8> {
    let mut body = BytesMut::new();
    for Encoded { kind, bytes } in objects {
        body.put_u32(kind.info().code);
        body.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        body.extend_from_slice(bytes);
    }
    [&Sha256::digest(&body)[..], &body].concat()
}

fn decode(mut bytes: Bytes) -> Option<Vec<Object>> {
    if bytes.len() < DIGEST_BYTES {
        return None;
    }
    let digest = bytes.split_to(DIGEST_BYTES);
    if Sha256::digest(&bytes)[..] != digest {
        return None;
    }
    let mut objects = Vec::new();
    while bytes.has_remaining() {
        let code = bytes.try_get_u32().ok()?;
        let length = usize::try_from(bytes.try_get_u32().ok()?).ok()?;
        let kind = Kind::ALL.iter().find(|kind| kind.info().code == code)?;
        if length > bytes.remaining() {
            return None;
        }
        objects.push(Object::decode_bytes(*kind, bytes.split_to(length)).ok()?);
    }
    Some(objects)
}
