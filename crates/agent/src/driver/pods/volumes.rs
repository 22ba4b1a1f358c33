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

use super::{
    beneath::Root, certificates::Wanted as WantedCertificate, dirs::PodDirs, environment::too_large, sources::Sources,
    tokens::Wanted,
};
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
    sources: &Sources,
    dirs: &PodDirs,
    pod: &Pod,
    container: &Container,
    env: &Environment,
) -> Result<Vec<Mount>, Failure> {
    let mut mounts = Vec::new();
    for mount in &container.volume_mounts {
        let volume = pod.spec.iter().flat_map(|spec| &spec.volumes).find(|volume| volume.name == mount.name);
        let volume = volume.ok_or_else(|| wrong(format!("the Pod has no volume {:?}", mount.name)))?;
        let dir = make(sources, dirs, pod, volume).await?;
        let host = match sub_path(mount, env)? {
            (_, path) if path.is_empty() => Host::Path(dir),
            (field, path) => sub_directory(dir, field, path).await?,
        };
        let fixed = volume.volume_source.as_ref().is_some_and(|source| source.empty_dir.is_none());
        let access = if mount.read_only || fixed { Access::ReadOnly } else { Access::ReadWrite };
        mounts.push(Mount { host, guest: mount.mount_path.clone(), access });
    }
    Ok(mounts)
}

/// The directory within a volume that a mount asks for, and the field that names it.
fn sub_path(mount: &VolumeMount, env: &Environment) -> Result<(&'static str, String), Failure> {
    if mount.sub_path_expr.is_empty() {
        return Ok(("subPath", mount.sub_path.clone()));
    }
    let path = env.expand(&mount.sub_path_expr).map_err(too_large)?;
    Ok(("subPathExpr", path))
}

/// A directory within a volume, opened: guests that share the volume may have made links there, and may change them at any time.
async fn sub_directory(volume: PathBuf, field: &'static str, path: String) -> Result<Host, Failure> {
    let told = path.clone();
    let open = move || Ok(Host::Open(Arc::new(Root::open(&volume)?.directory(Path::new(&path))?)));
    blocking(open).await.map_err(|error| wrong(format!("{field} {told:?}: {error}")))
}

fn wrong(message: String) -> Failure {
    Failure { reason: "CreateContainerConfigError", message }
}

async fn make(sources: &Sources, dirs: &PodDirs, pod: &Pod, volume: &Volume) -> Result<PathBuf, Failure> {
    let dir = dirs.volumes(pod.uid()).join(&volume.name);
    let files = files(sources, pod, volume, &dir).await?;
    let (made, mode) = (dir.clone(), default_mode(volume));
    let fill = move || {
        std::fs::create_dir_all(&made)?;
        let root = Root::open(&made)?;
        // A container that runs already may be reading them.
        files.iter().try_for_each(|(path, file)| root.replace(Path::new(path), &file.bytes, file.mode(mode)))
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

/// What is to be written into a volume; `dir` is where it may lie already.
async fn files(sources: &Sources, pod: &Pod, volume: &Volume, dir: &Path) -> Result<Files, Failure> {
    let Some(source) = &volume.volume_source else { return Ok(Files::new()) };
    if let Some(map) = &source.config_map {
        let name = map.local_object_reference.as_ref().map(|reference| reference.name.clone()).unwrap_or_default();
        return keyed(sources, pod, Kind::ConfigMap, &name, &map.items, map.optional).await;
    }
    if let Some(secret) = &source.secret {
        return keyed(sources, pod, Kind::Secret, &secret.secret_name, &secret.items, secret.optional).await;
    }
    if let Some(downward) = &source.downward_api {
        return fields(sources, pod, &downward.items);
    }
    let mut files = Files::new();
    let projections = source.projected.iter().flat_map(|projected| &projected.sources);
    for (index, projection) in projections.enumerate() {
        files.extend(match &projection.pod_certificate {
            Some(wanted) => certified(sources, &WantedCertificate::by(pod, &volume.name, index, wanted), dir).await?,
            None => projected(sources, pod, projection, dir).await?,
        });
    }
    Ok(files)
}

async fn projected(sources: &Sources, pod: &Pod, projection: &VolumeProjection, dir: &Path) -> Result<Files, Failure> {
    let name = |reference: Option<&api::core_v1::LocalObjectReference>| {
        reference.map(|reference| reference.name.clone()).unwrap_or_default()
    };
    if let Some(map) = &projection.config_map {
        return keyed(
            sources,
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
            sources,
            pod,
            Kind::Secret,
            &name(secret.local_object_reference.as_ref()),
            &secret.items,
            secret.optional,
        )
        .await;
    }
    if let Some(projection) = &projection.service_account_token {
        // Nobody but the node writes into such a volume.
        let lies_there = dir.join(&projection.path).exists();
        let token =
            sources.token(&Wanted::by(pod, projection), lies_there).await.map_err(|error| wrong(error.message))?;
        let content = |token: String| (projection.path.clone(), Content { bytes: token.into_bytes(), mode: None });
        return Ok(token.map(content).into_iter().collect());
    }
    if let Some(projection) = &projection.cluster_trust_bundle {
        let bytes = sources.authorities(projection).await?.into_bytes();
        return Ok(Files::from([(projection.path.clone(), Content { bytes, mode: None })]));
    }
    projection.downward_api.as_ref().map_or(Ok(Files::new()), |downward| fields(sources, pod, &downward.items))
}

/// A key and its certificate.
async fn certified(sources: &Sources, wanted: &WantedCertificate, dir: &Path) -> Result<Files, Failure> {
    let bundle = sources.certificate(wanted, wanted.lies_in(dir)).await?;
    let files = bundle.map(|bundle| wanted.files(&bundle)).unwrap_or_default();
    Ok(files.into_iter().map(|(path, text)| (path, Content { bytes: text.into_bytes(), mode: None })).collect())
}

/// A source of a volume whose files are written anew while the container runs that mounts it.
pub(crate) struct Projected<'a> {
    pub(crate) volume: &'a Volume,
    /// Its place among those of the volume.
    pub(crate) index: usize,
    pub(crate) source: &'a VolumeProjection,
    /// The volume's directory.
    pub(crate) dir: PathBuf,
    /// What files there have that have no mode of their own.
    pub(crate) mode: Mode,
}

/// The sources of the projected volumes that a container mounts.
pub(crate) fn projections<'a>(
    dirs: &'a PodDirs,
    pod: &'a Pod,
    container: &'a Container,
) -> impl Iterator<Item = Projected<'a>> {
    let is_mounted = |volume: &&Volume| container.volume_mounts.iter().any(|mount| mount.name == volume.name);
    let volumes = pod.spec.iter().flat_map(|spec| &spec.volumes).filter(is_mounted);
    volumes.flat_map(move |volume| {
        let source = volume.volume_source.as_ref();
        let sources =
            source.and_then(|source| source.projected.as_ref()).map_or(&[][..], |projected| &projected.sources);
        let mode = Content { bytes: Vec::new(), mode: None }.mode(default_mode(volume));
        let dir = dirs.volumes(pod.uid()).join(&volume.name);
        let projected = move |(index, source)| Projected { volume, index, source, dir: dir.clone(), mode };
        sources.iter().enumerate().map(projected)
    })
}

async fn keyed(
    sources: &Sources,
    pod: &Pod,
    kind: Kind,
    name: &str,
    items: &[KeyToPath],
    optional: Option<bool>,
) -> Result<Files, Failure> {
    let optional = optional.unwrap_or(false);
    let Some(mut values) = sources.data(pod.namespace(), kind, name, optional).await? else { return Ok(Files::new()) };
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

fn fields(sources: &Sources, pod: &Pod, items: &[DownwardApiVolumeFile]) -> Result<Files, Failure> {
    let address: Ipv4Addr =
        pod.status.as_ref().and_then(|status| status.pod_ip.parse().ok()).unwrap_or(Ipv4Addr::UNSPECIFIED);
    let value = |item: &DownwardApiVolumeFile| match (&item.field_ref, &item.resource_field_ref) {
        (Some(field), _) => sources.field(pod, address, &field.field_path),
        (None, Some(resource)) => sources.amount(pod, None, resource),
        (None, None) => Ok(String::new()),
    };
    let content = |item| Ok(Content { bytes: value(item)?.into_bytes(), mode: item.mode });
    items.iter().map(|item| Ok((item.path.clone(), content(item)?))).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _};

    use api::{
        certificates_v1::{ClusterTrustBundle, ClusterTrustBundleSpec},
        core_v1::{
            ClusterTrustBundleProjection, ConfigMap, ConfigMapVolumeSource, DownwardApiVolumeSource,
            EmptyDirVolumeSource, LocalObjectReference, ObjectFieldSelector, PodSpec, ProjectedVolumeSource,
            ServiceAccountTokenProjection, VolumeSource,
        },
    };

    use super::*;
    use crate::driver::testing::sources;

    fn pod(volumes: &[(&str, VolumeSource)]) -> Pod {
        let volume = |(name, source): &(&str, VolumeSource)| Volume {
            name: (*name).to_owned(),
            volume_source: Some(source.clone()),
        };
        let volumes = volumes.iter().map(volume).collect();
        let mut pod = Pod { spec: Some(PodSpec { volumes, ..PodSpec::default() }), ..Pod::default() };
        let meta = pod.metadata_mut();
        (meta.name, meta.namespace, meta.uid) = ("web-1".to_owned(), "default".to_owned(), "u1".to_owned());
        pod
    }

    fn mount(name: &str, sub_path: &str) -> VolumeMount {
        let (name, mount_path) = (name.to_owned(), format!("/{name}"));
        VolumeMount { name, mount_path, sub_path: sub_path.to_owned(), ..VolumeMount::default() }
    }

    fn container(mounts: Vec<VolumeMount>) -> Container {
        Container { volume_mounts: mounts, ..Container::default() }
    }

    #[tokio::test]
    async fn volumes_are_filled_from_what_they_name_with_the_modes_that_they_name() {
        let mut map = ConfigMap { data: [("k".to_owned(), "v".to_owned())].into(), ..ConfigMap::default() };
        (map.metadata_mut().name, map.metadata_mut().namespace) = ("settings".to_owned(), "default".to_owned());
        let (dir, sources) = sources(&[map.into()]).await;
        let dirs = PodDirs::below(dir.path());
        let item =
            KeyToPath { key: "k".to_owned(), path: "sub/file".to_owned(), mode: Some(0o400), ..KeyToPath::default() };
        let settings = ConfigMapVolumeSource {
            local_object_reference: Some(LocalObjectReference { name: "settings".to_owned() }),
            items: vec![item],
            ..ConfigMapVolumeSource::default()
        };
        let field = ObjectFieldSelector { field_path: "metadata.name".to_owned(), ..ObjectFieldSelector::default() };
        let item = DownwardApiVolumeFile { path: "name".to_owned(), field_ref: Some(field), ..Default::default() };
        let downward = DownwardApiVolumeSource { items: vec![item], ..DownwardApiVolumeSource::default() };
        let pod = pod(&[
            ("settings", VolumeSource { config_map: Some(Box::new(settings)), ..VolumeSource::default() }),
            ("self", VolumeSource { downward_api: Some(Box::new(downward)), ..VolumeSource::default() }),
        ]);
        let mounted = container(vec![mount("settings", ""), mount("self", "")]);
        let mounts = mounts(&sources, &dirs, &pod, &mounted, &Environment::default()).await.unwrap();
        assert!(mounts.iter().all(|mount| mount.access == Access::ReadOnly), "nobody may write there");
        let volumes = dirs.volumes("u1");
        let file = volumes.join("settings/sub/file");
        assert_eq!(fs::read_to_string(&file).unwrap(), "v");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o400);
        assert_eq!(fs::read_to_string(volumes.join("self/name")).unwrap(), "web-1");
    }

    #[tokio::test]
    async fn authorities_that_are_named_are_a_file_and_missing_ones_are_waited_for() {
        let authority = |name: &str| rpc::identity::Authority::found(name).unwrap().certificate_pem().to_owned();
        let (one, two) = (authority("one"), authority("two"));
        let spec = ClusterTrustBundleSpec { trust_bundle: format!("# ours\n{one}{two}"), ..Default::default() };
        let mut bundle = ClusterTrustBundle { spec: Some(spec), ..ClusterTrustBundle::default() };
        bundle.metadata_mut().name = "house".to_owned();
        let (dir, sources) = sources(&[bundle.into()]).await;
        let dirs = PodDirs::below(dir.path());
        let volume = |wanted: ClusterTrustBundleProjection| {
            let source = VolumeProjection { cluster_trust_bundle: Some(wanted.into()), ..VolumeProjection::default() };
            let projected = ProjectedVolumeSource { sources: vec![source], ..ProjectedVolumeSource::default() };
            VolumeSource { projected: Some(Box::new(projected)), ..VolumeSource::default() }
        };
        let path = "ca.pem".to_owned();
        let named = ClusterTrustBundleProjection { name: Some("house".to_owned()), path, ..Default::default() };
        let none = ClusterTrustBundleProjection {
            name: None,
            signer_name: Some("example.org/none".to_owned()),
            optional: Some(true),
            ..named.clone()
        };
        let strict = ClusterTrustBundleProjection { optional: None, ..none.clone() };
        let pod = pod(&[("named", volume(named)), ("none", volume(none)), ("strict", volume(strict))]);
        let mount_all = async |names: &[&str]| {
            let mounted = container(names.iter().map(|name| mount(name, "")).collect());
            mounts(&sources, &dirs, &pod, &mounted, &Environment::default()).await
        };
        mount_all(&["named", "none"]).await.unwrap();
        let file = |volume: &str| fs::read_to_string(dirs.volumes("u1").join(volume).join("ca.pem")).unwrap();
        let blocks =
            |text: &str| api::x509::pem::blocks(text.as_bytes()).map(|block| block.bytes).collect::<BTreeSet<_>>();
        assert_eq!(blocks(&file("named")), blocks(&format!("{one}{two}")));
        assert!(!file("named").contains("ours"));
        assert_eq!(file("none"), "", "no labels select nothing");
        let waits = mount_all(&["strict"]).await.unwrap_err();
        assert!(waits.message.contains("there is no ClusterTrustBundle of \"example.org/none\""), "{waits:?}");
    }

    #[tokio::test]
    async fn while_no_master_answers_the_token_that_lies_there_stays() {
        let (dir, sources) = sources(&[]).await;
        let dirs = PodDirs::below(dir.path());
        let token = ServiceAccountTokenProjection { path: "token".to_owned(), ..Default::default() };
        let source = VolumeProjection { service_account_token: Some(token.into()), ..VolumeProjection::default() };
        let projected = ProjectedVolumeSource { sources: vec![source], ..ProjectedVolumeSource::default() };
        let pod = pod(&[("who", VolumeSource { projected: Some(Box::new(projected)), ..VolumeSource::default() })]);
        let file = dirs.volumes("u1").join("who/token");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "from before").unwrap();
        let env = Environment::default();
        let mounts = mounts(&sources, &dirs, &pod, &container(vec![mount("who", "")]), &env).await.unwrap();
        assert_eq!(mounts.len(), 1);
        assert_eq!(fs::read_to_string(&file).unwrap(), "from before");
    }

    #[tokio::test]
    async fn a_sub_path_stays_within_its_volume() {
        let (dir, sources) = sources(&[]).await;
        let dirs = PodDirs::below(dir.path());
        let empty =
            VolumeSource { empty_dir: Some(Box::new(EmptyDirVolumeSource::default())), ..VolumeSource::default() };
        let pod = pod(&[("data", empty)]);
        let env = Environment::default();
        let one = container(vec![mount("data", "logs/today")]);
        let made = mounts(&sources, &dirs, &pod, &one, &env).await.unwrap();
        assert!(matches!(made[..], [Mount { host: Host::Open(_), access: Access::ReadWrite, .. }]), "{made:?}");
        assert!(dirs.volumes("u1").join("data/logs/today").is_dir());
        for (name, sub_path, why) in [("data", "../..", "leads out of the volume"), ("none", "", "has no volume")] {
            let failure =
                mounts(&sources, &dirs, &pod, &container(vec![mount(name, sub_path)]), &env).await.unwrap_err();
            assert!(failure.message.contains(why), "{failure:?}");
        }
    }
}
