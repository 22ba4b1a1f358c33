//! What is made, what is kept, and what is left alone.

use api::Write;

use super::*;
use crate::{
    controller::Controller,
    testing::{plan, world},
};

fn planned(objects: impl IntoIterator<Item = Object>, key: &Key) -> Plan {
    plan(&world(objects), Controller::BootstrapFlowControl, key)
}

fn made(key: &Key) -> Object {
    let plan = planned([], key);
    let [step] = plan.steps.as_slice() else { panic!("one step for {key}: {plan}") };
    let Write::Create(object) = &step.write else { panic!("it is made: {plan}") };
    object.clone()
}

/// What a schema becomes after its annotation and precedence were changed by `change`.
fn kept(name: &str, change: fn(&mut FlowSchema)) -> Option<FlowSchema> {
    let mut present = flow_control::schema(name).expect("it is given");
    present.metadata_mut().generation = 1;
    change(&mut present);
    let plan = planned([present.clone().into()], &present.key());
    let step = plan.steps.first()?;
    let Write::Update(Object::FlowSchema(revised), _) = &step.write else { panic!("an update: {plan}") };
    Some(FlowSchema::clone(revised))
}

fn set(schema: &mut FlowSchema, annotation: Option<&str>, generation: i64) {
    schema.spec.get_or_insert_default().matching_precedence = 77;
    let metadata = schema.metadata_mut();
    metadata.generation = generation;
    metadata.annotations.remove(AUTOUPDATE_ANNOTATION);
    let said = annotation.map(|said| (AUTOUPDATE_ANNOTATION.to_owned(), said.to_owned()));
    metadata.annotations.extend(said);
}

fn shown(schema: Option<FlowSchema>) -> String {
    let Some(schema) = schema else { return "stays".to_owned() };
    let precedence = schema.spec.as_ref().map(|spec| spec.matching_precedence).unwrap_or_default();
    let said = schema.metadata().and_then(|metadata| metadata.annotations.get(AUTOUPDATE_ANNOTATION)).cloned();
    format!("{precedence} {}", said.unwrap_or_default())
}

#[test]
fn what_is_missing_is_made_and_what_is_there_stays() {
    assert_eq!(keys().count(), 8 + 11);
    for key in keys() {
        let object = made(&key);
        assert_eq!(planned([object], &key).to_string(), "", "{key}");
    }
}

#[test]
fn what_users_say_stays_if_they_say_that_it_is_theirs() {
    for (name, change, expected) in [
        ("service-accounts", (|schema| set(schema, Some("true"), 2)) as fn(&mut FlowSchema), "9000 true"),
        ("service-accounts", |schema| set(schema, Some("false"), 2), "stays"),
        ("service-accounts", |schema| set(schema, Some("F"), 2), "stays"),
        ("service-accounts", |schema| set(schema, None, 2), "77 false"),
        ("service-accounts", |schema| set(schema, None, 1), "9000 true"),
        ("service-accounts", |schema| set(schema, Some("maybe"), 2), "77 false"),
        ("catch-all", |schema| set(schema, Some("false"), 2), "10000 true"),
    ] {
        assert_eq!(shown(kept(name, change)), expected, "{name}");
    }
}

#[test]
fn what_is_lent_of_the_exempt_level_is_its_users() {
    let mut exempt = flow_control::level(EXEMPT).expect("it is given");
    let spec = exempt.spec.get_or_insert_default();
    spec.exempt.get_or_insert_default().lendable_percent = Some(40);
    assert_eq!(planned([exempt.clone().into()], &exempt.key()).to_string(), "");
    exempt.spec.get_or_insert_default().r#type = "Limited".to_owned();
    let plan = planned([exempt.clone().into()], &exempt.key());
    let Write::Update(Object::PriorityLevelConfiguration(revised), _) = &plan.steps[0].write else { panic!("{plan}") };
    let spec = revised.spec.clone().unwrap_or_default();
    assert_eq!((spec.r#type.as_str(), spec.exempt.and_then(|exempt| exempt.lendable_percent)), ("Exempt", Some(40)));
}

#[test]
fn what_another_version_has_made_goes() {
    let mut of_another = flow_control::schema("service-accounts").expect("it is given");
    of_another.metadata_mut().name = "old".to_owned();
    let key = of_another.key();
    assert_eq!(planned([of_another.clone().into()], &key).to_string(), "delete FlowSchema old\n");
    set(&mut of_another, Some("false"), 1);
    assert_eq!(planned([of_another.clone().into()], &key).to_string(), "");
    set(&mut of_another, None, 1);
    assert_eq!(planned([of_another.into()], &key).to_string(), "");
}
