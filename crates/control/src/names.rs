//! Names that follow from their reasons, so that deciding twice decides the same.

use api::validate::names::LABEL_BYTES_MAX;

/// Letters and digits without vowels and without what is easily misread, so that no suffix spells a word. Kubernetes' set.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// The characters after the dash of a generated name.
const SUFFIX_LENGTH: usize = 5;

/// The most bytes of a generated name: that of a DNS label, because a Pod's name is also its host name.
const NAME_BYTES_MAX: usize = LABEL_BYTES_MAX;

/// A name for the `slot`-th child of an owner: the owner's name and a suffix that nobody else would choose.
pub(crate) fn child(owner: &str, uid: &str, slot: u64) -> String {
    let room = NAME_BYTES_MAX - SUFFIX_LENGTH - 1;
    let stem = &owner[..owner.floor_char_boundary(room)];
    format!("{stem}-{}", word(fnv64(&[uid.as_bytes(), &slot.to_be_bytes()]), SUFFIX_LENGTH))
}

/// What tells one template from another: 32 bits as seven characters.
pub(crate) fn template_hash(template: &[u8], collisions: i32) -> String {
    let folded = fnv64(&[template, &collisions.to_be_bytes()]);
    word((folded >> 32) ^ (folded & 0xffff_ffff), 7)
}

fn word(mut number: u64, length: usize) -> String {
    let base = ALPHABET.len() as u64;
    let mut letter = || {
        let index = usize::try_from(number % base).unwrap_or(0);
        number /= base;
        char::from(ALPHABET[index])
    };
    (0..length).map(|_| letter()).collect()
}

/// FNV-1a, 64 bit, finished so that near inputs give far outputs: the same in every process and version.
pub(crate) fn fnv64(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in parts.iter().flat_map(|part| part.iter().chain(&[0xff])) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{NAME_BYTES_MAX, child, template_hash};

    #[test]
    fn a_child_is_called_the_same_whoever_decides_and_unlike_its_siblings() {
        assert_eq!(child("web", "uid", 0), child("web", "uid", 0));
        let names: BTreeSet<String> = (0..1000).map(|slot| child("web", "uid", slot)).collect();
        assert_eq!(names.len(), 1000);
        assert!(names.iter().all(|name| name.len() == 9 && name.starts_with("web-")));
        assert_eq!(child(&"x".repeat(250), "uid", 0).len(), NAME_BYTES_MAX);
    }

    #[test]
    fn a_collision_gives_another_hash() {
        assert_ne!(template_hash(b"template", 0), template_hash(b"template", 1));
        assert_eq!(template_hash(b"template", 0).len(), 7);
    }
}
