//! Each controller has a scenario: a story in `tests/scenarios` that names it in its header, in a line such as
//! `# Controllers: Node, EndpointSlice`.

use std::{collections::BTreeSet, fs, path::Path};

/// Where the controllers stand, a row each that begins with its name.
const TABLE: &str = "crates/control/src/controller.rs";

/// What opens the line that names the controllers of a story.
const HEADER: &str = "# Controllers: ";

/// Controllers without a story, stories without controllers, and names that no controller has.
pub(crate) fn problems(root: &Path) -> Vec<String> {
    let table = fs::read_to_string(root.join(TABLE)).unwrap_or_default();
    let entries = fs::read_dir(root.join("tests/scenarios")).into_iter().flatten().flatten();
    let mut stories: Vec<(String, String)> = entries
        .map(|entry| {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            (entry.file_name().to_string_lossy().into_owned(), text)
        })
        .collect();
    stories.sort();
    compare(&controllers(&table), &stories)
}

fn compare(controllers: &BTreeSet<&str>, stories: &[(String, String)]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut shown = BTreeSet::new();
    for (name, text) in stories {
        let Some(names) = text.lines().find_map(|line| line.strip_prefix(HEADER)) else {
            problems.push(format!("tests/scenarios/{name}: say in a line `{HEADER}…` which controllers it shows"));
            continue;
        };
        for controller in names.split(", ") {
            if !controllers.contains(controller) {
                problems.push(format!("tests/scenarios/{name}: `{controller}` is no controller of {TABLE}"));
            }
            shown.insert(controller);
        }
    }
    let untold = controllers.difference(&shown);
    problems.extend(untold.map(|name| format!("{TABLE}: no story of tests/scenarios shows `{name}`")));
    problems
}

/// The names of the rows, such as `Node: nodes::health, "node-controller";`.
fn controllers(table: &str) -> BTreeSet<&str> {
    let rows = table.split_once("\ncontrollers! {").map_or("", |(_, rows)| rows);
    let rows = rows.lines().map(str::trim).filter(|row| row.ends_with(';'));
    rows.filter_map(|row| row.split_once(": ")).map(|(name, _)| name).collect()
}

#[test]
fn a_controller_without_a_story_is_found() {
    let table = "x! {}\ncontrollers! {\n    /// The first: one.\n    One: room::one, \"one-controller\";\n    Two: two, TWO;\n}\n";
    let story = |header: &str| [("a.txt".to_owned(), format!("# What it shows.\n{header}\n\nnodes n1\n"))];
    let controllers = controllers(table);
    assert_eq!(controllers, BTreeSet::from(["One", "Two"]));
    assert!(compare(&controllers, &story("# Controllers: One, Two")).is_empty());
    assert_eq!(
        compare(&controllers, &story("# Controllers: One, Tow")),
        [
            "tests/scenarios/a.txt: `Tow` is no controller of crates/control/src/controller.rs",
            "crates/control/src/controller.rs: no story of tests/scenarios shows `Two`",
        ]
    );
    assert_eq!(compare(&controllers, &story("#")).len(), 3);
}
