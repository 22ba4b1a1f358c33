//! Semantic versions, and Kubernetes' named formats of texts.

use std::{cmp::Ordering, rc::Rc};

use super::Line;
use crate::{
    cel::{
        fuel::{Fault, Fuel},
        value::Value,
    },
    validate::names,
};

pub(super) const TABLE: &[Line] = &[
    (&["semver(string) semver", "semver(string, bool) semver"], semver),
    (&["isSemver(string) bool", "isSemver(string, bool) bool"], is_semver),
    (&["semver:major() int"], major),
    (&["semver:minor() int"], minor),
    (&["semver:patch() int"], patch),
    (&["format.named(string) optional<format>"], named),
    (&["format.dns1123Label() format"], |_, _| Ok(Value::Format("dns1123Label"))),
    (&["format.dns1123Subdomain() format"], |_, _| Ok(Value::Format("dns1123Subdomain"))),
    (&["format.dns1035Label() format"], |_, _| Ok(Value::Format("dns1035Label"))),
    (&["format.qualifiedName() format"], |_, _| Ok(Value::Format("qualifiedName"))),
    (&["format.dns1123LabelPrefix() format"], |_, _| Ok(Value::Format("dns1123LabelPrefix"))),
    (&["format.dns1123SubdomainPrefix() format"], |_, _| Ok(Value::Format("dns1123SubdomainPrefix"))),
    (&["format.dns1035LabelPrefix() format"], |_, _| Ok(Value::Format("dns1035LabelPrefix"))),
    (&["format.labelValue() format"], |_, _| Ok(Value::Format("labelValue"))),
    (&["format.uri() format"], |_, _| Ok(Value::Format("uri"))),
    (&["format.uuid() format"], |_, _| Ok(Value::Format("uuid"))),
    (&["format.byte() format"], |_, _| Ok(Value::Format("byte"))),
    (&["format.date() format"], |_, _| Ok(Value::Format("date"))),
    (&["format.datetime() format"], |_, _| Ok(Value::Format("datetime"))),
    (&["format:validate(string) optional<list<string>>"], validate),
];

type Outcome<'a> = Result<Value<'a>, Fault>;

/// A version such as `1.2.3-rc.1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Semver {
    numbers: [u64; 3],
    pre: Vec<String>,
}

impl Semver {
    /// Reads a version; `None` if it is none. A lenient reader takes a `v`, and fewer numbers, and zeros before them.
    fn read(text: &str, lenient: bool) -> Option<Self> {
        let text = if lenient { text.strip_prefix('v').unwrap_or(text) } else { text };
        let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
        let (numbers, pre) = text.split_once('-').map_or((text, None), |(text, pre)| (text, Some(pre)));
        let words = |text: &str| -> Option<Vec<String>> {
            let good =
                |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            text.split('.').map(|word| good(word).then(|| word.to_owned())).collect()
        };
        if build.is_some_and(|build| words(build).is_none()) {
            return None;
        }
        let pre = pre.map_or(Some(Vec::new()), words)?;
        let mut parts: Vec<u64> = Vec::new();
        for word in numbers.split('.') {
            let plain = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
            if !plain || !lenient && word.len() > 1 && word.starts_with('0') {
                return None;
            }
            parts.push(word.parse().ok()?);
        }
        while lenient && parts.len() < 3 {
            parts.push(0);
        }
        Some(Self { numbers: parts.try_into().ok()?, pre })
    }
}

pub(super) fn order(one: &Semver, other: &Semver) -> Ordering {
    let pre = || match (one.pre.is_empty(), other.pre.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            let words = one.pre.iter().zip(&other.pre).map(|(one, other)| word_order(one, other));
            words.fold(Ordering::Equal, Ordering::then).then(one.pre.len().cmp(&other.pre.len()))
        }
    };
    one.numbers.cmp(&other.numbers).then_with(pre)
}

/// Numbers before words.
fn word_order(one: &str, other: &str) -> Ordering {
    match (one.parse::<u64>(), other.parse::<u64>()) {
        (Ok(one), Ok(other)) => one.cmp(&other),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => one.cmp(other),
    }
}

fn read(args: &[Value<'_>], fuel: &mut Fuel) -> Result<Option<Semver>, Fault> {
    let (text, lenient) = match args {
        [Value::Text(text)] => (text, false),
        [Value::Text(text), Value::Bool(lenient)] => (text, *lenient),
        _ => return Err(Fault::overload()),
    };
    fuel.bytes(text.len())?;
    Ok(Semver::read(text, lenient))
}

fn semver<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let version = read(args, fuel)?.ok_or_else(|| Fault::value("the text is no semantic version"))?;
    Ok(Value::Semver(Rc::new(version)))
}

fn is_semver<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    Ok(Value::Bool(read(args, fuel)?.is_some()))
}

fn number<'a>(args: &[Value<'a>], place: usize) -> Outcome<'a> {
    match args {
        [Value::Semver(version)] => Ok(Value::Int(i64::try_from(version.numbers[place]).unwrap_or(i64::MAX))),
        _ => Err(Fault::overload()),
    }
}

fn major<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    number(args, 0)
}

fn minor<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    number(args, 1)
}

fn patch<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    number(args, 2)
}

/// The names by which formats are found.
const FORMATS: [&str; 13] = [
    "dns1123Label",
    "dns1123Subdomain",
    "dns1035Label",
    "qualifiedName",
    "dns1123LabelPrefix",
    "dns1123SubdomainPrefix",
    "dns1035LabelPrefix",
    "labelValue",
    "uri",
    "uuid",
    "byte",
    "date",
    "datetime",
];

fn named<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    let [Value::Text(name)] = args else { return Err(Fault::overload()) };
    let found = FORMATS.into_iter().find(|known| *known == &**name);
    Ok(Value::Optional(found.map(|name| Rc::new(Value::Format(name)))))
}

/// What is wrong with a text; nothing if it is of the format.
fn validate<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let [Value::Format(format), Value::Text(text)] = args else { return Err(Fault::overload()) };
    fuel.bytes(text.len())?;
    // The rest of a generated name is letters and digits.
    let prefix = || format!("{}x", text.trim_end_matches('-'));
    let wrong = match *format {
        "dns1123Label" => names::dns_label(text),
        "dns1123Subdomain" => names::dns_subdomain(text),
        "dns1035Label" => names::dns_1035_label(text),
        "qualifiedName" => names::qualified(text),
        "dns1123LabelPrefix" => names::dns_label(&prefix()),
        "dns1123SubdomainPrefix" => names::dns_subdomain(&prefix()),
        "dns1035LabelPrefix" => names::dns_1035_label(&prefix()),
        "labelValue" => names::label_value(text),
        other if crate::formats::fits(other, text) => Vec::new(),
        other => vec![format!("must be of the format {other}")],
    };
    let list = |wrong: Vec<String>| Value::from(wrong.into_iter().map(Value::from).collect::<Vec<Value<'a>>>());
    Ok(Value::Optional((!wrong.is_empty()).then(|| Rc::new(list(wrong)))))
}
