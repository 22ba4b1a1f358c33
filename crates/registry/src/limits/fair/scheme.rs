//! The flow schemas and priority levels of a state, indexed by whom the schemas are about: where a request belongs.

use std::{collections::HashMap, sync::Arc};

use api::{
    Kind, flow_control,
    flow_control::{ANY, BY_NAMESPACE, BY_USER, CATCH_ALL, EXEMPT, QUEUE},
    flowcontrol_v1::{
        FlowSchema, NonResourcePolicyRule, PolicyRulesWithSubjects, PriorityLevelConfiguration,
        PriorityLevelConfigurationSpec, ResourcePolicyRule, Subject,
    },
    kinds::flowcontrol::flow_schema,
    meta_v1::ObjectMeta,
    users::{as_service_account, service_account},
};
use store::{Objects, View};

use super::{
    USER_REQUESTS_MAX,
    seats::{FLOW_WAITING_MAX, Limits},
};
use crate::access::{Attributes, ResourceAttributes};

const KINDS: [Kind; 2] = [Kind::FlowSchema, Kind::PriorityLevelConfiguration];

/// Every schema and level, for reading. It is made anew when one of them changes.
#[derive(Debug, Default)]
pub(super) struct Scheme {
    tables: [Objects; KINDS.len()],
    /// In the order in which they count.
    schemas: Vec<Schema>,
    levels: Vec<Level>,
    users: HashMap<String, Rules>,
    groups: HashMap<String, Rules>,
    /// By the namespace of ServiceAccounts.
    accounts: HashMap<String, Rules>,
    anybody: Rules,
}

/// Rules of schemas in the order of those.
type Rules = Vec<(usize, Arc<PolicyRulesWithSubjects>)>;

/// A flow schema.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) name: String,
    pub(super) uid: String,
    /// Its place among the levels.
    level: usize,
    by: Distinguisher,
}

/// By what flows are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Distinguisher {
    Nothing,
    User,
    Namespace,
}

/// A priority level.
#[derive(Debug)]
pub(super) struct Level {
    pub(super) name: Arc<str>,
    pub(super) uid: String,
    pub(super) limits: Limits,
    /// Its requests are all one flow.
    pub(super) is_one_queue: bool,
}

impl Scheme {
    /// That of a state, read anew.
    pub(super) fn new(view: &View) -> Self {
        let objects = |kind| view.list(kind, None, None).map(|record| record.object());
        let schemas = objects(Kind::FlowSchema).filter_map(|object| object.get::<FlowSchema>().cloned());
        let levels = objects(Kind::PriorityLevelConfiguration);
        let levels = levels.filter_map(|object| object.get::<PriorityLevelConfiguration>().cloned());
        Self { tables: KINDS.map(|kind| view.objects(kind)), ..Self::of(schemas.collect(), levels.collect()) }
    }

    pub(super) fn of(mut schemas: Vec<FlowSchema>, mut levels: Vec<PriorityLevelConfiguration>) -> Self {
        for name in [EXEMPT, CATCH_ALL] {
            if !levels.iter().any(|level| name_of(level.metadata.as_ref()) == name) {
                levels.extend(flow_control::level(name));
            }
            if !schemas.iter().any(|schema| name_of(schema.metadata.as_ref()) == name) {
                schemas.extend(flow_control::schema(name));
            }
        }
        let order = |schema: &FlowSchema| {
            let precedence = schema.spec.as_ref().map_or(i32::MAX, |spec| spec.matching_precedence);
            (precedence, name_of(schema.metadata.as_ref()).to_owned())
        };
        schemas.sort_by_cached_key(order);
        let mut scheme = Self { levels: self::levels(levels), ..Self::default() };
        let places = scheme.levels.iter().enumerate().map(|(place, level)| (level.name.clone(), place));
        let places: HashMap<Arc<str>, usize> = places.collect();
        schemas.into_iter().for_each(|schema| scheme.add(schema, &places));
        scheme
    }

    /// A schema whose level does not exist counts for nothing.
    fn add(&mut self, schema: FlowSchema, levels: &HashMap<Arc<str>, usize>) {
        let (metadata, spec) = (schema.metadata.unwrap_or_default(), schema.spec.unwrap_or_default());
        let Some(level) = levels.get(flow_schema::level(&spec)).copied() else { return };
        let by = spec.distinguisher_method.as_ref().map_or("", |method| &method.r#type);
        let by = match by {
            BY_USER => Distinguisher::User,
            BY_NAMESPACE => Distinguisher::Namespace,
            _ => Distinguisher::Nothing,
        };
        let place = self.schemas.len();
        self.schemas.push(Schema { name: metadata.name, uid: metadata.uid, level, by });
        for rule in spec.rules.into_iter().map(Arc::new) {
            for subject in &rule.subjects {
                if let Some(rules) = self.rules_of(subject) {
                    rules.push((place, rule.clone()));
                }
            }
        }
    }

    /// Where rules about a subject are kept.
    fn rules_of(&mut self, subject: &Subject) -> Option<&mut Rules> {
        let user = subject.user.as_ref().filter(|_| subject.kind == "User").map(|user| user.name.as_str());
        let group = subject.group.as_ref().filter(|_| subject.kind == "Group").map(|group| group.name.as_str());
        let account = subject.service_account.as_ref().filter(|_| subject.kind == "ServiceAccount");
        Some(match (user, group, account) {
            (Some(ANY), ..) | (_, Some(ANY), _) => &mut self.anybody,
            (Some(user), ..) => self.users.entry(user.to_owned()).or_default(),
            (_, Some(group), _) => self.groups.entry(group.to_owned()).or_default(),
            (.., Some(account)) if account.name == ANY => self.accounts.entry(account.namespace.clone()).or_default(),
            (.., Some(account)) => self.users.entry(service_account(&account.namespace, &account.name)).or_default(),
            (None, None, None) => return None,
        })
    }

    /// Whether it is that of a state: at once, without looking at its objects.
    pub(super) fn is_of(&self, view: &View) -> bool {
        // Of a kind of which there is nothing, there is no table either.
        let is_empty = || KINDS.iter().all(|kind| view.count(*kind) == 0);
        let is_same = KINDS.iter().zip(&self.tables).all(|(kind, objects)| objects.are_those_of(view, *kind));
        is_same || (self.is_imagined() && is_empty())
    }

    /// Whether nobody has made any of it yet.
    fn is_imagined(&self) -> bool {
        self.schemas.iter().all(|schema| schema.uid.is_empty()) && self.levels.iter().all(|level| level.uid.is_empty())
    }

    pub(super) fn levels(&self) -> impl Iterator<Item = (Arc<str>, Limits)> {
        self.levels.iter().map(|level| (level.name.clone(), level.limits))
    }

    pub(super) fn schema(&self, place: usize) -> (&Schema, &Level) {
        let schema = &self.schemas[place];
        (schema, &self.levels[schema.level])
    }

    /// The place of the schema to which a request belongs.
    pub(super) fn find<'g>(&self, user: &str, groups: impl Iterator<Item = &'g str>, asked: &Attributes<'_>) -> usize {
        // What no schema matches belongs to the last one.
        let mut best = self.schemas.len().saturating_sub(1);
        let account = as_service_account(user).and_then(|(namespace, _)| self.accounts.get(namespace));
        let by_group = groups.filter_map(|group| self.groups.get(group));
        let lists = [Some(&self.anybody), self.users.get(user), account].into_iter().flatten().chain(by_group);
        for rules in lists {
            let before = rules.iter().take_while(|(place, _)| *place < best);
            best = before.filter(|(_, rule)| matches(rule, asked)).map(|(place, _)| *place).next().unwrap_or(best);
        }
        best
    }
}

impl Schema {
    /// What tells the flow of a request from others of the schema.
    pub(super) fn distinguisher<'a>(&self, user: &'a str, asked: &Attributes<'a>) -> &'a str {
        match (self.by, asked) {
            (Distinguisher::User, _) => user,
            (Distinguisher::Namespace, Attributes::Resource(asked)) => asked.namespace,
            (Distinguisher::Namespace, Attributes::NonResource { .. }) | (Distinguisher::Nothing, _) => "",
        }
    }
}

fn name_of(metadata: Option<&ObjectMeta>) -> &str {
    metadata.map_or("", |metadata| &metadata.name)
}

fn matches(rule: &PolicyRulesWithSubjects, asked: &Attributes<'_>) -> bool {
    match asked {
        Attributes::Resource(asked) => rule.resource_rules.iter().any(|rule| resource(rule, asked)),
        Attributes::NonResource { verb, path } => {
            rule.non_resource_rules.iter().any(|rule| non_resource(rule, verb, path))
        }
    }
}

fn resource(rule: &ResourcePolicyRule, asked: &ResourceAttributes<'_>) -> bool {
    let is_in_place =
        if asked.namespace.is_empty() { rule.cluster_scope } else { has(&rule.namespaces, asked.namespace) };
    is_in_place
        && has(&rule.verbs, asked.verb)
        && has(&rule.api_groups, asked.group)
        && (is_any(&rule.resources) || rule.resources.iter().any(|named| is_named(named, asked)))
}

fn is_named(named: &str, asked: &ResourceAttributes<'_>) -> bool {
    match named.strip_prefix(asked.resource) {
        Some("") => asked.subresource.is_empty(),
        Some(rest) => !asked.subresource.is_empty() && rest.strip_prefix('/') == Some(asked.subresource),
        None => false,
    }
}

/// A path also stands for what is below it.
fn non_resource(rule: &NonResourcePolicyRule, verb: &str, path: &str) -> bool {
    let stands_for = |named: &String| {
        let folder = named.strip_suffix('*').unwrap_or(named);
        let below = path.strip_prefix(folder);
        path == named || below.is_some_and(|rest| folder.ends_with('/') || rest.starts_with('/'))
    };
    has(&rule.verbs, verb) && (is_any(&rule.non_resource_urls) || rule.non_resource_urls.iter().any(stands_for))
}

fn is_any(words: &[String]) -> bool {
    matches!(words, [only] if only == ANY)
}

fn has(words: &[String], word: &str) -> bool {
    is_any(words) || words.iter().any(|other| other == word)
}

/// The seats of each level: all seats in proportion to the shares.
fn levels(levels: Vec<PriorityLevelConfiguration>) -> Vec<Level> {
    let count = |number: Option<i32>| number.and_then(|number| u64::try_from(number).ok());
    let said: Vec<(u64, u64)> = levels
        .iter()
        .map(|level| {
            let spec = level.spec.as_ref();
            let limited = spec.and_then(|spec| spec.limited.as_ref());
            let limited = limited.map(|limited| (limited.nominal_concurrency_shares, limited.lendable_percent));
            let exempt = spec.and_then(|spec| spec.exempt.as_ref());
            let exempt = exempt.map(|exempt| (exempt.nominal_concurrency_shares, exempt.lendable_percent));
            let (shares, lendable) = limited.or(exempt).unwrap_or_default();
            (count(shares).unwrap_or_default(), count(lendable).unwrap_or_default())
        })
        .collect();
    let all_shares = said.iter().map(|(shares, _)| shares).sum::<u64>().max(1);
    let level = |(level, (shares, lendable)): (PriorityLevelConfiguration, (u64, u64))| {
        let nominal = (USER_REQUESTS_MAX as u64 * shares).div_ceil(all_shares);
        let (metadata, spec) = (level.metadata.unwrap_or_default(), level.spec.unwrap_or_default());
        Level {
            limits: limits(&spec, nominal, lendable, metadata.name == EXEMPT),
            is_one_queue: queues(&spec).is_some_and(|(queues, _)| queues == 1),
            name: metadata.name.into(),
            uid: metadata.uid,
        }
    };
    levels.into_iter().zip(said).map(level).collect()
}

/// The number of queues and the length of each, if requests wait.
fn queues(spec: &PriorityLevelConfigurationSpec) -> Option<(usize, usize)> {
    let response = spec.limited.as_ref()?.limit_response.as_ref()?;
    let queuing = response.queuing.as_ref().filter(|_| response.r#type == QUEUE)?;
    Some((usize::try_from(queuing.queues).ok()?, usize::try_from(queuing.queue_length_limit).ok()?))
}

/// What is exempt takes no seats of others, and is bounded only as all requests of users are.
fn limits(spec: &PriorityLevelConfigurationSpec, nominal: u64, lendable_percent: u64, is_exempt: bool) -> Limits {
    let part = |percent: u64| usize::try_from((nominal * percent + 50) / 100).unwrap_or(usize::MAX);
    let (nominal, lendable) = (usize::try_from(nominal).unwrap_or(usize::MAX), part(lendable_percent));
    if is_exempt {
        let all = USER_REQUESTS_MAX + lendable;
        return Limits { nominal: all, lendable, most: all, queue: Some((FLOW_WAITING_MAX, USER_REQUESTS_MAX)) };
    }
    let borrowing = spec.limited.as_ref().and_then(|limited| limited.borrowing_limit_percent);
    let borrowed = borrowing.and_then(|percent| u64::try_from(percent).ok()).map_or(USER_REQUESTS_MAX, part);
    let queue = queues(spec).map(|(queues, length)| (length, queues.saturating_mul(length)));
    Limits { nominal, lendable, most: nominal.saturating_add(borrowed), queue }
}

#[cfg(test)]
mod tests;
