//! What is remembered of an object about how its owners are shown: eight bytes, which are kept beside its own.
//!
//! Lists are asked for again and again. The first time tells how long the owners of an object are when they are spelled out, and
//! which fields it shares with others; after that the object need not be looked through again.

use std::{
    collections::HashMap,
    num::NonZeroU16,
    sync::{
        Arc, LazyLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Beside the bytes of an object: how it was shown. Of no object is anything noted but of one that others own nothing of by name,
/// and that is shown in the version in which it is kept.
#[derive(Debug, Default)]
pub struct Note(AtomicU64);

/// What is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Noted {
    /// How many bytes of the metadata stand before the owners.
    pub(super) others: NonZeroU16,
    /// How many bytes of protobuf the owners are when they are spelled out, if that is known.
    pub(super) owners: Option<NonZeroU16>,
    /// Which fields the first owners of the rest have, if they are shared.
    pub(super) texts: [Option<TextNumber>; NUMBERS],
}

/// The fields of so many owners of the rest are noted: there are two parts of an object, and mostly one owns the rest of each.
pub(super) const NUMBERS: usize = 2;

/// The number of fields that are shared.
pub(super) type TextNumber = NonZeroU16;

impl Note {
    /// What was noted. All of it is one word, so that nobody sees half of it.
    pub(super) fn get(&self) -> Option<Noted> {
        let [a, b, c, d, e, f, g, h] = self.0.load(Ordering::Relaxed).to_le_bytes();
        let [others, owners, first, second] =
            [[a, b], [c, d], [e, f], [g, h]].map(|part| NonZeroU16::new(u16::from_le_bytes(part)));
        Some(Noted { others: others?, owners, texts: [first, second] })
    }

    pub(super) fn set(&self, noted: Noted) {
        let Noted { others, owners, texts: [first, second] } = noted;
        let parts = [Some(others), owners, first, second];
        let word =
            parts.iter().rev().fold(0, |word, part| word << u16::BITS | u64::from(part.map_or(0, NonZeroU16::get)));
        self.0.store(word, Ordering::Relaxed);
    }
}

/// The most fields that are shared: as many as there are numbers for them.
const SHARED_MAX: usize = u16::MAX as usize;

/// The most memory for fields that are shared, in bytes. Some hundred fields are what programs write; more come from maps whose
/// keys are names, and those that come too late are spelled for each object.
const SHARED_BYTES_MAX: usize = 4 << 20;

/// Fields that at least two objects have, each with a number. They are never forgotten, since objects know them by it.
#[derive(Debug, Default)]
struct Shared {
    texts: Vec<Arc<[u8]>>,
    numbers: HashMap<Arc<[u8]>, TextNumber>,
    bytes: usize,
}

static SHARED: LazyLock<RwLock<Shared>> = LazyLock::new(RwLock::default);

impl Shared {
    fn share(&mut self, text: &[u8]) -> Option<TextNumber> {
        if let Some(number) = self.numbers.get(text) {
            return Some(*number);
        }
        let has_room = self.texts.len() < SHARED_MAX && self.bytes + text.len() <= SHARED_BYTES_MAX;
        let number = u16::try_from(self.texts.len() + 1).ok().and_then(NonZeroU16::new).filter(|_| has_room)?;
        let text: Arc<[u8]> = text.into();
        self.bytes += text.len();
        self.texts.push(text.clone());
        self.numbers.insert(text, number);
        Some(number)
    }

    fn text(&self, number: TextNumber) -> Option<Arc<[u8]>> {
        self.texts.get(usize::from(number.get()) - 1).cloned()
    }
}

/// The number of fields, if they are shared.
pub(super) fn number(text: &[u8]) -> Option<TextNumber> {
    SHARED.read().unwrap_or_else(PoisonError::into_inner).numbers.get(text).copied()
}

/// The number of fields that several objects have; `None` if there is no room for more.
pub(super) fn share(text: &[u8]) -> Option<TextNumber> {
    number(text).or_else(|| SHARED.write().unwrap_or_else(PoisonError::into_inner).share(text))
}

/// The fields that have a number.
pub(super) fn text(number: TextNumber) -> Option<Arc<[u8]>> {
    SHARED.read().unwrap_or_else(PoisonError::into_inner).text(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(number: u16) -> Option<NonZeroU16> {
        NonZeroU16::new(number)
    }

    #[test]
    fn what_was_noted_is_read() {
        let note = Note::default();
        assert_eq!(note.get(), None);
        for (owners, texts) in
            [(None, [None, None]), (some(7), [None, some(u16::MAX)]), (some(u16::MAX), [some(1), some(2)])]
        {
            let noted = Noted { others: NonZeroU16::MAX, owners, texts };
            note.set(noted);
            assert_eq!(note.get(), Some(noted));
        }
    }

    #[test]
    fn equal_fields_are_shared_while_there_is_room() {
        let mut shared = Shared::default();
        assert_eq!(
            (shared.share(b"{}"), shared.share(b"{\"f:a\":{}}"), shared.share(b"{}")),
            (some(1), some(2), some(1))
        );
        assert_eq!(shared.text(NonZeroU16::MIN).as_deref(), Some(&b"{}"[..]));
        assert_eq!(shared.text(NonZeroU16::MAX), None);
        let long = vec![b'x'; SHARED_BYTES_MAX - shared.bytes];
        assert!(shared.share(&[&long[..], b"x"].concat()).is_none() && shared.share(&long) == some(3));
        assert_eq!((shared.bytes, shared.share(b"x")), (SHARED_BYTES_MAX, None));
        // What is there is known on.
        assert_eq!(shared.share(b"{\"f:a\":{}}"), some(2));
        let mut shared = Shared::default();
        for n in 0..SHARED_MAX {
            assert!(shared.share(&n.to_be_bytes()).is_some());
        }
        assert_eq!((shared.texts.len(), shared.share(b"one more")), (SHARED_MAX, None));
    }
}
