//! Operators, comparisons and conversions.

use std::{cmp::Ordering, rc::Rc};

use super::{Line, times};
use crate::cel::{
    fuel::{Fault, Fuel},
    value::{Key, List, Value},
};

pub(super) const TABLE: &[Line] = &[
    (
        &[
            "_==_(A, A) bool",
            "_==_(int, double) bool",
            "_==_(double, int) bool",
            "_==_(int, uint) bool",
            "_==_(uint, int) bool",
        ],
        equal,
    ),
    (
        &[
            "_!=_(A, A) bool",
            "_!=_(int, double) bool",
            "_!=_(double, int) bool",
            "_!=_(int, uint) bool",
            "_!=_(uint, int) bool",
        ],
        unequal,
    ),
    (LESS, less),
    (LESS_OR_EQUAL, less_or_equal),
    (GREATER, greater),
    (GREATER_OR_EQUAL, greater_or_equal),
    (&["!_(bool) bool"], not),
    (&["-_(int) int", "-_(double) double"], negate),
    (
        &[
            "_+_(int, int) int",
            "_+_(uint, uint) uint",
            "_+_(double, double) double",
            "_+_(string, string) string",
            "_+_(bytes, bytes) bytes",
            "_+_(list<A>, list<A>) list<A>",
            "_+_(timestamp, duration) timestamp",
            "_+_(duration, timestamp) timestamp",
            "_+_(duration, duration) duration",
        ],
        add,
    ),
    (
        &[
            "_-_(int, int) int",
            "_-_(uint, uint) uint",
            "_-_(double, double) double",
            "_-_(timestamp, timestamp) duration",
            "_-_(timestamp, duration) timestamp",
            "_-_(duration, duration) duration",
        ],
        subtract,
    ),
    (&["_*_(int, int) int", "_*_(uint, uint) uint", "_*_(double, double) double"], multiply),
    (&["_/_(int, int) int", "_/_(uint, uint) uint", "_/_(double, double) double"], divide),
    (&["_%_(int, int) int", "_%_(uint, uint) uint"], remainder),
    (&["@in(A, list<A>) bool", "@in(A, map<A, B>) bool"], within),
    (
        &[
            "size(string) int",
            "size(bytes) int",
            "size(list<A>) int",
            "size(map<A, B>) int",
            "string:size() int",
            "bytes:size() int",
            "list<A>:size() int",
            "map<A, B>:size() int",
        ],
        size,
    ),
    (
        &[
            "int(int) int",
            "int(uint) int",
            "int(double) int",
            "int(string) int",
            "int(timestamp) int",
            "int(duration) int",
        ],
        int,
    ),
    (&["uint(uint) uint", "uint(int) uint", "uint(double) uint", "uint(string) uint"], uint),
    (&["double(double) double", "double(int) double", "double(uint) double", "double(string) double"], double),
    (&["bool(bool) bool", "bool(string) bool"], boolean),
    (&["dyn(A) dyn"], same),
    (&["type(dyn) type"], type_of),
    (&["optional.of(A) optional<A>"], optional_of),
    (&["optional.none() optional<dyn>"], optional_none),
    (&["optional.ofNonZeroValue(A) optional<A>"], optional_of_non_zero),
    (&["optional<A>:hasValue() bool"], has_value),
    (&["optional<A>:value() A"], value),
    (&["optional<A>:or(optional<A>) optional<A>"], or),
    (&["optional<A>:orValue(A) A"], or),
];

const LESS: &[&str] = &[
    "_<_(bool, bool) bool",
    "_<_(int, int) bool",
    "_<_(uint, uint) bool",
    "_<_(double, double) bool",
    "_<_(string, string) bool",
    "_<_(bytes, bytes) bool",
    "_<_(timestamp, timestamp) bool",
    "_<_(duration, duration) bool",
    "_<_(int, uint) bool",
    "_<_(uint, int) bool",
    "_<_(int, double) bool",
    "_<_(double, int) bool",
    "_<_(uint, double) bool",
    "_<_(double, uint) bool",
];
const LESS_OR_EQUAL: &[&str] = &[
    "_<=_(bool, bool) bool",
    "_<=_(int, int) bool",
    "_<=_(uint, uint) bool",
    "_<=_(double, double) bool",
    "_<=_(string, string) bool",
    "_<=_(bytes, bytes) bool",
    "_<=_(timestamp, timestamp) bool",
    "_<=_(duration, duration) bool",
    "_<=_(int, uint) bool",
    "_<=_(uint, int) bool",
    "_<=_(int, double) bool",
    "_<=_(double, int) bool",
    "_<=_(uint, double) bool",
    "_<=_(double, uint) bool",
];
const GREATER: &[&str] = &[
    "_>_(bool, bool) bool",
    "_>_(int, int) bool",
    "_>_(uint, uint) bool",
    "_>_(double, double) bool",
    "_>_(string, string) bool",
    "_>_(bytes, bytes) bool",
    "_>_(timestamp, timestamp) bool",
    "_>_(duration, duration) bool",
    "_>_(int, uint) bool",
    "_>_(uint, int) bool",
    "_>_(int, double) bool",
    "_>_(double, int) bool",
    "_>_(uint, double) bool",
    "_>_(double, uint) bool",
];
const GREATER_OR_EQUAL: &[&str] = &[
    "_>=_(bool, bool) bool",
    "_>=_(int, int) bool",
    "_>=_(uint, uint) bool",
    "_>=_(double, double) bool",
    "_>=_(string, string) bool",
    "_>=_(bytes, bytes) bool",
    "_>=_(timestamp, timestamp) bool",
    "_>=_(duration, duration) bool",
    "_>=_(int, uint) bool",
    "_>=_(uint, int) bool",
    "_>=_(int, double) bool",
    "_>=_(double, int) bool",
    "_>=_(uint, double) bool",
    "_>=_(double, uint) bool",
];

type Outcome<'a> = Result<Value<'a>, Fault>;

fn overflow() -> Fault {
    Fault::value("integer overflow")
}

fn equal<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let [one, other] = args else { return Err(Fault::overload()) };
    one.same(other, fuel).map(Value::Bool)
}

fn unequal<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let [one, other] = args else { return Err(Fault::overload()) };
    one.same(other, fuel).map(|same| Value::Bool(!same))
}

/// What has no order is compared with nothing; not a number is neither less nor more.
fn compare<'a>(args: &[Value<'a>], fuel: &mut Fuel, holds: fn(Ordering) -> bool) -> Outcome<'a> {
    let [one, other] = args else { return Err(Fault::overload()) };
    match one.order(other, fuel)? {
        Some(order) => Ok(Value::Bool(holds(order))),
        None if matches!((one, other), (Value::Double(_), _) | (_, Value::Double(_))) => Ok(Value::Bool(false)),
        None => Err(Fault::overload()),
    }
}

fn less<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    compare(args, fuel, Ordering::is_lt)
}

fn less_or_equal<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    compare(args, fuel, Ordering::is_le)
}

fn greater<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    compare(args, fuel, Ordering::is_gt)
}

fn greater_or_equal<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    compare(args, fuel, Ordering::is_ge)
}

fn not<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    match args {
        [Value::Bool(flag)] => Ok(Value::Bool(!flag)),
        _ => Err(Fault::overload()),
    }
}

fn negate<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    match args {
        [Value::Int(number)] => number.checked_neg().map(Value::Int).ok_or_else(overflow),
        [Value::Double(number)] => Ok(Value::Double(-number)),
        _ => Err(Fault::overload()),
    }
}

fn add<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    match args {
        [Value::Int(one), Value::Int(other)] => one.checked_add(*other).map(Value::Int).ok_or_else(overflow),
        [Value::Uint(one), Value::Uint(other)] => one.checked_add(*other).map(Value::Uint).ok_or_else(overflow),
        [Value::Double(one), Value::Double(other)] => Ok(Value::Double(one + other)),
        [Value::Text(one), Value::Text(other)] => {
            fuel.bytes(one.len() + other.len())?;
            Ok(Value::from([&**one, &**other].concat()))
        }
        [Value::Bytes(one), Value::Bytes(other)] => {
            fuel.bytes(one.len() + other.len())?;
            Ok(Value::Bytes([&**one, &**other].concat().into()))
        }
        [Value::List(one), Value::List(other)] => concat(one, other, fuel),
        [Value::Timestamp(_) | Value::Duration(_), Value::Timestamp(_) | Value::Duration(_)] => times::add(args),
        _ => Err(Fault::overload()),
    }
}

/// Two lists as one. Elements that are told apart by what they are, or by their keys, are there once.
fn concat<'a>(one: &List<'a>, other: &List<'a>, fuel: &mut Fuel) -> Outcome<'a> {
    use crate::cel::types::Unique;
    fuel.burn(one.len() + other.len())?;
    let mut items: Vec<Value<'a>> = one.iter().collect();
    match one.unique() {
        Unique::Place => items.extend(other.iter()),
        Unique::Value => {
            for item in other.iter() {
                if !one.contains(&item, fuel)? {
                    items.push(item);
                }
            }
        }
        Unique::Keys(keys) => {
            for item in other.iter() {
                match twin(&items, &item, keys, fuel)? {
                    Some(place) => items[place] = item,
                    None => items.push(item),
                }
            }
        }
    }
    Ok(items.into())
}

/// Where the element with the same keys stands.
fn twin<'a>(items: &[Value<'a>], item: &Value<'a>, keys: &[String], fuel: &mut Fuel) -> Result<Option<usize>, Fault> {
    let field = |value: &Value<'a>, key: &str| if let Value::Map(map) = value { map.field(key) } else { None };
    for (place, other) in items.iter().enumerate() {
        let mut same = true;
        for key in keys {
            same &= match (field(item, key), field(other, key)) {
                (Some(one), Some(other)) => one.same(&other, fuel)?,
                (None, None) => true,
                _ => false,
            };
        }
        if same {
            return Ok(Some(place));
        }
    }
    Ok(None)
}

fn subtract<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    match args {
        [Value::Int(one), Value::Int(other)] => one.checked_sub(*other).map(Value::Int).ok_or_else(overflow),
        [Value::Uint(one), Value::Uint(other)] => one.checked_sub(*other).map(Value::Uint).ok_or_else(overflow),
        [Value::Double(one), Value::Double(other)] => Ok(Value::Double(one - other)),
        _ => times::subtract(args),
    }
}

fn multiply<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    match args {
        [Value::Int(one), Value::Int(other)] => one.checked_mul(*other).map(Value::Int).ok_or_else(overflow),
        [Value::Uint(one), Value::Uint(other)] => one.checked_mul(*other).map(Value::Uint).ok_or_else(overflow),
        [Value::Double(one), Value::Double(other)] => Ok(Value::Double(one * other)),
        _ => Err(Fault::overload()),
    }
}

fn divide<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => Err(Fault::value("division by zero")),
        [Value::Int(one), Value::Int(other)] => one.checked_div(*other).map(Value::Int).ok_or_else(overflow),
        [Value::Uint(one), Value::Uint(other)] => Ok(Value::Uint(one / other)),
        [Value::Double(one), Value::Double(other)] => Ok(Value::Double(one / other)),
        _ => Err(Fault::overload()),
    }
}

fn remainder<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => Err(Fault::value("modulus by zero")),
        [Value::Int(one), Value::Int(other)] => one.checked_rem(*other).map(Value::Int).ok_or_else(overflow),
        [Value::Uint(one), Value::Uint(other)] => Ok(Value::Uint(one % other)),
        _ => Err(Fault::overload()),
    }
}

fn within<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    match args {
        [item, Value::List(list)] => list.contains(item, fuel).map(Value::Bool),
        [key, Value::Map(map)] => Ok(Value::Bool(key.key().is_some_and(|key: Key| map.get(&key).is_some()))),
        _ => Err(Fault::overload()),
    }
}

fn size<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let size = match args {
        [Value::Text(text)] => {
            fuel.bytes(text.len())?;
            text.chars().count()
        }
        [Value::Bytes(bytes)] => bytes.len(),
        [Value::List(list)] => list.len(),
        [Value::Map(map)] => map.len(),
        _ => return Err(Fault::overload()),
    };
    Ok(Value::Int(i64::try_from(size).unwrap_or(i64::MAX)))
}

/// The whole part of a number that fits between two others.
fn whole(number: f64, from: f64, to: f64) -> Result<i128, Fault> {
    #[expect(clippy::cast_possible_truncation, reason = "the whole part, within bounds that were looked at")]
    if number > from && number < to { Ok(number.trunc() as i128) } else { Err(overflow()) }
}

fn int<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    Ok(Value::Int(match args {
        [Value::Int(number)] => *number,
        [Value::Uint(number)] => i64::try_from(*number).map_err(|_| overflow())?,
        [Value::Double(number)] => i64::try_from(whole(*number, -9.3e18, 9.3e18)?).map_err(|_| overflow())?,
        [Value::Text(text)] => {
            fuel.bytes(text.len())?;
            text.parse().map_err(|_| Fault::value("type conversion error from 'string' to 'int'"))?
        }
        [Value::Timestamp(time)] => time.as_second(),
        [Value::Duration(nanos)] => *nanos,
        _ => return Err(Fault::overload()),
    }))
}

fn uint<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    Ok(Value::Uint(match args {
        [Value::Uint(number)] => *number,
        [Value::Int(number)] => u64::try_from(*number).map_err(|_| Fault::value("unsigned integer overflow"))?,
        [Value::Double(number)] => u64::try_from(whole(*number, -1.0, 1.9e19)?).map_err(|_| overflow())?,
        [Value::Text(text)] => {
            fuel.bytes(text.len())?;
            text.parse().map_err(|_| Fault::value("type conversion error from 'string' to 'uint'"))?
        }
        _ => return Err(Fault::overload()),
    }))
}

#[expect(clippy::cast_precision_loss, reason = "what CEL's double() does")]
fn double<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    Ok(Value::Double(match args {
        [Value::Double(number)] => *number,
        [Value::Int(number)] => *number as f64,
        [Value::Uint(number)] => *number as f64,
        [Value::Text(text)] => {
            fuel.bytes(text.len())?;
            text.parse().map_err(|_| Fault::value("type conversion error from 'string' to 'double'"))?
        }
        _ => return Err(Fault::overload()),
    }))
}

fn boolean<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    match args {
        [Value::Bool(flag)] => Ok(Value::Bool(*flag)),
        [Value::Text(text)] => match &**text {
            "1" | "t" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err(Fault::value("type conversion error from 'string' to 'bool'")),
        },
        _ => Err(Fault::overload()),
    }
}

fn same<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    args.first().cloned().ok_or_else(Fault::overload)
}

fn type_of<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    args.first().map(|value| Value::Type(value.type_name())).ok_or_else(Fault::overload)
}

fn optional_of<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    same(args, fuel).map(|value| Value::Optional(Some(Rc::new(value))))
}

fn optional_none<'a>(_: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    Ok(Value::Optional(None))
}

fn optional_of_non_zero<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let value = same(args, fuel)?;
    Ok(Value::Optional((!value.is_zero()).then(|| Rc::new(value))))
}

fn has_value<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    match args {
        [Value::Optional(inner)] => Ok(Value::Bool(inner.is_some())),
        _ => Err(Fault::overload()),
    }
}

fn value<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    match args {
        [Value::Optional(Some(inner))] => Ok((**inner).clone()),
        [Value::Optional(None)] => Err(Fault::value("optional.none() dereference")),
        _ => Err(Fault::overload()),
    }
}

/// `or` and `orValue` look at their second operand only if they must: `eval` sees to it, and nobody comes here.
fn or<'a>(_: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    Err(Fault::overload())
}
