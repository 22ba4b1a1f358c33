//! How kinds that users define come to be served, and how they end.

use api::{
    Key, Kind, Object,
    apiextensions_v1::{
        CustomResourceDefinition, CustomResourceDefinitionNames, CustomResourceDefinitionSpec,
        CustomResourceDefinitionStatus,
    },
    custom,
    kinds::apiextensions::custom_resource_definition::CLEANUP_FINALIZER,
    meta_v1::ObjectMeta,
    object::CustomObject,
};
use expect_test::{Expect, expect};

use crate::{
    controller::Controller,
    testing::{Told, change, key, plan, world},
};

fn definition(plural: &str, kind: &str) -> CustomResourceDefinition {
    let names = CustomResourceDefinitionNames {
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        kind: kind.to_owned(),
        list_kind: format!("{kind}List"),
        ..CustomResourceDefinitionNames::default()
    };
    let name = format!("{plural}.example.com");
    CustomResourceDefinition {
        metadata: Some(ObjectMeta { uid: name.clone(), name, ..ObjectMeta::default() }),
        spec: Some(CustomResourceDefinitionSpec {
            group: "example.com".to_owned(),
            names: Some(names),
            scope: "Namespaced".to_owned(),
            ..CustomResourceDefinitionSpec::default()
        }),
        status: None,
    }
}

fn accepted(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    let names = definition.spec.as_ref().and_then(|spec| spec.names.clone());
    definition.status = Some(CustomResourceDefinitionStatus { accepted_names: names, ..Default::default() });
    definition
}

fn widget(definition: &CustomResourceDefinition, name: &str) -> Object {
    let mut object = CustomObject::of(custom::kind_of(definition).expect("a kind"));
    object.metadata = Some(ObjectMeta {
        name: name.to_owned(),
        namespace: "default".to_owned(),
        uid: format!("uid of {name}"),
        ..ObjectMeta::default()
    });
    object.into()
}

/// The conditions that the controller wants a definition to have.
fn check(objects: impl IntoIterator<Item = Object>, name: &str, expected: Expect) {
    let plan = plan(&world(objects), Controller::Definition, &key(Kind::CustomResourceDefinition, name));
    let mut told = String::new();
    for step in &plan.steps {
        told += &format!("{step}\n");
        let api::Write::Update(Object::CustomResourceDefinition(wanted), api::Subresource::Status) = &step.write else {
            continue;
        };
        for condition in wanted.status.iter().flat_map(|status| &status.conditions) {
            told +=
                &format!("  {}={} {}: {}\n", condition.r#type, condition.status, condition.reason, condition.message);
        }
    }
    expected.assert_eq(&told);
}

#[test]
fn a_kind_whose_names_are_free_is_served() {
    let widgets = definition("widgets", "Widget");
    check(
        [widgets.object(), accepted(definition("gadgets", "Gadget")).object()],
        "widgets.example.com",
        expect![[r#"
            status CustomResourceDefinition widgets.example.com
              NamesAccepted=True NoConflicts: no conflicts found
              Established=True InitialNamesAccepted: the initial names have been accepted
        "#]],
    );
}

#[test]
fn a_kind_that_is_called_as_another_one_waits() {
    let (widgets, others) = (definition("widgets", "Widget"), accepted(definition("others", "Widget")));
    check(
        [widgets.object(), others.object()],
        "widgets.example.com",
        expect![[r#"
            status CustomResourceDefinition widgets.example.com
              NamesAccepted=False ListKindConflict: "WidgetList" is already in use
              Established=False NotAccepted: not all names are accepted
        "#]],
    );
    let mut looked = Vec::new();
    let mut world = world([widgets.object(), others.object()]);
    let shift = world.observe(&change(api::ChangeType::Deleted, others.object(), 9));
    Controller::Definition.concerns(&world, &shift, &mut |key: Key| looked.push(key.name.to_string()));
    assert_eq!(looked, ["others.example.com", "widgets.example.com"], "the name is free");
}

#[test]
fn a_definition_goes_when_its_objects_are_gone() {
    let going = definition("widgets", "Widget").leaving(&[CLEANUP_FINALIZER]);
    check(
        [going.object(), widget(&going, "a"), widget(&definition("gadgets", "Gadget"), "b")],
        "widgets.example.com",
        expect![[r#"
            delete Widget default/a
            status CustomResourceDefinition widgets.example.com
              Terminating=True InstanceDeletionInProgress: CustomResource deletion is in progress
        "#]],
    );
    check(
        [going.object(), widget(&definition("gadgets", "Gadget"), "b")],
        "widgets.example.com",
        expect![[r#"
            owners of CustomResourceDefinition widgets.example.com
        "#]],
    );
}
