//! Whether the rules of a role allow what is asked, by Kubernetes' reading of their words.

use std::ops::Deref;

use api::{
    rbac_v1::PolicyRule,
    rights::{ALL, is_path},
};

use super::attributes::{Attributes, ResourceAttributes};

/// The rules of a role, and which of them speak of what: of the many that a role like `edit` has, few speak of one resource.
#[derive(Debug)]
pub(super) struct RuleSet {
    rules: Box<[PolicyRule]>,
    /// Which word of which rule names a resource, by the resource.
    named: Box<[(usize, usize)]>,
    /// Which rules speak of any resource.
    of_any: Box<[usize]>,
}

impl RuleSet {
    pub(super) fn new(rules: &[PolicyRule]) -> Self {
        let words = || {
            let of_rule = |(at, rule): (usize, &PolicyRule)| (0..rule.resources.len()).map(move |word| (at, word));
            rules.iter().enumerate().flat_map(of_rule)
        };
        let resource = |(rule, word): (usize, usize)| resource(&rules[rule].resources[word]);
        let (of_any, mut named): (Vec<_>, Vec<_>) = words().partition(|at| resource(*at) == ALL);
        named.sort_by_key(|at| resource(*at));
        let of_any = of_any.into_iter().map(|(rule, _)| rule).collect();
        Self { rules: rules.into(), named: named.into(), of_any }
    }

    /// Whether one of them allows something.
    pub(super) fn allow(&self, asked: &Attributes<'_>) -> bool {
        let Attributes::Resource(ResourceAttributes { resource, .. }) = asked else {
            return self.rules.iter().any(|rule| allows(rule, asked));
        };
        let of_word = |(rule, word): &(usize, usize)| self::resource(&self.rules[*rule].resources[*word]);
        let named = &self.named[self.named.partition_point(|at| of_word(at) < *resource)..];
        let of_it = named.iter().take_while(|at| of_word(at) == *resource).map(|(rule, _)| rule);
        of_it.chain(&self.of_any).any(|rule| allows(&self.rules[*rule], asked))
    }
}

impl Deref for RuleSet {
    type Target = [PolicyRule];

    fn deref(&self) -> &[PolicyRule] {
        &self.rules
    }
}

/// Of which resource a word speaks, with or without a part of it.
fn resource(word: &str) -> &str {
    word.split_once('/').map_or(word, |(resource, _)| resource)
}

/// Whether a rule allows something.
pub(super) fn allows(rule: &PolicyRule, asked: &Attributes<'_>) -> bool {
    let (verb, name) = match asked {
        Attributes::Resource(asked) => (asked.verb, asked.name),
        Attributes::NonResource { verb, path: _ } => (*verb, ""),
    };
    has(&rule.verbs, verb)
        && concerns(rule, asked)
        && (rule.resource_names.is_empty() || rule.resource_names.iter().any(|known| known == name))
}

/// Whether a rule allows anything with what is asked about.
pub(super) fn concerns(rule: &PolicyRule, asked: &Attributes<'_>) -> bool {
    match asked {
        Attributes::Resource(asked) => {
            has(&rule.api_groups, asked.group) && rule.resources.iter().any(|resource| is_resource(resource, asked))
        }
        Attributes::NonResource { verb: _, path } => rule.non_resource_urls.iter().any(|url| is_path(url, path)),
    }
}

fn has(words: &[String], word: &str) -> bool {
    words.iter().any(|known| known == ALL || known == word)
}

/// `*` is everything, `pods` the objects alone, `pods/log` a part of them, `*/scale` a part of whatever has it. `pods/*` is
/// nothing, as in Kubernetes.
fn is_resource(word: &str, asked: &ResourceAttributes<'_>) -> bool {
    if word == ALL {
        return true;
    }
    if asked.subresource.is_empty() {
        return word == asked.resource;
    }
    word.split_once('/')
        .is_some_and(|(resource, part)| part == asked.subresource && (resource == ALL || resource == asked.resource))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn resource(text: &'static str) -> ResourceAttributes<'static> {
        let (resource, subresource) = text.split_once('/').unwrap_or((text, ""));
        ResourceAttributes { verb: "get", group: "apps", resource, subresource, namespace: "a", name: "x" }
    }

    #[test]
    fn words_of_rules_mean_what_they_mean_in_kubernetes() {
        let cases = [
            ("deployments", "deployments", true),
            ("deployments", "deployments/scale", false),
            ("deployments/scale", "deployments/scale", true),
            ("deployments/scale", "deployments", false),
            ("*/scale", "deployments/scale", true),
            ("*/scale", "deployments/status", false),
            ("*/scale", "deployments", false),
            ("deployments/*", "deployments/scale", false),
            ("deployments/*", "deployments", false),
            ("*", "deployments", true),
            ("*", "deployments/scale", true),
            ("replicasets deployments", "deployments", true),
        ];
        for (rule, asked, expected) in cases {
            let rule = PolicyRule {
                verbs: words("get list"),
                api_groups: words("apps"),
                resources: words(rule),
                ..PolicyRule::default()
            };
            let asked = resource(asked);
            assert_eq!(allows(&rule, &Attributes::Resource(asked)), expected, "{rule:?} {asked:?}");
            let other = ResourceAttributes { verb: "delete", ..asked };
            assert!(!allows(&rule, &Attributes::Resource(other)));
            let other = ResourceAttributes { group: "", ..asked };
            assert!(!allows(&rule, &Attributes::Resource(other)));
            let named = PolicyRule { resource_names: words("x y"), ..rule.clone() };
            assert_eq!(allows(&named, &Attributes::Resource(asked)), expected);
            for name in ["z", ""] {
                assert!(!allows(&named, &Attributes::Resource(ResourceAttributes { name, ..asked })));
            }
        }
    }

    /// Rules of many words, asked by way of the index and one after the other.
    #[test]
    fn a_set_of_rules_allows_what_one_of_them_does() {
        let sets =
            ["", "pods", "pods/log pods", "*/scale", "* pods", "pods/*", "a b|pods deployments|*/log", "podsx|pod"];
        let asked = ["pods", "pods/log", "deployments", "deployments/scale", "*", "*/log", "pod", ""];
        for set in sets {
            let rule = |text: &str| PolicyRule {
                verbs: words("get"),
                api_groups: words("apps"),
                resources: words(text),
                non_resource_urls: words("/a /b*"),
                ..PolicyRule::default()
            };
            let rules: Vec<PolicyRule> = set.split('|').map(rule).collect();
            let indexed = RuleSet::new(&rules);
            assert_eq!(*indexed, *rules);
            for text in asked {
                let asked = Attributes::Resource(resource(text));
                assert_eq!(indexed.allow(&asked), rules.iter().any(|rule| allows(rule, &asked)), "{set} {text}");
                let other = Attributes::Resource(ResourceAttributes { verb: "delete", ..resource(text) });
                assert!(!indexed.allow(&other));
            }
            for (path, expected) in [("/a", true), ("/bc", true), ("/c", false)] {
                assert_eq!(indexed.allow(&Attributes::NonResource { verb: "get", path }), expected);
            }
        }
    }

    #[test]
    fn paths_are_whole_or_begin_alike() {
        let cases = [
            ("/metrics", "/metrics", true),
            ("/metrics", "/metrics/slis", false),
            ("/healthz/*", "/healthz/etcd", true),
            ("/healthz/*", "/healthz", false),
            ("/healthz*", "/healthz", true),
            ("*", "/anything", true),
        ];
        for (word, path, expected) in cases {
            let rule = PolicyRule { verbs: words("get"), non_resource_urls: words(word), ..PolicyRule::default() };
            assert_eq!(allows(&rule, &Attributes::NonResource { verb: "get", path }), expected, "{word} {path}");
            assert!(!allows(&rule, &Attributes::NonResource { verb: "post", path }));
            assert!(!allows(&rule, &Attributes::Resource(resource("deployments"))), "no path is a resource");
        }
        let all =
            PolicyRule { verbs: words("*"), api_groups: words("*"), resources: words("*"), ..PolicyRule::default() };
        assert!(!allows(&all, &Attributes::NonResource { verb: "get", path: "/metrics" }), "no resource is a path");
    }
}
