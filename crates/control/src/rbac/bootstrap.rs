//! Makes the roles and bindings that every cluster has, and gives them what they lack, whenever a master begins to lead: at
//! founding, and after each start.
//!
//! As in Kubernetes, nothing is taken away from them, what users deleted or reduced in between stays so until then, and one whose
//! annotation `autoupdate` says `false` is left as it is.

use api::{
    Key, Kind, Object, Timestamp,
    kinds::Resource,
    meta_v1::{LabelSelector, ObjectMeta},
    rbac_v1::{AggregationRule, ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleRef, Subject},
    rights,
    well_known::SYSTEM_NAMESPACE,
};

use super::given::{
    AUTHENTICATION_READER, AUTHENTICATION_RULES, BindingGiven, CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, CORE,
    ClusterRoleGiven, Rule, To,
};
use crate::{
    plan::Plan,
    world::{Shift, World},
};

/// The annotation by which users say whether one of these is kept up to date.
const AUTOUPDATE_ANNOTATION: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// The label of what is made here.
const BOOTSTRAPPING_LABEL: (&str, &str) = ("kubernetes.io/bootstrapping", "rbac-defaults");

/// How the labels of parts begin; the name of the gathering role follows.
const PART_LABEL_PREFIX: &str = "rbac.authorization.k8s.io/aggregate-to-";

const GROUP: &str = "rbac.authorization.k8s.io";

pub(crate) fn reconcile(world: &World, key: &Key, _now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    if key.kind == ClusterRole::KIND {
        let given = CLUSTER_ROLES.iter().find(|given| *given.name == *key.name);
        if let Some(wanted) = given.map(ClusterRoleGiven::object) {
            keep(world.get(key), wanted, completed_cluster_role, &mut plan);
        }
    } else if key.kind == ClusterRoleBinding::KIND {
        let given = CLUSTER_ROLE_BINDINGS.iter().find(|given| *given.name == *key.name);
        if let Some(wanted) = given.map(BindingGiven::object) {
            keep_binding(world.get(key), wanted, &mut plan);
        }
    } else if *key == reader_key() && is_open(world) {
        keep(world.get(key), reader(), completed_role, &mut plan);
    }
    plan
}

/// All are looked at when a master begins to lead. Nothing that happens later matters.
pub(crate) fn concerns(_world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    if shift.is_beginning() {
        keys().for_each(look);
    }
}

fn keys() -> impl Iterator<Item = Key> {
    let roles = CLUSTER_ROLES.iter().map(|given| Key::cluster(ClusterRole::KIND, given.name));
    let bindings = CLUSTER_ROLE_BINDINGS.iter().map(|given| Key::cluster(ClusterRoleBinding::KIND, given.name));
    roles.chain(bindings).chain([reader_key()])
}

fn reader_key() -> Key {
    Key::namespaced(Role::KIND, SYSTEM_NAMESPACE, AUTHENTICATION_READER)
}

fn is_open(world: &World) -> bool {
    world.object(&Key::cluster(Kind::Namespace, SYSTEM_NAMESPACE)).is_some() && !world.is_closing(SYSTEM_NAMESPACE)
}

/// Creates an object, or gives what is there what it lacks.
fn keep<T: Resource + Into<Object> + Clone + PartialEq>(
    present: Option<&T>,
    wanted: T,
    complete: fn(T, T) -> T,
    plan: &mut Plan,
) {
    match present {
        None => {
            plan.create(wanted);
        }
        Some(present) if !is_kept(present.metadata()) => {}
        Some(present) => {
            let completed = complete(present.clone(), wanted);
            if completed != *present {
                plan.update(completed);
            }
        }
    }
}

/// What a binding refers to cannot be changed, so that one that refers to something else makes way for another.
fn keep_binding(present: Option<&ClusterRoleBinding>, wanted: ClusterRoleBinding, plan: &mut Plan) {
    match present {
        Some(present) if is_kept(present.metadata()) && present.role_ref != wanted.role_ref => {
            plan.delete(present);
        }
        present => keep(present, wanted, completed_binding, plan),
    }
}

fn is_kept(metadata: Option<&ObjectMeta>) -> bool {
    let is_leaving = metadata.is_some_and(|metadata| metadata.deletion_timestamp.is_some());
    let said = metadata.and_then(|metadata| metadata.annotations.get(AUTOUPDATE_ANNOTATION));
    !is_leaving && said.is_none_or(|said| said != "false")
}

fn completed_cluster_role(mut present: ClusterRole, wanted: ClusterRole) -> ClusterRole {
    mark(present.metadata.get_or_insert_default(), wanted.metadata.unwrap_or_default());
    match wanted.aggregation_rule {
        // The rules are those of others.
        Some(gathers) => {
            let known = &mut present.aggregation_rule.get_or_insert_default().cluster_role_selectors;
            let missing = gathers.cluster_role_selectors.into_iter().filter(|selector| !known.contains(selector));
            let missing: Vec<LabelSelector> = missing.collect();
            known.extend(missing);
        }
        None => complete(&mut present.rules, &wanted.rules),
    }
    present
}

fn completed_role(mut present: Role, wanted: Role) -> Role {
    mark(present.metadata.get_or_insert_default(), wanted.metadata.unwrap_or_default());
    complete(&mut present.rules, &wanted.rules);
    present
}

fn completed_binding(mut present: ClusterRoleBinding, wanted: ClusterRoleBinding) -> ClusterRoleBinding {
    mark(present.metadata.get_or_insert_default(), wanted.metadata.unwrap_or_default());
    let missing: Vec<Subject> =
        wanted.subjects.into_iter().filter(|subject| !present.subjects.contains(subject)).collect();
    present.subjects.extend(missing);
    present
}

fn complete(rules: &mut Vec<PolicyRule>, wanted: &[PolicyRule]) {
    let missing = rights::missing(rules, wanted);
    rules.extend(missing);
}

fn mark(present: &mut ObjectMeta, wanted: ObjectMeta) {
    present.labels.extend(wanted.labels);
    present.annotations.extend(wanted.annotations);
}

fn metadata(namespace: &str, name: &str, labels: impl IntoIterator<Item = String>) -> ObjectMeta {
    let (label, value) = BOOTSTRAPPING_LABEL;
    let parts = labels.into_iter().map(|label| (label, "true".to_owned()));
    ObjectMeta {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        labels: parts.chain([(label.to_owned(), value.to_owned())]).collect(),
        annotations: [(AUTOUPDATE_ANNOTATION.to_owned(), "true".to_owned())].into(),
        ..ObjectMeta::default()
    }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().map(str::to_owned)
}

fn reader() -> Role {
    let metadata = Some(metadata(SYSTEM_NAMESPACE, AUTHENTICATION_READER, []));
    Role { metadata, rules: AUTHENTICATION_RULES.iter().map(Rule::policy).collect() }
}

impl ClusterRoleGiven {
    fn object(&self) -> ClusterRole {
        let label = |role: String| format!("{PART_LABEL_PREFIX}{role}");
        let selector = |role: String| LabelSelector {
            match_labels: [(label(role), "true".to_owned())].into_iter().collect(),
            ..LabelSelector::default()
        };
        let selectors: Vec<LabelSelector> = words(self.gathers).map(selector).collect();
        ClusterRole {
            metadata: Some(metadata("", self.name, words(self.part_of).map(label))),
            rules: self.rules.iter().map(Rule::policy).collect(),
            aggregation_rule: (!selectors.is_empty()).then_some(AggregationRule { cluster_role_selectors: selectors }),
        }
    }
}

impl Rule {
    fn policy(&self) -> PolicyRule {
        let group = |group: String| if group == CORE { String::new() } else { group };
        PolicyRule {
            verbs: words(self.verbs).collect(),
            api_groups: words(self.groups).map(group).collect(),
            resources: words(self.resources).collect(),
            resource_names: words(self.names).collect(),
            non_resource_urls: words(self.paths).collect(),
        }
    }
}

impl BindingGiven {
    fn object(&self) -> ClusterRoleBinding {
        let role = RoleRef { api_group: GROUP.to_owned(), kind: "ClusterRole".to_owned(), name: self.name.to_owned() };
        ClusterRoleBinding {
            metadata: Some(metadata("", self.name, [])),
            subjects: self.to.iter().map(|to| to.subject()).collect(),
            role_ref: Some(role),
        }
    }
}

impl To {
    fn subject(self) -> Subject {
        let named = |kind: &str, name: &str| Subject {
            kind: kind.to_owned(),
            api_group: GROUP.to_owned(),
            name: name.to_owned(),
            namespace: String::new(),
        };
        match self {
            Self::User(name) => named("User", name),
            Self::Group(name) => named("Group", name),
            Self::ServiceAccount { namespace, name } => {
                Subject { api_group: String::new(), namespace: namespace.to_owned(), ..named("ServiceAccount", name) }
            }
        }
    }
}

#[cfg(test)]
mod tests;
