//! Images of the masters' own registry, over the connection that the agent has to them.

use api::Reason;
use futures::TryStreamExt as _;
use oci_client::Reference;
use rpc::Client;
use sandbox::Digest;
use serde_json::Value;

use super::{
    pulled::{Pulled, module},
    store::Store,
};

/// The largest module that is pulled from the masters' registry, in bytes.
pub const MODULE_BYTES_MAX: usize = 512 << 20;

const _: () = assert!(MODULE_BYTES_MAX as u64 >= sandbox::MAX_IMAGE_BYTES, "what could be run could not be pulled");

/// Why an image could not be pulled.
pub(super) struct Refusal {
    /// No master answers.
    pub(super) is_away: bool,
    pub(super) why: String,
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self { is_away: false, why }
    }
}

impl From<api::Error> for Refusal {
    fn from(error: api::Error) -> Self {
        Self { is_away: error.reason.retryable(), why: error.message }
    }
}

/// Pulls the module of an image, unless it is here already.
pub(super) async fn pull(
    masters: &Client,
    store: &Store,
    image: &str,
    reference: &Reference,
) -> Result<Pulled, Refusal> {
    let repository = reference.repository();
    let tag = reference.digest().or(reference.tag()).unwrap_or("latest");
    let manifest = masters.manifest(repository, tag, false).await.map_err(|error| match error.reason {
        Reason::NotFound => Refusal::from(format!(
            "it is not in the cluster's registry; push it with `kapelle push FILE.wasm {image}`, or correct its name"
        )),
        _ => error.into(),
    })?;
    let pulled = read(&manifest.content)?;
    if store.has(pulled.module).await {
        return Ok(pulled);
    }
    let chunks = masters.blob(&pulled.module.to_string(), false).await?;
    let gather = |mut bytes: Vec<u8>, chunk: bytes::Bytes| async move {
        if bytes.len() + chunk.len() > MODULE_BYTES_MAX {
            return Err(api::Error::internal(format!("the module is larger than {MODULE_BYTES_MAX} bytes")));
        }
        bytes.extend_from_slice(&chunk);
        Ok(bytes)
    };
    let bytes = chunks.try_fold(Vec::new(), gather).await?;
    store.keep(pulled.module, &bytes).await?;
    Ok(pulled)
}

/// What a manifest names.
fn read(manifest: &[u8]) -> Result<Pulled, String> {
    let json: Value = serde_json::from_slice(manifest).map_err(|error| error.to_string())?;
    let none = Vec::new();
    let layers = json["layers"].as_array().unwrap_or(&none);
    let text = |layer: &Value, field: &str| layer[field].as_str().unwrap_or_default().to_owned();
    let named: Vec<(String, String)> =
        layers.iter().map(|layer| (text(layer, "mediaType"), text(layer, "digest"))).collect();
    let (_, digest) = module(named.iter().map(|(media_type, digest)| (media_type.as_str(), digest.as_str())))?;
    Ok(Pulled { module: digest, manifest: Digest::of(manifest).to_string() })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_manifest_names_its_module_and_is_named_by_its_own_digest() {
        let (module, other) = (Digest::of(b"module"), Digest::of(b"other"));
        let manifest = format!(
            r#"{{"layers": [{{"mediaType": "text/plain", "digest": "{other}"}},
                            {{"mediaType": "application/wasm", "digest": "{module}"}}]}}"#
        );
        let pulled = read(manifest.as_bytes()).unwrap();
        assert_eq!(pulled, Pulled { module, manifest: Digest::of(manifest.as_bytes()).to_string() });
        for wrong in ["", "{", "{}", r#"{"layers": 7}"#, r#"{"layers": [{"mediaType": "application/wasm"}]}"#] {
            assert!(read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
