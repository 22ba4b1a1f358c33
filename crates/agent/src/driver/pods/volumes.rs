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
use rustix::fs::Mode;
use sandbox::{Access, Host, Mount};

use super::{World, beneath::Root, environment};
use crate::brain::Failure;

/// The files of a volume, by relative path.
type Files = BTreeMap<String, Content>;

/// What a file of a volume is to be.
struct Content {
    bytes: Vec<u8>,
    /// Permissions that the manifest gives it; nobody else reaches the directory, whatever they are.
    mode: Option<i32>,
}

/// The permissions of a file for which the manifest gives none, as Kubernetes has it.
const DEFAULT_MODE: i32 = 0o644;

impl Content {
    /// The file's mode: its own, else that of its volume, else the usual one.
    fn mode(&self, volume: Option<i32>) -> Mode {
        let mode = self.mode.or(volume).unwrap_or(DEFAULT_MODE);
        Mode::from_raw_mode(u32::try_from(mode).unwrap_or_default() & 0o777)
    }
}

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
    let (made, mode) = (dir.clone(), default_mode(volume));
    let fill = move || {
        std::fs::create_dir_all(&made)?;
        let root = Root::open(&made)?;
        files.iter().try_for_each(|(path, file)| root.write(Path::new(path), &file.bytes, file.mode(mode)))
    };
    blocking(fill).await.map_err(|error| wrong(format!("volume {:?}: {error}", volume.name)))?;
    Ok(dir)
}

/// The mode that a volume gives to those of its files that have none.
fn default_mode(volume: &Volume) -> Option<i32> {
    let source = volume.volume_source.as_ref()?;
    let of_keys = source.config_map.as_ref().map(|map| map.default_mode);
    let of_keys = of_keys.or_else(|| source.secret.as_ref().map(|secret| secret.default_mode));
    let of_fields = of_keys.or_else(|| source.downward_api.as_ref().map(|downward| downward.default_mode));
    of_fields.or_else(|| source.projected.as_ref().map(|projected| projected.default_mode)).flatten()
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
        return Ok(values.into_iter().map(|(path, bytes)| (path, Content { bytes, mode: None })).collect());
    }
    let mut files = Files::new();
    for item in items {
        match values.remove(&item.key) {
            Some(bytes) => drop(files.insert(item.path.clone(), Content { bytes, mode: item.mode })),
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
    let content = |item| Ok(Content { bytes: value(item)?.into_bytes(), mode: item.mode });
    items.iter().map(|item| Ok((item.path.clone(), content(item)?))).collect()
}
