//! SPECIFICATION's limits are those of the code: a row names the constants that it speaks of, and the row's text must hold
//! the value of each.
//!
//! The last column of a row names a crate, perhaps files of it, and constants: `` `rpc` `relay.rs`: `CONNECTIONS_MAX` ``, or
//! `` `store::EVENTS_MAX` ``. A row that names no constant speaks of what is computed, and is not checked.

use std::{fs, path::Path};

use crate::imports;

/// Every row that says something else than the code.
pub(crate) fn problems(root: &Path) -> Vec<String> {
    let text = fs::read_to_string(root.join("SPECIFICATION.md")).unwrap_or_default();
    let table = text.split("## Limits").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap_or_default();
    let rows = table.lines().filter_map(Row::parse);
    rows.flat_map(|row| row.problems(root)).collect()
}

/// A row of the table.
struct Row<'a> {
    what: &'a str,
    limit: &'a str,
    constants: Vec<Constant<'a>>,
}

/// A constant that a row names.
struct Constant<'a> {
    crate_name: &'a str,
    file: Option<&'a str>,
    name: &'a str,
}

impl<'a> Row<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let (what, limit, place) = (cells.next()?, cells.next()?, cells.next()?);
        let (mut crate_name, mut file) = ("", None);
        let mut constants = Vec::new();
        for word in place.split('`').skip(1).step_by(2) {
            let (path, last) = word.rsplit_once("::").unwrap_or(("", word));
            if !path.is_empty() {
                (crate_name, file) = (path.split("::").next().unwrap_or_default(), None);
            }
            if is_constant(last) {
                constants.push(Constant { crate_name, file, name: last });
            } else if last.ends_with(".rs") {
                file = Some(last);
            } else if path.is_empty() {
                (crate_name, file) = (last, None);
            }
        }
        Some(Self { what, limit, constants })
    }

    fn problems(&self, root: &Path) -> Vec<String> {
        let found = self.constants.iter().filter_map(|constant| constant.problem(root, self.limit));
        found.map(|problem| format!("SPECIFICATION.md, limit of {:?}: {problem}", self.what)).collect()
    }
}

fn is_constant(word: &str) -> bool {
    word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

impl Constant<'_> {
    fn problem(&self, root: &Path, limit: &str) -> Option<String> {
        let Self { crate_name, file, name } = self;
        let source = root.join("crates").join(crate_name).join("src");
        let files = imports::files(&source);
        let meant = files.iter().filter(|path| file.is_none_or(|file| path.ends_with(file)));
        let values: Vec<String> = meant.filter_map(|path| definition(&fs::read_to_string(path).ok()?, name)).collect();
        match values.as_slice() {
            [] => Some(format!("crate {crate_name} has no constant {name} there")),
            [value] => match Value::parse(value) {
                None => Some(format!("{name} is `{value}`, which is not understood; write it as a product of numbers")),
                Some(value) if value.spellings().iter().any(|spelling| holds(limit, spelling)) => None,
                Some(value) => Some(format!("{name} is {}, but the text is {limit:?}", value.spellings().join(" or "))),
            },
            [..] => Some(format!("crate {crate_name} has several constants {name}; name the file")),
        }
    }
}

/// What stands behind the `=` of a constant.
fn definition(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.contains(&format!("const {name}: ")))?;
    let (_, value) = line.split_once(" = ")?;
    Some(value.trim_end_matches(';').to_owned())
}

/// Whether a text holds a word or several, and not as part of longer ones.
fn holds(text: &str, words: &str) -> bool {
    let inner = |char: Option<char>| char.is_some_and(|char| char.is_alphanumeric());
    text.match_indices(words).any(|(start, _)| {
        let (before, behind) = (&text[..start], &text[start + words.len()..]);
        let more_digits =
            behind.strip_prefix(',').is_some_and(|rest| rest.starts_with(|char: char| char.is_ascii_digit()));
        !inner(before.chars().next_back()) && !before.ends_with(',') && !inner(behind.chars().next()) && !more_digits
    })
}

/// A number, or a time in milliseconds.
#[derive(Debug, PartialEq, Eq)]
enum Value {
    Number(u64),
    Millis(u64),
}

impl Value {
    fn parse(text: &str) -> Option<Self> {
        if let Some(seconds) = text.strip_prefix("Duration::from_secs(") {
            return number(seconds.strip_suffix(')')?).map(|seconds| Self::Millis(seconds * 1000));
        }
        if let Some(millis) = text.strip_prefix("Duration::from_millis(") {
            return number(millis.strip_suffix(')')?).map(Self::Millis);
        }
        number(text).map(Self::Number)
    }

    /// How people write it.
    fn spellings(&self) -> Vec<String> {
        const BYTES: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        const TIMES: [(u64, &str); 5] =
            [(86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1000, "s"), (1, "ms")];
        match *self {
            Self::Number(number) => {
                let halves = BYTES.iter().filter(|(unit, _)| number.is_multiple_of(unit / 2) && number >= *unit);
                let bytes = halves.map(|(unit, name)| format!("{} {name}", number as f64 / *unit as f64));
                [number.to_string(), grouped(number)].into_iter().chain(bytes).collect()
            }
            Self::Millis(millis) => {
                let whole = TIMES.iter().filter(|(unit, _)| millis.is_multiple_of(*unit));
                whole.map(|(unit, name)| format!("{} {name}{}", millis / unit, plural(millis / unit, name))).collect()
            }
        }
    }
}

fn plural(count: u64, unit: &str) -> &'static str {
    if count == 1 || matches!(unit, "s" | "ms") { "" } else { "s" }
}

/// With commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// A product of numbers, some of them shifted.
fn number(text: &str) -> Option<u64> {
    let factor = |text: &str| {
        let (base, shift) = text.trim().trim_matches(['(', ')']).split_once("<<").unwrap_or((text, "0"));
        let plain = |text: &str| text.trim().trim_matches(['(', ')']).replace('_', "").parse::<u64>().ok();
        plain(base)?.checked_shl(u32::try_from(plain(shift)?).ok()?)
    };
    text.split(" * ").map(factor).try_fold(1_u64, |product, factor| product.checked_mul(factor?))
}

#[cfg(test)]
mod tests {
    use super::{Row, Value, holds};

    #[test]
    fn values_are_spelt_as_people_write_them() {
        let spelt = |text: &str| Value::parse(text).map(|value| value.spellings()).unwrap_or_default();
        assert_eq!(spelt("10_000"), ["10000", "10,000"]);
        assert_eq!(spelt("3 << 20"), ["3145728", "3,145,728", "3 MiB", "3072 KiB"]);
        assert_eq!(spelt("1_536 << 10")[2], "1.5 MiB");
        assert_eq!(spelt("Duration::from_secs(7 * 24 * 3600)")[0], "7 days");
        assert_eq!(spelt("Duration::from_secs(15 * 60)")[0], "15 minutes");
        assert_eq!(spelt("Duration::from_secs(10)"), ["10 s", "10000 ms"]);
        assert!(spelt("OTHER + 1").is_empty());
    }

    #[test]
    fn a_value_is_a_word_of_its_own() {
        assert!(holds("600, 256 MiB of bodies", "600") && holds("64; 100,000 and a tenth", "100,000"));
        assert!(
            !holds("1,600", "600") && !holds("64,000", "64") && !holds("64 KiB", "64 Ki") && !holds("10,000", "000")
        );
    }

    #[test]
    fn rows_name_constants_with_a_crate_a_file_or_a_path() {
        let named = |line: &'static str| {
            let constants = Row::parse(line).map(|row| row.constants).unwrap_or_default();
            let told = |constant: super::Constant<'static>| (constant.crate_name, constant.file, constant.name);
            constants.into_iter().map(told).collect::<Vec<_>>()
        };
        assert_eq!(
            named("| a | 1 | `rpc` `relay.rs`: `ONE`, `TWO` |"),
            [("rpc", Some("relay.rs"), "ONE"), ("rpc", Some("relay.rs"), "TWO")]
        );
        assert_eq!(
            named("| a | 1 | `store::ring::ONE`, `api` `TWO` |"),
            [("store", None, "ONE"), ("api", None, "TWO")]
        );
        assert!(named("| a | 1 | `proxy` `replay.rs` |").is_empty());
    }
}
