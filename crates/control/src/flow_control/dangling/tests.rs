//! What is said of schemas.

use api::{Object, flow_control};

use super::*;
use crate::{
    controller::Controller,
    testing::{plan, world},
};

#[test]
fn a_schema_without_its_level_dangles_until_it_comes() {
    let mut schema = flow_control::schema("probes").expect("it is given");
    let level: Object = flow_control::level("exempt").expect("it is given").into();
    for (present, expected) in [
        (vec![], ["True", "NotFound", "but there is no such object"]),
        (vec![level], ["False", "Found", "and it exists"]),
    ] {
        let world_of = |schema: &FlowSchema| world(present.iter().cloned().chain([schema.clone().into()]));
        let plan_of = |schema: &FlowSchema| plan(&world_of(schema), Controller::DanglingFlowSchema, &schema.key());
        let told = plan_of(&schema);
        let [step] = told.steps.as_slice() else { panic!("one step: {told}") };
        let api::Write::Update(Object::FlowSchema(revised), _) = &step.write else { panic!("an update: {told}") };
        let said = &revised.status.as_ref().expect("it has one").conditions[0];
        assert_eq!([&*said.status, &*said.reason], expected[..2]);
        assert!(said.message.ends_with(expected[2]) && said.message.contains("\"exempt\""), "{}", said.message);
        schema = FlowSchema::clone(revised);
        assert_eq!(plan_of(&schema).to_string(), "", "it is said once");
    }
}
