//! The text of a set: `fieldsV1`, both ways, without a JSON value in between.

use std::{borrow::Cow, cell::Cell, fmt};

use serde::{
    Serialize, Serializer,
    de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor},
    ser::SerializeMap,
};

use super::{DEPTH_MAX, ELEMENTS_MAX, Element, Node, Set};

/// The name that says of the element around it that it is itself in the set.
const ITSELF: &str = ".";

impl Set {
    /// The set as JSON text.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_else(|_| b"{}".to_vec())
    }

    /// Reads a set from JSON text. Elements of a sort that nobody knows yet are passed over, as Kubernetes does.
    ///
    /// # Errors
    /// What is wrong: no such JSON, deeper than [`DEPTH_MAX`] or larger than [`ELEMENTS_MAX`].
    pub fn from_json(text: &[u8]) -> Result<Self, String> {
        let left = Cell::new(ELEMENTS_MAX);
        let mut reader = serde_json::Deserializer::from_slice(text);
        let read =
            Below { left: &left, deeper: DEPTH_MAX }.deserialize(&mut reader).map_err(|error| error.to_string())?;
        reader.end().map_err(|error| error.to_string())?;
        Ok(read.set)
    }
}

impl Serialize for Set {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.0.iter().try_for_each(|node| map.serialize_entry(node.element.text(), &Content(node)))?;
        map.end()
    }
}

/// What stands under an element: of one that is in the set and has nothing below, nothing.
struct Content<'a>(&'a Node);

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Node { member, below, .. } = self.0;
        let mut map = serializer.serialize_map(None)?;
        if *member && !below.is_empty() {
            map.serialize_entry(ITSELF, &Set::default())?;
        }
        below.0.iter().try_for_each(|node| map.serialize_entry(node.element.text(), &Content(node)))?;
        map.end()
    }
}

/// Reads what stands under an element.
#[derive(Clone, Copy)]
struct Below<'a> {
    left: &'a Cell<usize>,
    deeper: usize,
}

/// What stood there, and whether the element itself is in the set.
struct Read {
    set: Set,
    itself: bool,
}

impl<'de> DeserializeSeed<'de> for Below<'_> {
    type Value = Read;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Read, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Below<'_> {
    type Value = Read;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of path elements")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Read, A::Error> {
        let deeper = self.deeper.checked_sub(1);
        let deeper = deeper.ok_or_else(|| A::Error::custom(format!("nested deeper than {DEPTH_MAX} levels")))?;
        let (mut parts, mut itself) = (Vec::new(), false);
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            if name == ITSELF {
                map.next_value::<IgnoredAny>()?;
                itself = true;
                continue;
            }
            let left = self.left.get().checked_sub(1);
            self.left.set(left.ok_or_else(|| A::Error::custom(format!("more than {ELEMENTS_MAX} path elements")))?);
            match Element::parse(&name).map_err(A::Error::custom)? {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some(element) => {
                    let inner = map.next_value_seed(Below { left: self.left, deeper })?;
                    parts.push((element, inner.itself, inner.set));
                }
            }
        }
        let set: Set = parts.into_iter().collect();
        let itself = itself || set.is_empty();
        Ok(Read { set, itself })
    }
}
