//! What plain scalars mean: YAML 1.1 as `kubectl` reads it. The table in the tests is what kubectl 1.32 made of the same texts.

use serde_json::{Number, Value};

use crate::json;

/// The value of a plain scalar.
///
/// # Errors
/// If it is a number that JSON does not have.
pub(super) fn resolve(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Ok(true.into()),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Ok(false.into());
        }
        _ => {}
    }
    let unsigned = text.trim_start_matches(['+', '-']);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return Err(format!("{text} is a number that JSON does not have; put it in quotes if it is a text"));
    }
    if !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return Ok(Value::from(text));
    }
    let digits = text.replace('_', "");
    let number = integer(&digits).or_else(|| float(&digits).filter(|_| text.bytes().all(is_of_a_float)));
    Ok(number.map_or_else(|| Value::from(text), Value::Number))
}

/// Whether a value is of one of YAML's own types.
pub(super) fn is(value: &Value, wanted: &str) -> bool {
    match wanted {
        "null" => value.is_null(),
        "bool" => value.is_boolean(),
        "int" => value.is_i64() || value.is_u64(),
        _ => value.is_number(),
    }
}

/// Decimal, `0x`, `0o`, `0b`, and octal with nothing but a leading zero.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // `from_str_radix` would take a second sign.
    if !digits.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return None;
    }
    let amount = u64::from_str_radix(digits, radix).ok()?;
    if negative { Some(Number::from(0_i64.checked_sub_unsigned(amount)?)) } else { Some(Number::from(amount)) }
}

/// `1.5`, `.5`, `1.`, `1e3`; what `0899` is, too.
fn float(digits: &str) -> Option<Number> {
    let number: f64 = digits.parse().ok()?;
    json::whole(number).map(Number::from).or_else(|| Number::from_f64(number))
}

/// Whether a letter may stand in a float: `infinity` is a word.
fn is_of_a_float(letter: u8) -> bool {
    letter.is_ascii_digit() || matches!(letter, b'+' | b'-' | b'.' | b'e' | b'E' | b'_')
}
