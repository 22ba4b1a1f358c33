//! Sets of fields of objects, in one compact form: a sorted tree whose nodes are the path elements of `fieldsV1`.
//!
//! What a set means is said by whoever makes it; here are only what it is, its algebra, and its text. A set is about fields, not
//! about values: `metadata.managedFields` tells with it who owns what.

mod element;
#[cfg(test)]
mod tests;
mod text;

use std::{cmp::Ordering, fmt};

pub use element::Element;

/// How deep fields may be nested: as deep as the objects whose fields they are.
pub const DEPTH_MAX: usize = 64;

/// The most path elements of one set. An object has no more parts than this ([`crate::encoded::MESSAGES_MAX`]), and each
/// takes some dozen bytes of memory.
pub const ELEMENTS_MAX: usize = 100_000;

/// Fields of an object. The object itself is never one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set(Vec<Node>);

/// One path element: the field is in the set, or fields below it are, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    element: Element,
    member: bool,
    below: Set,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

/// The way to one field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(pub Vec<Element>);

impl fmt::Display for Path {
    /// As Kubernetes writes it: `.spec.ports[port=80,protocol="TCP"].name`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|element| element.fmt(f))
    }
}

/// Path elements: each with whether its field is in the set, and the fields below it.
impl FromIterator<(Element, bool, Set)> for Set {
    fn from_iter<I: IntoIterator<Item = (Element, bool, Self)>>(parts: I) -> Self {
        Self::of_nodes(parts.into_iter().map(|(element, member, below)| Node { element, member, below }).collect())
    }
}

impl Set {
    /// Whether no field is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many fields are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|node| usize::from(node.member) + node.below.len()).sum()
    }

    fn of_nodes(mut nodes: Vec<Node>) -> Self {
        nodes.retain(|node| !node.is_empty());
        nodes.sort_by(|one, other| one.element.cmp(&other.element));
        nodes.dedup_by(|next, kept| {
            let same = next.element == kept.element;
            if same {
                kept.member |= next.member;
                kept.below = kept.below.union(&next.below);
            }
            same
        });
        Self(nodes)
    }

    /// The set with one more field.
    #[must_use]
    pub fn with(mut self, path: &Path) -> Self {
        if let Some((last, above)) = path.0.split_last() {
            let leaf = Self::from_iter([(last.clone(), true, Self::default())]);
            let around = |below: Self, element: &Element| Self::from_iter([(element.clone(), false, below)]);
            self = self.union(&above.iter().rev().fold(leaf, around));
        }
        self
    }

    /// Whether the field under an element is in it.
    #[must_use]
    pub fn has(&self, element: &Element) -> bool {
        self.find(element).is_some_and(|node| node.member)
    }

    /// The fields below an element.
    #[must_use]
    pub fn below(&self, element: &Element) -> Option<&Self> {
        self.find(element).map(|node| &node.below).filter(|below| !below.is_empty())
    }

    /// The topmost elements that are in it, or that have something below them.
    pub fn tops(&self) -> impl Iterator<Item = &Element> {
        self.0.iter().map(|node| &node.element)
    }

    fn find(&self, element: &Element) -> Option<&Node> {
        let at = self.0.binary_search_by(|node| node.element.cmp(element)).ok()?;
        self.0.get(at)
    }

    /// Only what stands under topmost elements that are wanted.
    #[must_use]
    pub fn under(&self, wanted: impl Fn(&Element) -> bool) -> Self {
        Self(self.0.iter().filter(|node| wanted(&node.element)).cloned().collect())
    }

    /// The fields that are in one of the two.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.zip(other, |one, other| match (one, other) {
            (Some(one), Some(other)) => Some(Node {
                element: one.element.clone(),
                member: one.member || other.member,
                below: one.below.union(&other.below),
            }),
            (one, other) => one.or(other).cloned(),
        })
    }

    /// The fields that are in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.zip(other, |one, other| {
            let (one, other) = (one?, other?);
            Some(Node {
                element: one.element.clone(),
                member: one.member && other.member,
                below: one.below.intersection(&other.below),
            })
        })
    }

    /// The fields that are in this one and not in the other. Each counts by itself, not those below it.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.zip(other, |one, other| {
            let one = one?;
            let Some(other) = other else { return Some(one.clone()) };
            Some(Node {
                element: one.element.clone(),
                member: one.member && !other.member,
                below: one.below.difference(&other.below),
            })
        })
    }

    /// What a function makes of the nodes of two sets, element by element.
    fn zip(&self, other: &Self, make: impl Fn(Option<&Node>, Option<&Node>) -> Option<Node>) -> Self {
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut nodes = Vec::with_capacity(self.0.len().max(other.0.len()));
        loop {
            let order = match (left.peek(), right.peek()) {
                (None, None) => return Self(nodes),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(one), Some(other)) => one.element.cmp(&other.element),
            };
            let one = left.next_if(|_| order.is_le());
            let other = right.next_if(|_| order.is_ge());
            nodes.extend(make(one, other).filter(|node| !node.is_empty()));
        }
    }

    /// Every field, those above before those below.
    #[must_use]
    pub fn paths(&self) -> Vec<Path> {
        let mut paths = Vec::new();
        self.walk(&mut Vec::new(), &mut paths);
        paths
    }

    fn walk(&self, above: &mut Vec<Element>, into: &mut Vec<Path>) {
        for node in &self.0 {
            above.push(node.element.clone());
            if node.member {
                into.push(Path(above.clone()));
            }
            node.below.walk(above, into);
            above.pop();
        }
    }

    /// The set in which every element that a type names, and that has fields below it, is a member too. `down` answers whether
    /// the type at hand names an element, and what the elements below it are asked.
    #[must_use]
    pub fn with_named<T: Copy>(&self, at: T, down: &impl Fn(T, &Element) -> (bool, T)) -> Self {
        let named = |node: &Node| {
            let (named, inner) = down(at, &node.element);
            let member = node.member || named && !node.below.is_empty();
            Node { element: node.element.clone(), member, below: node.below.with_named(inner, down) }
        };
        Self(self.0.iter().map(named).collect())
    }
}
