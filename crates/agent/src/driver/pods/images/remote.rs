//! Images of any OCI registry outside.

use std::collections::BTreeMap;

use api::{
    Key, Kind,
    core_v1::{Pod, Secret},
    kinds::Resource as _,
};
use oci_client::{
    Client, Reference,
    client::{ClientConfig, ClientProtocol},
    errors::OciDistributionError,
    secrets::RegistryAuth,
};
use serde::Deserialize;

use super::{
    pulled::{Pulled, module},
    store::Store,
};

/// The key of a Secret of the type `kubernetes.io/dockerconfigjson`.
const DOCKER_CONFIG: &str = ".dockerconfigjson";

/// What a Secret for pulling holds.
#[derive(Deserialize)]
struct DockerConfig {
    auths: BTreeMap<String, Login>,
}

/// A login: either both names, or both in one as base64.
#[derive(Deserialize)]
struct Login {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    auth: String,
}

/// Pulls the module of an image, unless it is here already.
pub(super) async fn pull(
    masters: &rpc::Client,
    store: &Store,
    pod: &Pod,
    reference: &Reference,
) -> Result<Pulled, String> {
    rpc::identity::install_provider();
    let auth = login(masters, pod, reference.registry()).await?;
    let client = Client::new(ClientConfig { protocol: protocol(reference.registry()), ..ClientConfig::default() });
    let (manifest, digest_of_manifest) =
        client.pull_image_manifest(reference, &auth).await.map_err(|error| why(&error))?;
    let layers = manifest.layers.iter().map(|layer| (layer.media_type.as_str(), layer.digest.as_str()));
    let (index, digest) = module(layers)?;
    let pulled = Pulled { module: digest, manifest: digest_of_manifest };
    if store.has(digest).await {
        return Ok(pulled);
    }
    let layer = manifest.layers.get(index).ok_or("the image has no layers")?;
    let mut bytes = Vec::new();
    client.pull_blob(reference, layer, &mut bytes).await.map_err(|error| why(&error))?;
    store.keep(digest, &bytes).await?;
    Ok(pulled)
}

/// As container engines do it: registries on this host may be plain, all others must speak TLS.
fn protocol(registry: &str) -> ClientProtocol {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    let is_loopback = host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    if is_loopback { ClientProtocol::Http } else { ClientProtocol::Https }
}

/// The login that the Pod's `imagePullSecrets` have for a registry.
async fn login(masters: &rpc::Client, pod: &Pod, registry: &str) -> Result<RegistryAuth, String> {
    let secrets = pod.spec.iter().flat_map(|spec| &spec.image_pull_secrets);
    for name in secrets.map(|reference| reference.name.as_str()) {
        let key = Key::namespaced(Kind::Secret, pod.namespace(), name);
        let object = masters.get(&key).await.map_err(|error| format!("imagePullSecrets: {error}"))?;
        let config = object.get::<Secret>().and_then(|secret| secret.data.get(DOCKER_CONFIG)).ok_or_else(|| {
            format!("imagePullSecrets: secret {name:?} has no {DOCKER_CONFIG}; make it with `kubectl create secret docker-registry`")
        })?;
        if let Some(auth) = logins(config, registry).map_err(|error| format!("imagePullSecrets: {name:?}: {error}"))? {
            return Ok(auth);
        }
    }
    Ok(RegistryAuth::Anonymous)
}

fn logins(config: &[u8], registry: &str) -> Result<Option<RegistryAuth>, String> {
    let config: DockerConfig = serde_json::from_slice(config).map_err(|error| error.to_string())?;
    let host = |name: &str| {
        let name = name.trim_start_matches("https://").trim_start_matches("http://");
        name.split('/').next().unwrap_or_default().to_owned()
    };
    let Some((_, login)) = config.auths.into_iter().find(|(name, _)| host(name) == registry) else { return Ok(None) };
    if !login.username.is_empty() {
        return Ok(Some(RegistryAuth::Basic(login.username, login.password)));
    }
    let decoded = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, &login.auth).ok();
    let pair = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = pair.as_deref().and_then(|pair| pair.split_once(':'));
    let (name, password) = pair.ok_or("auth is not the base64 of NAME:PASSWORD")?;
    Ok(Some(RegistryAuth::Basic(name.to_owned(), password.to_owned())))
}

/// The reason alone: people know the URL that they wrote, and envelopes are for programs.
fn why(error: &OciDistributionError) -> String {
    match error {
        OciDistributionError::RegistryError { envelope, .. } => {
            let words = envelope.errors.iter().map(|error| {
                if error.message.is_empty() { format!("{:?}", error.code) } else { error.message.clone() }
            });
            format!("the registry says: {}", words.collect::<Vec<_>>().join("; "))
        }
        OciDistributionError::ImageManifestNotFoundError(_) => "the registry has no such image".to_owned(),
        OciDistributionError::AuthenticationFailure(_) | OciDistributionError::UnauthorizedError { .. } => {
            "the registry wants a login; name a Secret in imagePullSecrets".to_owned()
        }
        OciDistributionError::ServerError { code, .. } => format!("the registry answered with status {code}"),
        OciDistributionError::RequestError(error) => {
            let mut cause: &dyn std::error::Error = error;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            format!("the registry cannot be reached: {cause}")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn logins_are_found_by_their_registry() {
        let config = br#"{"auths": {
            "https://one.example/v1/": {"username": "u", "password": "p"},
            "two.example:5000": {"auth": "YTpiOmM="},
            "bad.example": {"auth": "!"}
        }}"#;
        let basic = |name: &str, password: &str| Some(RegistryAuth::Basic(name.to_owned(), password.to_owned()));
        assert_eq!(logins(config, "one.example").unwrap(), basic("u", "p"));
        assert_eq!(logins(config, "two.example:5000").unwrap(), basic("a", "b:c"));
        assert_eq!(logins(config, "none.example").unwrap(), None);
        assert!(logins(config, "bad.example").unwrap_err().contains("NAME:PASSWORD"));
        assert!(logins(b"{}", "one.example").is_err());
    }

    #[test]
    fn only_registries_on_this_host_may_be_plain() {
        for (registry, plain) in [
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("localhost", true),
            ("10.0.0.1:5000", false),
            ("registry.example", false),
        ] {
            assert_eq!(matches!(protocol(registry), ClientProtocol::Http), plain, "{registry}");
        }
    }
}
