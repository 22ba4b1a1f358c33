//! Which requests a webhook or policy is about.

use std::collections::BTreeMap;

use crate::{
    Kind, Served,
    admissionregistration_v1::{MatchResources, NamedRuleWithOperations, Rule as Written, RuleWithOperations},
    meta_v1::LabelSelector,
    selector::Labels,
};

/// What a request does to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// It comes into being.
    Create,
    /// It changes.
    Update,
    /// It goes.
    Delete,
    /// Somebody is connected with it.
    Connect,
}

impl Operation {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Create, Self::Update, Self::Delete, Self::Connect];

    /// The word in rules and reviews.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// A request, as far as rules look at it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What it does.
    pub operation: Operation,
    /// To which kind, in the group and version that it names.
    pub served: Served,
    /// In which versions the kind is served, if a user has defined it; those of other kinds are known.
    pub versions: &'a [Served],
    /// The subresource; empty for the object itself.
    pub subresource: &'a str,
    /// The object's namespace; empty if it lives in none.
    pub namespace: &'a str,
    /// The object's name.
    pub name: &'a str,
}

/// The labels by which requests are selected.
#[derive(Clone, Copy, Debug, Default)]
pub struct Labelled<'a> {
    /// Those of the namespace, or of the Namespace itself; `None` where there is none.
    pub namespace: Option<&'a BTreeMap<String, String>>,
    /// Those of the object before the write, if there was one.
    pub old: Option<&'a BTreeMap<String, String>>,
    /// Those of the object as it will be, if there will be one.
    pub new: Option<&'a BTreeMap<String, String>>,
}

/// Which requests are meant.
#[derive(Clone, Debug)]
pub struct Selection {
    /// `None` for all.
    rules: Option<Vec<Rule>>,
    excluded: Vec<Rule>,
    /// Whether rules also match other versions of what a request names.
    equivalent: bool,
    namespaces: Labels,
    objects: Labels,
}

/// A rule, ready to be held against requests.
#[derive(Clone, Debug)]
struct Rule {
    operations: Words,
    groups: Words,
    versions: Words,
    resources: Vec<(Words, Words)>,
    lives: Lives,
    /// Empty for all.
    names: Vec<String>,
}

/// Some words, or all.
#[derive(Clone, Debug)]
enum Words {
    All,
    These(Box<[String]>),
}

/// Where objects live.
#[derive(Clone, Copy, Debug)]
enum Lives {
    Anywhere,
    InNamespaces,
    InNone,
}

impl Words {
    fn of<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let words: Box<[String]> = words.into_iter().map(str::to_owned).collect();
        if words.iter().any(|word| word == "*") { Self::All } else { Self::These(words) }
    }

    fn has(&self, word: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(words) => words.iter().any(|known| known == word),
        }
    }
}

impl Rule {
    fn new(rule: &RuleWithOperations, names: &[String]) -> Self {
        let none = Written::default();
        let Written { api_groups, api_versions, resources, scope } = rule.rule.as_ref().unwrap_or(&none);
        let words = |words: &[String]| Words::of(words.iter().map(String::as_str));
        let resource = |text: &String| {
            let (name, part) = text.split_once('/').unwrap_or((text, ""));
            (Words::of([name]), Words::of([part]))
        };
        Self {
            operations: words(&rule.operations),
            groups: words(api_groups),
            versions: words(api_versions),
            resources: resources.iter().map(resource).collect(),
            lives: match scope.as_str() {
                "Namespaced" => Lives::InNamespaces,
                "Cluster" => Lives::InNone,
                _ => Lives::Anywhere,
            },
            names: names.to_vec(),
        }
    }

    fn named(named: &NamedRuleWithOperations) -> Self {
        Self::new(&named.rule_with_operations.clone().unwrap_or_default(), &named.resource_names)
    }

    /// Whether it may match some request of a kind.
    fn may_match(&self, operation: Operation, served: Served) -> bool {
        let info = served.info();
        let named = self.resources.iter().any(|(name, _)| name.has(info.plural));
        // A kind that a user defines has versions only where its definition is at hand.
        let version = info.version.is_empty() || self.versions.has(info.version);
        named && version && self.operations.has(operation.word()) && self.groups.has(info.group)
    }

    fn matches(&self, subject: &Subject<'_>, served: Served) -> bool {
        let in_namespace = !subject.namespace.is_empty() && served.kind() != Kind::Namespace;
        let lives = match self.lives {
            Lives::Anywhere => true,
            Lives::InNamespaces => in_namespace,
            Lives::InNone => !in_namespace,
        };
        let plural = served.info().plural;
        let is_part = |(name, part): &(Words, Words)| name.has(plural) && part.has(subject.subresource);
        lives
            && self.may_match(subject.operation, served)
            && self.resources.iter().any(is_part)
            && (self.names.is_empty() || self.names.iter().any(|name| name == subject.name))
    }
}

/// The other versions in which the same objects are served.
fn others(served: Served, versions: &[Served]) -> impl Iterator<Item = Served> {
    Served::all().chain(versions.iter().copied()).filter(move |other| *other != served && other.kind() == served.kind())
}

/// What is stored was judged, so that every selector can be read. One that cannot selects everything: nobody is forgotten.
fn labels(selector: Option<&LabelSelector>) -> Labels {
    let labels = selector.map_or_else(|| Ok(Labels::everything()), Labels::from_selector);
    labels.unwrap_or_else(|_| Labels::everything())
}

impl Selection {
    /// What a webhook is asked about.
    #[must_use]
    pub fn of_rules(
        rules: &[RuleWithOperations],
        match_policy: &str,
        namespaces: Option<&LabelSelector>,
        objects: Option<&LabelSelector>,
    ) -> Self {
        Self {
            rules: Some(rules.iter().map(|rule| Rule::new(rule, &[])).collect()),
            excluded: Vec::new(),
            equivalent: match_policy != "Exact",
            namespaces: labels(namespaces),
            objects: labels(objects),
        }
    }

    /// What a policy or a binding is about. Without rules it is about everything.
    #[must_use]
    pub fn of_resources(resources: Option<&MatchResources>) -> Self {
        let none = MatchResources::default();
        let resources = resources.unwrap_or(&none);
        let rules = || resources.resource_rules.iter().map(Rule::named).collect();
        Self {
            rules: (!resources.resource_rules.is_empty()).then(rules),
            excluded: resources.exclude_resource_rules.iter().map(Rule::named).collect(),
            equivalent: resources.match_policy != "Exact",
            namespaces: labels(resources.namespace_selector.as_ref()),
            objects: labels(resources.object_selector.as_ref()),
        }
    }

    /// Whether requests of a kind can be meant, whatever they are else.
    #[must_use]
    pub fn may_find(&self, operation: Operation, kind: Kind) -> bool {
        let Some(rules) = &self.rules else { return true };
        let mut versions = std::iter::once(Served::from(kind)).chain(others(kind.into(), &[]));
        versions.any(|served| rules.iter().any(|rule| rule.may_match(operation, served)))
    }

    /// Whether a request is meant, and in which group and version: that of the request, or another one that a rule names.
    #[must_use]
    pub fn find(&self, subject: &Subject<'_>, labelled: &Labelled<'_>) -> Option<Served> {
        let found = match &self.rules {
            None => subject.served,
            Some(rules) => self.version(rules, subject)?,
        };
        if self.version(&self.excluded, subject).is_some() {
            return None;
        }
        let in_namespace = labelled.namespace.is_none_or(|labels| self.namespaces.matches(labels));
        let selected = self.objects.is_everything()
            || [labelled.new, labelled.old].into_iter().flatten().any(|labels| self.objects.matches(labels));
        (in_namespace && selected).then_some(found)
    }

    fn version(&self, rules: &[Rule], subject: &Subject<'_>) -> Option<Served> {
        let found = |served: &Served| rules.iter().any(|rule| rule.matches(subject, *served));
        let own = Some(subject.served).filter(found);
        own.or_else(|| if self.equivalent { others(subject.served, subject.versions).find(found) } else { None })
    }
}
