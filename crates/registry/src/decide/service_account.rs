//! A new Pod and the ServiceAccount that it names: Kubernetes' admission plugin of that name.
//!
//! A Pod gets what its account has for it, and, unless it or its account says no, a volume by which its programs know who they
//! are and whom to believe: a token, the certificate of the cluster's authority, and the name of the namespace.

use api::{
    Error, Key, Kind, Object,
    core_v1::{
        ConfigMapProjection, Container, DownwardApiProjection, DownwardApiVolumeFile, KeyToPath, LocalObjectReference,
        ObjectFieldSelector, PodSpec, ProjectedVolumeSource, ServiceAccount, ServiceAccountTokenProjection, Volume,
        VolumeMount, VolumeProjection, VolumeSource,
    },
    well_known::{DEFAULT_SERVICE_ACCOUNT, ROOT_CA_CONFIG_MAP, ROOT_CA_KEY, SERVICE_ACCOUNT_DIR},
};

use super::{Decider, create::generated, forbidden};

/// How the volume of a Pod's identity is called; a generated ending follows, so that it meets no name of the Pod's own.
const VOLUME_PREFIX: &str = "kube-api-access-";

/// The life of the token, in seconds. As in Kubernetes it is a little more than an hour, so that whoever sees it knows that
/// nobody has chosen it.
const TOKEN_LIFE_S: i64 = 3607;

/// The permissions of the volume's files.
const FILE_MODE: i32 = 0o644;

impl Decider<'_> {
    /// Gives a new Pod what its account has for it; one that names an account which is not there is refused.
    ///
    /// `default` may be on its way: a controller makes it after the namespace. Kubernetes refuses Pods until then; here a
    /// manifest may hold a namespace and its Pods.
    pub(super) fn take_account(&self, key: &Key, object: &mut Object) -> Result<(), Error> {
        let Object::Pod(pod) = object else { return Ok(()) };
        let spec = pod.spec.get_or_insert_default();
        let name = spec.service_account_name.as_str();
        let account = Key::namespaced(Kind::ServiceAccount, key.namespace.clone(), name);
        let found = self.view.get(&account).map(|record| record.object());
        if found.is_none() && name != DEFAULT_SERVICE_ACCOUNT {
            return Err(missing(key, name));
        }
        let account = found.as_deref().and_then(|object| object.get::<ServiceAccount>());
        if let Some(account) = account.filter(|_| spec.image_pull_secrets.is_empty()) {
            spec.image_pull_secrets.clone_from(&account.image_pull_secrets);
        }
        let of_account = || account.and_then(|account| account.automount_service_account_token);
        if spec.automount_service_account_token.or_else(of_account).unwrap_or(true) {
            mount_identity(spec, || generated(VOLUME_PREFIX, self.stamp));
        }
        Ok(())
    }
}

/// Mounts the volume of a Pod's identity into each container that has nothing of its own at its place.
fn mount_identity(spec: &mut PodSpec, new_name: impl FnOnce() -> String) {
    let has_place =
        |container: &Container| container.volume_mounts.iter().all(|mount| mount.mount_path != SERVICE_ACCOUNT_DIR);
    let wanting = || spec.init_containers.iter().chain(&spec.containers).any(has_place);
    if !wanting() {
        return;
    }
    let known = spec.volumes.iter().find(|volume| volume.name.starts_with(VOLUME_PREFIX));
    let name = match known {
        Some(volume) => volume.name.clone(),
        None => {
            let name = new_name();
            spec.volumes.push(identity(name.clone()));
            name
        }
    };
    let all = spec.init_containers.iter_mut().chain(&mut spec.containers);
    for container in all.filter(|container| has_place(container)) {
        let mount_path = SERVICE_ACCOUNT_DIR.to_owned();
        container.volume_mounts.push(VolumeMount {
            name: name.clone(),
            mount_path,
            read_only: true,
            ..VolumeMount::default()
        });
    }
}

/// The volume of a Pod's identity.
fn identity(name: String) -> Volume {
    let token = ServiceAccountTokenProjection {
        expiration_seconds: Some(TOKEN_LIFE_S),
        path: "token".to_owned(),
        ..ServiceAccountTokenProjection::default()
    };
    let authority = ConfigMapProjection {
        local_object_reference: Some(LocalObjectReference { name: ROOT_CA_CONFIG_MAP.to_owned() }),
        items: vec![KeyToPath { key: ROOT_CA_KEY.to_owned(), path: ROOT_CA_KEY.to_owned(), ..KeyToPath::default() }],
        optional: None,
    };
    let field = ObjectFieldSelector { api_version: "v1".to_owned(), field_path: "metadata.namespace".to_owned() };
    let namespace = DownwardApiVolumeFile {
        path: "namespace".to_owned(),
        field_ref: Some(field),
        ..DownwardApiVolumeFile::default()
    };
    let sources = vec![
        VolumeProjection { service_account_token: Some(token.into()), ..VolumeProjection::default() },
        VolumeProjection { config_map: Some(authority.into()), ..VolumeProjection::default() },
        VolumeProjection {
            downward_api: Some(DownwardApiProjection { items: vec![namespace] }.into()),
            ..VolumeProjection::default()
        },
    ];
    let projected =
        ProjectedVolumeSource { sources, default_mode: Some(FILE_MODE), ..ProjectedVolumeSource::default() };
    let source = VolumeSource { projected: Some(Box::new(projected)), ..VolumeSource::default() };
    Volume { name, volume_source: Some(source) }
}

fn missing(pod: &Key, name: &str) -> Error {
    let namespace = &pod.namespace;
    forbidden(
        pod,
        format_args!("error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found"),
    )
}
