//! What the controllers write about objects that they know only in outline.

use std::time::Duration;

use api::{
    DeleteOptions, Propagation, Write, core_v1::ConfigMap, kinds::Resource as _, meta_v1::OwnerReference,
    well_known::ROOT_CA_CONFIG_MAP,
};
use testkit::{Cluster, Weather};

#[test]
fn a_config_map_that_is_left_behind_keeps_what_is_in_it() {
    let mut cluster = Cluster::new(1, Weather::default());
    let map = |name: &str| {
        let mut map = ConfigMap { data: [("colour".to_owned(), "blue".to_owned())].into(), ..ConfigMap::default() };
        map.metadata_mut().name = name.to_owned();
        map.metadata_mut().namespace = "default".to_owned();
        map.metadata_mut().labels.insert("on".to_owned(), String::new());
        map
    };
    let owner = cluster.submit(&Write::Create(map("owner").into())).expect("a fine object");
    let mut owned = map("owned");
    owned.metadata_mut().owner_references = vec![OwnerReference {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        name: "owner".to_owned(),
        uid: owner.metadata().expect("it was stored").uid.clone(),
        ..OwnerReference::default()
    }];
    cluster.submit(&Write::Create(owned.into())).expect("a fine object");
    cluster.advance(Duration::from_secs(2)).expect("nothing is wrong");

    let options = DeleteOptions { propagation: Propagation::Orphan, ..DeleteOptions::default() };
    cluster.submit(&Write::Delete(owner.key(), options)).expect("it may go");
    cluster.advance(Duration::from_secs(5)).expect("nothing is wrong");

    let mut left: Vec<ConfigMap> = cluster.all();
    left.retain(|map| map.name() != ROOT_CA_CONFIG_MAP);
    assert_eq!(left.iter().map(|map| map.name()).collect::<Vec<_>>(), ["owned"]);
    let left = left.remove(0);
    assert_eq!((&left.data, &left.metadata().map(|meta| meta.labels.len())), (&map("owned").data, &Some(1)));
    assert!(left.metadata().is_some_and(|meta| meta.owner_references.is_empty()));
}
