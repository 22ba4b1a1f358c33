//! What is gathered, and when.

use api::{Kind, kinds::Resource as _, rbac_v1::AggregationRule};
use expect_test::expect;

use super::{ClusterRole, LabelSelector, PolicyRule, concerns};
use crate::{
    controller::Controller,
    testing::{Told as _, added, key, labels, plan, world},
};

fn part(name: &str, verb: &str) -> ClusterRole {
    let rules = vec![PolicyRule { verbs: vec![verb.to_owned()], ..PolicyRule::default() }];
    let mut role = ClusterRole { rules, ..ClusterRole::default() };
    name.clone_into(&mut role.metadata_mut().name);
    role
}

fn gathering(name: &str, selected: &str) -> ClusterRole {
    let selector = LabelSelector { match_labels: labels(selected), ..LabelSelector::default() };
    let mut role = part(name, "none");
    role.rules.clear();
    role.aggregation_rule = Some(AggregationRule { cluster_role_selectors: vec![selector] });
    role
}

#[test]
fn the_rules_of_parts_are_gathered_once() {
    let parts = [part("a", "get").labelled("to=all"), part("b", "get").labelled("to=all"), part("c", "list")];
    let objects = || parts.iter().map(|part| part.clone().into());
    let role = gathering("all", "to=all");
    let plan = plan(
        &world(objects().chain([role.into()])),
        Controller::ClusterRoleAggregation,
        &key(Kind::ClusterRole, "all"),
    );
    expect![[r#"
        update ClusterRole all
    "#]]
    .assert_eq(&plan.to_string());
    let [step] = plan.steps.as_slice() else { panic!("one step") };
    let api::Write::Update(api::Object::ClusterRole(gathered), _) = &step.write else { panic!("an update") };
    assert_eq!(gathered.rules, parts[0].rules);
    let settled = world(objects().chain([(**gathered).clone().into()]));
    let again = super::reconcile(&settled, &key(Kind::ClusterRole, "all"), crate::testing::NOW);
    expect![[""]].assert_eq(&again.to_string());
}

#[test]
fn whoever_gathers_a_role_is_looked_at_when_it_changes() {
    let mut world = world([gathering("all", "to=all").into(), gathering("others", "to=others").into()]);
    let news = added(part("a", "get").labelled("to=all").into(), 9);
    let shift = world.observe(&news);
    let mut looked = Vec::new();
    concerns(&world, &shift, &mut |key| looked.push(key.name.to_string()));
    assert_eq!(looked, ["a", "all"]);
}
