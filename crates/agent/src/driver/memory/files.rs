//! Objects in files: the SHA-256 of what follows, then for each object the number of its kind, its length, and its bytes.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
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
    /// Tells apart what two writers of one file have begun: the later wins.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let unfinished = path.with_added_extension(format!("{}.unfinished", NEXT.fetch_add(1, Ordering::Relaxed)));
    let written = write_new(&unfinished, &bytes).and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        // Of a full disk nothing is left over.
        let _ = fs::remove_file(&unfinished);
    }
    written?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::core_v1::Secret;

    use super::*;

    #[test]
    fn two_writers_of_one_file_do_not_disturb_each_other() {
        const TIMES: usize = 50;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("used");
        let written = |text: &str| {
            let secret = Secret { string_data: [("a".to_owned(), text.to_owned())].into(), ..Secret::default() };
            let encoded = Encoded::from(&Object::from(secret));
            (0..TIMES).try_for_each(|_| write(&path, [&encoded]))
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(|| written("b"));
            written("a").unwrap();
            other.join().unwrap().unwrap();
        });
        assert_eq!(read(&path).unwrap().len(), 1);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing unfinished is left");
    }
}
