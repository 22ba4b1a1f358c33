//! Which modules import which: those that stand beside each other form no circle, at any level, and a crate takes of another
//! only what its law allows.
//!
//! A top module is what stands directly in `src`; whatever is in its folder belongs to it. The crate's root is left out,
//! since it names all modules: what it passes on counts as imported from where it is defined. Tests may import everything.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Crates whose folders may still hold circles: only the simulator, which is not shipped.
const SHALLOW: &[&str] = &["testkit"];

/// Crates of ours that take of another one only some names: the images know no objects.
const ONLY: &[(&str, &str, &[&str])] = &[("images", "api", &["Error", "Reason"])];

type Edges = BTreeMap<String, BTreeSet<String>>;

/// Circles between modules, and names that a crate may not take of another.
pub(crate) fn problems(root: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        entries(&root.join("crates")).into_iter().filter_map(|path| file_name(&path).map(str::to_owned)).collect();
    names.sort();
    names.iter().flat_map(|name| crate_problems(name, &root.join("crates").join(name).join("src"))).collect()
}

fn crate_problems(name: &str, src: &Path) -> Vec<String> {
    let edges = edges(src, Path::new(""));
    let circles = circles(&edges);
    let top = circles.iter().map(|circle| {
        format!("crates/{name}: {} import each other in a circle; move what they share below them", list(circle))
    });
    top.chain(deep(name, src)).chain(foreign(name, src)).collect()
}

/// Circles below the top modules of a crate.
fn deep(name: &str, src: &Path) -> Vec<String> {
    if SHALLOW.contains(&name) {
        return Vec::new();
    }
    let circles = |within: &PathBuf| {
        let edges = edges(src, within);
        let told =
            |circle| format!("crates/{name}: {} of {} import each other in a circle", list(circle), within.display());
        circles(&edges).iter().map(told).collect::<Vec<_>>()
    };
    folders(src)
        .iter()
        .filter_map(|folder| folder.strip_prefix(src).ok())
        .map(Path::to_owned)
        .flat_map(|within| circles(&within))
        .collect()
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let here = entries(folder).into_iter().filter(|path| path.is_dir() && !is_test(path));
    here.flat_map(|folder| [vec![folder.clone()], folders(&folder)].concat()).collect()
}

fn list(modules: &BTreeSet<&str>) -> String {
    modules.iter().copied().collect::<Vec<_>>().join(", ")
}

/// Names that a crate takes of another although its law does not allow them.
fn foreign(name: &str, src: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    for (_, other, allowed) in ONLY.iter().filter(|(krate, ..)| *krate == name) {
        for path in files(src) {
            let code = code(&path);
            let used =
                declared(&code).into_iter().filter(|path| path[0] == *other).filter_map(|path| path.get(1).cloned());
            let foreign = used.chain(inline(&code, other)).find(|name| !allowed.contains(&name.as_str()));
            problems.extend(foreign.map(|name| {
                format!("{}: takes `{other}::{name}`; its law allows {}", path.display(), allowed.join(", "))
            }));
        }
    }
    problems
}

/// Which module of a folder within a crate imports which others of that folder; the crate's own folder is the empty path.
fn edges(src: &Path, within: &Path) -> Edges {
    let folder = src.join(within);
    let modules: BTreeSet<String> = entries(&folder).iter().filter_map(|path| module(path)).collect();
    let passed_on = passed_on(&folder, &modules);
    let prefix: Vec<String> = within.iter().filter_map(|name| name.to_str()).map(str::to_owned).collect();
    let mut edges = Edges::new();
    for path in files(&folder) {
        let Ok(inside) = path.strip_prefix(&folder) else { continue };
        let own = inside.iter().next().and_then(|first| module(Path::new(first)));
        let Some(own) = own.filter(|own| modules.contains(own)) else { continue };
        let named = named_of_root(&code(&path), depth(inside), &prefix);
        let home = |name: String| if modules.contains(&name) { Some(name) } else { passed_on.get(&name).cloned() };
        let others = named.into_iter().filter_map(home).filter(|other| *other != own);
        edges.entry(own.clone()).or_default().extend(others);
    }
    edges
}

/// The names that the root of a folder passes on, with the modules that define them.
fn passed_on(folder: &Path, modules: &BTreeSet<String>) -> BTreeMap<String, String> {
    let within = ["lib.rs", "main.rs", "mod.rs"].map(|root| code(&folder.join(root))).concat();
    let roots = within + &code(&folder.with_extension("rs"));
    let mut names = BTreeMap::new();
    for path in declared(&roots) {
        let path: Vec<String> = path.into_iter().filter(|part| part != "crate" && part != "self").collect();
        if let [first, .., last] = path.as_slice()
            && modules.contains(first)
        {
            names.insert(last.clone(), first.clone());
        }
    }
    names
}

/// What code names of a root, which is a module of the crate by its path, when it stands `depth` modules below it.
fn named_of_root(code: &str, depth: usize, root: &[String]) -> Vec<String> {
    let whole: Vec<&str> = std::iter::once("crate").chain(root.iter().map(String::as_str)).collect();
    let mut names = inline(code, &whole.join("::"));
    for path in declared(code) {
        let ups = path.iter().take_while(|part| *part == "super").count();
        let start = match path[0].as_str() {
            "crate" if path[1..].starts_with(root) => whole.len(),
            _ if ups == depth => ups,
            _ => continue,
        };
        names.extend(path.get(start).cloned());
    }
    names
}

/// How many modules a file stands below the root: `a.rs` and `a/mod.rs` one, `a/b.rs` two.
fn depth(inside: &Path) -> usize {
    let parts = inside.iter().count();
    if inside.ends_with("mod.rs") { parts - 1 } else { parts }
}

/// Modules that import each other, directly or through others.
fn circles(edges: &Edges) -> BTreeSet<BTreeSet<&str>> {
    let all: BTreeMap<&str, BTreeSet<&str>> = edges.keys().map(|from| (from.as_str(), reached(edges, from))).collect();
    let circle = |from: &str| -> BTreeSet<&str> {
        let back = |to: &&&str| all.get(**to).is_some_and(|reached| reached.contains(from));
        all[from].iter().filter(back).copied().collect()
    };
    all.keys().map(|from| circle(from)).filter(|circle| !circle.is_empty()).collect()
}

fn reached<'a>(edges: &'a Edges, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = edges.get(from).into_iter().flatten().map(String::as_str).collect();
    while let Some(next) = open.pop() {
        if reached.insert(next) {
            open.extend(edges.get(next).into_iter().flatten().map(String::as_str));
        }
    }
    reached
}

/// The paths of all `use` declarations, one for each name.
fn declared(code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let before = code[..at].rsplit('\n').next().unwrap_or_default().trim_start();
        let is_declaration = before.is_empty() || before.starts_with("pub");
        if let Some((tree, _)) = code[at + "use ".len()..].split_once(';').filter(|_| is_declaration) {
            expand(tree, &[], &mut paths);
        }
    }
    paths
}

/// Reads `a::{b, c::d}` as `a::b` and `a::c::d`.
fn expand(tree: &str, before: &[String], into: &mut Vec<Vec<String>>) {
    let (path, group) = match tree.split_once('{') {
        Some((path, group)) => (path, Some(group.rsplit_once('}').map_or(group, |(group, _)| group))),
        None => (tree.split(" as ").next().unwrap_or_default(), None),
    };
    let parts = path.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned);
    let path: Vec<String> = before.iter().cloned().chain(parts).collect();
    match group {
        Some(group) => split(group).into_iter().for_each(|tree| expand(tree, &path, into)),
        None if path.len() > before.len() => into.push(path),
        None => {}
    }
}

/// The trees of a group, which commas separate.
fn split(group: &str) -> Vec<&str> {
    let mut depth = 0;
    let separates = |letter: char| {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        letter == ',' && depth == 0
    };
    group.split(separates).collect()
}

/// The names that stand behind `first::` in code, outside of groups.
fn inline(code: &str, first: &str) -> Vec<String> {
    let opening = format!("{first}::");
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let behind = |at: usize| {
        let is_start = !code[..at].ends_with(|letter| is_word(letter) || letter == ':');
        let rest = &code[at + opening.len()..];
        let name = &rest[..rest.find(|letter| !is_word(letter)).unwrap_or(rest.len())];
        (is_start && !name.is_empty()).then(|| name.to_owned())
    };
    code.match_indices(&opening).filter_map(|(at, _)| behind(at)).collect()
}

/// A file without its comments and its tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect()
}

/// All source files in a folder but tests.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let (folders, files): (Vec<_>, Vec<_>) =
        entries(folder).into_iter().filter(|path| !is_test(path)).partition(|path| path.is_dir());
    let files = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.chain(folders.iter().flat_map(|folder| self::files(folder))).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

fn is_test(path: &Path) -> bool {
    file_name(path).is_some_and(|name| name.contains("test"))
}

/// The top module that a file or folder of `src` is.
fn module(path: &Path) -> Option<String> {
    let name = file_name(path)?.trim_end_matches(".rs");
    (!matches!(name, "lib" | "main" | "bin") && !is_test(path)).then(|| name.to_owned())
}

#[test]
fn declarations_are_read_name_by_name() {
    let code = "use a::{\n    b,\n    c::{self, d as e},\n};\npub(crate) use super::x::Y;\n// use no::comment;\n";
    let read: Vec<String> = declared(code).iter().map(|path| path.join("::")).collect();
    assert_eq!(read[..4], ["a::b", "a::c::self", "a::c::d", "super::x::Y"]);
    assert_eq!(inline("crate::a::b(mycrate::c, $crate::d)", "crate"), ["a", "d"]);
    assert_eq!(["a.rs", "a/mod.rs", "a/b.rs"].map(|path| depth(Path::new(path))), [1, 1, 2]);
}

#[test]
fn modules_that_import_each_other_are_found() {
    let pairs = [("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"), ("e", "f")];
    let mut edges = Edges::new();
    for (from, to) in pairs {
        edges.entry(from.to_owned()).or_default().insert(to.to_owned());
    }
    assert_eq!(circles(&edges), BTreeSet::from([BTreeSet::from(["a", "b", "c"])]));
    assert_eq!(named_of_root("use super::a;\nuse crate::{b, c::D};\nuse super::super::e;\n", 1, &[]), ["a", "b", "c"]);
    let below = named_of_root("use super::a;\nuse crate::{b, room::{c, d::E}};\n", 1, &["room".to_owned()]);
    assert_eq!(below, ["a", "c", "d"]);
}

#[test]
fn what_modules_of_a_folder_import_of_each_other_is_seen() {
    let agent = Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent/src");
    let edges = edges(&agent, Path::new("driver"));
    assert!(edges["serving"].contains("node") && edges["pods"].contains("serving"), "{edges:?}");
    assert!(!edges["node"].contains("serving"), "{edges:?}");
}
