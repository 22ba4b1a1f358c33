//! What of an object's bytes its `fieldsV1` depends on: which fields are there, and what tells entries and elements apart, but
//! not what they say.
//!
//! Most objects of a kind are made by one program and have the same fields. Whoever has spelled those of one object
//! ([`super::spell`]) has its skeleton too, and sees by it, at a fraction of the cost, that those of the next one are the same.

use std::slice;

use crate::{json, schema::Form, wire::Reader};

/// What of the bytes of an object its fields depend on, in the order of the bytes.
#[derive(Debug, Default)]
pub(super) struct Skeleton {
    bones: Vec<Bone>,
    /// What [`Bone::Exactly`] means, one after the other.
    exact: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bone {
    /// A field with this number, whatever it says.
    Any(u32),
    /// One field with this number or several ones, whatever they say.
    Many(u32),
    /// A message with this number that is no object in JSON; it may say nothing.
    Value { number: u32, form: Form, says_nothing: bool },
    /// A message with this number: what is in it follows.
    Open(u32),
    /// The message ends.
    Close,
    /// So many bytes as they are.
    Exactly(usize),
}

impl Skeleton {
    /// Notes a field, whatever it says.
    pub(super) fn any(&mut self, number: u32) {
        self.bones.push(Bone::Any(number));
    }

    /// Notes one field or several ones, whatever they say.
    pub(super) fn many(&mut self, number: u32) {
        self.bones.push(Bone::Many(number));
    }

    /// Notes a message of some form that is no object, and whether it says nothing.
    pub(super) fn value(&mut self, number: u32, form: Form, bytes: &[u8]) {
        self.bones.push(Bone::Value { number, form, says_nothing: says_nothing(form, bytes) });
    }

    /// Notes that a message begins; [`Skeleton::close`] is to follow.
    pub(super) fn open(&mut self, number: u32) {
        self.bones.push(Bone::Open(number));
    }

    /// Notes that a message ends.
    pub(super) fn close(&mut self) {
        self.bones.push(Bone::Close);
    }

    /// Notes whole fields as they are.
    pub(super) fn exactly(&mut self, fields: &[u8]) {
        self.exact.extend_from_slice(fields);
        if let Some(Bone::Exactly(length)) = self.bones.last_mut() {
            *length += fields.len();
        } else {
            self.bones.push(Bone::Exactly(fields.len()));
        }
    }

    /// About how much memory it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        size_of_val(&*self.bones) + self.exact.len()
    }

    /// Whether the fields of an object are those of the object whose skeleton it is.
    pub(super) fn fits(&self, object: &[u8]) -> bool {
        let mut left = Left { bones: self.bones.iter(), exact: &self.exact };
        left.fits(object) && left.bones.as_slice().is_empty()
    }
}

/// Whether JSON shows nothing of a message that is no object.
pub(super) fn says_nothing(form: Form, bytes: &[u8]) -> bool {
    if form.is_time() { json::is_no_time(bytes) } else { bytes.is_empty() }
}

/// What was not compared yet.
struct Left<'a> {
    bones: slice::Iter<'a, Bone>,
    exact: &'a [u8],
}

impl Left<'_> {
    /// Compares a message, up to its end.
    fn fits(&mut self, message: &[u8]) -> bool {
        let mut reader = Reader::new(message);
        while let Some(bone) = self.bones.next() {
            let fits = match *bone {
                Bone::Close => break,
                Bone::Any(number) => reader.next_of(number).is_some(),
                Bone::Many(number) => {
                    let first = reader.next_of(number);
                    while reader.next_of(number).is_some() {}
                    first.is_some()
                }
                Bone::Value { number, form, says_nothing } => {
                    let value = reader.next_of(number);
                    value.is_some_and(|value| self::says_nothing(form, value.bytes()) == says_nothing)
                }
                Bone::Open(number) => reader.next_of(number).is_some_and(|inner| self.fits(inner.bytes())),
                Bone::Exactly(length) => self.exact.split_off(..length).is_some_and(|fields| reader.pass_over(fields)),
            };
            if !fits {
                return false;
            }
        }
        reader.finished()
    }
}
