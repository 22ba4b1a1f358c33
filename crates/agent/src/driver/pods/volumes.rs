//! A Pod's volumes as directories of this node.

use std::{
    io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
};

use api::{
    core_v1::{Container, DownwardApiVolumeFile, Pod, Volume, VolumeMount, VolumeProjection},
    expansion::Environment,
    kinds::Resource as _,
};
use rustix::fs::Mode;
use sandbox::{Access, Host, Mount};

use super::{
    beneath::{self, Root},
    certificates::Wanted as WantedCertificate,
    dirs::PodDirs,
    environment::too_large,
    following::{Follower, Following},
    keyed::{Content, Files, Keyed, default_mode},
    sources::Sources,
    tokens::Wanted,
};
use crate::brain::Failure;

/// The directory of the copies of volumes that containers mount in part. No volume is called so.
const PARTS: &str = "..parts";

/// What a container mounts.
#[derive(Default)]
pub(crate) struct Mounted {
    pub(crate) mounts: Vec<Mount>,
    /// Keeps what is shown of ConfigMaps and Secrets fresh as long as it is kept.
    pub(crate) followed: Vec<Following>,
}

/// Makes the volumes that a container mounts, and says where they appear.
pub(crate) async fn mounts(
    sources: &Sources,
    dirs: &PodDirs,
    follower: &Follower,
    pod: &Pod,
    container: &Container,
    env: &Environment,
) -> Result<Mounted, Failure> {
    let mut mounted = Mounted::default();
    for mount in &container.volume_mounts {
        let volume = pod.spec.iter().flat_map(|spec| &spec.volumes).find(|volume| volume.name == mount.name);
        let volume = volume.ok_or_else(|| wrong(format!("the Pod has no volume {:?}", mount.name)))?;
        let (field, path) = sub_path(mount, env)?;
        let whole = dirs.volumes(pod.uid()).join(&volume.name);
        let host = match Keyed::of(pod, volume) {
            // A part stays as it is while its container runs, in Kubernetes too.
            Some(keyed) if !path.is_empty() => {
                let part = dirs.volumes(pod.uid()).join(PARTS).join(&container.name).join(&volume.name);
                copy(sources, pod, volume, &keyed, &part).await?;
                sub_directory(part, field, path).await?
            }
            keyed => {
                make(sources, pod, volume, &whole).await?;
                if let Some(keyed) = keyed {
                    mounted.followed.push(follower.show(sources, &whole, keyed).await?);
                }
                if path.is_empty() { Host::Path(whole) } else { sub_directory(whole, field, path).await? }
            }
        };
        let fixed = volume.volume_source.as_ref().is_some_and(|source| source.empty_dir.is_none());
        let access = if mount.read_only || fixed { Access::ReadOnly } else { Access::ReadWrite };
        mounted.mounts.push(Mount { host, guest: mount.mount_path.clone(), access });
    }
    Ok(mounted)
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

/// Makes a volume, with all that is no ConfigMap's and no Secret's.
async fn make(sources: &Sources, pod: &Pod, volume: &Volume, dir: &Path) -> Result<(), Failure> {
    let files = files(sources, pod, volume, dir).await?;
    let (made, mode) = (dir.to_owned(), default_mode(volume));
    let fill = move || {
        std::fs::create_dir_all(&made)?;
        let root = Root::open(&made)?;
        // A container that runs already may be reading them.
        files.iter().try_for_each(|(path, file)| root.replace(Path::new(path), &file.bytes, file.mode(mode)))
    };
    blocking(fill).await.map_err(|error| wrong(format!("volume {:?}: {error}", volume.name)))
}

/// Makes a copy of a volume as it is now, of which a container mounts a part.
async fn copy(sources: &Sources, pod: &Pod, volume: &Volume, keyed: &Keyed, part: &Path) -> Result<(), Failure> {
    // A token that lies there is of use while no master answers; without one the copy is made anew.
    if keyed.is_alone() {
        let before = part.to_owned();
        let gone = blocking(move || beneath::remove(&before)).await;
        gone.map_err(|error| wrong(format!("volume {:?}: {error}", volume.name)))?;
    }
    make(sources, pod, volume, part).await?;
    let (files, _) = keyed.read(sources).await?;
    let (made, mode) = (part.to_owned(), default_mode(volume));
    let fill = move || {
        let root = Root::open(&made)?;
        files.iter().try_for_each(|(path, file)| root.replace(Path::new(path), &file.bytes, file.mode(mode)))
    };
    blocking(fill).await.map_err(|error| wrong(format!("volume {:?}: {error}", volume.name)))
}

/// Touches the disk on a thread that may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// What is to be written into a volume but for what it shows of ConfigMaps and Secrets; `dir` is where it may lie already.
async fn files(sources: &Sources, pod: &Pod, volume: &Volume, dir: &Path) -> Result<Files, Failure> {
    let Some(source) = &volume.volume_source else { return Ok(Files::new()) };
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
    use std::{
        collections::BTreeSet,
        fs,
        os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
    };

    use api::{
        certificates_v1::{ClusterTrustBundle, ClusterTrustBundleSpec},
        core_v1::{
            ClusterTrustBundleProjection, ConfigMap, ConfigMapVolumeSource, DownwardApiVolumeSource,
            EmptyDirVolumeSource, KeyToPath, LocalObjectReference, ObjectFieldSelector, PodSpec, ProjectedVolumeSource,
            ServiceAccountTokenProjection, VolumeSource,
        },
    };

    use super::*;
    use crate::driver::{pods::generations, testing::sources};

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
        Container { name: "main".to_owned(), volume_mounts: mounts, ..Container::default() }
    }

    async fn mount_all(
        sources: &Sources,
        dirs: &PodDirs,
        pod: &Pod,
        container: &Container,
    ) -> Result<Mounted, Failure> {
        mounts(sources, dirs, &Follower::default(), pod, container, &Environment::default()).await
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
        let mounted = mount_all(&sources, &dirs, &pod, &mounted).await.unwrap();
        assert_eq!(mounted.followed.len(), 1, "what the Pod is does not change here");
        assert!(mounted.mounts.iter().all(|mount| mount.access == Access::ReadOnly), "nobody may write there");
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
        let mount_them = async |names: &[&str]| {
            let mounted = container(names.iter().map(|name| mount(name, "")).collect());
            mount_all(&sources, &dirs, &pod, &mounted).await
        };
        mount_them(&["named", "none"]).await.unwrap();
        let file = |volume: &str| fs::read_to_string(dirs.volumes("u1").join(volume).join("ca.pem")).unwrap();
        let blocks =
            |text: &str| api::x509::pem::blocks(text.as_bytes()).map(|block| block.bytes).collect::<BTreeSet<_>>();
        assert_eq!(blocks(&file("named")), blocks(&format!("{one}{two}")));
        assert!(!file("named").contains("ours"));
        assert_eq!(file("none"), "", "no labels select nothing");
        let waits = mount_them(&["strict"]).await.err().unwrap();
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
        let mounted = mount_all(&sources, &dirs, &pod, &container(vec![mount("who", "")])).await.unwrap();
        assert_eq!(mounted.mounts.len(), 1);
        assert_eq!(fs::read_to_string(&file).unwrap(), "from before");
    }

    #[tokio::test]
    async fn a_part_of_a_config_map_is_a_copy_of_the_containers_own() {
        let item = |key: &str| KeyToPath { key: key.to_owned(), path: format!("sub/{key}"), ..KeyToPath::default() };
        let settings = |items: &[&str]| ConfigMapVolumeSource {
            local_object_reference: Some(LocalObjectReference { name: "settings".to_owned() }),
            items: items.iter().map(|key| item(key)).collect(),
            ..ConfigMapVolumeSource::default()
        };
        let of = |items: &[&str]| {
            let source = VolumeSource { config_map: Some(Box::new(settings(items))), ..VolumeSource::default() };
            pod(&[("settings", source)])
        };
        let mut map = ConfigMap { data: [("k".to_owned(), "v".to_owned())].into(), ..ConfigMap::default() };
        (map.metadata_mut().name, map.metadata_mut().namespace) = ("settings".to_owned(), "default".to_owned());
        let (dir, one) = sources(&[map.clone().into()]).await;
        let dirs = PodDirs::below(dir.path());
        let both = container(vec![mount("settings", "sub"), mount("settings", "")]);
        let mounted = mount_all(&one, &dirs, &of(&["k"]), &both).await.unwrap();
        let Host::Open(open) = &mounted.mounts[0].host else { panic!("a part is open") };
        let part = || fs::read_to_string(format!("/proc/self/fd/{}/k", open.as_raw_fd()));
        assert_eq!(part().unwrap(), "v");
        let volume = dirs.volumes("u1").join("settings");
        generations::show(&volume, &[]).unwrap();
        assert!(!volume.join("sub").exists());
        assert_eq!(part().unwrap(), "v", "it stays while the container runs");
        map.data = [("n".to_owned(), "w".to_owned())].into();
        let (_other, two) = sources(&[map.into()]).await;
        mount_all(&two, &dirs, &of(&["n"]), &container(vec![mount("settings", "sub")])).await.unwrap();
        let names = fs::read_dir(dirs.volumes("u1").join("..parts/main/settings/sub")).unwrap();
        assert_eq!(
            names.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>(),
            ["n"],
            "the next run has what is there"
        );
    }

    #[tokio::test]
    async fn a_sub_path_stays_within_its_volume() {
        let (dir, sources) = sources(&[]).await;
        let dirs = PodDirs::below(dir.path());
        let empty =
            VolumeSource { empty_dir: Some(Box::new(EmptyDirVolumeSource::default())), ..VolumeSource::default() };
        let pod = pod(&[("data", empty)]);
        let one = container(vec![mount("data", "logs/today")]);
        let made = mount_all(&sources, &dirs, &pod, &one).await.unwrap().mounts;
        assert!(matches!(made[..], [Mount { host: Host::Open(_), access: Access::ReadWrite, .. }]), "{made:?}");
        assert!(dirs.volumes("u1").join("data/logs/today").is_dir());
        for (name, sub_path, why) in [("data", "../..", "leads out of the volume"), ("none", "", "has no volume")] {
            let mounted = container(vec![mount(name, sub_path)]);
            let failure = mount_all(&sources, &dirs, &pod, &mounted).await.err().unwrap();
            assert!(failure.message.contains(why), "{failure:?}");
        }
    }
}
