//! What one object of RBAC gives to somebody, beside a role and bindings that stand already: for `decoders`.

use api::{
    Object, Served, defaults,
    json::{self, Strictness},
    validate,
};
use store::{Expect, Op, State, Txn};

use super::{ResourceAttributes, Roles};
use crate::access::User;

/// The group of roles and bindings, in the version that is served.
const API_VERSION: &str = "rbac.authorization.k8s.io/v1";

/// What stands already: a role that gives little, and bindings that give every role `sample`, of either kind, to everybody.
const BESIDE: [&str; 3] = [
    r#"{"kind": "ClusterRole", "metadata": {"name": "little"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}"#,
    r#"{"kind": "ClusterRoleBinding", "metadata": {"name": "all"}, "subjects": [{"kind": "Group", "name": "system:authenticated"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "sample"}}"#,
    r#"{"kind": "RoleBinding", "metadata": {"name": "all", "namespace": "default"}, "subjects": [{"kind": "Group", "name": "system:authenticated"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "sample"}}"#,
];

/// Reads an object of RBAC as JSON and, if it may be stored, decides with it; whether somebody may read Secrets then. `None` if it
/// is refused.
pub(crate) fn reads_secrets(text: &[u8]) -> Option<bool> {
    let object = object(text)?;
    let mut state = State::default();
    for object in BESIDE.iter().filter_map(|text| self::object(text.as_bytes())).chain([object]) {
        let op = Op::Put { key: object.key(), bytes: object.encode_bytes(), expect: Expect::Any };
        state.apply(&Txn { ops: vec![op] }).ok()?;
    }
    let groups = vec!["system:authenticated".to_owned()];
    let user = User { name: "ann".to_owned(), groups, ..User::default() };
    let asked =
        ResourceAttributes { verb: "get", resource: "secrets", namespace: "default", ..ResourceAttributes::default() };
    Some(Roles::new(&state.view()).decide(&user, &asked.into()).is_some())
}

fn object(text: &[u8]) -> Option<Object> {
    let value = json::parse(text, Strictness::Strict).ok()?.value;
    let served = Served::from_api_version(API_VERSION, value.get("kind")?.as_str()?)?;
    let mut object = json::decode(served, &value, Strictness::Ignore).ok()?.object;
    object.prepare_for_create();
    defaults::apply(&mut object);
    validate::create(&object).is_empty().then_some(object)
}

#[cfg(test)]
mod tests {
    use super::reads_secrets;

    #[test]
    fn what_stands_already_gives_nothing_and_a_role_what_it_says() {
        let role = |verb: &str| {
            format!(
                r#"{{"kind": "ClusterRole", "metadata": {{"name": "sample"}}, "rules": [{{"apiGroups": [""], "resources": ["secrets"], "verbs": ["{verb}"]}}]}}"#
            )
        };
        assert_eq!(reads_secrets(role("get").as_bytes()), Some(true));
        assert_eq!(reads_secrets(role("list").as_bytes()), Some(false));
        assert_eq!(reads_secrets(role("get").replace("sample", "other").as_bytes()), Some(false));
        assert_eq!(reads_secrets(role("").replace("[\"\"]}]", "[]}]").as_bytes()), None, "no verbs");
        assert_eq!(reads_secrets(b"{}"), None);
    }
}
