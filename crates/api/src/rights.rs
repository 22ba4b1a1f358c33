//! Rules of roles, held against each other: whether some give all that others do. What one rule allows is the Registry's.

use std::collections::BTreeMap;

use crate::rbac_v1::PolicyRule;

/// The word of a rule that stands for all.
pub const ALL: &str = "*";

/// Every right of some rules that others do not give, one right in each rule: a verb of a resource in a group, of one name if it
/// was about names, or a verb of a path. Nothing, if they give all.
///
/// A right counts as given if one rule gives it as a whole, as in Kubernetes: a rule about some names does not give the right
/// that is about all.
#[must_use]
pub fn missing(given: &[PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    let rights = wanted.iter().flat_map(rights);
    rights.filter(|right| !given.iter().any(|rule| gives(rule, right))).map(|right| right.rule()).collect()
}

/// Whether a path is one that a word of a rule means: a `*` at the end stands for whatever follows.
#[must_use]
pub fn is_path(word: &str, path: &str) -> bool {
    word == path || word.ends_with(ALL) && path.starts_with(word.trim_end_matches(ALL))
}

/// Rules as Kubernetes writes them into refusals: those that differ in their verbs alone as one, each once, by their text.
#[must_use]
pub fn told(rules: &[PolicyRule]) -> Vec<String> {
    let mut verbs: BTreeMap<[&[String]; 4], Vec<String>> = BTreeMap::new();
    for rule in rules {
        let about = [&rule.api_groups, &rule.resources, &rule.non_resource_urls, &rule.resource_names];
        let known = verbs.entry(about.map(Vec::as_slice)).or_default();
        known.extend(rule.verbs.iter().filter(|verb| !known.contains(verb)).cloned().collect::<Vec<_>>());
    }
    let mut told: Vec<String> = verbs.iter().map(|(about, verbs)| text(about, verbs)).collect();
    told.sort();
    told
}

fn text([groups, resources, urls, names]: &[&[String]; 4], verbs: &[String]) -> String {
    let parts = [
        ("APIGroups", *groups),
        ("Resources", resources),
        ("NonResourceURLs", urls),
        ("ResourceNames", names),
        ("Verbs", verbs),
    ];
    let parts = parts.iter().filter(|(_, words)| !words.is_empty());
    let parts: Vec<String> = parts.map(|(field, words)| format!("{field}:{}", quoted(words))).collect();
    format!("{{{}}}", parts.join(", "))
}

/// `["a" "b"]`.
#[must_use]
pub fn quoted<T: AsRef<str>>(words: &[T]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("{:?}", word.as_ref())).collect();
    format!("[{}]", words.join(" "))
}

/// One right.
#[derive(Clone, Copy, Debug)]
enum Right<'a> {
    Resource { group: &'a str, resource: &'a str, name: Option<&'a str>, verb: &'a str },
    Path { path: &'a str, verb: &'a str },
}

impl Right<'_> {
    fn rule(self) -> PolicyRule {
        let one = |word: &str| vec![word.to_owned()];
        match self {
            Self::Resource { group, resource, name, verb } => PolicyRule {
                verbs: one(verb),
                api_groups: one(group),
                resources: one(resource),
                resource_names: name.map(one).unwrap_or_default(),
                ..PolicyRule::default()
            },
            Self::Path { path, verb } => {
                PolicyRule { verbs: one(verb), non_resource_urls: one(path), ..PolicyRule::default() }
            }
        }
    }
}

fn rights(rule: &PolicyRule) -> Vec<Right<'_>> {
    let names: Vec<Option<&str>> = match rule.resource_names.as_slice() {
        [] => vec![None],
        names => names.iter().map(|name| Some(name.as_str())).collect(),
    };
    let mut rights = Vec::new();
    for verb in &rule.verbs {
        for group in &rule.api_groups {
            for resource in &rule.resources {
                rights.extend(names.iter().map(|name| Right::Resource { group, resource, name: *name, verb }));
            }
        }
        rights.extend(rule.non_resource_urls.iter().map(|path| Right::Path { path, verb }));
    }
    rights
}

fn gives(rule: &PolicyRule, right: &Right<'_>) -> bool {
    let has = |words: &[String], wanted: &str| words.iter().any(|word| word == ALL || word == wanted);
    match *right {
        Right::Resource { group, resource, name, verb } => {
            has(&rule.verbs, verb)
                && has(&rule.api_groups, group)
                && rule.resources.iter().any(|word| includes(word, resource))
                && (rule.resource_names.is_empty()
                    || name.is_some_and(|name| rule.resource_names.iter().any(|known| known == name)))
        }
        Right::Path { path, verb } => {
            has(&rule.verbs, verb) && rule.non_resource_urls.iter().any(|word| is_path(word, path))
        }
    }
}

/// Whether a word for resources means all that another one does: `*/scale` means `deployments/scale`.
fn includes(word: &str, other: &str) -> bool {
    let part = |word: &str| word.split_once('/').map(|(resource, part)| (resource.to_owned(), part.to_owned()));
    word == ALL
        || word == other
        || match (part(word), part(other)) {
            (Some((resource, part)), Some((_, other))) => resource == ALL && part == other,
            (Some(_), None) | (None, _) => false,
        }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// `VERBS GROUPS RESOURCES [NAMES]`, or `VERBS /PATHS`; each by commas, the core group as `core`.
    fn rule(text: &str) -> PolicyRule {
        let words = |text: &str| {
            let core = |word: &str| if word == "core" { String::new() } else { word.to_owned() };
            text.split(',').map(core).collect::<Vec<_>>()
        };
        let all: Vec<&str> = text.split(' ').collect();
        match all.as_slice() {
            [verbs, paths] => {
                PolicyRule { verbs: words(verbs), non_resource_urls: words(paths), ..PolicyRule::default() }
            }
            [verbs, groups, resources, names @ ..] => PolicyRule {
                verbs: words(verbs),
                api_groups: words(groups),
                resources: words(resources),
                resource_names: names.iter().flat_map(|names| words(names)).collect(),
                ..PolicyRule::default()
            },
            _ => panic!("{text}"),
        }
    }

    fn check(given: &[&str], wanted: &[&str], expected: Expect) {
        let rules = |lines: &[&str]| lines.iter().map(|line| rule(line)).collect::<Vec<_>>();
        expected.assert_eq(&told(&missing(&rules(given), &rules(wanted))).join("\n"));
    }

    #[test]
    fn what_is_missing_is_told_in_kubernetes_words() {
        check(&["get,list core pods"], &["get core pods"], expect![[""]]);
        check(
            &["get core pods"],
            &["list,watch,get core pods,secrets"],
            expect![[r#"
                {APIGroups:[""], Resources:["pods"], Verbs:["list" "watch"]}
                {APIGroups:[""], Resources:["secrets"], Verbs:["list" "watch" "get"]}"#]],
        );
        check(&["get core pods x"], &["get core pods x"], expect![[""]]);
        check(&["get core pods"], &["get core pods x,y"], expect![[""]]);
        check(
            &["get core pods x"],
            &["get core pods", "get core pods y"],
            expect![[r#"
                {APIGroups:[""], Resources:["pods"], ResourceNames:["y"], Verbs:["get"]}
                {APIGroups:[""], Resources:["pods"], Verbs:["get"]}"#]],
        );
        check(&["* * *"], &["get core pods/log", "* * *"], expect![[""]]);
        check(&["* apps *"], &["* * *"], expect![[r#"{APIGroups:["*"], Resources:["*"], Verbs:["*"]}"#]]);
        check(&["update apps */scale"], &["update apps deployments/scale"], expect![[""]]);
        check(
            &["update apps deployments/scale"],
            &["update apps */scale", "update apps deployments"],
            expect![[r#"
                {APIGroups:["apps"], Resources:["*/scale"], Verbs:["update"]}
                {APIGroups:["apps"], Resources:["deployments"], Verbs:["update"]}"#]],
        );
        check(
            &["get /healthz/*"],
            &["get /healthz/a,/healthz/*,/metrics,*"],
            expect![[r#"
                {NonResourceURLs:["*"], Verbs:["get"]}
                {NonResourceURLs:["/metrics"], Verbs:["get"]}"#]],
        );
        check(&["* * *"], &["get /metrics"], expect![[r#"{NonResourceURLs:["/metrics"], Verbs:["get"]}"#]]);
    }
}
