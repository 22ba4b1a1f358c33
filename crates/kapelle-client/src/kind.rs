//! The kinds' own types, such as `Pod`, as far as typed access needs to know them. The one table of kinds is in `api`.

use std::fmt;

use api::{Error, Kind, Object, Subresource, kinds::Resource};

/// A kind's own type. Every kind of the table has one; nobody else needs to implement this.
pub trait Typed: Resource + Into<Object> + Clone + PartialEq + fmt::Debug + Send + Sync + 'static {}

impl<K: Resource + Into<Object> + Clone + PartialEq + fmt::Debug + Send + Sync + 'static> Typed for K {}

/// Whether objects of a kind have a part, known when a program is compiled.
pub(crate) const fn has(kind: Kind, part: Subresource) -> bool {
    let parts = kind.info().subresources;
    let mut index = 0;
    while index < parts.len() {
        if parts[index] as u8 == part as u8 {
            return true;
        }
        index += 1;
    }
    false
}

/// The object that a master answered, as the type that was asked for.
pub(crate) fn typed<K: Typed>(object: Object) -> Result<K, Error> {
    let found = object.kind();
    K::from_object(object)
        .ok_or_else(|| Error::internal(format!("a {found} was answered where a {} was asked for", K::KIND)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_when_compiled_is_what_the_table_says() {
        for kind in Kind::ALL {
            for part in kind.info().subresources {
                assert!(has(*kind, *part));
            }
            assert_eq!(has(*kind, Subresource::Status), kind.has(Subresource::Status));
            assert_eq!(has(*kind, Subresource::Scale), kind.has(Subresource::Scale));
        }
    }
}
