//! Images: what is refused and why, and how compiled ones are kept.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sandbox::{Digest, ImageError, Sandbox, Shape, Source};

use crate::{SANDBOX, config, image, sample};

/// A core module that imports one function from a module of its own invention.
const STRANGE_IMPORT: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x0d\x01\x04host\x04dial\0\0";

async fn refused(bytes: impl Into<Bytes>) -> ImageError {
    let bytes = bytes.into();
    SANDBOX.prepare(Digest::of(&bytes), Source::Bytes(bytes)).await.unwrap_err()
}

#[tokio::test]
async fn shapes_are_read_off_the_exports() {
    assert_eq!(image("hello-http").await.shape(), Shape::Http);
    assert_eq!(image("batch").await.shape(), Shape::Command);
    assert_eq!(image("echo-tcp").await.shape(), Shape::Command);
}

#[tokio::test]
async fn what_cannot_run_says_why() {
    let error = refused("#!/bin/sh\necho hello\n").await;
    assert!(matches!(&error, ImageError::NotWasm { looks_like } if looks_like.contains("script")), "{error}");

    let error = refused(&b"\0asm\x01\0\0\0"[..]).await;
    assert!(matches!(error, ImageError::NoEntry { .. }), "{error}");
    assert!(error.to_string().contains("_start"), "{error}");

    let error = refused(&b"\0asm\x01\0\0\0\x0bgarbage"[..]).await;
    assert!(matches!(error, ImageError::Invalid(_)), "{error}");

    let error = refused(STRANGE_IMPORT).await;
    assert!(
        matches!(&error, ImageError::UnknownImport { import, closest: None } if import == "dial of host"),
        "{error}"
    );
}

#[tokio::test]
async fn an_unknown_import_is_named_with_the_closest_that_exists() {
    let mut bytes = std::fs::read(sample("hello-http")).unwrap();
    replace_all(&mut bytes, b"wasi:io/poll@", b"wasi:io/pull@");
    let error = refused(bytes).await;
    let ImageError::UnknownImport { import, closest } = &error else { panic!("{error}") };
    assert!(import.starts_with("wasi:io/pull@0.2."), "{import}");
    assert_eq!(closest.as_deref(), Some("wasi:io/poll@0.2.12"));
}

#[tokio::test]
async fn machine_code_from_outside_is_never_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let (sandbox, digest) = compiled(dir.path()).await;
    let code = std::fs::read(code_file(dir.path())).unwrap();
    let error = sandbox.prepare(Digest::of(&code), Source::Bytes(code.into())).await.unwrap_err();
    assert!(matches!(error, ImageError::Precompiled), "{error}");
    let error = sandbox.prepare(digest, Source::Bytes(Bytes::new())).await;
    assert!(error.is_ok(), "what is in the cache needs no bytes");
}

#[tokio::test]
async fn bytes_must_have_the_digest_they_were_asked_for_under() {
    let error = SANDBOX.prepare(Digest::of(b"something else"), Source::Path(sample("spin"))).await.unwrap_err();
    assert!(matches!(error, ImageError::WrongDigest { .. }), "{error}");
}

#[tokio::test]
async fn an_image_is_made_once_and_shared() {
    let (one, other) = tokio::join!(image("kv-http"), image("kv-http"));
    assert!(Arc::ptr_eq(&one, &other));
}

#[tokio::test]
async fn the_cache_survives_its_process_and_notices_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (sandbox, digest) = compiled(dir.path()).await;
    drop(sandbox);
    let nowhere = Source::Path("/nowhere.wasm".into());

    let again = Sandbox::new(config(dir.path())).unwrap();
    assert!(again.prepare(digest, nowhere.clone()).await.is_ok(), "the source is not looked at");
    drop(again);

    let code = code_file(dir.path());
    let mut bytes = std::fs::read(&code).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&code, bytes).unwrap();
    let damaged = Sandbox::new(config(dir.path())).unwrap();
    let error = damaged.prepare(digest, nowhere).await.unwrap_err();
    assert!(matches!(error, ImageError::Read { .. }), "damaged code is not run: {error}");
    assert!(damaged.prepare(digest, Source::Path(sample("spin"))).await.is_ok(), "it is compiled again");
}

async fn compiled(cache: &Path) -> (Sandbox, Digest) {
    let sandbox = Sandbox::new(config(cache)).unwrap();
    let bytes = std::fs::read(sample("spin")).unwrap();
    let digest = Digest::of(&bytes);
    sandbox.prepare(digest, Source::Bytes(bytes.into())).await.unwrap();
    (sandbox, digest)
}

fn code_file(cache: &Path) -> std::path::PathBuf {
    let version = std::fs::read_dir(cache).unwrap().next().unwrap().unwrap().path();
    let files = std::fs::read_dir(version).unwrap().map(|entry| entry.unwrap().path());
    files.into_iter().find(|path| path.extension().is_some_and(|end| end == "cwasm")).unwrap()
}

fn replace_all(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    for at in 0..=bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
}
