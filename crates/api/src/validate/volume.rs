//! Volumes.

use std::collections::BTreeSet;

use super::{
    causes::{Causes, Path},
    env,
    limits::{ITEMS_MAX, VOLUMES_MAX},
    meta, names, resources, signer,
};
use crate::core_v1::{
    ClusterTrustBundleProjection, DownwardApiVolumeFile, KeyToPath, PodCertificateProjection, ProjectedVolumeSource,
    ServiceAccountTokenProjection, Volume, VolumeProjection, VolumeSource,
};

/// The volume types that there are.
const SUPPORTED: [&str; 5] = ["configMap", "downwardAPI", "emptyDir", "projected", "secret"];
/// The shortest and the longest life of a token that may be asked for, in seconds: Kubernetes' own.
const TOKEN_LIFE_MIN_S: i64 = 600;
const TOKEN_LIFE_MAX_S: i64 = 1 << 32;
/// The keys that nodes make, and those that Kubernetes' nodes make beside them: the library that makes ours has none of these.
const KEY_TYPES: [&str; 3] = ["ECDSAP256", "ECDSAP384", "ED25519"];
const KEY_TYPES_NOT_MADE: [&str; 3] = ["ECDSAP521", "RSA3072", "RSA4096"];
/// The largest file mode: 0777.
const FILE_MODE_MAX: i32 = 0o777;

/// Checks the volumes and returns their names.
pub(super) fn volumes<'a>(causes: &mut Causes, volumes: &'a [Volume], at: &Path<'_>) -> BTreeSet<&'a str> {
    let mut known = BTreeSet::new();
    let few = causes.at_most(at, volumes.len(), VOLUMES_MAX);
    for (index, volume) in volumes.iter().enumerate().filter(|_| few) {
        let at = at.index(index);
        causes.required_syntax(&at.field("name"), &volume.name, names::dns_label);
        if !known.insert(volume.name.as_str()) {
            causes.duplicate(&at.field("name"), &volume.name);
        }
        let none = VolumeSource::default();
        source(causes, volume.volume_source.as_ref().unwrap_or(&none), &at);
    }
    known
}

/// The names of the types that a source has, in the order of the declaration.
fn types(source: &VolumeSource) -> Vec<&'static str> {
    let table = [
        ("hostPath", source.host_path.is_some()),
        ("emptyDir", source.empty_dir.is_some()),
        ("gcePersistentDisk", source.gce_persistent_disk.is_some()),
        ("awsElasticBlockStore", source.aws_elastic_block_store.is_some()),
        ("gitRepo", source.git_repo.is_some()),
        ("secret", source.secret.is_some()),
        ("nfs", source.nfs.is_some()),
        ("iscsi", source.iscsi.is_some()),
        ("glusterfs", source.glusterfs.is_some()),
        ("persistentVolumeClaim", source.persistent_volume_claim.is_some()),
        ("rbd", source.rbd.is_some()),
        ("flexVolume", source.flex_volume.is_some()),
        ("cinder", source.cinder.is_some()),
        ("cephfs", source.cephfs.is_some()),
        ("flocker", source.flocker.is_some()),
        ("downwardAPI", source.downward_api.is_some()),
        ("fc", source.fc.is_some()),
        ("azureFile", source.azure_file.is_some()),
        ("configMap", source.config_map.is_some()),
        ("vsphereVolume", source.vsphere_volume.is_some()),
        ("quobyte", source.quobyte.is_some()),
        ("azureDisk", source.azure_disk.is_some()),
        ("photonPersistentDisk", source.photon_persistent_disk.is_some()),
        ("portworxVolume", source.portworx_volume.is_some()),
        ("scaleIO", source.scale_io.is_some()),
        ("projected", source.projected.is_some()),
        ("storageos", source.storageos.is_some()),
        ("csi", source.csi.is_some()),
        ("ephemeral", source.ephemeral.is_some()),
        ("image", source.image.is_some()),
    ];
    table.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
}

fn source(causes: &mut Causes, source: &VolumeSource, at: &Path<'_>) {
    let types = types(source);
    if types.is_empty() {
        causes.required(at, "must specify a volume type");
    } else if types.len() > 1 {
        causes.forbidden(at, format_args!("may not specify more than 1 volume type, but has {}", types.join(", ")));
    }
    for name in types {
        if name == "hostPath" {
            let why = "files of the node are out of reach for a sandbox; use emptyDir to share files within the Pod, \
                       or configMap or secret to bring them along";
            causes.forbidden(&at.field(name), why);
        } else if !SUPPORTED.contains(&name) {
            let supported = SUPPORTED.join(", ");
            causes.forbidden(
                &at.field(name),
                format_args!("volumes of this type are not supported; supported types: {supported}"),
            );
        }
    }
    supported(causes, source, at);
}

fn supported(causes: &mut Causes, source: &VolumeSource, at: &Path<'_>) {
    if let Some(dir) = &source.empty_dir {
        let at = at.field("emptyDir");
        causes.one_of(&at.field("medium"), &dir.medium, &["", "Memory"]);
        if let Some(limit) = &dir.size_limit {
            resources::quantity(causes, limit, &at.field("sizeLimit"));
        }
    }
    if let Some(map) = &source.config_map {
        let at = at.field("configMap");
        let name = map.local_object_reference.as_ref().map_or("", |reference| &reference.name);
        causes.required_syntax(&at.field("name"), name, names::dns_subdomain);
        mode(causes, map.default_mode, &at.field("defaultMode"));
        items(causes, &map.items, &at.field("items"));
    }
    if let Some(secret) = &source.secret {
        let at = at.field("secret");
        causes.required_syntax(&at.field("secretName"), &secret.secret_name, names::dns_subdomain);
        mode(causes, secret.default_mode, &at.field("defaultMode"));
        items(causes, &secret.items, &at.field("items"));
    }
    if let Some(downward) = &source.downward_api {
        let at = at.field("downwardAPI");
        mode(causes, downward.default_mode, &at.field("defaultMode"));
        files(causes, &downward.items, &at.field("items"));
    }
    if let Some(found) = &source.projected {
        projected(causes, found, &at.field("projected"));
    }
}

fn projected(causes: &mut Causes, volume: &ProjectedVolumeSource, at: &Path<'_>) {
    mode(causes, volume.default_mode, &at.field("defaultMode"));
    let sources = at.field("sources");
    let few = causes.at_most(&sources, volume.sources.len(), VOLUMES_MAX);
    for (index, source) in volume.sources.iter().enumerate().filter(|_| few) {
        projection(causes, source, &sources.index(index));
    }
}

fn projection(causes: &mut Causes, source: &VolumeProjection, at: &Path<'_>) {
    let types = [
        ("secret", source.secret.is_some()),
        ("downwardAPI", source.downward_api.is_some()),
        ("configMap", source.config_map.is_some()),
        ("serviceAccountToken", source.service_account_token.is_some()),
        ("clusterTrustBundle", source.cluster_trust_bundle.is_some()),
        ("podCertificate", source.pod_certificate.is_some()),
    ];
    let given: Vec<&str> = types.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
    match given.as_slice() {
        [] => {
            let sources = "must specify a source: clusterTrustBundle, configMap, downwardAPI, podCertificate, secret or \
                           serviceAccountToken";
            causes.required(at, sources);
        }
        [_] => {}
        several => {
            causes.forbidden(at, format_args!("may not specify more than 1 source, but has {}", several.join(", ")))
        }
    }
    if let Some(certificate) = &source.pod_certificate {
        pod_certificate(causes, certificate, &at.field("podCertificate"));
    }
    if let Some(bundle) = &source.cluster_trust_bundle {
        trust_bundle(causes, bundle, &at.field("clusterTrustBundle"));
    }
    if let Some(secret) = &source.secret {
        let at = at.field("secret");
        let name = secret.local_object_reference.as_ref().map_or("", |reference| &reference.name);
        causes.required_syntax(&at.field("name"), name, names::dns_subdomain);
        items(causes, &secret.items, &at.field("items"));
    }
    if let Some(map) = &source.config_map {
        let at = at.field("configMap");
        let name = map.local_object_reference.as_ref().map_or("", |reference| &reference.name);
        causes.required_syntax(&at.field("name"), name, names::dns_subdomain);
        items(causes, &map.items, &at.field("items"));
    }
    if let Some(downward) = &source.downward_api {
        files(causes, &downward.items, &at.field("downwardAPI").field("items"));
    }
    if let Some(token) = &source.service_account_token {
        account_token(causes, token, &at.field("serviceAccountToken"));
    }
}

fn trust_bundle(causes: &mut Causes, bundle: &ClusterTrustBundleProjection, at: &Path<'_>) {
    match (&bundle.name, &bundle.signer_name) {
        (Some(_), Some(_)) => causes.invalid(at, "", "only one of name and signerName may be used"),
        (Some(name), None) => {
            causes.required_syntax(&at.field("name"), name, names::path_segment);
            if bundle.label_selector.is_some() {
                let why = "labelSelector must be unset if name is specified";
                causes.invalid(&at.field("labelSelector"), "", why);
            }
        }
        (None, Some(name)) => {
            signer::name(causes, name, &at.field("signerName"));
            if let Some(selector) = &bundle.label_selector {
                meta::selector(causes, selector, &at.field("labelSelector"));
            }
        }
        (None, None) => causes.required(at, "either name or signerName must be specified"),
    }
    local_path(causes, &bundle.path, &at.field("path"));
}

fn pod_certificate(causes: &mut Causes, wanted: &PodCertificateProjection, at: &Path<'_>) {
    signer::name(causes, &wanted.signer_name, &at.field("signerName"));
    signer::annotations(causes, &wanted.user_annotations, &at.field("userAnnotations"));
    let key = at.field("keyType");
    if KEY_TYPES_NOT_MADE.contains(&wanted.key_type.as_str()) {
        let made = KEY_TYPES.join(", ");
        causes.forbidden(&key, format_args!("nodes make no keys of type {}; use one of {made}", wanted.key_type));
    } else {
        causes.one_of(&key, &wanted.key_type, &KEY_TYPES);
    }
    let (life, longest) = (at.field("maxExpirationSeconds"), signer::life_max_s(&wanted.signer_name));
    match wanted.max_expiration_seconds {
        Some(asked @ ..signer::LIFE_MIN_S) => {
            let why = format!("if provided, maxExpirationSeconds must be >= {}", signer::LIFE_MIN_S);
            causes.invalid(&life, asked, why);
        }
        Some(asked) if asked > longest => {
            causes.invalid(&life, asked, format_args!("if provided, maxExpirationSeconds must be <= {longest}"));
        }
        Some(_) | None => {}
    }
    let paths = [
        ("credentialBundlePath", &wanted.credential_bundle_path),
        ("keyPath", &wanted.key_path),
        ("certificateChainPath", &wanted.certificate_chain_path),
    ];
    if paths.iter().all(|(_, path)| path.is_empty()) {
        causes.required(at, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath");
    }
    for (index, (field, path)) in paths.iter().enumerate().filter(|(_, (_, path))| !path.is_empty()) {
        local_path(causes, path, &at.field(field));
        if paths[..index].iter().any(|(_, other)| other == path) {
            causes.invalid(&at.field(field), path, "conflicting duplicate paths");
        }
    }
}

fn account_token(causes: &mut Causes, token: &ServiceAccountTokenProjection, at: &Path<'_>) {
    local_path(causes, &token.path, &at.field("path"));
    let Some(life_s) = token.expiration_seconds else { return };
    let wrong = match life_s {
        ..TOKEN_LIFE_MIN_S => "less than 10 minutes",
        TOKEN_LIFE_MIN_S..=TOKEN_LIFE_MAX_S => return,
        _ => "larger than 2^32 seconds",
    };
    causes.invalid(&at.field("expirationSeconds"), life_s, format_args!("may not specify a duration {wrong}"));
}

fn items(causes: &mut Causes, items: &[KeyToPath], at: &Path<'_>) {
    let few = causes.at_most(at, items.len(), ITEMS_MAX);
    for (index, item) in items.iter().enumerate().filter(|_| few) {
        let at = at.index(index);
        causes.required_syntax(&at.field("key"), &item.key, names::config_key);
        local_path(causes, &item.path, &at.field("path"));
        mode(causes, item.mode, &at.field("mode"));
    }
}

fn files(causes: &mut Causes, files: &[DownwardApiVolumeFile], at: &Path<'_>) {
    let few = causes.at_most(at, files.len(), ITEMS_MAX);
    for (index, file) in files.iter().enumerate().filter(|_| few) {
        let at = at.index(index);
        local_path(causes, &file.path, &at.field("path"));
        mode(causes, file.mode, &at.field("mode"));
        match (&file.field_ref, &file.resource_field_ref) {
            (None, None) => causes.required(&at, "one of fieldRef and resourceFieldRef is required"),
            (Some(_), Some(_)) => {
                causes.forbidden(&at, "fieldRef and resourceFieldRef can not be specified simultaneously")
            }
            (Some(field), None) => env::field_ref(causes, field, &env::FILE_FIELDS, &at.field("fieldRef")),
            (None, Some(field)) => {
                if field.container_name.is_empty() {
                    causes.required(&at.field("resourceFieldRef").field("containerName"), "");
                }
                env::resource_field_ref(causes, field, &at.field("resourceFieldRef"));
            }
        }
    }
}

fn mode(causes: &mut Causes, mode: Option<i32>, at: &Path<'_>) {
    if let Some(mode) = mode.filter(|mode| !(0..=FILE_MODE_MAX).contains(mode)) {
        causes.invalid(at, mode, "must be a number between 0 and 0777 (octal), both inclusive");
    }
}

/// A path that must stay inside its volume.
pub(super) fn local_path(causes: &mut Causes, path: &str, at: &Path<'_>) {
    if path.is_empty() {
        causes.required(at, "");
    } else if path.starts_with('/') {
        causes.invalid(at, path, "must be a relative path");
    } else if path.split('/').any(|part| part == "..") {
        causes.invalid(at, path, "must not contain '..'");
    }
}
