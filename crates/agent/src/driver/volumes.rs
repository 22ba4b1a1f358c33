//! A Pod's volumes as directories of this node.

use std::{
    collections::BTreeMap,
    io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
};

use api::{
    Kind,
    core_v1::{Container, DownwardApiVolumeFile, KeyToPath, Pod, Volume, VolumeMount, VolumeProjection},
    expansion::Environment,
    kinds::Resource as _,
};
use sandbox::{Access, Host, Mount};

use super::{World, beneath::Root, environment};
use crate::brain::Failure;

/// The files of a volume, by relative path.
type Files = BTreeMap<String, Vec<u8>>;

/// Makes the volumes that a container mounts, and says where they appear.
pub(crate) async fn mounts(
    world: &World,
    pod: &Pod,
    container: &Container,
    env: &Environment,
) -> Result<Vec<Mount>, Failure> {
    let mut mounts = Vec::new();
    for mount in &container.volume_mounts {
        let volume = pod.spec.iter().flat_map(|spec| &spec.volumes).find(|volume| volume.name == mount.name);
        let volume = volume.ok_or_else(|| wrong(format!("the Pod has no volume {:?}", mount.name)))?;
        let dir = make(world, pod, volume).await?;
        let host = match sub_path(mount, env)? {
            (_, path) if path.is_empty() => Host::Path(dir),
            (field, path) => part(dir, field, path).await?,
        };
        let fixed = volume.volume_source.as_ref().is_some_and(|source| source.empty_dir.is_none());
        let access = if mount.read_only || fixed { Access::ReadOnly } else { Access::ReadWrite };
        mounts.push(Mount { host, guest: mount.mount_path.clone(), access });
    }
    Ok(mounts)
}

/// The directory of a Pod's volumes.
pub(crate) fn dir(pod_dir: &Path) -> PathBuf {
    pod_dir.join("volumes")
}

/// The field that names a part of a volume, and the part.
fn sub_path(mount: &VolumeMount, env: &Environment) -> Result<(&'static str, String), Failure> {
    if mount.sub_path_expr.is_empty() {
        return Ok(("subPath", mount.sub_path.clone()));
    }
    let path = env.expand(&mount.sub_path_expr).map_err(environment::too_large)?;
    Ok(("subPathExpr", path))
}

/// A directory below a volume, opened: guests that share the volume may have made links there, and may change them at any time.
async fn part(volume: PathBuf, field: &'static str, path: String) -> Result<Host, Failure> {
    let told = path.clone();
    let open = move || Ok(Host::Open(Arc::new(Root::open(&volume)?.directory(Path::new(&path))?)));
    blocking(open).await.map_err(|error| wrong(format!("{field} {told:?}: {error}")))
}

fn wrong(message: String) -> Failure {
    Failure { reason: "CreateContainerConfigError", message }
}

async fn make(world: &World, pod: &Pod, volume: &Volume) -> Result<PathBuf, Failure> {
    let dir = dir(&world.pod_dir(pod.uid())).join(&volume.name);
    let files = files(world, pod, volume).await?;
    let made = dir.clone();
    let fill = move || {
        std::fs::create_dir_all(&made)?;
        let root = Root::open(&made)?;
        files.iter().try_for_each(|(path, bytes)| root.write(Path::new(path), bytes))
    };
    blocking(fill).await.map_err(|error| wrong(format!("volume {:?}: {error}", volume.name)))?;
    Ok(dir)
}

/// Touches the disk on a thread that may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
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
