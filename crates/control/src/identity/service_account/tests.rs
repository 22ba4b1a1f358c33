//! Which namespace gets a ServiceAccount, and when.

use api::{Kind, Object, core_v1::ServiceAccount, kinds::Resource as _};
use expect_test::{Expect, expect};

use crate::{
    controller::Controller,
    testing::{Told as _, added, key, namespace, plan, world},
    world::World,
};

fn account(name: &str) -> ServiceAccount {
    let mut account = ServiceAccount::default();
    account.metadata_mut().name = name.to_owned();
    account.metadata_mut().namespace = "default".to_owned();
    account
}

fn check(objects: impl IntoIterator<Item = Object>, expected: Expect) {
    let plan = plan(&world(objects), Controller::ServiceAccount, &key(Kind::Namespace, "default"));
    expected.assert_eq(&plan.to_string());
}

#[test]
fn an_open_namespace_gets_one_and_no_second() {
    let open = namespace("default").object();
    check(
        [open.clone(), account("robot").object()],
        expect![[r#"
            create ServiceAccount default/default
        "#]],
    );
    check([open, account("default").object()], expect![[""]]);
}

#[test]
fn nothing_is_made_in_a_namespace_that_ends_or_is_gone() {
    check([namespace("default").leaving(&[]).object()], expect![[""]]);
    check([], expect![[""]]);
}

#[test]
fn its_own_account_concerns_a_namespace() {
    let looks = |world: &mut World, object: Object| {
        let shift = world.observe(&added(object, 100));
        let mut looks = Vec::new();
        Controller::ServiceAccount.concerns(world, &shift, &mut |key| looks.push(key));
        looks
    };
    let mut world = world([namespace("default").object()]);
    assert_eq!(looks(&mut world, account("default").object()), [key(Kind::Namespace, "default")]);
    assert_eq!(looks(&mut world, account("robot").object()), []);
    assert_eq!(looks(&mut world, namespace("team").object()), [key(Kind::Namespace, "team")]);
}
