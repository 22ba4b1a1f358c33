//! Images of any OCI registry outside.

use api::{
    Key, Kind,
    core_v1::{Pod, Secret},
    docker_config::{Login, logins},
    kinds::Resource as _,
};
use oci_client::{
    Client, Reference,
    client::{ClientConfig, ClientProtocol},
    errors::OciDistributionError,
    secrets::RegistryAuth,
};

use super::{
    pulled::{Pulled, module},
    store::Store,
};

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
        let told = |why| format!("imagePullSecrets: secret {name:?}: {why}");
        let nothing = Secret::default();
        let logins = logins(object.get::<Secret>().unwrap_or(&nothing)).map_err(told)?;
        if let Some(auth) = login_for(logins, registry).map_err(told)? {
            return Ok(auth);
        }
    }
    Ok(RegistryAuth::Anonymous)
}

fn login_for(logins: Vec<Login>, registry: &str) -> Result<Option<RegistryAuth>, String> {
    let found = logins.into_iter().find(|login| login.host == registry).map(|login| login.credentials).transpose()?;
    Ok(found.map(|found| RegistryAuth::Basic(found.name, found.password)))
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
    use api::docker_config::Credentials;

    use super::*;

    #[test]
    fn logins_are_found_by_their_registry() {
        let login = |host: &str, credentials| Login { host: host.to_owned(), credentials };
        let good = || Ok(Credentials { name: "u".to_owned(), password: "p".to_owned() });
        let logins = || vec![login("bad.example", Err("NAME:PASSWORD".to_owned())), login("one.example", good())];
        let basic = RegistryAuth::Basic("u".to_owned(), "p".to_owned());
        assert_eq!(login_for(logins(), "one.example").unwrap(), Some(basic));
        assert_eq!(login_for(logins(), "none.example").unwrap(), None);
        assert!(login_for(logins(), "bad.example").unwrap_err().contains("NAME:PASSWORD"));
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
