//! Manifests: what an image consists of.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::blobs::{BadDigest, Digest};

/// What a manifest is if its sender does not say.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// What the Wasm working group of the CNCF settled on for the layer of a module.
const LAYER_TYPE: &str = "application/wasm";

/// The same for its configuration.
const CONFIG_TYPE: &str = "application/vnd.wasm.config.v0+json";

/// The configuration of an image that was pushed as a module alone.
pub(crate) const CONFIG: &[u8] = br#"{"architecture":"wasm","os":"wasip2"}"#;

/// A manifest and what it is.
pub struct Manifest {
    /// Its digest.
    pub digest: Digest,
    /// What it is.
    pub media_type: String,
    /// Its bytes.
    pub content: Bytes,
}

/// The manifest of an image of one layer, a module of `size` bytes, with [`CONFIG`].
pub(crate) fn of_module(config: &Digest, layer: &Digest, size: u64) -> String {
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MEDIA_TYPE,
        "config": { "mediaType": CONFIG_TYPE, "digest": config.to_string(), "size": CONFIG.len() },
        "layers": [{ "mediaType": LAYER_TYPE, "digest": layer.to_string(), "size": size }],
    });
    manifest.to_string()
}

/// What a manifest or index refers to, but for layers with URLs, which lie elsewhere.
pub(crate) fn references(manifest: &Value) -> Result<Vec<Digest>, BadDigest> {
    let lists = [&manifest["layers"], &manifest["manifests"]].into_iter().filter_map(Value::as_array).flatten();
    let elsewhere = |part: &Value| part["urls"].as_array().is_some_and(|urls| !urls.is_empty());
    let here = lists.chain(manifest.get("config")).filter(|part| !elsewhere(part));
    here.map(|part| part["digest"].as_str().unwrap_or_default().parse()).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_module_refers_to_its_layer_and_its_configuration() {
        let (config, layer) = (Digest::of(CONFIG), Digest::of(b"\0asm"));
        let manifest: Value = serde_json::from_str(&of_module(&config, &layer, 4)).unwrap();
        assert_eq!(references(&manifest).unwrap(), [layer, config]);
        assert_eq!((&manifest["layers"][0]["size"], &manifest["mediaType"]), (&json!(4), &json!(MEDIA_TYPE)));
    }

    #[test]
    fn an_index_refers_to_manifests_and_layers_elsewhere_do_not_count() {
        let digest = Digest::of(b"here");
        let here = json!({ "digest": digest.to_string() });
        let elsewhere = json!({ "digest": Digest::of(b"there").to_string(), "urls": ["https://example.org/"] });
        let index = json!({ "manifests": [here], "layers": [elsewhere] });
        assert_eq!(references(&index).unwrap(), [digest]);
        assert!(references(&json!({ "layers": [{ "digest": "sha256:../x" }] })).is_err());
    }
}
