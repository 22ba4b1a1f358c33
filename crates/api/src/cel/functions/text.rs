//! Texts: CEL's own functions, its extension `strings` and Kubernetes' `regex`.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use regex::{Regex, RegexBuilder};

use super::{Line, times};
use crate::cel::{
    fuel::{Fault, Fuel},
    value::{Key, List, Map, Text, Value},
};

pub(super) const TABLE: &[Line] = &[
    (&["jsonpatch.escapeKey(string) string"], escape_key),
    (&["string:contains(string) bool"], contains),
    (&["string:startsWith(string) bool"], starts_with),
    (&["string:endsWith(string) bool"], ends_with),
    (&["string:matches(string) bool", "matches(string, string) bool"], matches),
    (&["string:find(string) string"], find),
    (&["string:findAll(string) list<string>", "string:findAll(string, int) list<string>"], find_all),
    (
        &[
            "string(string) string",
            "string(bool) string",
            "string(int) string",
            "string(uint) string",
            "string(double) string",
            "string(bytes) string",
            "string(timestamp) string",
            "string(duration) string",
            "string(ip) string",
            "string(cidr) string",
        ],
        string,
    ),
    (&["bytes(bytes) bytes", "bytes(string) bytes"], bytes),
    (&["string:charAt(int) string"], char_at),
    (&["string:indexOf(string) int", "string:indexOf(string, int) int", "list<A>:indexOf(A) int"], index_of),
    (
        &["string:lastIndexOf(string) int", "string:lastIndexOf(string, int) int", "list<A>:lastIndexOf(A) int"],
        last_index_of,
    ),
    (&["string:lowerAscii() string"], lower),
    (&["string:upperAscii() string"], upper),
    (&["string:replace(string, string) string", "string:replace(string, string, int) string"], replace),
    (&["string:split(string) list<string>", "string:split(string, int) list<string>"], split),
    (&["string:substring(int) string", "string:substring(int, int) string"], substring),
    (&["string:trim() string"], trim),
    (&["list<string>:join() string", "list<string>:join(string) string"], join),
    (&["strings.quote(string) string"], quote),
    (&["string:format(list<dyn>) string"], format),
    (&["base64.encode(bytes) string"], encode),
    (&["base64.decode(string) bytes"], decode),
];

type Outcome<'a> = Result<Value<'a>, Fault>;

/// Two texts, one of which is looked for in the other.
fn pair<'v, 'a>(args: &'v [Value<'a>], fuel: &mut Fuel) -> Result<(&'v Text<'a>, &'v Text<'a>), Fault> {
    let [Value::Text(text), Value::Text(part), ..] = args else { return Err(Fault::overload()) };
    fuel.bytes(text.len() + part.len())?;
    Ok((text, part))
}

fn one<'v, 'a>(args: &'v [Value<'a>], fuel: &mut Fuel) -> Result<&'v Text<'a>, Fault> {
    let [Value::Text(text), ..] = args else { return Err(Fault::overload()) };
    fuel.bytes(text.len())?;
    Ok(text)
}

/// A number at a place of the arguments.
fn number(args: &[Value<'_>], place: usize) -> Result<Option<i64>, Fault> {
    match args.get(place) {
        None => Ok(None),
        Some(Value::Int(number)) => Ok(Some(*number)),
        Some(_) => Err(Fault::overload()),
    }
}

fn out_of_range(index: i64) -> Fault {
    Fault::value(format!("index out of range: {index}"))
}

fn int<'a>(number: usize) -> Value<'a> {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn contains<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let (text, part) = pair(args, fuel)?;
    Ok(Value::Bool(text.contains(&**part)))
}

fn starts_with<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let (text, part) = pair(args, fuel)?;
    Ok(Value::Bool(text.starts_with(&**part)))
}

fn ends_with<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let (text, part) = pair(args, fuel)?;
    Ok(Value::Bool(text.ends_with(&**part)))
}

/// The most bytes of a pattern when it is compiled: it is compiled each time that it is used.
const MATCHED_BYTES_MAX: usize = 64 << 10;

/// Steps that compiling a pattern takes for each byte of it.
const PATTERN_STEPS: usize = 4;

/// A pattern, paid for by its length and by that of the text.
fn pattern(text: &str, pattern: &str, fuel: &mut Fuel) -> Result<Regex, Fault> {
    fuel.burn(pattern.len() * PATTERN_STEPS)?;
    fuel.bytes(text.len().saturating_mul(1 + pattern.len() / 4))?;
    let built = RegexBuilder::new(pattern).size_limit(MATCHED_BYTES_MAX).dfa_size_limit(MATCHED_BYTES_MAX).build();
    built.map_err(|_| Fault::value(format!("error parsing regexp: {pattern:?}")))
}

fn matches<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let (text, part) = pair(args, fuel)?;
    Ok(Value::Bool(pattern(text, part, fuel)?.is_match(text)))
}

fn find<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let (text, part) = pair(args, fuel)?;
    let found = pattern(text, part, fuel)?;
    Ok(Value::from(found.find(text).map_or("", |found| found.as_str()).to_owned()))
}

fn find_all<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let (text, part) = pair(args, fuel)?;
    let regex = pattern(text, part, fuel)?;
    let most = number(args, 2)?.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    let mut all = Vec::new();
    for found in regex.find_iter(text).take(most) {
        fuel.burn(1)?;
        all.push(Value::from(found.as_str().to_owned()));
    }
    Ok(all.into())
}

fn string<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    Ok(Value::from(match args {
        [text @ Value::Text(_)] => return Ok(text.clone()),
        [Value::Bool(flag)] => flag.to_string(),
        [Value::Int(number)] => number.to_string(),
        [Value::Uint(number)] => number.to_string(),
        [Value::Double(number)] => number.to_string(),
        [Value::Bytes(bytes)] => {
            fuel.bytes(bytes.len())?;
            String::from_utf8(bytes.to_vec())
                .map_err(|_| Fault::value("invalid UTF-8 in bytes, cannot convert to string"))?
        }
        [Value::Timestamp(time)] => time.to_string(),
        [Value::Duration(nanos)] => times::seconds(*nanos),
        [Value::Ip(address)] => address.to_string(),
        [Value::Cidr(address, length)] => format!("{address}/{length}"),
        _ => return Err(Fault::overload()),
    }))
}

fn bytes<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    match args {
        [bytes @ Value::Bytes(_)] => Ok(bytes.clone()),
        [Value::Text(text)] => {
            fuel.bytes(text.len())?;
            Ok(Value::Bytes(text.as_bytes().into()))
        }
        _ => Err(Fault::overload()),
    }
}

fn char_at<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let text = one(args, fuel)?;
    let index = number(args, 1)?.ok_or_else(Fault::overload)?;
    let place = usize::try_from(index).map_err(|_| out_of_range(index))?;
    match text.chars().nth(place) {
        Some(char) => Ok(Value::from(char.to_string())),
        None if text.chars().count() == place => Ok(Value::from("")),
        None => Err(out_of_range(index)),
    }
}

fn index_of<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    if let [Value::List(list), item] = args {
        return place_of(list.iter().enumerate(), item, fuel);
    }
    let (text, part) = pair(args, fuel)?;
    let from = number(args, 2)?.unwrap_or_default();
    let skipped = usize::try_from(from).map_err(|_| out_of_range(from))?;
    let start = byte_of(text, skipped).ok_or_else(|| out_of_range(from))?;
    Ok(text[start..]
        .find(&**part)
        .map_or(Value::Int(-1), |found| int(skipped + text[start..start + found].chars().count())))
}

fn last_index_of<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    if let [Value::List(list), item] = args {
        let items: Vec<_> = list.iter().enumerate().collect();
        return place_of(items.into_iter().rev(), item, fuel);
    }
    let (text, part) = pair(args, fuel)?;
    let until = match number(args, 2)? {
        None => text.len(),
        Some(until) => {
            let place = usize::try_from(until)
                .ok()
                .and_then(|until| byte_of(text, until))
                .ok_or_else(|| out_of_range(until))?;
            (place + part.len()).min(text.len())
        }
    };
    let within = &text[..text.floor_char_boundary(until)];
    Ok(within.rfind(&**part).map_or(Value::Int(-1), |found| int(text[..found].chars().count())))
}

fn place_of<'a>(items: impl Iterator<Item = (usize, Value<'a>)>, item: &Value<'a>, fuel: &mut Fuel) -> Outcome<'a> {
    for (place, other) in items {
        if other.same(item, fuel)? {
            return Ok(int(place));
        }
    }
    Ok(Value::Int(-1))
}

/// The byte at which a character begins, or at which the text ends.
fn byte_of(text: &str, chars: usize) -> Option<usize> {
    text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(chars)
}

/// A key as RFC 6901 writes it within a path.
fn escape_key<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    Ok(Value::from(one(args, fuel)?.replace('~', "~0").replace('/', "~1")))
}

fn lower<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    Ok(Value::from(one(args, fuel)?.to_ascii_lowercase()))
}

fn upper<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    Ok(Value::from(one(args, fuel)?.to_ascii_uppercase()))
}

fn replace<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let [Value::Text(text), Value::Text(from), Value::Text(to), ..] = args else { return Err(Fault::overload()) };
    let most = number(args, 3)?.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    // Each place of the text may take the new part: pay for that before it is made.
    let places = (text.len() / from.len().max(1) + 1).min(most);
    fuel.bytes(text.len().saturating_add(places.saturating_mul(to.len())))?;
    Ok(Value::from(text.replacen(&**from, to, most)))
}

fn split<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let (text, part) = pair(args, fuel)?;
    let most = match number(args, 2)? {
        Some(0) => return Ok(Vec::new().into()),
        Some(most) => usize::try_from(most).unwrap_or(usize::MAX),
        None => usize::MAX,
    };
    let mut parts = Vec::new();
    if part.is_empty() {
        let mut rest: &str = text;
        while let Some(char) = rest.chars().next() {
            fuel.burn(1)?;
            let (first, behind) = if parts.len() + 1 == most { (rest, "") } else { rest.split_at(char.len_utf8()) };
            parts.push(Value::from(first.to_owned()));
            rest = behind;
        }
        return Ok(parts.into());
    }
    for part in text.splitn(most, &**part) {
        fuel.burn(1)?;
        parts.push(Value::from(part.to_owned()));
    }
    Ok(parts.into())
}

fn substring<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let text = one(args, fuel)?;
    let place = |index: i64| {
        usize::try_from(index).ok().and_then(|index| byte_of(text, index)).ok_or_else(|| out_of_range(index))
    };
    let from = number(args, 1)?.ok_or_else(Fault::overload)?;
    let start = place(from)?;
    let end = number(args, 2)?.map_or(Ok(text.len()), place)?;
    let part = text.get(start..end).ok_or_else(|| Fault::value(format!("invalid substring range. start: {from}")))?;
    Ok(Value::from(part.to_owned()))
}

fn trim<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    Ok(Value::from(one(args, fuel)?.trim().to_owned()))
}

fn join<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let (list, between) = match args {
        [Value::List(list)] => (list, ""),
        [Value::List(list), Value::Text(between)] => (list, &**between),
        _ => return Err(Fault::overload()),
    };
    let mut joined = String::new();
    for (place, item) in list.iter().enumerate() {
        let Value::Text(text) = item else { return Err(Fault::overload()) };
        fuel.burn(1)?;
        fuel.bytes(text.len() + between.len())?;
        joined.push_str(if place == 0 { "" } else { between });
        joined.push_str(&text);
    }
    Ok(Value::from(joined))
}

fn quote<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    Ok(Value::from(serde_json::Value::from(&**one(args, fuel)?).to_string()))
}

fn encode<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let [Value::Bytes(bytes)] = args else { return Err(Fault::overload()) };
    fuel.bytes(bytes.len())?;
    Ok(Value::from(STANDARD.encode(bytes)))
}

fn decode<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let text = one(args, fuel)?;
    let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| Fault::value("illegal base64 data"))?;
    Ok(Value::Bytes(bytes.into()))
}

/// The most digits behind the point that a format may ask for.
const DIGITS_MAX: usize = 64;

/// `'%s has %d'.format([…])`.
fn format<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let [Value::Text(template), Value::List(list)] = args else { return Err(Fault::overload()) };
    fuel.bytes(template.len())?;
    let mut out = String::new();
    let mut values = list.iter();
    let mut rest: &str = template;
    while let Some((before, behind)) = rest.split_once('%') {
        out.push_str(before);
        if let Some(behind) = behind.strip_prefix('%') {
            out.push('%');
            rest = behind;
            continue;
        }
        let (digits, behind) = precision(behind)?;
        let clause = behind.chars().next().ok_or_else(|| Fault::value("unexpected end of string"))?;
        let value = values.next().ok_or_else(|| Fault::value("index out of range: too few arguments to format"))?;
        let start = out.len();
        clause_of(clause, digits, &value, &mut out, fuel)?;
        fuel.bytes(out.len() - start)?;
        rest = &behind[clause.len_utf8()..];
    }
    out.push_str(rest);
    Ok(Value::from(out))
}

/// `.3`, and what follows.
fn precision(text: &str) -> Result<(usize, &str), Fault> {
    let Some(text) = text.strip_prefix('.') else { return Ok((6, text)) };
    let (digits, rest) = text.split_at(text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len()));
    let digits = digits.parse().ok().filter(|digits| *digits <= DIGITS_MAX);
    Ok((digits.ok_or_else(|| Fault::value("error while parsing precision"))?, rest))
}

fn clause_of(clause: char, digits: usize, value: &Value<'_>, out: &mut String, fuel: &mut Fuel) -> Result<(), Fault> {
    let wrong = || Fault::value(format!("could not convert argument of type {} for %{clause}", value.type_name()));
    let written = match (clause, value) {
        ('s', value) => return shown(value, out, fuel),
        ('d', Value::Int(number)) => write!(out, "{number}"),
        ('d', Value::Uint(number)) => write!(out, "{number}"),
        ('f', Value::Double(number)) => write!(out, "{number:.digits$}"),
        ('e', Value::Double(number)) => write!(out, "{number:.digits$e}"),
        ('b', Value::Int(number)) => write!(out, "{}{:b}", if *number < 0 { "-" } else { "" }, number.unsigned_abs()),
        ('b', Value::Uint(number)) => write!(out, "{number:b}"),
        ('b', Value::Bool(flag)) => write!(out, "{}", u8::from(*flag)),
        ('o', Value::Int(number)) => write!(out, "{}{:o}", if *number < 0 { "-" } else { "" }, number.unsigned_abs()),
        ('o', Value::Uint(number)) => write!(out, "{number:o}"),
        ('x', Value::Int(number)) => write!(out, "{}{:x}", if *number < 0 { "-" } else { "" }, number.unsigned_abs()),
        ('X', Value::Int(number)) => write!(out, "{}{:X}", if *number < 0 { "-" } else { "" }, number.unsigned_abs()),
        ('x', Value::Uint(number)) => write!(out, "{number:x}"),
        ('X', Value::Uint(number)) => write!(out, "{number:X}"),
        ('x', Value::Text(text)) => {
            fuel.bytes(text.len())?;
            text.bytes().try_for_each(|byte| write!(out, "{byte:02x}"))
        }
        ('X', Value::Text(text)) => {
            fuel.bytes(text.len())?;
            text.bytes().try_for_each(|byte| write!(out, "{byte:02X}"))
        }
        _ => return Err(wrong()),
    };
    written.map_err(|_| wrong())
}

/// A value as people read it.
fn shown(value: &Value<'_>, out: &mut String, fuel: &mut Fuel) -> Result<(), Fault> {
    fuel.burn(1)?;
    let wrong = || Fault::overload();
    match value {
        Value::Text(text) => {
            fuel.bytes(text.len())?;
            out.push_str(text);
        }
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => write!(out, "{flag}").map_err(|_| wrong())?,
        Value::Int(number) => write!(out, "{number}").map_err(|_| wrong())?,
        Value::Uint(number) => write!(out, "{number}").map_err(|_| wrong())?,
        Value::Double(number) => write!(out, "{number}").map_err(|_| wrong())?,
        Value::Bytes(bytes) => out.push_str(&String::from_utf8_lossy(bytes)),
        Value::Timestamp(time) => write!(out, "{time}").map_err(|_| wrong())?,
        Value::Duration(nanos) => out.push_str(&times::seconds(*nanos)),
        Value::Type(name) => out.push_str(name),
        Value::List(list) => shown_list(list, out, fuel)?,
        Value::Map(map) => shown_map(map, out, fuel)?,
        Value::Optional(_)
        | Value::Quantity(_)
        | Value::Ip(_)
        | Value::Cidr(..)
        | Value::Url(_)
        | Value::Semver(_)
        | Value::Format(_) => return Err(wrong()),
    }
    Ok(())
}

fn shown_list(list: &List<'_>, out: &mut String, fuel: &mut Fuel) -> Result<(), Fault> {
    out.push('[');
    for (place, item) in list.iter().enumerate() {
        out.push_str(if place == 0 { "" } else { ", " });
        shown(&item, out, fuel)?;
    }
    out.push(']');
    Ok(())
}

fn shown_map(map: &Map<'_>, out: &mut String, fuel: &mut Fuel) -> Result<(), Fault> {
    out.push('{');
    for (place, key) in map.keys().iter().filter_map(Value::key).enumerate() {
        let Some(value) = map.get(&key) else { continue };
        out.push_str(if place == 0 { "" } else { ", " });
        shown(&Key::value(&key), out, fuel)?;
        out.push_str(": ");
        shown(&value, out, fuel)?;
    }
    out.push('}');
    Ok(())
}
