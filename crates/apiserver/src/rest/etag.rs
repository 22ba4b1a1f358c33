//! Entity tags, by which a client learns that it has a document already.

use http::{HeaderMap, header::IF_NONE_MATCH};
use sha2::{Digest as _, Sha256};

/// A digest of a document, for entity tags and URLs that change with the content.
pub(crate) fn hash(content: &[u8]) -> String {
    let mut hasher = Hasher::default();
    hasher.add(content);
    hasher.finish()
}

/// Finds the digest of a document that comes piece by piece.
#[derive(Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn add(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub(crate) fn finish(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02X}")).collect()
    }
}

/// Whether the client has the version with this tag. Proxies may have made a weak one of it.
pub(crate) fn is_known(tag: &str, headers: &HeaderMap) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_known_by_its_tag() {
        for (known, expected) in
            [("\"A\"", true), ("W/\"A\"", true), ("\"B\", \"A\"", true), ("*", true), ("\"B\"", false), ("A", false)]
        {
            let headers = HeaderMap::from_iter([(IF_NONE_MATCH, known.parse().expect("a header value"))]);
            assert_eq!(is_known("\"A\"", &headers), expected, "{known}");
        }
        assert!(!is_known("\"A\"", &HeaderMap::new()));
    }
}
