//! What an image's manifest names: the module among its layers.

use sandbox::Digest;

/// The media types in which modules are published: the standard one and those that came before it.
const MODULE_TYPES: [&str; 3] = [
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
];

/// What a name led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pulled {
    /// The digest of the module.
    pub(super) module: Digest,
    /// The digest of the manifest, by which a registry knows the image.
    pub(super) manifest: String,
}

/// The index and the digest of the layer with the module, of layers with these media types and digests: the first with a type of
/// ours, or else the only one.
pub(super) fn module<'a>(layers: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Result<(usize, Digest), String> {
    let known = layers.clone().position(|(media_type, _)| MODULE_TYPES.contains(&media_type));
    let only = (layers.clone().count() == 1).then_some(0);
    let index = known.or(only).ok_or("it holds no WebAssembly layer; is it a container image?")?;
    let (_, digest) = layers.clone().nth(index).unwrap_or_default();
    let parsed = Digest::parse(digest).ok_or_else(|| format!("the layer's digest {digest} is not SHA-256"))?;
    Ok((index, parsed))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::module;

    #[test]
    fn the_module_is_the_layer_with_its_type_or_the_only_one() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let layer = |media_type| (media_type, digest.as_str());
        let found = |layers: &[(&str, &str)]| module(layers.iter().copied()).map(|(index, _)| index);
        assert_eq!(found(&[layer("text/plain"), layer("application/wasm")]), Ok(1));
        assert_eq!(found(&[layer("application/octet-stream")]), Ok(0));
        assert!(found(&[layer("a/b"), layer("c/d")]).unwrap_err().contains("container image"));
        assert!(found(&[]).is_err());
        assert!(found(&[("application/wasm", "md5:1")]).unwrap_err().contains("not SHA-256"));
    }
}
