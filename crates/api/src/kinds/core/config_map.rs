//! ConfigMaps.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    Subresource, Timestamp,
    core_v1::ConfigMap,
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    table::{
        Cell, Column, Common,
        columns::{AGE, NAME, integer},
    },
    validate::{
        Causes, Path, data,
        names::{self, Syntax},
    },
    warnings::Warnings,
};

const COLUMNS: &[Column] = &[NAME, integer("Data", "How many keys it has."), AGE];

const SAMPLE: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: hello
  namespace: default
data:
  greeting: Hello!
  hello.conf: |
    colour = blue
";

pub(crate) struct ConfigMapStrategy;

impl Strategy for ConfigMapStrategy {
    type Object = ConfigMap;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, _: &mut ConfigMap) {}

    fn validate(&self, causes: &mut Causes, map: &ConfigMap) {
        validate(causes, map);
    }

    fn validate_update(&self, causes: &mut Causes, old: &ConfigMap, new: &ConfigMap) {
        let same = [("data", old.data == new.data), ("binaryData", old.binary_data == new.binary_data)];
        data::immutable(causes, old.immutable, new.immutable, &same);
    }

    fn validate_status(&self, _: &mut Causes, _: &ConfigMap) {}

    fn warn(&self, _: &mut Warnings, _: &ConfigMap) {}

    fn prepare_for_create(&self, _: &mut ConfigMap) {}

    fn prepare_for_update(&self, _: &mut ConfigMap, _: &ConfigMap) {}

    fn update_status(&self, _: &mut ConfigMap, _: &ConfigMap) {}

    fn scale(&self, _: &ConfigMap) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut ConfigMap, _: i32) {}

    fn is_new_generation(&self, _: Option<&ConfigMap>, _: &ConfigMap, _: Subresource) -> bool {
        false
    }

    fn allocation<'a>(&self, _: &'a mut ConfigMap) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &ConfigMap) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(&self, map: &mut ConfigMap, _: Option<i64>, now: Timestamp) -> Result<(), &'static str> {
        deletion::mark_now(&mut map.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &ConfigMap) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, map: &ConfigMap, common: Common, _: Timestamp) -> Vec<Cell> {
        vec![common.name, (map.data.len() + map.binary_data.len()).into(), common.age]
    }

    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    fn field<'a>(&self, _: &'a ConfigMap, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

fn validate(causes: &mut Causes, map: &ConfigMap) {
    let (texts, binary) = (Path::Root.field("data"), Path::Root.field("binaryData"));
    data::keys(causes, &map.data, &texts);
    data::keys(causes, &map.binary_data, &binary);
    for key in map.binary_data.keys().filter(|key| map.data.contains_key(*key)) {
        causes.invalid(&texts.key(key), key, "duplicate of key present in binaryData");
    }
    let lengths = map.data.values().map(String::len);
    data::size(causes, lengths.chain(map.binary_data.values().map(bytes::Bytes::len)).sum());
}
