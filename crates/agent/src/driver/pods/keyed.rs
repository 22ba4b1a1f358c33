//! What a volume shows of ConfigMaps and Secrets.

use std::collections::BTreeMap;

use api::{
    Key, Kind, Revision,
    core_v1::{KeyToPath, LocalObjectReference, Pod, Volume, VolumeProjection},
    kinds::Resource as _,
};
use rustix::fs::Mode;

use super::{
    certificates,
    generations::File,
    sources::{Sources, missing, values},
};
use crate::brain::Failure;

/// The files of a volume, by relative path.
pub(crate) type Files = BTreeMap<String, Content>;

/// What a file of a volume is to be.
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    /// Permissions that the manifest gives it; nobody else reaches the directory, whatever they are.
    pub(crate) mode: Option<i32>,
}

/// The permissions of a file for which the manifest gives none, as Kubernetes has it.
const DEFAULT_MODE: i32 = 0o644;

impl Content {
    /// The file's mode: its own, else that of its volume, else the usual one.
    pub(crate) fn mode(&self, volume: Option<i32>) -> Mode {
        let mode = self.mode.or(volume).unwrap_or(DEFAULT_MODE);
        Mode::from_raw_mode(u32::try_from(mode).unwrap_or_default() & 0o777)
    }
}

/// The ConfigMaps and Secrets of a volume, and which files it shows of them.
#[derive(Debug)]
pub(crate) struct Keyed {
    sources: Box<[Source]>,
    /// The mode of files that have none of their own.
    mode: Option<i32>,
    /// The paths of files that come from elsewhere, and are written there.
    taken: Box<[String]>,
}

#[derive(Debug)]
struct Source {
    key: Key,
    items: Box<[KeyToPath]>,
    optional: bool,
}

/// Which state of each object is shown; `None` for one that is not there.
pub(crate) type Shown = BTreeMap<Key, Option<Revision>>;

impl Keyed {
    /// What a volume of a Pod shows; `None` if it shows no ConfigMap and no Secret.
    pub(crate) fn of(pod: &Pod, volume: &Volume) -> Option<Self> {
        let source = volume.volume_source.as_ref()?;
        let of_map = source.config_map.iter().map(|map| {
            let name = named(map.local_object_reference.as_ref());
            Source::new(pod, Kind::ConfigMap, name, &map.items, map.optional)
        });
        let of_secret = source
            .secret
            .iter()
            .map(|secret| Source::new(pod, Kind::Secret, &secret.secret_name, &secret.items, secret.optional));
        let projections = source.projected.iter().flat_map(|projected| &projected.sources);
        let sources: Box<[Source]> =
            of_map.chain(of_secret).chain(projections.clone().filter_map(|one| Source::projected(pod, one))).collect();
        let taken = projections.flat_map(elsewhere).map(str::to_owned).collect();
        (!sources.is_empty()).then(|| Self { sources, mode: default_mode(volume), taken })
    }

    /// The objects of which something is shown.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.sources.iter().map(|source| &source.key)
    }

    /// Whether all files of the volume are shown of ConfigMaps and Secrets.
    pub(crate) fn is_alone(&self) -> bool {
        self.taken.is_empty()
    }

    /// Whether the volume does without an object.
    pub(crate) fn does_without(&self, key: &Key) -> bool {
        self.sources.iter().filter(|source| source.key == *key).all(|source| source.optional)
    }

    /// The files as they are to be now, and of which states.
    pub(crate) async fn read(&self, sources: &Sources) -> Result<(Files, Shown), Failure> {
        let (mut files, mut shown) = (Files::new(), Shown::new());
        for source in &self.sources {
            let found = sources.object(&source.key, source.optional).await?;
            let revision = found.as_ref().and_then(|object| object.metadata()?.resource_version.parse().ok());
            shown.insert(source.key.clone(), revision);
            if let Some(object) = found {
                files.extend(source.files(values(&object))?);
            }
        }
        self.taken.iter().for_each(|path| _ = files.remove(path));
        Ok((files, shown))
    }

    /// The files as they are written.
    pub(crate) fn written<'f>(&self, files: &'f Files) -> Vec<File<'f>> {
        let file = |(path, content): (&'f String, &'f Content)| File {
            path,
            bytes: &content.bytes,
            mode: content.mode(self.mode),
        };
        files.iter().map(file).collect()
    }
}

impl Source {
    fn new(pod: &Pod, kind: Kind, name: &str, items: &[KeyToPath], optional: Option<bool>) -> Self {
        let key = Key::namespaced(kind, pod.namespace(), name);
        Self { key, items: items.into(), optional: optional.unwrap_or_default() }
    }

    fn projected(pod: &Pod, projection: &VolumeProjection) -> Option<Self> {
        if let Some(map) = &projection.config_map {
            let name = named(map.local_object_reference.as_ref());
            return Some(Self::new(pod, Kind::ConfigMap, name, &map.items, map.optional));
        }
        let secret = projection.secret.as_ref()?;
        let name = named(secret.local_object_reference.as_ref());
        Some(Self::new(pod, Kind::Secret, name, &secret.items, secret.optional))
    }

    /// What is shown of an object with these values.
    fn files(&self, values: BTreeMap<String, Vec<u8>>) -> Result<Files, Failure> {
        if self.items.is_empty() {
            return Ok(values.into_iter().map(|(path, bytes)| (path, Content { bytes, mode: None })).collect());
        }
        let mut files = Files::new();
        for item in &self.items {
            match values.get(&item.key).cloned() {
                Some(bytes) => drop(files.insert(item.path.clone(), Content { bytes, mode: item.mode })),
                None if self.optional => {}
                None => {
                    let Key { kind, namespace, name } = &self.key;
                    return Err(missing(format!("couldn't find key {} in {kind} {namespace}/{name}", item.key)));
                }
            }
        }
        Ok(files)
    }
}

fn named(reference: Option<&LocalObjectReference>) -> &str {
    reference.map(|reference| reference.name.as_str()).unwrap_or_default()
}

/// The paths of what comes from no ConfigMap and no Secret.
fn elsewhere(projection: &VolumeProjection) -> Vec<&str> {
    let mut paths = Vec::new();
    paths.extend(projection.service_account_token.iter().map(|token| token.path.as_str()));
    paths.extend(projection.cluster_trust_bundle.iter().map(|bundle| bundle.path.as_str()));
    paths.extend(projection.downward_api.iter().flat_map(|fields| &fields.items).map(|item| item.path.as_str()));
    paths.extend(projection.pod_certificate.iter().flat_map(|wanted| certificates::paths(wanted)));
    paths
}

/// The mode that a volume gives to those of its files that have none.
pub(crate) fn default_mode(volume: &Volume) -> Option<i32> {
    let source = volume.volume_source.as_ref()?;
    let of_keys = source.config_map.as_ref().map(|map| map.default_mode);
    let of_keys = of_keys.or_else(|| source.secret.as_ref().map(|secret| secret.default_mode));
    let of_fields = of_keys.or_else(|| source.downward_api.as_ref().map(|downward| downward.default_mode));
    of_fields.or_else(|| source.projected.as_ref().map(|projected| projected.default_mode)).flatten()
}
