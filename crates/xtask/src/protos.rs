//! Each file of `proto/` stands where its package says, names the Go package that is made of it, and says what it is for and
//! what everything in it means: `grpcurl describe` and `kubectl explain` show the comments.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where Go finds the folder `proto/`.
const GO_ROOT: &str = "github.com/kapelle/kapelle/proto";

/// What begins a declaration that needs a comment, at the beginning of a line or within a service.
const DECLARATIONS: [&str; 4] = ["message ", "enum ", "service ", "rpc "];

/// Every file of `proto/` that breaks the rule.
pub(crate) fn problems(root: &Path) -> Vec<String> {
    let mut files = Vec::new();
    collect(&root.join("proto"), &mut files);
    files.sort();
    let tell = |path: &PathBuf| {
        let place = path.strip_prefix(root).unwrap_or(path).display().to_string();
        file_problems(&place, &fs::read_to_string(path).unwrap_or_default())
    };
    files.iter().flat_map(tell).collect()
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            into.push(path);
        }
    }
}

fn file_problems(place: &str, text: &str) -> Vec<String> {
    let folder = place.trim_start_matches("proto/").rsplit_once('/').map_or("", |(folder, _)| folder);
    let package = folder.replace('/', ".");
    // Go's name for `kapelle/core/v1` is `corev1`, as for Kubernetes' own packages.
    let short: String = folder.split('/').skip(1).collect();
    let wanted = [format!("package {package};"), format!("option go_package = \"{GO_ROOT}/{folder};{short}\";")];
    let missing = wanted.iter().filter(|line| !text.lines().any(|found| found == *line));
    let mut problems: Vec<String> = missing.map(|line| format!("{place}: write `{line}`")).collect();
    if !text.starts_with("// ") {
        problems.push(format!("{place}:1: open with `//`: what the file is for"));
    }
    problems.extend(uncommented(place, text));
    problems
}

fn uncommented(place: &str, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let declares = |line: &&str| DECLARATIONS.iter().any(|word| line.starts_with(word));
    let bare = (1..lines.len()).filter(|at| declares(&lines[*at]) && !lines[at - 1].starts_with("//"));
    bare.map(|at| format!("{place}:{}: say in a comment what it is for", at + 1)).collect()
}

#[test]
fn a_file_without_its_packages_or_a_comment_is_found() {
    let whole = "// What it is for.\n\nsyntax = \"proto3\";\n\npackage kapelle.core.v1;\n\n\
                 option go_package = \"github.com/kapelle/kapelle/proto/kapelle/core/v1;corev1\";\n\n\
                 // A Pod.\nmessage Pod {}\n";
    let place = "proto/kapelle/core/v1/core.proto";
    assert!(file_problems(place, whole).is_empty());
    assert_eq!(
        file_problems(place, "message Pod {}\nmessage Pot {}\n"),
        [
            "proto/kapelle/core/v1/core.proto: write `package kapelle.core.v1;`",
            "proto/kapelle/core/v1/core.proto: write \
             `option go_package = \"github.com/kapelle/kapelle/proto/kapelle/core/v1;corev1\";`",
            "proto/kapelle/core/v1/core.proto:1: open with `//`: what the file is for",
            "proto/kapelle/core/v1/core.proto:2: say in a comment what it is for",
        ]
    );
    assert_eq!(file_problems("proto/kapelle/apps/v1/apps.proto", whole).len(), 2);
}
