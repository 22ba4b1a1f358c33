//! Every role and binding of a state, indexed by whom the bindings are about.

use std::{fmt, sync::Arc};

use api::{
    Kind, Object,
    rbac_v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject},
    users::{MASTERS, as_service_account, service_account},
};
use arc_swap::ArcSwapOption;
use imbl::{HashMap, OrdMap, OrdSet};
use store::{Objects, Record, View};

use super::{
    attributes::{Attributes, ResourceAttributes},
    rules::RuleSet,
};
use crate::access::User;

/// The kinds that say who may do what.
pub(super) const KINDS: [Kind; 4] = [Kind::ClusterRole, Kind::Role, Kind::ClusterRoleBinding, Kind::RoleBinding];

/// How the names of roles begin that are meant for parts of the cluster, and what comes behind all of them.
const SYSTEM: &str = "system:";
const BEHIND_SYSTEM: &str = "system;";

/// The roles of the state at which somebody looked last.
#[derive(Debug, Default)]
pub(crate) struct Rights {
    current: ArcSwapOption<Roles>,
}

impl Rights {
    /// The roles of a state. At once, if none has changed since somebody asked; otherwise only what has changed is read.
    pub(crate) fn of(&self, view: &View) -> Arc<Roles> {
        let before = self.current.load_full();
        if let Some(roles) = before.as_ref().filter(|roles| roles.are_of(view)) {
            return roles.clone();
        }
        let roles = Arc::new(before.as_deref().cloned().unwrap_or_default().moved_to(view));
        self.current.store(Some(roles.clone()));
        roles
    }
}

/// Every role, and who has it by which binding. Cloning is O(1) and shares everything.
#[derive(Clone, Debug, Default)]
pub struct Roles {
    /// Of which objects the rest was made, in the order of [`KINDS`].
    tables: [Objects; KINDS.len()],
    pub(super) rules: OrdMap<RoleName, Arc<RuleSet>>,
    /// By namespace; under the empty name stands what is given everywhere.
    given: HashMap<Arc<str>, Given>,
}

/// A Role, or a ClusterRole, which has no namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RoleName {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
}

/// What bindings of one namespace give to whom.
#[derive(Clone, Debug, Default)]
struct Given {
    users: HashMap<Arc<str>, Bindings>,
    groups: HashMap<Arc<str>, Bindings>,
}

/// By role, the names of the bindings that give it.
type Bindings = OrdMap<RoleName, OrdSet<Arc<str>>>;

/// To whom a binding gives something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder<'a> {
    User(&'a str),
    Group(&'a str),
}

/// A role that somebody has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant<'a> {
    pub(crate) role: &'a RoleName,
    pub(super) rules: &'a RuleSet,
    /// The namespace of the binding; empty for a ClusterRoleBinding.
    namespace: &'a str,
    binding: &'a str,
    holder: Holder<'a>,
}

/// Why something is allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Allowed<'a> {
    /// Whoever is in `system:masters` may do everything.
    Masters,
    /// A role that somebody has.
    Role(Grant<'a>),
}

impl Roles {
    /// The roles of a state, read anew.
    #[must_use]
    pub fn new(view: &View) -> Self {
        Self::default().moved_to(view)
    }

    fn are_of(&self, view: &View) -> bool {
        KINDS.iter().zip(&self.tables).all(|(kind, objects)| objects.are_those_of(view, *kind))
    }

    /// Those of another state.
    fn moved_to(mut self, view: &View) -> Self {
        let tables = KINDS.map(|kind| view.objects(kind));
        for (before, after) in std::mem::replace(&mut self.tables, tables.clone()).iter().zip(&tables) {
            for (gone, new) in before.changes_to(after) {
                gone.into_iter().for_each(|record| self.take(record));
                new.into_iter().for_each(|record| self.give(record));
            }
        }
        self
    }

    fn take(&mut self, record: &Record) {
        let object = record.object();
        if rules_of(&object).is_some() {
            self.rules.remove(&RoleName::of(record));
        }
        let (namespace, Some((role, subjects))) = (&record.key.namespace, binding_of(&object)) else { return };
        let (role, Some(given)) = (Self::meant(role, namespace), self.given.get_mut(namespace)) else { return };
        for named in subjects.iter().filter_map(|subject| Named::of(subject, namespace)) {
            given.take(named, &role, &record.key.name);
        }
    }

    fn give(&mut self, record: &Record) {
        let object = record.object();
        if let Some(rules) = rules_of(&object) {
            self.rules.insert(RoleName::of(record), Arc::new(RuleSet::new(rules)));
        }
        let (namespace, Some((role, subjects))) = (&record.key.namespace, binding_of(&object)) else { return };
        let (role, given) = (Self::meant(role, namespace), self.given.entry(namespace.clone()).or_default());
        for named in subjects.iter().filter_map(|subject| Named::of(subject, namespace)) {
            given.give(named, role.clone(), record.key.name.clone());
        }
    }

    /// Why somebody may do something; `None` if no role allows it.
    pub(crate) fn decide<'a>(&'a self, user: &'a User, asked: &Attributes<'_>) -> Option<Allowed<'a>> {
        if user.is_master() {
            return Some(Allowed::Masters);
        }
        let named = |asked: Attributes<'_>| self.of(user, asked.namespace()).find(|grant| grant.rules.allow(&asked));
        asked.everywhere().find_map(named).map(Allowed::Role)
    }

    /// The roles that somebody has everywhere, and those in a namespace, unless it is the empty one.
    pub(crate) fn of<'a>(&'a self, user: &'a User, namespace: &str) -> impl Iterator<Item = Grant<'a>> {
        let here = (!namespace.is_empty()).then(|| self.given.get_key_value(namespace)).flatten();
        let everywhere = self.given.get_key_value("");
        everywhere.into_iter().chain(here).flat_map(move |(namespace, given)| {
            let as_user = given.users.get(user.name.as_str()).map(|bindings| (Holder::User(&user.name), bindings));
            let group = |group: &'a String| Some((Holder::Group(group), given.groups.get(group.as_str())?));
            let as_member = user.groups.iter().filter_map(group);
            as_user.into_iter().chain(as_member).flat_map(move |(holder, bindings)| {
                bindings.iter().filter_map(move |(role, names)| {
                    let rules = self.rules.get(role)?;
                    Some(Grant { role, rules, namespace, binding: names.get_min()?, holder })
                })
            })
        })
    }

    /// The role that a binding in a namespace refers to.
    pub(crate) fn meant(reference: &RoleRef, namespace: &str) -> RoleName {
        let namespace = if reference.kind == "Role" { namespace } else { "" };
        RoleName { namespace: namespace.into(), name: reference.name.as_str().into() }
    }

    /// The Roles of a namespace, or the ClusterRoles for the empty one, but for those that are meant for parts of the cluster.
    pub(super) fn for_users(&self, namespace: &str) -> impl Iterator<Item = (&RoleName, &Arc<RuleSet>)> {
        let namespace: Arc<str> = namespace.into();
        let from = |name: &str| RoleName { namespace: namespace.clone(), name: name.into() };
        let (before, after) = (from("")..from(SYSTEM), from(BEHIND_SYSTEM)..);
        let after = self.rules.range(after).take_while(move |(role, _)| role.namespace == namespace);
        self.rules.range(before).chain(after)
    }
}

impl Given {
    fn give(&mut self, named: Named, role: RoleName, binding: Arc<str>) {
        let bindings = match named {
            Named::User(name) => self.users.entry(name).or_default(),
            Named::Group(name) => self.groups.entry(name).or_default(),
        };
        bindings.entry(role).or_default().insert(binding);
    }

    fn take(&mut self, named: Named, role: &RoleName, binding: &str) {
        let (all, name) = match named {
            Named::User(name) => (&mut self.users, name),
            Named::Group(name) => (&mut self.groups, name),
        };
        let Some(bindings) = all.get_mut(&name) else { return };
        if let Some(names) = bindings.get_mut(role) {
            names.remove(binding);
            if names.is_empty() {
                bindings.remove(role);
            }
        }
        if bindings.is_empty() {
            all.remove(&name);
        }
    }
}

impl RoleName {
    fn of(record: &Record) -> Self {
        Self { namespace: record.key.namespace.clone(), name: record.key.name.clone() }
    }
}

impl fmt::Display for RoleName {
    /// `ClusterRole "view"`, or `Role "web"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.namespace.is_empty() { "ClusterRole" } else { "Role" };
        write!(f, "{kind} {:?}", self.name)
    }
}

impl User {
    /// Whether the user may do everything, whatever roles say.
    pub(crate) fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == MASTERS)
    }
}

/// The rules of a role, of either kind.
fn rules_of(object: &Object) -> Option<&[PolicyRule]> {
    let everywhere = object.get::<ClusterRole>().map(|role| role.rules.as_slice());
    everywhere.or_else(|| object.get::<Role>().map(|role| role.rules.as_slice()))
}

/// What a binding, of either kind, refers to and names.
fn binding_of(object: &Object) -> Option<(&RoleRef, &[Subject])> {
    let everywhere = object.get::<ClusterRoleBinding>().map(|binding| (binding.role_ref.as_ref(), &binding.subjects));
    let here = || object.get::<RoleBinding>().map(|binding| (binding.role_ref.as_ref(), &binding.subjects));
    let (role, subjects) = everywhere.or_else(here)?;
    Some((role?, subjects))
}

/// Somebody whom a binding names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Named {
    User(Arc<str>),
    Group(Arc<str>),
}

impl Named {
    /// A subject of a binding in a namespace.
    fn of(subject: &Subject, namespace: &str) -> Option<Self> {
        match subject.kind.as_str() {
            "User" => Some(Self::User(subject.name.as_str().into())),
            "Group" => Some(Self::Group(subject.name.as_str().into())),
            "ServiceAccount" => {
                let of = if subject.namespace.is_empty() { namespace } else { &subject.namespace };
                let user = service_account(of, &subject.name);
                (!of.is_empty()).then(|| Self::User(user.into()))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Allowed<'_> {
    /// The reason as Kubernetes gives it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Masters => write!(f, "{MASTERS} may do everything"),
            Self::Role(grant) => write!(f, "RBAC: allowed by {grant}"),
        }
    }
}

impl fmt::Display for Grant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, namespace, binding, holder, .. } = self;
        match *namespace {
            "" => write!(f, "ClusterRoleBinding {binding:?} of {role} to {holder}"),
            namespace => write!(f, "RoleBinding \"{binding}/{namespace}\" of {role} to {holder}"),
        }
    }
}

impl fmt::Display for Holder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => match as_service_account(name) {
                Some((namespace, name)) => write!(f, "ServiceAccount \"{name}/{namespace}\""),
                None => write!(f, "User {name:?}"),
            },
            Self::Group(name) => write!(f, "Group {name:?}"),
        }
    }
}

impl<'a> From<ResourceAttributes<'a>> for Attributes<'a> {
    fn from(asked: ResourceAttributes<'a>) -> Self {
        Self::Resource(asked)
    }
}
