//! By what backends of the API know masters, and the users for whom these ask: a ConfigMap that every backend reads.
//!
//! Nothing is published before this master has told how its backends answer: only who passes requests on needs to be believed.

use api::{
    Key, Kind, Timestamp,
    core_v1::ConfigMap,
    well_known::{
        EXTENSION_AUTHENTICATION_CONFIG_MAP, FRONT_PROXY, REMOTE_EXTRA_HEADER_PREFIX, REMOTE_GROUP_HEADER,
        REMOTE_USER_HEADER, SYSTEM_NAMESPACE,
    },
};

use crate::{
    plan::Plan,
    world::{Shift, World},
};

pub(crate) fn reconcile(world: &World, key: &Key, _now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(namespace) = super::open_namespace(world, key).filter(|_| world.backends().is_some()) else {
        return plan;
    };
    let filled = |map| filled(map, &world.config.authority);
    super::publish(world, (namespace, EXTENSION_AUTHENTICATION_CONFIG_MAP), filled, &mut plan);
    plan
}

pub(crate) fn concerns(_world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    super::concerns::<ConfigMap>(EXTENSION_AUTHENTICATION_CONFIG_MAP, shift, &mut |namespace| {
        if namespace == key() {
            look(namespace);
        }
    });
}

/// The one object that is looked at: the namespace in which it is published.
pub(crate) fn key() -> Key {
    Key::cluster(Kind::Namespace, SYSTEM_NAMESPACE)
}

/// A ConfigMap that says, with the keys that Kubernetes gives them: who signs the certificates of clients and of masters, under
/// which name masters come, and the headers in which they say who asks.
fn filled(mut map: ConfigMap, authority: &str) -> ConfigMap {
    let list = |word: &str| format!("[{word:?}]");
    map.data = [
        ("client-ca-file", authority.to_owned()),
        ("requestheader-client-ca-file", authority.to_owned()),
        ("requestheader-allowed-names", list(FRONT_PROXY)),
        ("requestheader-username-headers", list(REMOTE_USER_HEADER)),
        ("requestheader-group-headers", list(REMOTE_GROUP_HEADER)),
        ("requestheader-extra-headers-prefix", list(REMOTE_EXTRA_HEADER_PREFIX)),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    map.binary_data.clear();
    map
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use api::{Object, Write};
    use expect_test::{Expect, expect};

    use super::{ConfigMap, key};
    use crate::{
        controller::Controller,
        testing::{Told as _, namespace, plan, world},
        world::World,
    };

    fn check(world: &World, expected: Expect) -> Option<Object> {
        let plan = plan(world, Controller::ExtensionAuthentication, &key());
        expected.assert_eq(&plan.to_string());
        plan.steps.into_iter().find_map(|step| match step.write {
            Write::Create(object) | Write::Update(object, _) => Some(object),
            Write::Delete(..) => None,
        })
    }

    #[test]
    fn it_is_published_once_backends_are_asked_and_kept_as_it_is() {
        let system = namespace("kube-system").object();
        check(&world([system.clone()]), expect![[""]]);
        let mut heard = world([system.clone()]);
        heard.hear_backends(BTreeMap::new());
        let made = check(
            &heard,
            expect![[r#"
                create ConfigMap kube-system/extension-apiserver-authentication
            "#]],
        );
        let made = made.expect("it is made");
        let data = &made.get::<ConfigMap>().expect("a ConfigMap").data;
        let told: Vec<String> = data.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        expect![[r#"
            client-ca-file: the authority's certificate
            requestheader-allowed-names: ["system:kapelle:front-proxy"]
            requestheader-client-ca-file: the authority's certificate
            requestheader-extra-headers-prefix: ["X-Remote-Extra-"]
            requestheader-group-headers: ["X-Remote-Group"]
            requestheader-username-headers: ["X-Remote-User"]"#]]
        .assert_eq(&told.join("\n"));
        let mut kept = world([system.clone(), made.clone()]);
        kept.hear_backends(BTreeMap::new());
        check(&kept, expect![[""]]);
        let Object::ConfigMap(mut changed) = made else { panic!("a ConfigMap") };
        changed.data.clear();
        let mut emptied = world([system, (*changed).into()]);
        emptied.hear_backends(BTreeMap::new());
        check(
            &emptied,
            expect![[r#"
                update ConfigMap kube-system/extension-apiserver-authentication
            "#]],
        );
    }
}
