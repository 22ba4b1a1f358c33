//! What is told of a policy, and when.

#![expect(clippy::unwrap_used, reason = "tests")]

use api::{
    Key, Kind, Object, Write,
    admissionregistration_v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyStatus},
    json::{self, Strictness},
    kinds::Resource as _,
    yaml,
};

use crate::{
    controller::Controller,
    testing::{added, plan, world},
};

const RULE: &str = "{operations: [CREATE], apiGroups: [apps], apiVersions: [v1], resources: [deployments]}";

fn policy(expression: &str, generation: i64) -> Object {
    let text = format!(
        "metadata: {{name: p, uid: p, generation: {generation}}}\n\
         spec:\n  matchConstraints: {{resourceRules: [{RULE}]}}\n  validations: [{{expression: \"{expression}\"}}]\n"
    );
    let documents = yaml::documents(&text).unwrap();
    json::decode(Kind::ValidatingAdmissionPolicy, &documents[0], Strictness::Strict).unwrap().object
}

fn told(object: Object) -> Option<ValidatingAdmissionPolicyStatus> {
    let plan = plan(&world([object]), Controller::PolicyStatus, &Key::cluster(Kind::ValidatingAdmissionPolicy, "p"));
    plan.steps.into_iter().find_map(|step| match step.write {
        Write::Update(object, _) => object.get::<ValidatingAdmissionPolicy>()?.status.clone(),
        Write::Create(_) | Write::Delete(..) => None,
    })
}

#[test]
fn doubtful_fields_are_told_once_for_each_generation() {
    let doubtful = told(policy("object.spec.nothing == 1", 3)).unwrap();
    assert_eq!(doubtful.observed_generation, 3);
    let warnings = doubtful.type_checking.clone().unwrap().expression_warnings;
    assert_eq!(warnings[0].field_ref, "spec.validations[0].expression");
    assert!(warnings[0].warning.contains("undefined field 'nothing'"), "{}", warnings[0].warning);
    let clear = told(policy("object.spec.replicas > 1", 1)).unwrap();
    assert_eq!(clear.type_checking.unwrap().expression_warnings, []);
    let mut known = policy("object.spec.nothing == 1", 3).get::<ValidatingAdmissionPolicy>().unwrap().clone();
    known.status = Some(doubtful);
    assert_eq!(told(known.clone().into()), None);
    known.metadata_mut().generation = 4;
    assert_eq!(told(known.into()).unwrap().observed_generation, 4);
}

#[test]
fn a_policy_concerns_itself() {
    let mut world = world([]);
    let shift = world.observe(&added(policy("true", 1), 1));
    let mut looks = Vec::new();
    Controller::PolicyStatus.concerns(&world, &shift, &mut |key| looks.push(key));
    assert_eq!(looks, [Key::cluster(Kind::ValidatingAdmissionPolicy, "p")]);
}
