//! A Pod's volumes as directories of this node.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    path::{Component, Path, PathBuf},
};

use api::{
    Kind,
    core_v1::{Container, DownwardApiVolumeFile, KeyToPath, Pod, Volume, VolumeProjection},
    kinds::Resource as _,
};
use sandbox::{Access, Mount};

use super::{World, environment};
use crate::brain::Failure;

/// The files of a volume, by relative path.
type Files = BTreeMap<String, Vec<u8>>;

/// Makes the volumes that a container mounts, and says where they appear.
pub(crate) async fn mounts(world: &World, pod: &Pod, container: &Container) -> Result<Vec<Mount>, Failure> {
    let mut mounts = Vec::new();
    for mount in &container.volume_mounts {
        let volume = pod.spec.iter().flat_map(|spec| &spec.volumes).find(|volume| volume.name == mount.name);
        let volume = volume.ok_or_else(|| wrong(format!("the Pod has no volume {:?}", mount.name)))?;
        let mut host = make(world, pod, volume).await?;
        if !mount.sub_path.is_empty() {
            host = inside(&host, &mount.sub_path)?;
            tokio::fs::create_dir_all(&host)
                .await
                .map_err(|error| wrong(format!("subPath {:?}: {error}", mount.sub_path)))?;
        }
        let fixed = volume.volume_source.as_ref().is_some_and(|source| source.empty_dir.is_none());
        let access = if mount.read_only || fixed { Access::ReadOnly } else { Access::ReadWrite };
        mounts.push(Mount { host, guest: mount.mount_path.clone(), access });
    }
    Ok(mounts)
}

fn wrong(message: String) -> Failure {
    Failure { reason: "CreateContainerConfigError", message }
}

/// Joins a relative path that must not leave the directory.
fn inside(dir: &Path, path: &str) -> Result<PathBuf, Failure> {
    let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if plain { Ok(dir.join(path)) } else { Err(wrong(format!("the path {path:?} must be relative and without `..`"))) }
}

async fn make(world: &World, pod: &Pod, volume: &Volume) -> Result<PathBuf, Failure> {
    let dir = world.pod_dir(pod.uid()).join("volumes").join(&volume.name);
    let files = files(world, pod, volume).await?;
    let failed = |error: std::io::Error| wrong(format!("volume {:?}: {error}", volume.name));
    tokio::fs::create_dir_all(&dir).await.map_err(failed)?;
    for (path, bytes) in files {
        let path = inside(&dir, &path)?;
        if let Some(parent) = path.parent() {
            tokio::fs::create_dir_all(parent).await.map_err(failed)?;
        }
        tokio::fs::write(path, bytes).await.map_err(failed)?;
    }
    Ok(dir)
}

async fn files(world: &World, pod: &Pod, volume: &Volume) -> Result<Files, Failure> {
    let Some(source) = &volume.volume_source else { return Ok(Files::new()) };
    if let Some(map) = &source.config_map {
        let name = map.local_object_reference.as_ref().map(|reference| reference.name.clone()).unwrap_or_default();
        return keyed(world, pod, Kind::ConfigMap, &name, &map.items, map.optional).await;
    }
    if let Some(secret) = &source.secret {
        return keyed(world, pod, Kind::Secret, &secret.secret_name, &secret.items, secret.optional).await;
    }
    if let Some(downward) = &source.downward_api {
        return fields(world, pod, &downward.items);
    }
    let mut files = Files::new();
    for projection in source.projected.iter().flat_map(|projected| &projected.sources) {
        files.extend(projected(world, pod, projection).await?);
    }
    Ok(files)
}

async fn projected(world: &World, pod: &Pod, projection: &VolumeProjection) -> Result<Files, Failure> {
    let name = |reference: Option<&api::core_v1::LocalObjectReference>| {
        reference.map(|reference| reference.name.clone()).unwrap_or_default()
    };
    if let Some(map) = &projection.config_map {
        return keyed(
            world,
            pod,
            Kind::ConfigMap,
            &name(map.local_object_reference.as_ref()),
            &map.items,
            map.optional,
        )
        .await;
    }
    if let Some(secret) = &projection.secret {
        return keyed(
            world,
            pod,
            Kind::Secret,
            &name(secret.local_object_reference.as_ref()),
            &secret.items,
            secret.optional,
        )
        .await;
    }
    projection.downward_api.as_ref().map_or(Ok(Files::new()), |downward| fields(world, pod, &downward.items))
}

async fn keyed(
    world: &World,
    pod: &Pod,
    kind: Kind,
    name: &str,
    items: &[KeyToPath],
    optional: Option<bool>,
) -> Result<Files, Failure> {
    let optional = optional.unwrap_or(false);
    let Some(mut values) = environment::data(world, pod, kind, name, optional).await? else { return Ok(Files::new()) };
    if items.is_empty() {
        return Ok(values);
    }
    let mut files = Files::new();
    for item in items {
        match values.remove(&item.key) {
            Some(value) => drop(files.insert(item.path.clone(), value)),
            None if optional => {}
            None => return Err(wrong(format!("couldn't find key {} in {kind} {}/{name}", item.key, pod.namespace()))),
        }
    }
    Ok(files)
}

fn fields(world: &World, pod: &Pod, items: &[DownwardApiVolumeFile]) -> Result<Files, Failure> {
    let address: Ipv4Addr =
        pod.status.as_ref().and_then(|status| status.pod_ip.parse().ok()).unwrap_or(Ipv4Addr::UNSPECIFIED);
    let value = |item: &DownwardApiVolumeFile| match (&item.field_ref, &item.resource_field_ref) {
        (Some(field), _) => environment::field_value(pod, address, world, &field.field_path),
        (None, Some(resource)) => environment::amount(pod, None, resource),
        (None, None) => Ok(String::new()),
    };
    items.iter().map(|item| Ok((item.path.clone(), value(item)?.into_bytes()))).collect()
}
