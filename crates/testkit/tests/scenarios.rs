//! The stories of `tests/scenarios`. `UPDATE_EXPECT=1 cargo test -p testkit --test scenarios` writes their answers anew.

use std::{fs, path::PathBuf};

fn stories() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios");
    let entries = fs::read_dir(folder).expect("tests/scenarios is there").map(|entry| entry.expect("it is readable"));
    let mut stories: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    stories.sort();
    stories
}

#[test]
fn every_story_goes_as_it_is_told() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    for path in stories() {
        let told = fs::read_to_string(&path).expect("a story is text");
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        assert!(told.starts_with('#'), "{name} does not begin with what it shows");
        match testkit::scenario::run(&told) {
            Ok(came) if came == told => {}
            Ok(came) if update => fs::write(&path, came).expect("a story can be written"),
            Ok(came) => wrong.push(format!("{name}:\n{}", difference(&told, &came))),
            Err(why) => wrong.push(format!("{name}: {why}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The first line that came otherwise, with a few around it.
fn difference(told: &str, came: &str) -> String {
    let same = told.lines().zip(came.lines()).take_while(|(told, came)| told == came).count();
    let around = |text: &str| text.lines().skip(same.saturating_sub(3)).take(8).collect::<Vec<_>>().join("\n  ");
    format!("line {}\ntold:\n  {}\ncame:\n  {}", same + 1, around(told), around(came))
}

#[test]
fn there_are_stories() {
    assert!(stories().len() >= 8, "the stories are gone");
}
