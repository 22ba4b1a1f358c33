//! `-f FILE|DIR|-`: manifests from files, folders and standard input.

use std::{
    fs,
    io::{Read as _, stdin},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use api::yaml;
use serde_json::Value;

/// The most bytes that are read from one source, in bytes: more than any set of manifests, less than a mistake can be.
const SOURCE_BYTES_MAX: u64 = 64 << 20;

/// The endings that count as manifests when a folder is given.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Reads every manifest of every source, in order; a folder's files by name, without its subfolders unless `recursive`.
pub(crate) fn read(sources: &[PathBuf], recursive: bool) -> Result<Vec<Value>> {
    let mut manifests = Vec::new();
    for source in sources {
        for (name, text) in texts(source, recursive)? {
            let documents = yaml::documents(&text).with_context(|| format!("in {name}"))?;
            manifests.extend(documents);
        }
    }
    if manifests.is_empty() {
        bail!("no objects: nothing in {} is a manifest", names(sources));
    }
    Ok(manifests)
}

fn names(sources: &[PathBuf]) -> String {
    sources.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn texts(source: &Path, recursive: bool) -> Result<Vec<(String, String)>> {
    if source == Path::new("-") {
        return Ok(vec![("standard input".to_owned(), limited("standard input", stdin().lock())?)]);
    }
    let files = if source.is_dir() { folder(source, recursive)? } else { vec![source.to_owned()] };
    let text = |path: PathBuf| {
        let name = path.display().to_string();
        let file = fs::File::open(&path).with_context(|| format!("cannot read {name}"))?;
        Ok((name.clone(), limited(&name, file)?))
    };
    files.into_iter().map(text).collect()
}

fn limited(name: &str, from: impl std::io::Read) -> Result<String> {
    let mut text = String::new();
    let read =
        from.take(SOURCE_BYTES_MAX + 1).read_to_string(&mut text).with_context(|| format!("cannot read {name}"))?;
    if read as u64 > SOURCE_BYTES_MAX {
        bail!("{name} is larger than {} MiB", SOURCE_BYTES_MAX >> 20);
    }
    Ok(text)
}

fn folder(path: &Path, recursive: bool) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(if recursive { folder(&path, true)? } else { Vec::new() });
        } else if path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known)) {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::fs;

    use super::read;

    #[test]
    fn a_folder_gives_its_manifests_by_name_and_its_subfolders_only_on_demand() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        write("b.yaml", "kind: B\n---\nkind: C\n");
        write("a.json", "{\"kind\": \"A\"}");
        write("README.md", "not a manifest");
        write("sub/d.yml", "kind: D\n");

        let kinds = |recursive| -> String {
            read(&[dir.path().to_owned()], recursive)
                .unwrap()
                .iter()
                .map(|value| value["kind"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(kinds(false), "ABC");
        assert_eq!(kinds(true), "ABCD");
    }

    #[test]
    fn nothing_to_read_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(&[dir.path().to_owned()], false).is_err());
        assert!(read(&[dir.path().join("missing.yaml")], false).is_err());
    }
}
