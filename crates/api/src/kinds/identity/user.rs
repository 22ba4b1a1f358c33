//! Users: people and machines that show a token of the cluster, and are no ServiceAccounts.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    Subresource, Timestamp,
    identity_v1::User,
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    table::{
        self, Cell, Column, Common, NONE, age,
        columns::{AGE, NAME, text},
    },
    users::{NODES, SERVICE_ACCOUNTS, UNAUTHENTICATED},
    validate::{
        Causes, Path,
        limits::USER_GROUPS_MAX,
        names::{self, SUBDOMAIN_BYTES_MAX, Syntax},
    },
    warnings::Warnings,
};

/// How the names of those begin whom the cluster itself knows: nodes, ServiceAccounts, masters. Nobody takes them by a token.
pub const SYSTEM_PREFIX: &str = "system:";

/// The groups that say how somebody was recognised, or as what. No User is one of those.
const KINDS_OF_CALLERS: [&str; 3] = [NODES, SERVICE_ACCOUNTS, UNAUTHENTICATED];

const COLUMNS: &[Column] = &[
    NAME,
    text("Groups", "The groups that the user is in, beside system:authenticated."),
    text("Expires", "In how long the user counts no more."),
    AGE,
];

const SAMPLE: &str = "\
apiVersion: kapelle.dev/v1
kind: User
metadata:
  name: ann@example.org
spec:
  groups: [developers]
  expirationTimestamp: '2040-01-01T00:00:00Z'
";

pub(crate) struct UserStrategy;

impl Strategy for UserStrategy {
    type Object = User;

    fn name_syntax(&self) -> Syntax {
        names::path_segment
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, _: &mut User) {}

    fn validate(&self, causes: &mut Causes, user: &User) {
        let name = user.metadata.as_ref().map_or("", |meta| &meta.name);
        validate_name(causes, name);
        let groups = user.spec.as_ref().map(|spec| spec.groups.as_slice()).unwrap_or_default();
        let at = Path::Root.field("spec");
        let at = at.field("groups");
        let few = causes.at_most(&at, groups.len(), USER_GROUPS_MAX);
        for (index, group) in groups.iter().enumerate().filter(|_| few) {
            let at = at.index(index);
            validate_group(causes, &at, group);
            if groups[..index].contains(group) {
                causes.duplicate(&at, group);
            }
        }
    }

    fn validate_update(&self, _: &mut Causes, _: &User, _: &User) {}

    fn validate_status(&self, _: &mut Causes, _: &User) {}

    fn warn(&self, _: &mut Warnings, _: &User) {}

    fn prepare_for_create(&self, _: &mut User) {}

    fn prepare_for_update(&self, _: &mut User, _: &User) {}

    fn update_status(&self, _: &mut User, _: &User) {}

    fn scale(&self, _: &User) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut User, _: i32) {}

    fn is_new_generation(&self, _: Option<&User>, _: &User, _: Subresource) -> bool {
        false
    }

    fn allocation<'a>(&self, _: &'a mut User) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &User) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(&self, user: &mut User, _: Option<i64>, now: Timestamp) -> Result<(), &'static str> {
        deletion::mark_now(&mut user.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &User) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, user: &User, common: Common, now: Timestamp) -> Vec<Cell> {
        let groups = user.spec.iter().flat_map(|spec| spec.groups.iter().cloned());
        let groups = table::some_of(groups, NONE);
        let expires = match user.spec.as_ref().and_then(|spec| spec.expiration_timestamp.as_ref()).map(Timestamp::from)
        {
            None => "<never>".to_owned(),
            Some(end) if end <= now => "expired".to_owned(),
            Some(end) => age::human(end.since(now)),
        };
        vec![common.name, groups.into(), expires.into(), common.age]
    }

    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    fn field<'a>(&self, _: &'a User, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

/// Names and groups go on in headers, to backends of the API and in what clients send as somebody else.
fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

const VISIBLE: &str = "must consist of visible ASCII characters (e.g. 'ann@example.org')";

fn validate_name(causes: &mut Causes, name: &str) {
    let at = Path::Root.field("metadata");
    let at = at.field("name");
    if name.starts_with(SYSTEM_PREFIX) {
        causes.invalid(&at, name, "\"system:\" begins the names of the cluster's own users; choose another name");
    }
    if !is_visible(name) {
        causes.invalid(&at, name, VISIBLE);
    }
}

fn validate_group(causes: &mut Causes, at: &Path<'_>, group: &str) {
    if group.is_empty() {
        return causes.required(at, "name the group");
    }
    if group.len() > SUBDOMAIN_BYTES_MAX {
        return causes.too_long(at, SUBDOMAIN_BYTES_MAX);
    }
    if !is_visible(group) {
        causes.invalid(at, group, VISIBLE);
    }
    let is_of_namespace = group.strip_prefix(SERVICE_ACCOUNTS).is_some_and(|rest| rest.starts_with(':'));
    if KINDS_OF_CALLERS.contains(&group) || is_of_namespace {
        causes.invalid(at, group, "only nodes, ServiceAccounts or strangers are in this group, and no User");
    }
}
