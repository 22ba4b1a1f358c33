//! Which of a group's versions clients should prefer.

use std::cmp::Reverse;

/// How mature a version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Maturity {
    Other,
    Alpha,
    Beta,
    Stable,
}

/// Sorts versions as Kubernetes does: `v2`, `v1`, `v1beta2`, `v1beta1`, `v1alpha1`, and then those with other names.
#[must_use]
pub fn priority(version: &str) -> impl Ord + use<> {
    let (maturity, major, minor) = read(version).unwrap_or((Maturity::Other, 0, 0));
    (Reverse(maturity), Reverse(major), Reverse(minor), version.to_owned())
}

fn read(version: &str) -> Option<(Maturity, u64, u64)> {
    let rest = version.strip_prefix('v')?;
    let digits = |text: &str| text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (major, rest) = rest.split_at(digits(rest));
    let major = major.parse().ok()?;
    for (word, maturity) in [("alpha", Maturity::Alpha), ("beta", Maturity::Beta)] {
        if let Some(minor) = rest.strip_prefix(word) {
            return Some((maturity, major, minor.parse().ok()?));
        }
    }
    rest.is_empty().then_some((Maturity::Stable, major, 0))
}

#[cfg(test)]
mod tests {
    use super::priority;

    #[test]
    fn the_most_mature_and_newest_version_comes_first() {
        let order = ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10"];
        let mut sorted = order;
        sorted.reverse();
        sorted.sort_by_key(|version| priority(version));
        assert_eq!(sorted, order);
    }
}
