//! `fieldsV1` of many objects of one kind, one after the other: spelled once for all that have the same fields.

use std::sync::Arc;

use super::{
    BuiltInKind, Versions as _,
    note::{self, TextNumber},
    owners::Part,
    skeleton::Skeleton,
    spell,
};
use crate::{
    Served,
    schema::{Message, Schema},
};

/// So many different fields are remembered for each part of an object, the latest: a list that has more of them mostly has as
/// many as objects.
pub(super) const KNOWN_MAX: usize = 8;

/// The most memory for each of them, in bytes: about what a Pod with many containers takes. Lists take [`KNOWN_MAX`] times as
/// much at most, for two parts.
pub(super) const KNOWN_BYTES_MAX: usize = 16 << 10;

/// After so many objects in a row that had other fields than those before nothing more is remembered of a list, since it costs
/// more than it saves.
const MISSES_MAX: usize = 32;

/// What is known of the fields of objects of one kind.
#[derive(Debug, Default)]
pub(super) struct Known {
    of: Option<(Served, &'static Message)>,
    parts: [Latest; PARTS],
    /// The fields that were spelled last, if they are not remembered.
    text: Vec<u8>,
}

/// How many parts an object may be said to have.
const PARTS: usize = 3;

/// The fields of some part that were spelled lately.
#[derive(Debug, Default)]
struct Latest {
    spelled: Vec<Spelled>,
    misses: usize,
    /// Those that were shared with the object before.
    shared: Option<(TextNumber, Arc<[u8]>)>,
}

/// Fields, and of which objects they are those.
#[derive(Debug, Default)]
struct Spelled {
    skeleton: Skeleton,
    text: Vec<u8>,
    /// Under which number others find them.
    number: Option<TextNumber>,
    /// How many other objects have them.
    others: usize,
}

impl Spelled {
    fn size(&self) -> usize {
        self.skeleton.size() + self.text.len()
    }
}

impl Known {
    /// For one object alone: remembers nothing.
    pub(super) fn once() -> Self {
        let mut once = Self::default();
        once.parts.iter_mut().for_each(|part| part.misses = MISSES_MAX);
        once
    }

    /// From now on it is about objects of a kind. `None` if their bytes do not tell fields.
    pub(super) fn begin(&mut self, served: Served) -> Option<()> {
        if self.of.is_none_or(|(of, _)| of != served) {
            if self.of.is_some() {
                *self = Self::default();
            }
            self.of = Some((served, Schema::get().message(served.info().message)?));
        }
        Some(())
    }

    /// `fieldsV1` of whoever owns the rest of a part of an object, and nobody else any of it. Nothing before
    /// [`Known::begin`]. `number` is what is noted of the object, and what is to be noted.
    pub(super) fn fields(&mut self, bytes: &[u8], part: Part, number: &mut Option<TextNumber>) -> &[u8] {
        let Self { of, parts, text } = self;
        let latest = &mut parts[part as usize];
        if let Some(noted) = *number
            && latest.has_shared(noted)
        {
            return latest.shared.as_ref().map_or(&[], |(_, text)| text);
        }
        text.clear();
        let Some((served, message)) = *of else { return text };
        let given = BuiltInKind(served.kind());
        let spell = |text: &mut Vec<u8>, skeleton: Option<&mut Skeleton>| {
            spell::fields(message, (bytes, part), given.given(), text, skeleton);
        };
        if latest.misses >= MISSES_MAX {
            spell(text, None);
            return text;
        }
        if let Some(at) = latest.spelled.iter().position(|spelled| spelled.skeleton.fits(bytes)) {
            latest.misses = 0;
            latest.spelled.swap(0, at);
            let spelled = &mut latest.spelled[0];
            *number = spelled.number_for_one_more();
            return &spelled.text;
        }
        latest.misses += 1;
        let mut spelled = Spelled::default();
        spell(&mut spelled.text, Some(&mut spelled.skeleton));
        spelled.number = note::number(&spelled.text);
        *number = spelled.number;
        if spelled.size() > KNOWN_BYTES_MAX {
            *text = spelled.text;
            return text;
        }
        latest.spelled.truncate(KNOWN_MAX - 1);
        latest.spelled.insert(0, spelled);
        &latest.spelled[0].text
    }
}

impl Latest {
    /// Whether fields are at hand that are shared under a number.
    fn has_shared(&mut self, number: TextNumber) -> bool {
        if self.shared.as_ref().is_none_or(|(last, _)| *last != number) {
            self.shared = note::text(number).map(|text| (number, text));
        }
        self.shared.is_some()
    }
}

impl Spelled {
    /// The number under which one more object finds the fields: from the second one on they are shared.
    fn number_for_one_more(&mut self) -> Option<TextNumber> {
        self.others += 1;
        if self.number.is_none() && self.others == 1 {
            self.number = note::share(&self.text);
        }
        self.number
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeMap;

    use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};
    use serde_json::Value;

    use super::*;
    use crate::{
        Kind, Object,
        apply::shown::{Note, Speller, Subject},
        core_v1::ConfigMap,
        json::{self, Strictness, random},
        meta_v1::{FieldsV1, ManagedFieldsEntry, Time},
    };

    /// Another object that is much like this one.
    fn like(value: &Value, dice: &mut random::Dice) -> Value {
        let mut value = value.clone();
        let mut at = &mut value;
        loop {
            at = match at {
                Value::Object(members) if !members.is_empty() => {
                    let name = members.keys().nth(dice.below(members.len())).unwrap().clone();
                    if dice.below(6) == 0 {
                        members.remove(&name);
                        return value;
                    }
                    &mut members[&name]
                }
                Value::Array(elements) if !elements.is_empty() => {
                    let index = dice.below(elements.len());
                    if dice.below(6) == 0 {
                        elements.remove(index);
                        return value;
                    }
                    &mut elements[index]
                }
                Value::Bool(is) => {
                    *is = !*is;
                    return value;
                }
                Value::Number(number) => {
                    *number = (number.as_i64().unwrap_or_default() / 2).into();
                    return value;
                }
                Value::String(text) => {
                    text.push('0');
                    return value;
                }
                Value::Null | Value::Array(_) | Value::Object(_) => return value,
            };
        }
    }

    /// Some objects of a kind, of which many have the same fields.
    fn alike(kind: Kind, seed: u64) -> Vec<Object> {
        let dice = &mut random::Dice(seed);
        let mut values = vec![random::message(Schema::get().message(kind.info().message).unwrap(), dice, 0)];
        for _ in 0..12 {
            values.push(like(&values[dice.below(values.len())], dice));
        }
        let decoded = values.iter().filter_map(|value| json::decode(kind, value, Strictness::Ignore).ok());
        decoded.map(|decoded| decoded.object).collect()
    }

    /// Owners as they may be kept.
    fn owners(kind: Kind, dice: &mut random::Dice) -> Vec<ManagedFieldsEntry> {
        let (rest, named) = (String::new(), "FieldsV1".to_owned());
        let entry = |(n, subresource): (usize, &str), dice: &mut random::Dice| {
            let is_named = dice.below(4) == 0;
            let fields = FieldsV1 { raw: format!("{{\"f:metadata\":{{\"f:labels\":{{\"f:{n}\":{{}}}}}}}}").into() };
            ManagedFieldsEntry {
                manager: "m".repeat(dice.below(200)),
                operation: ["Apply", "Update"][dice.below(2)].to_owned(),
                api_version: if dice.below(9) == 0 { "v0".to_owned() } else { kind.info().api_version() },
                time: (dice.below(3) > 0)
                    .then_some(Time { seconds: 1_790_000_000 + i64::try_from(n).unwrap(), nanos: 0 }),
                fields_type: if is_named { named.clone() } else { rest.clone() },
                fields_v1: is_named.then_some(fields),
                subresource: subresource.to_owned(),
            }
        };
        let parts = ["", "status", "scale"].into_iter().enumerate().take(dice.below(4)).collect::<Vec<_>>();
        parts.into_iter().map(|part| entry(part, dice)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn what_is_known_from_others_is_what_would_be_spelled(seed in any::<u64>()) {
            for kind in Kind::ALL.iter().copied() {
                let message = Schema::get().message(kind.info().message).unwrap();
                let mut known = Known::default();
                known.begin(kind.into()).unwrap();
                for object in alike(kind, seed) {
                    let bytes = object.encode_bytes();
                    for part in [Part::Main, Part::Status, Part::Whole] {
                        let mut spelled = Vec::new();
                        spell::fields(message, (&bytes, part), BuiltInKind(kind).given(), &mut spelled, None);
                        let mut number = None;
                        let told = String::from_utf8(known.fields(&bytes, part, &mut number).to_vec());
                        let spelled = String::from_utf8(spelled).unwrap();
                        prop_assert_eq!(told.as_ref(), Ok(&spelled), "{}", kind);
                        // Whoever finds them by their number finds the same.
                        let again = String::from_utf8(known.fields(&bytes, part, &mut number).to_vec());
                        prop_assert_eq!(again, Ok(spelled), "{}", kind);
                    }
                }
            }
        }

        #[test]
        fn an_object_in_a_list_is_shown_as_alone(seed in any::<u64>()) {
            let dice = &mut random::Dice(seed);
            let mut speller = Speller::default();
            for kind in [Kind::Deployment, Kind::ConfigMap, Kind::Pod] {
                for mut object in alike(kind, seed) {
                    object.metadata_mut().managed_fields = owners(kind, dice);
                    let (bytes, note) = (object.encode_bytes(), Note::default());
                    let revision = Some(crate::Revision(seed));
                    let subject = Subject { served: kind.into(), bytes: &bytes, revision, note: None };
                    let alone = written(&mut Speller::once(), subject, dice.below(4));
                    // The first time it is noted, then it is read.
                    let subject = Subject { note: Some(&note), ..subject };
                    for first in [dice.below(4), dice.below(4), 0] {
                        prop_assert_eq!(&alone, &written(&mut speller, subject, first));
                    }
                    prop_assert_eq!(&alone, &written(&mut Speller::default(), subject, 0));
                    // Both languages say the same.
                    let read = subject.served.decode_bytes(alone[2].clone().into()).unwrap();
                    let mut text: Value = serde_json::from_slice(&alone[0]).unwrap();
                    if text.pointer("/metadata/managedFields").and_then(Value::as_array).is_some_and(Vec::is_empty) {
                        // Those of versions that are gone are forgotten.
                        text["metadata"].as_object_mut().unwrap().remove("managedFields");
                    }
                    prop_assert_eq!(json::encode_as(subject.served, &read), text);
                }
            }
        }
    }

    /// An object in all forms, some of them first.
    fn written(speller: &mut Speller, subject: Subject<'_>, first: usize) -> [Vec<u8>; 4] {
        let mut all = [(); 4].map(|()| Vec::new());
        for at in (0..4).map(|at| (at + first) % 4) {
            let into = &mut all[at];
            match at {
                0 => speller.write(subject, into),
                1 => speller.write_metadata(subject, into),
                2 => {
                    let length = speller.revised_len(subject);
                    speller.revised(subject).write(into);
                    assert_eq!(into.len(), length);
                }
                _ => {
                    speller.revised_metadata(subject).write(into);
                    assert_eq!(into.len(), speller.revised_metadata_len(subject));
                }
            }
        }
        all
    }

    fn map(keys: impl IntoIterator<Item = String>) -> Vec<u8> {
        let data: BTreeMap<String, String> = keys.into_iter().map(|key| (key, "x".to_owned())).collect();
        Object::from(ConfigMap { data, ..ConfigMap::default() }).encode_bytes().to_vec()
    }

    fn latest(known: &Known) -> &Latest {
        &known.parts[Part::Whole as usize]
    }

    fn fields(known: &mut Known, bytes: &[u8]) -> String {
        known.begin(Kind::ConfigMap.into()).unwrap();
        String::from_utf8(known.fields(bytes, Part::Whole, &mut None).to_vec()).unwrap()
    }

    #[test]
    fn objects_with_the_same_fields_share_them() {
        let mut known = Known::default();
        for round in 0..3 {
            for n in 0..KNOWN_MAX {
                let told = fields(&mut known, &map([format!("k{n}")]));
                assert_eq!(told, format!("{{\"f:data\":{{\".\":{{}},\"f:k{n}\":{{}}}}}}"), "{round}");
            }
            assert_eq!(latest(&known).spelled.len(), KNOWN_MAX);
        }
        assert_eq!(latest(&known).misses, 0);
    }

    #[test]
    fn no_more_is_remembered_than_pays() {
        let mut known = Known::default();
        // Of very many different ones the latest, and in the end none.
        for n in 0..2 * MISSES_MAX {
            fields(&mut known, &map([format!("k{n}")]));
            assert!(latest(&known).spelled.len() <= KNOWN_MAX);
        }
        assert_eq!(latest(&known).misses, MISSES_MAX);
        // Nothing that is very long, but it is told all the same.
        let mut known = Known::default();
        let long = |count: usize| map((0..count).map(|n| format!("a-rather-long-key-{n:08}")));
        let told = fields(&mut known, &long(1000));
        assert!(told.len() > KNOWN_BYTES_MAX && told.ends_with("00000999\":{}}}"));
        assert!(latest(&known).spelled.is_empty());
        fields(&mut known, &long(100));
        let size = latest(&known).spelled[0].size();
        assert!((1..=KNOWN_BYTES_MAX).contains(&size), "{size}");
        // And nothing for one object.
        let mut once = Known::once();
        assert_eq!(fields(&mut once, &long(1)), fields(&mut known, &long(1)));
        assert!(latest(&once).spelled.is_empty());
    }

    #[test]
    fn what_is_known_is_forgotten_with_its_kind() {
        let mut known = Known::default();
        fields(&mut known, &map(["a".to_owned()]));
        known.begin(Kind::Secret.into()).unwrap();
        assert!(latest(&known).spelled.is_empty());
    }
}
