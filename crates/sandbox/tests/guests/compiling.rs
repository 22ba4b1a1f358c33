//! Images that cost a compiler more than one image may: they harm its process, and nobody else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sandbox::{CompileLimits, Config, Digest, ImageError, SMALL_IMAGE_BYTES, Sandbox, Source};

use crate::{SANDBOX, config, sample};

const MODULE: &[u8] = b"\0asm\x01\0\0\0";
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// A number as WebAssembly writes it.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id], leb(content.len()).as_slice(), content].concat()
}

/// A component whose only type is a component type within a component type, and so on: three bytes for each.
fn nested(depth: usize) -> Vec<u8> {
    let mut types = vec![1];
    types.extend([0x41, 1, 1].repeat(depth));
    types.extend([0x41, 0]);
    [COMPONENT, &section(7, &types)].concat()
}

/// A module with one function after the other, each of which multiplies and twists a number so often.
fn laborious(functions: usize, steps: usize) -> Vec<u8> {
    let mut body = vec![0, 0x20, 0];
    for step in 0..steps {
        body.extend([0x41, (step % 60) as u8 + 3, 0x6c, 0x41, (step % 50) as u8 + 7, 0x73]);
    }
    body.push(0x0b);
    let body = [leb(body.len()), body].concat();
    let count = leb(functions);
    let bodies = [count.clone(), body.repeat(functions)].concat();
    let types = section(1, &[1, 0x60, 1, 0x7f, 1, 0x7f]);
    [MODULE, &types, &section(3, &[count, vec![0; functions]].concat()), &section(10, &bodies)].concat()
}

async fn prepare(sandbox: &Sandbox, bytes: Vec<u8>) -> Result<(), ImageError> {
    sandbox.prepare(Digest::of(&bytes), Source::Bytes(bytes.into())).await.map(drop)
}

fn limited(cache: &Path, compile: CompileLimits) -> Sandbox {
    Sandbox::new(Config { compile, ..config(cache) }).unwrap()
}

#[tokio::test]
async fn types_that_are_nested_without_end_cost_the_compiler_its_stack_only() {
    for depth in [1_500, 20_000, 300_000] {
        let error = prepare(&SANDBOX, nested(depth)).await.unwrap_err();
        let expected =
            matches!(error, ImageError::TooDemanding { .. } | ImageError::NoEntry { .. } | ImageError::Invalid(_));
        assert!(expected, "{depth}: {error}");
    }
    assert!(prepare(&SANDBOX, std::fs::read(sample("spin")).unwrap()).await.is_ok(), "the sandbox goes on");
}

#[tokio::test]
async fn every_limit_of_compiling_is_met_and_named() {
    let most = CompileLimits::default();
    let cases = [
        (CompileLimits { stack_bytes: 1 << 20, ..most }, nested(50_000), "1 MiB of stack"),
        (CompileLimits { memory_bytes: 1 << 30, ..most }, laborious(1, 1_200_000), "1024 MiB of memory"),
        (CompileLimits { cpu_seconds: 1, ..most }, laborious(400, 10_000), "1 s of CPU time"),
    ];
    for (limits, bytes, named) in cases {
        let dir = tempfile::tempdir().unwrap();
        let error = prepare(&limited(dir.path(), limits), bytes).await.unwrap_err();
        assert!(error.to_string().contains(named), "{named}: {error}");
    }
}

#[tokio::test]
async fn why_an_image_cannot_be_compiled_is_known_without_trying_again() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = b"\0asm\x01\0\0\0\x0bgarbage".to_vec();
    let first = prepare(&Sandbox::new(config(dir.path())).unwrap(), bytes.clone()).await.unwrap_err();
    let nobody = Config { compiler: "/nowhere".into(), ..config(dir.path()) };
    let sandbox = Sandbox::new(nobody).unwrap();
    let again = prepare(&sandbox, bytes).await.unwrap_err();
    assert_eq!((first.to_string(), matches!(first, ImageError::Invalid(_))), (again.to_string(), true));
    let other = prepare(&sandbox, b"\0asm\x01\0\0\0".to_vec()).await.unwrap_err();
    assert!(matches!(&other, ImageError::Internal(why) if why.contains("/nowhere")), "another is tried: {other}");
}

/// A compiler under a name of its own, so that its processes can be told from others'.
fn named(dir: &Path) -> PathBuf {
    let name = dir.join("compiler");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_sandbox-compiler"), &name).unwrap();
    name
}

/// The directories of the processes of a program.
fn processes(program: &Path) -> Vec<PathBuf> {
    let program = [program.as_os_str().as_encoded_bytes(), b"\0"].concat();
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let of_program = |dir: &PathBuf| std::fs::read(dir.join("cmdline")).is_ok_and(|line| line.starts_with(&program));
    all.map(|entry| entry.path()).filter(of_program).collect()
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_small_image_waits_for_no_large_one_and_nobody_waits_in_vain() {
    let dir = tempfile::tempdir().unwrap();
    let program = named(dir.path());
    let cache = dir.path().join("cache");
    let sandbox = Sandbox::new(Config { compiler: program.clone(), ..Config::new(&cache) }).unwrap();
    let large = laborious(1_000, 10_000);
    assert!(large.len() as u64 > SMALL_IMAGE_BYTES);
    // As many as there can be places, and one image that is asked for twice.
    let mut waiting: Vec<_> = (0..8_u8)
        .map(|number| {
            let (sandbox, bytes) = (sandbox.clone(), [large.clone(), section(0, &[1, b'n', number / 2])].concat());
            tokio::spawn(async move { prepare(&sandbox, bytes).await })
        })
        .collect();
    until(|| !processes(&program).is_empty()).await;
    prepare(&sandbox, std::fs::read(sample("spin")).unwrap()).await.unwrap();
    assert!(waiting.iter().all(|large| !large.is_finished()), "the small one came first");

    let last = waiting.pop().unwrap();
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    until(|| waiting.iter().all(tokio::task::JoinHandle::is_finished)).await;
    assert!(!last.is_finished(), "the other who waits for it still does");
    last.abort();
    let unfinished = || {
        let versions = std::fs::read_dir(&cache).unwrap().flatten();
        let mut files = versions.flat_map(|entry| std::fs::read_dir(entry.path()).unwrap()).flatten();
        files.any(|entry| entry.path().extension().is_some_and(|end| end == "tmp"))
    };
    until(|| processes(&program).is_empty() && !unfinished()).await;
}

#[tokio::test]
async fn the_compiler_has_three_files_and_an_empty_environment() {
    let dir = tempfile::tempdir().unwrap();
    let program = named(dir.path());
    let sandbox = Sandbox::new(Config { compiler: program.clone(), ..Config::new(dir.path().join("cache")) }).unwrap();
    // A file that this process would pass on without knowing.
    let leaked = rustix::io::dup(std::fs::File::open(dir.path()).unwrap()).unwrap();
    let compiling = tokio::spawn(async move { prepare(&sandbox, laborious(400, 10_000)).await });
    let files = |process: &Path| {
        let files = std::fs::read_dir(process.join("fd")).ok()?.flatten();
        Some(files.map(|file| file.file_name().into_string().unwrap()).collect::<BTreeSet<_>>())
    };
    let three = BTreeSet::from(["0", "1", "2"].map(str::to_owned));
    until(|| processes(&program).iter().any(|process| files(process).as_ref() == Some(&three))).await;
    let environment = processes(&program).iter().map(|process| std::fs::read(process.join("environ")).unwrap()).next();
    assert_eq!(environment, Some(Vec::new()));
    compiling.abort();
    drop(leaked);
}
