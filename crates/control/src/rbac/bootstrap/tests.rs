//! What is made, what is added, and what is left alone.

use api::{Object, kinds::Resource as _, rbac_v1::ClusterRoleBinding};
use expect_test::expect;

use super::{
    AUTOUPDATE_ANNOTATION, BindingGiven, CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ClusterRole, ClusterRoleGiven, Key,
    keys, reader_key,
};
use crate::{
    controller::Controller,
    plan::Plan,
    testing::{Told as _, namespace, plan, world},
};

fn role(name: &str) -> ClusterRole {
    CLUSTER_ROLES.iter().find(|given| given.name == name).map(ClusterRoleGiven::object).expect("it is given")
}

fn binding(name: &str) -> ClusterRoleBinding {
    CLUSTER_ROLE_BINDINGS.iter().find(|given| given.name == name).map(BindingGiven::object).expect("it is given")
}

fn planned(objects: impl IntoIterator<Item = Object>, key: &Key) -> Plan {
    plan(&world(objects), Controller::BootstrapRoles, key)
}

#[test]
fn what_is_missing_is_made_and_what_is_there_stays() {
    let system = namespace("kube-system").object();
    let made: Vec<Object> = keys()
        .map(|key| {
            let plan = planned([system.clone()], &key);
            let [step] = plan.steps.as_slice() else { panic!("one step for {key}: {plan}") };
            let api::Write::Create(object) = &step.write else { panic!("it is made: {plan}") };
            object.clone()
        })
        .collect();
    assert!(made.len() > 40, "{}", made.len());
    for object in &made {
        let mut defaulted = object.clone();
        api::defaults::apply(&mut defaulted);
        assert_eq!(defaulted, *object, "defaults would look like a change");
        assert_eq!(api::validate::create(object), []);
    }
    for key in keys() {
        let plan = planned(made.iter().cloned().chain([system.clone()]), &key);
        assert_eq!(plan.to_string(), "", "{key}");
    }
    expect![[""]].assert_eq(&planned([], &reader_key()).to_string());
}

#[test]
fn a_role_gets_back_what_it_lacks_and_keeps_what_it_has() {
    let mut less = role("system:basic-user");
    let more = role("system:discovery").rules;
    less.rules = more.clone();
    let key = less.key();
    let plan = planned([less.clone().into()], &key);
    let [step] = plan.steps.as_slice() else { panic!("one step: {plan}") };
    let api::Write::Update(Object::ClusterRole(completed), _) = &step.write else { panic!("an update: {plan}") };
    assert!(completed.rules.starts_with(&more), "nothing is taken away");
    assert_eq!(api::rights::missing(&completed.rules, &role("system:basic-user").rules), []);
    less.metadata_mut().annotations.insert(AUTOUPDATE_ANNOTATION.to_owned(), "false".to_owned());
    expect![[""]].assert_eq(&planned([less.into()], &key).to_string());
}

#[test]
fn a_binding_gets_back_its_subjects_and_its_role() {
    let mut bare = binding("system:discovery");
    bare.subjects.clear();
    let key = bare.key();
    expect![[r#"
        update ClusterRoleBinding system:discovery
    "#]]
    .assert_eq(&planned([bare.into()], &key).to_string());
    let mut astray = binding("system:discovery");
    astray.role_ref = binding("cluster-admin").role_ref;
    expect![[r#"
        delete ClusterRoleBinding system:discovery
    "#]]
    .assert_eq(&planned([astray.into()], &key).to_string());
}
