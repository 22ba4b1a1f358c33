//! A container's environment variables, from wherever the Pod says they come.

use std::{collections::BTreeMap, net::Ipv4Addr};

use api::{
    Error, Key, Kind, Object, Reason,
    core_v1::{ConfigMap, Container, EnvVarSource, Pod, ResourceFieldSelector, Secret},
    downward,
    expansion::{Environment, TooLarge},
    kinds::Resource as _,
};

use super::{World, images, node};
use crate::brain::Failure;

/// Every variable, in the order of the manifest: `HOSTNAME` as container engines set it, then `envFrom`, then `env`, which
/// wins.
pub(crate) async fn resolve(
    world: &World,
    pod: &Pod,
    container: &Container,
    address: Ipv4Addr,
) -> Result<Environment, Failure> {
    let mut env = Environment::default();
    let set = |env: &mut Environment, name: String, value: String| env.set(name, value).map_err(too_large);
    set(&mut env, "HOSTNAME".to_owned(), pod.name().to_owned())?;
    for source in &container.env_from {
        let (kind, name, optional) = match (&source.config_map_ref, &source.secret_ref) {
            (Some(map), _) => (Kind::ConfigMap, name_of(map.local_object_reference.as_ref()), map.optional),
            (None, Some(secret)) => (Kind::Secret, name_of(secret.local_object_reference.as_ref()), secret.optional),
            (None, None) => continue,
        };
        let values = data(world, pod, kind, &name, optional.unwrap_or(false)).await?.unwrap_or_default();
        for (key, value) in values {
            set(&mut env, format!("{}{key}", source.prefix), String::from_utf8_lossy(&value).into_owned())?;
        }
    }
    for variable in &container.env {
        let value = match &variable.value_from {
            Some(source) => from(world, pod, container, address, source).await?,
            None => Some(env.expand(&variable.value).map_err(too_large)?),
        };
        if let Some(value) = value {
            set(&mut env, variable.name.clone(), value)?;
        }
    }
    Ok(env)
}

pub(crate) fn too_large(error: TooLarge) -> Failure {
    Failure { reason: "CreateContainerConfigError", message: error.to_string() }
}

fn name_of(reference: Option<&api::core_v1::LocalObjectReference>) -> String {
    reference.map(|reference| reference.name.clone()).unwrap_or_default()
}

async fn from(
    world: &World,
    pod: &Pod,
    container: &Container,
    address: Ipv4Addr,
    source: &EnvVarSource,
) -> Result<Option<String>, Failure> {
    if let Some(field) = &source.field_ref {
        return field_value(pod, address, world, &field.field_path).map(Some);
    }
    if let Some(resource) = &source.resource_field_ref {
        return amount(pod, Some(container), resource).map(Some);
    }
    let (kind, name, key, optional) = match (&source.config_map_key_ref, &source.secret_key_ref) {
        (Some(map), _) => (Kind::ConfigMap, name_of(map.local_object_reference.as_ref()), &map.key, map.optional),
        (None, Some(secret)) => {
            (Kind::Secret, name_of(secret.local_object_reference.as_ref()), &secret.key, secret.optional)
        }
        (None, None) => return Ok(None),
    };
    let optional = optional.unwrap_or(false);
    let values = data(world, pod, kind, &name, optional).await?;
    match values.as_ref().and_then(|values| values.get(key)) {
        Some(value) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
        None if optional => Ok(None),
        None => Err(missing(format!("couldn't find key {key} in {kind} {}/{name}", pod.namespace()))),
    }
}

fn missing(message: String) -> Failure {
    Failure { reason: "CreateContainerConfigError", message }
}

/// The values of a ConfigMap or Secret; `None` if it does not exist and may be missing.
pub(crate) async fn data(
    world: &World,
    pod: &Pod,
    kind: Kind,
    name: &str,
    optional: bool,
) -> Result<Option<BTreeMap<String, Vec<u8>>>, Failure> {
    match read(world, &Key::namespaced(kind, pod.namespace(), name)).await {
        Ok(object) => Ok(Some(values(&object))),
        Err(Error { reason: Reason::NotFound, .. }) if optional => Ok(None),
        Err(error) => Err(missing(error.message)),
    }
}

/// A ConfigMap or Secret as it is, or, while no master answers, as it was when it was read last.
async fn read(world: &World, key: &Key) -> Result<Object, Error> {
    if world.memory.is_old()
        && let Some(object) = world.memory.recall_used(key)
    {
        return Ok(object);
    }
    let read = world.client.get(key).await;
    match &read {
        Ok(object) => world.memory.keep_used(object).await,
        Err(error) if error.reason == Reason::NotFound => world.memory.forget_used(key),
        Err(error) if error.reason.retryable() => return world.memory.recall_used(key).map_or(read, Ok),
        Err(_) => {}
    }
    read
}

fn values(object: &Object) -> BTreeMap<String, Vec<u8>> {
    if let Some(map) = object.get::<ConfigMap>() {
        let texts = map.data.iter().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
        return texts.chain(map.binary_data.iter().map(|(key, value)| (key.clone(), value.to_vec()))).collect();
    }
    object
        .get::<Secret>()
        .map(|secret| secret.data.iter().map(|(key, value)| (key.clone(), value.to_vec())).collect())
        .unwrap_or_default()
}

/// A field of the Pod, as the downward API names it.
pub(crate) fn field_value(pod: &Pod, address: Ipv4Addr, world: &World, path: &str) -> Result<String, Failure> {
    let meta = pod.metadata().cloned().unwrap_or_default();
    let spec = pod.spec.as_ref();
    let keyed = |map: &BTreeMap<String, String>, prefix: &str| {
        let key = path.strip_prefix(prefix)?.strip_prefix("['")?.strip_suffix("']")?;
        Some(map.get(key).cloned().unwrap_or_default())
    };
    let listed = |map: &BTreeMap<String, String>| {
        map.iter().map(|(key, value)| format!("{key}={value:?}\n")).collect::<String>()
    };
    Ok(match path {
        "metadata.name" => meta.name,
        "metadata.namespace" => meta.namespace,
        "metadata.uid" => meta.uid,
        "metadata.labels" => listed(&meta.labels),
        "metadata.annotations" => listed(&meta.annotations),
        "spec.nodeName" => spec.map(|spec| spec.node_name.clone()).unwrap_or_default(),
        "spec.serviceAccountName" => spec.map(|spec| spec.service_account_name.clone()).unwrap_or_default(),
        "status.podIP" | "status.podIPs" => address.to_string(),
        "status.hostIP" | "status.hostIPs" => world.config.host.to_string(),
        _ => keyed(&meta.labels, "metadata.labels")
            .or_else(|| keyed(&meta.annotations, "metadata.annotations"))
            .ok_or_else(|| missing(format!("fieldRef.fieldPath {path:?} is not known; one of metadata.name, metadata.namespace, metadata.uid, metadata.labels['KEY'], metadata.annotations['KEY'], spec.nodeName, status.podIP, status.hostIP")))?,
    })
}

/// An amount of a container: of the one that is named, else of the one that asks.
pub(crate) fn amount(pod: &Pod, asking: Option<&Container>, field: &ResourceFieldSelector) -> Result<String, Failure> {
    let named = images::container(pod, &field.container_name);
    let container = if field.container_name.is_empty() { asking } else { named };
    let container = container.ok_or_else(|| missing(format!("the Pod has no container {:?}", field.container_name)))?;
    downward::amount(container, field, &node::capacity(0)).map_err(missing)
}
