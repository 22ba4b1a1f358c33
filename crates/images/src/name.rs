//! Names of images: a repository, and a tag or digest in it. Such names are also safe as paths.

use api::Error;

use crate::blobs::Digest;

/// The longest name of a repository, in bytes, with room for the host in a reference of 255.
const NAME_BYTES_MAX: usize = 200;

/// The longest tag, in bytes.
const TAG_BYTES_MAX: usize = 128;

/// Whether an image can have a name: a repository and a tag or digest.
///
/// # Errors
/// If not; says what would do.
pub fn check(repository: &str, reference: &str) -> Result<(), Error> {
    self::repository(repository)?;
    if is_reference(reference) { Ok(()) } else { Err(Error::bad_request(bad_reference(reference))) }
}

/// Whether a repository can have a name.
///
/// # Errors
/// If not; says what would do.
pub fn repository(name: &str) -> Result<(), Error> {
    check_repository(name).map_err(Error::bad_request)
}

/// Lower-case words with single separators within, joined by slashes.
///
/// # Errors
/// If the name is another; says what would do.
pub(crate) fn check_repository(name: &str) -> Result<(), String> {
    if name.len() <= NAME_BYTES_MAX && name.split('/').all(is_component) {
        return Ok(());
    }
    Err(format!("\"{name}\": use lower-case letters, digits, and '.', '_', '-' between them, in parts joined by '/'"))
}

fn is_component(part: &str) -> bool {
    let word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    let ends = bytes.first().is_some_and(word) && bytes.last().is_some_and(word);
    let separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).filter(|run| !run.is_empty());
    ends && separators.into_iter().all(|run| matches!(run, "." | "_" | "__") || run.bytes().all(|byte| byte == b'-'))
}

/// Whether a text is a digest or a tag.
pub(crate) fn is_reference(text: &str) -> bool {
    text.parse::<Digest>().is_ok() || is_tag(text)
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let first = tag.bytes().next().is_some_and(word);
    first && tag.len() <= TAG_BYTES_MAX && tag.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

pub(crate) fn bad_reference(reference: &str) -> String {
    format!("\"{reference}\" is neither a digest nor a tag of letters, digits, '_', '.' and '-'")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn names_are_those_of_the_specification() {
        let digest = Digest::of(b"").to_string();
        for (repository, reference) in
            [("web", "1"), ("team/web", "v1.2_rc-3"), ("a--b/c__d/e.f", "_x"), ("web", digest.as_str())]
        {
            assert_eq!(check(repository, reference), Ok(()), "{repository}:{reference}");
        }
        for repository in ["", "Web", "a..b", "a/", "/a", "-a", "a-", "a._b", &"a".repeat(NAME_BYTES_MAX + 1)] {
            assert!(check(repository, "1").unwrap_err().message.contains("lower-case"), "{repository}");
        }
        for reference in ["", ".1", "-1", "a/b", "sha256:00", &"a".repeat(TAG_BYTES_MAX + 1)] {
            assert!(check("web", reference).unwrap_err().message.contains("neither a digest nor a tag"), "{reference}");
        }
    }
}
