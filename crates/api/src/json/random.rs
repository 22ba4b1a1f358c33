//! Random objects, built from the same table as the codec: what it writes must be what it reads.

use serde_json::{Map, Value, json};

use crate::schema::{Field, Form, Granularity, Message, Scalar, Schema, Shape};

/// A source of choices that replays from its seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `sides` (splitmix64).
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    /// A number below a count, which is not 0.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.roll(count as u64)).unwrap_or_default()
    }
}

/// A message as the encoder would write it: no empty lists, no zeros but those that are always written or explicit.
pub(crate) fn message(message: &Message, dice: &mut Dice, depth: usize) -> Value {
    match message.form {
        Form::Object => Value::Object(object(message, dice, depth)),
        Form::Time => json!(format!("20{:02}-11-23T01:10:{:02}Z", dice.roll(100), dice.roll(60))),
        Form::MicroTime => json!(format!("2026-11-23T01:10:01.{:06}Z", dice.roll(1_000_000))),
        Form::Quantity => json!(["100m", "64Mi", "1", "0.5"][dice.roll(4) as usize]),
        Form::IntOrString => [json!(0), json!(-7), json!(8080), json!("25%"), json!("")][dice.roll(5) as usize].clone(),
        Form::Texts => json!(["x", "", "y"]),
        Form::Raw => json!({"f:spec": {"any": [dice.roll(9), null, "x"]}}),
    }
}

fn object(message: &Message, dice: &mut Dice, depth: usize) -> Map<String, Value> {
    let mut object = Map::new();
    for name in message.names() {
        let Some(found) = message.find(name) else { continue };
        let often = if depth > 3 { 12 } else { 3 };
        if dice.roll(often) == 0 {
            let value = field(found.field, dice, depth + 1);
            // Zero without presence is absence; the loop below shows it where it is always written.
            let zero = value == json!(0) || value == json!("") || value == json!(false);
            if !zero || found.field.presence {
                object.insert(name.to_owned(), value);
            }
        }
    }
    for field in message.always().filter(|field| !object.contains_key(&field.json)).collect::<Vec<_>>() {
        object.insert(field.json.clone(), zero(field));
    }
    object
}

fn field(field: &Field, dice: &mut Dice, depth: usize) -> Value {
    let count = dice.roll(3) + 1;
    match field.shape {
        Shape::One => one(field, dice, depth),
        Shape::List => (0..count).map(|n| distinct(field, n, one(field, dice, depth))).collect(),
        Shape::Map => (0..count).map(|key| (format!("a.b/{key}"), one(field, dice, depth))).collect(),
    }
}

/// An element of a list that is merged by a key has one of its own.
fn distinct(field: &Field, n: u64, mut element: Value) -> Value {
    let name = match &field.granularity {
        Granularity::Keyed(keys) if field.merge_key.is_empty() => &keys[0],
        Granularity::Keyed(_) | Granularity::Atomic | Granularity::Set | Granularity::Entries => &field.merge_key,
    };
    if !name.is_empty() {
        let key = &mut element[name];
        *key = if key.is_number() || name.ends_with("ort") { json!(n + 1) } else { json!(format!("k{n}")) };
    }
    element
}

fn one(field: &Field, dice: &mut Dice, depth: usize) -> Value {
    match field.scalar {
        Scalar::Bool => json!(dice.roll(2) == 0),
        Scalar::Int32 => json!([0, 1, -1, i32::MAX, i32::MIN][dice.roll(5) as usize]),
        Scalar::Int64 => json!([0, 1, -1, i64::MAX, i64::MIN][dice.roll(5) as usize]),
        Scalar::String => json!(["", "a", "größe", "line\nline", "\u{1f600}"][dice.roll(5) as usize]),
        Scalar::Bytes => json!(["", "AA==", "AAEC/w=="][dice.roll(3) as usize]),
        Scalar::Message(index) => message(Schema::get().at(index), dice, depth),
    }
}

fn zero(field: &Field) -> Value {
    match (field.shape, field.scalar) {
        (Shape::List, _) => json!([]),
        (Shape::Map, _) => json!({}),
        (Shape::One, Scalar::Bool) => json!(false),
        (Shape::One, Scalar::Int32 | Scalar::Int64) => json!(0),
        (Shape::One, Scalar::String | Scalar::Bytes) => json!(""),
        (Shape::One, Scalar::Message(index)) => {
            super::encode_message(&Schema::get().at(index).name, &[]).unwrap_or_default()
        }
    }
}
