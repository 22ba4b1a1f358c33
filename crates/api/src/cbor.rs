//! CBOR as Kubernetes writes it: a value has one form, members are ordered by the bytes of their names, and texts are byte
//! strings. What is read may have other forms, as long as JSON could say the same.

use std::convert::Infallible;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use minicbor::{
    Decoder, Encoder,
    data::{Tag, Type},
    decode, encode,
};
use serde_json::{Map, Number, Value};

use crate::{Error, Timestamp};

/// How deep values may be nested: as deep as in JSON.
pub const DEPTH_MAX: usize = 64;

/// The most values in one document. Each takes far more memory than the byte that a small one has.
pub const VALUES_MAX: usize = 500_000;

/// With what Kubernetes' documents begin: the tag that says that this is CBOR.
const SELF_DESCRIBED: u64 = 55_799;

/// Reads a document.
///
/// # Errors
/// [`Reason::BadRequest`](crate::Reason::BadRequest) if it is not one data item, holds what JSON cannot say, has a member twice,
/// or is too large.
pub fn parse(bytes: &[u8]) -> Result<Value, Error> {
    let mut reader = Reader { decoder: Decoder::new(bytes), depth: 0, values: 0 };
    let value = reader.value()?;
    if reader.decoder.position() != bytes.len() {
        return Err(refused("something follows the value"));
    }
    Ok(value)
}

/// Writes a document.
pub fn write(value: &Value, into: &mut Vec<u8>) {
    let mut encoder = Encoder::new(into);
    let written = encoder.tag(Tag::new(SELF_DESCRIBED)).and_then(|encoder| put(value, encoder));
    written.expect("memory takes what is written");
}

/// Writes one value of a document.
pub fn write_part(value: &Value, into: &mut Vec<u8>) {
    put(value, &mut Encoder::new(into)).expect("memory takes what is written");
}

/// Writes a document up to the elements of one of its lists, of which there are `count`. Answers what stands behind them.
pub fn write_around(list: &str, count: usize, members: &Map<String, Value>, into: &mut Vec<u8>) -> Vec<u8> {
    let mut behind = Vec::new();
    let (before, after): (Vec<_>, Vec<_>) =
        sorted(members).into_iter().filter(|(name, _)| *name != list).partition(|(name, _)| order(name) < order(list));
    let mut encoder = Encoder::new(into);
    let written = (|| {
        encoder.tag(Tag::new(SELF_DESCRIBED))?.map((before.len() + after.len() + 1) as u64)?;
        before.into_iter().try_for_each(|member| put_member(member, &mut encoder))?;
        encoder.bytes(list.as_bytes())?.array(count as u64)?;
        let mut encoder = Encoder::new(&mut behind);
        after.into_iter().try_for_each(|member| put_member(member, &mut encoder))
    })();
    written.expect("memory takes what is written");
    behind
}

type Written = Result<(), encode::Error<Infallible>>;

fn put(value: &Value, encoder: &mut Encoder<&mut Vec<u8>>) -> Written {
    match value {
        Value::Null => _ = encoder.null()?,
        Value::Bool(flag) => _ = encoder.bool(*flag)?,
        Value::Number(number) => put_number(number, encoder)?,
        Value::String(text) => _ = encoder.bytes(text.as_bytes())?,
        Value::Array(items) => {
            encoder.array(items.len() as u64)?;
            items.iter().try_for_each(|item| put(item, encoder))?;
        }
        Value::Object(members) => {
            encoder.map(members.len() as u64)?;
            sorted(members).into_iter().try_for_each(|member| put_member(member, encoder))?;
        }
    }
    Ok(())
}

fn put_member((name, value): (&str, &Value), encoder: &mut Encoder<&mut Vec<u8>>) -> Written {
    encoder.bytes(name.as_bytes())?;
    put(value, encoder)
}

/// The members in the order of their names' bytes, which begin with the length.
fn sorted(members: &Map<String, Value>) -> Vec<(&str, &Value)> {
    let mut sorted: Vec<(&str, &Value)> = members.iter().map(|(name, value)| (name.as_str(), value)).collect();
    sorted.sort_unstable_by_key(|(name, _)| order(name));
    sorted
}

fn order(name: &str) -> (usize, &str) {
    (name.len(), name)
}

fn put_number(number: &Number, encoder: &mut Encoder<&mut Vec<u8>>) -> Written {
    if let Some(number) = number.as_i64() {
        encoder.i64(number)?;
    } else if let Some(number) = number.as_u64() {
        encoder.u64(number)?;
    } else {
        put_float(number.as_f64().unwrap_or_default(), encoder)?;
    }
    Ok(())
}

/// A float in as few bytes as keep its value.
fn put_float(number: f64, encoder: &mut Encoder<&mut Vec<u8>>) -> Written {
    #[expect(clippy::cast_possible_truncation, reason = "what is lost is looked at")]
    let single = number as f32;
    if f64::from(single) != number {
        encoder.f64(number)?;
        return Ok(());
    }
    match halved(number) {
        Some(half) => {
            let [high, low] = half.to_be_bytes();
            encoder.writer_mut().extend([HALF, high, low]);
        }
        None => _ = encoder.f32(single)?,
    }
    Ok(())
}

/// With what a float of 16 bits begins.
const HALF: u8 = 0xf9;

/// The value of a float of 16 bits.
fn whole(half: u16) -> f64 {
    let (exponent, fraction) = (i32::from(half >> 10 & 0x1f), f64::from(half & 0x3ff));
    let size = match (exponent, half & 0x3ff) {
        (0, _) => fraction * 2_f64.powi(-24),
        (0x1f, 0) => f64::INFINITY,
        (0x1f, _) => f64::NAN,
        (exponent, _) => (1024.0 + fraction) * 2_f64.powi(exponent - 25),
    };
    if half >> 15 == 1 { -size } else { size }
}

/// The float of 16 bits that has exactly this value, if there is one.
fn halved(number: f64) -> Option<u16> {
    let (size, sign) = (number.abs(), u16::from(number.is_sign_negative()) << 15);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is lost is looked at")]
    let half = if size < 2_f64.powi(-14) {
        (size * 2_f64.powi(24)) as u16
    } else {
        // Exponent and fraction stand beside each other, the exponent counted from another number.
        (size.to_bits() >> 42).checked_sub(1008 << 10).filter(|half| *half < 0x7c00)? as u16
    };
    Some(sign | half).filter(|half| whole(*half) == number)
}

fn refused(what: impl std::fmt::Display) -> Error {
    Error::bad_request(format!("the body is not CBOR that can be read here: {what}"))
}

fn broken(error: decode::Error) -> Error {
    refused(error)
}

/// Reads values, and counts them.
struct Reader<'b> {
    decoder: Decoder<'b>,
    depth: usize,
    values: usize,
}

impl Reader<'_> {
    fn value(&mut self) -> Result<Value, Error> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(refused(format_args!("it has more than {VALUES_MAX} values")));
        }
        match self.decoder.datatype().map_err(broken)? {
            Type::Null => self.decoder.null().map(|()| Value::Null).map_err(broken),
            Type::Bool => self.decoder.bool().map(Value::Bool).map_err(broken),
            Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => {
                self.decoder.i64().map(Value::from).map_err(broken)
            }
            Type::F16 | Type::F32 | Type::F64 => {
                let number = self.float()?;
                Number::from_f64(number).map(Value::Number).ok_or_else(|| refused("a number is not finite"))
            }
            Type::Bytes | Type::BytesIndef | Type::String | Type::StringIndef => self.text().map(Value::String),
            Type::Array | Type::ArrayIndef => self.nested(Self::array),
            Type::Map | Type::MapIndef => self.nested(Self::map),
            Type::Tag => self.nested(Self::tagged),
            other @ (Type::Undefined | Type::Simple | Type::Break | Type::Unknown(_)) => {
                Err(refused(format_args!("{other} is no value of JSON")))
            }
        }
    }

    fn float(&mut self) -> Result<f64, Error> {
        let at = self.decoder.position();
        match self.decoder.input().get(at..) {
            Some([HALF, high, low, ..]) => {
                self.decoder.set_position(at + 3);
                Ok(whole(u16::from_be_bytes([*high, *low])))
            }
            Some(_) | None => self.decoder.f64().map_err(broken),
        }
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Result<Value, Error>) -> Result<Value, Error> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(refused(format_args!("it is nested deeper than {DEPTH_MAX} levels")));
        }
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    /// What the length says is believed only as far as there are values.
    fn array(&mut self) -> Result<Value, Error> {
        let mut left = self.decoder.array().map_err(broken)?;
        let mut items = Vec::new();
        while self.goes_on(&mut left)? {
            items.push(self.value()?);
        }
        Ok(Value::Array(items))
    }

    fn map(&mut self) -> Result<Value, Error> {
        let mut left = self.decoder.map().map_err(broken)?;
        let mut members = Map::new();
        while self.goes_on(&mut left)? {
            let name = self.text()?;
            let value = self.value()?;
            if members.contains_key(&name) {
                return Err(refused(format_args!("duplicate field {name:?}")));
            }
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }

    /// Whether an array or map goes on; one without a length ends with a break.
    fn goes_on(&mut self, left: &mut Option<u64>) -> Result<bool, Error> {
        match left {
            Some(0) => Ok(false),
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None if self.decoder.datatype().map_err(broken)? == Type::Break => {
                self.decoder.set_position(self.decoder.position() + 1);
                Ok(false)
            }
            None => Ok(true),
        }
    }

    /// A text; bytes that are one count as such.
    fn text(&mut self) -> Result<String, Error> {
        if let Type::String | Type::StringIndef = self.decoder.datatype().map_err(broken)? {
            let pieces: Result<String, _> = self.decoder.str_iter().map_err(broken)?.collect();
            return pieces.map_err(broken);
        }
        String::from_utf8(self.bytes()?).map_err(|_| refused("a text is not UTF-8"))
    }

    fn bytes(&mut self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        for piece in self.decoder.bytes_iter().map_err(broken)? {
            bytes.extend_from_slice(piece.map_err(broken)?);
        }
        Ok(bytes)
    }

    /// A value of which is said what it means. What is said of it and not known changes nothing.
    fn tagged(&mut self) -> Result<Value, Error> {
        match self.decoder.tag().map_err(broken)?.as_u64() {
            1 => self.time(),
            2 | 3 => Err(refused("a number is too large for JSON")),
            21 => Ok(URL_SAFE.encode(self.bytes()?).into()),
            22 => Ok(STANDARD.encode(self.bytes()?).into()),
            23 => Ok(self.bytes()?.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()),
            _ => self.value(),
        }
    }

    /// Seconds since 1970.
    fn time(&mut self) -> Result<Value, Error> {
        let value = self.value()?;
        let seconds = value.as_f64().filter(|seconds| seconds.abs() < SECONDS_MAX);
        let seconds = seconds.ok_or_else(|| refused("a time is not a number of seconds of this age"))?;
        #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
        let millis = (seconds * 1000.0) as i64;
        Ok(Timestamp(millis).to_string().into())
    }
}

/// The year 9999, to which texts of times reach.
const SECONDS_MAX: f64 = 253_402_300_800.0;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::{Strategy, any, prop};
    use serde_json::json;

    use super::*;

    fn written(value: &Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(value, &mut bytes);
        bytes
    }

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn values_have_the_form_that_kubernetes_gives_them() {
        let cases = [
            (json!(null), "f6"),
            (json!(true), "f5"),
            (json!(0), "00"),
            (json!(-1), "20"),
            (json!(1000), "1903e8"),
            (json!(1.5), "f93e00"),
            (json!(-4.0), "f9c400"),
            (json!(65504.0), "f97bff"),
            (json!(65536.0), "fa47800000"),
            (json!(5.960_464_477_539_063e-8), "f90001"),
            (json!(0.000_061_035_156_25), "f90400"),
            (json!(100_000.0), "fa47c35000"),
            (json!(1.1), "fb3ff199999999999a"),
            (json!("IETF"), "4449455446"),
            (json!([1, [2]]), "82018102"),
            // The shorter name goes first, whatever its letters.
            (json!({"aa": 1, "b": 2}), "a24162024261 6101"),
        ];
        for (value, hex) in cases {
            let expected = [bytes("d9d9f7"), bytes(&hex.replace(' ', ""))].concat();
            assert_eq!(written(&value), expected, "{value}");
            assert_eq!(parse(&expected).unwrap(), value, "{value}");
        }
    }

    #[test]
    fn what_others_write_is_read() {
        let cases = [
            ("6449455446", json!("IETF")),
            ("7f62494562544 6ff", json!("IETF")),
            ("5f424945425446ff", json!("IETF")),
            ("9f01820203ff", json!([1, [2, 3]])),
            ("bf6161019fff02ff", Value::Null),
            ("bf616101616202ff", json!({"a": 1, "b": 2})),
            ("fa3fc00000", json!(1.5)),
            // Bytes that are to be base64, base64 for URLs, or hexadecimal.
            ("d643fbf0ff", json!("+/D/")),
            ("d543fbf0ff", json!("-_D_")),
            ("d743fbf0ff", json!("fbf0ff")),
            ("c074323031332d30332d32315432303a30343a30305a", json!("2013-03-21T20:04:00Z")),
            ("c11a514b67b0", json!("2013-03-21T20:04:00Z")),
            // A tag that nobody knows.
            ("d903e801", json!(1)),
        ];
        for (hex, value) in cases {
            let parsed = parse(&bytes(&hex.replace(' ', "")));
            if value.is_null() {
                assert!(parsed.is_err(), "{hex}: a name must be a text");
            } else {
                assert_eq!(parsed.unwrap(), value, "{hex}");
            }
        }
    }

    #[test]
    fn what_json_cannot_say_is_refused() {
        let cases = [
            ("", "end of input"),
            ("0000", "something follows"),
            ("a2416101416102", "duplicate field \"a\""),
            ("a10102", ""),
            ("f7", "undefined"),
            ("f97e00", "not finite"),
            ("f97c00", "not finite"),
            ("c249010000000000000000", "too large"),
            ("1bffffffffffffffff", ""),
            ("41ff", "UTF-8"),
            ("61ff", ""),
            ("9bffffffffffffffff01", "end of input"),
            ("5bffffffffffffffff01", ""),
            ("ff", "break"),
            ("c1fbffefffffffffffff", "seconds"),
        ];
        for (hex, says) in cases {
            let error = parse(&bytes(hex)).unwrap_err().to_string();
            assert!(error.contains(says), "{hex}: {error}");
        }
    }

    #[test]
    fn what_is_too_deep_or_too_much_is_refused() {
        for (nest, end) in [(vec![0x81], 1), (vec![0xa1, 0x41, b'a'], 1), (vec![0xc6], 1)] {
            let deep = |depth: usize| [nest.repeat(depth), vec![end]].concat();
            assert!(parse(&deep(DEPTH_MAX)).is_ok(), "{nest:?}");
            assert!(parse(&deep(DEPTH_MAX + 1)).unwrap_err().to_string().contains("nested deeper"), "{nest:?}");
            assert!(parse(&deep(1_000_000)).is_err(), "{nest:?}");
        }
        let many = |count: usize| [vec![0x9f], vec![0; count], vec![0xff]].concat();
        assert!(parse(&many(VALUES_MAX - 1)).is_ok());
        assert!(parse(&many(VALUES_MAX)).unwrap_err().to_string().contains("more than"));
    }

    #[test]
    fn a_list_can_be_written_element_by_element() {
        let list = json!({"kind": "L", "apiVersion": "v1", "metadata": {"a": 1}, "items": [1, {"b": 2}], "columnDefinitions": []});
        let mut bytes = Vec::new();
        let behind = write_around("items", 2, list.as_object().unwrap(), &mut bytes);
        list["items"].as_array().unwrap().iter().for_each(|item| write_part(item, &mut bytes));
        bytes.extend(behind);
        assert_eq!(bytes, written(&list));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf =
            prop::sample::select(vec![json!(null), json!(true), json!(0.5), json!(-7), json!(i64::MAX), json!("ä")]);
        leaf.prop_recursive(4, 64, 8, |inner| {
            let list = prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from);
            let members = prop::collection::btree_map("[a-z]{0,4}", inner, 0..8);
            let map = members.prop_map(|members| members.into_iter().collect::<Map<_, _>>().into());
            proptest::prop_oneof![list, map]
        })
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_again(value in value()) {
            assert_eq!(parse(&written(&value)).unwrap(), value);
        }

        #[test]
        fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(value) = parse(&bytes) {
                assert_eq!(parse(&written(&value)).unwrap(), value);
            }
        }
    }
}
