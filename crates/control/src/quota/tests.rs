//! When a quota is counted again, and when nobody looks at it.

use api::{
    ChangeType, Object,
    core_v1::{ResourceQuotaSpec, ResourceQuotaStatus},
    meta_v1::{ObjectMeta, Quantity},
};

use super::*;
use crate::{
    controller::Controller,
    testing::{NOW, PodTold as _, Told as _, change, plan, pod, resources, world},
};

fn quota(hard: &[(&str, &str)], used: &[(&str, &str)]) -> ResourceQuota {
    let metadata = ObjectMeta { name: "q".to_owned(), namespace: "default".to_owned(), ..ObjectMeta::default() };
    ResourceQuota {
        metadata: Some(metadata),
        spec: Some(ResourceQuotaSpec { hard: resources(hard), ..ResourceQuotaSpec::default() }),
        status: (!used.is_empty()).then(|| ResourceQuotaStatus { hard: resources(hard), used: resources(used) }),
    }
}

/// What a change makes the controller look at.
fn looked_at(before: impl IntoIterator<Item = Object>, news: ChangeType, object: Object) -> Vec<String> {
    let mut world = world(before);
    let shift = world.observe(&change(news, object, 1_000));
    let mut looked = Vec::new();
    concerns(&world, &shift, &mut |key| looked.push(key.to_string()));
    looked
}

#[test]
fn a_quota_is_counted_until_it_says_what_is_there() {
    let pods = [pod("a").object(), pod("b").phase("Failed").object()];
    let mut quota = quota(&[("pods", "3"), ("count/pods", "3")], &[]);
    let told = |quota: &ResourceQuota| {
        let world = world(pods.iter().cloned().chain([quota.clone().into()]));
        plan(&world, Controller::ResourceQuota, &quota.key())
    };
    let first = told(&quota);
    let [step] = first.steps.as_slice() else { panic!("one step: {first}") };
    let api::Write::Update(Object::ResourceQuota(counted), _) = &step.write else { panic!("a status: {first}") };
    let used: &std::collections::BTreeMap<String, Quantity> = &counted.status.as_ref().expect("it is counted").used;
    assert_eq!((&*used["pods"].string, &*used["count/pods"].string), ("1", "2"));
    assert!(counted.metadata.as_ref().is_some_and(|meta| meta.resource_version.is_empty()));
    quota.status.clone_from(&counted.status);
    assert_eq!(told(&quota).to_string(), format!("again at {}ms\n", NOW.0 + 300_000));
}

#[test]
fn only_what_goes_makes_somebody_count() {
    let counted = || Object::from(quota(&[("pods", "3")], &[("pods", "1")]));
    let there = || [counted(), pod("a").object()];
    let seen = |news, object| looked_at(there(), news, object).concat();
    let quota_key = "ResourceQuota default/q";
    assert_eq!(seen(ChangeType::Added, pod("b").object()), "", "it was charged");
    assert_eq!(seen(ChangeType::Modified, pod("a").phase("Running").object()), "");
    assert_eq!(seen(ChangeType::Modified, pod("a").phase("Succeeded").object()), quota_key);
    assert_eq!(seen(ChangeType::Deleted, pod("a").object()), quota_key);
    let charged = quota(&[("pods", "3")], &[("pods", "2")]);
    assert_eq!(seen(ChangeType::Modified, charged.into()), "", "whoever writes charges");
    let mut asks_for_more = quota(&[("pods", "3")], &[("pods", "1")]);
    asks_for_more.spec = quota(&[("pods", "4")], &[]).spec;
    assert_eq!(seen(ChangeType::Modified, asks_for_more.into()), quota_key);
    let of_maps = Object::from(quota(&[("configmaps", "3")], &[("configmaps", "0")]));
    assert!(looked_at([of_maps, pod("a").object()], ChangeType::Deleted, pod("a").object()).is_empty());
}
