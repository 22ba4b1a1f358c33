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
    let digest_of_manifest = Digest::of(&manifest.content).to_string();
    let manifest: Value = serde_json::from_slice(&manifest.content).map_err(|error| error.to_string())?;
    let none = Vec::new();
    let layers = manifest["layers"].as_array().unwrap_or(&none);
    let text = |layer: &'static str| move |value: &'_ Value| value[layer].as_str().unwrap_or_default().to_owned();
    let named: Vec<(String, String)> =
        layers.iter().map(|layer| (text("mediaType")(layer), text("digest")(layer))).collect();
    let (_, digest) = module(named.iter().map(|(media_type, digest)| (media_type.as_str(), digest.as_str())))?;
    let pulled = Pulled { module: digest, manifest: digest_of_manifest };
    if store.has(digest).await {
        return Ok(pulled);
    }
    let chunks = masters.blob(&digest.to_string(), false).await?;
    let gather = |mut bytes: Vec<u8>, chunk: bytes::Bytes| async move {
        if bytes.len() + chunk.len() > MODULE_BYTES_MAX {
            return Err(api::Error::internal(format!("the module is larger than {MODULE_BYTES_MAX} bytes")));
        }
        bytes.extend_from_slice(&chunk);
        Ok(bytes)
    };
    let bytes = chunks.try_fold(Vec::new(), gather).await?;
    store.keep(digest, &bytes).await?;
    Ok(pulled)
}
