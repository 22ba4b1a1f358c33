//! What every namespace learns of the cluster's authority.

use api::{Kind, Object, Subresource, Write, core_v1::ConfigMap, meta_v1::ObjectMeta, well_known::ROOT_CA_CONFIG_MAP};
use expect_test::{Expect, expect};

use super::filled;
use crate::{
    controller::Controller,
    plan::Plan,
    testing::{AUTHORITY, Told as _, key, namespace, plan, world},
};

fn published() -> ConfigMap {
    let metadata = ObjectMeta {
        name: ROOT_CA_CONFIG_MAP.to_owned(),
        namespace: "default".to_owned(),
        uid: "1".to_owned(),
        ..ObjectMeta::default()
    };
    filled(ConfigMap { metadata: Some(metadata), ..ConfigMap::default() }, AUTHORITY)
}

fn look(objects: impl IntoIterator<Item = Object>) -> Plan {
    plan(&world(objects), Controller::RootCa, &key(Kind::Namespace, "default"))
}

fn check(objects: impl IntoIterator<Item = Object>, expected: Expect) {
    expected.assert_eq(&look(objects).to_string());
}

#[test]
fn it_is_made_where_it_is_missing_and_left_alone_where_it_is_right() {
    let open = namespace("default").object();
    check(
        [open.clone()],
        expect![[r#"
            create ConfigMap default/kube-root-ca.crt
        "#]],
    );
    check([open.clone(), published().labelled("a=b").object()], expect![[""]]);
    let fixed = ConfigMap { immutable: Some(true), ..published() };
    check([open, fixed.object()], expect![[""]]);
}

#[test]
fn what_somebody_wrote_into_it_is_taken_back() {
    let mut changed = published().labelled("a=b");
    changed.data.insert("more".to_owned(), "of it".to_owned());
    changed.binary_data.insert("raw".to_owned(), vec![1_u8].into());

    let plan = look([namespace("default").object(), changed.object()]);

    let Write::Update(Object::ConfigMap(map), Subresource::None) = &plan.steps[0].write else { panic!("{plan}") };
    assert_eq!((&map.data, map.binary_data.len()), (&published().data, 0));
    let meta = map.metadata.clone().unwrap_or_default();
    assert_eq!((meta.labels.len(), meta.resource_version.as_str()), (1, "2"), "the rest stays as it was seen");
}

#[test]
fn one_that_nobody_can_change_makes_way() {
    let fixed = ConfigMap { immutable: Some(true), ..ConfigMap { data: Default::default(), ..published() } };
    check(
        [namespace("default").object(), fixed.object()],
        expect![[r#"
            delete ConfigMap default/kube-root-ca.crt
        "#]],
    );
    check([namespace("default").object(), fixed.leaving(&["a.b/c"]).object()], expect![[""]]);
}

#[test]
fn nothing_is_made_in_a_namespace_that_ends_or_is_gone() {
    check([namespace("default").leaving(&[]).object()], expect![[""]]);
    check([], expect![[""]]);
}
