//! URLs, addresses and ranges of addresses.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    rc::Rc,
};

use super::Line;
use crate::cel::{
    fuel::{Fault, Fuel},
    value::{Key, Map, Value},
};

pub(super) const TABLE: &[Line] = &[
    (&["url(string) url"], url),
    (&["isURL(string) bool"], is_url),
    (&["url:getScheme() string"], |args, _| part(args, |url| url.scheme.clone())),
    (&["url:getHost() string"], |args, _| part(args, |url| url.host.clone())),
    (&["url:getHostname() string"], |args, _| part(args, Url::hostname)),
    (&["url:getPort() string"], |args, _| part(args, Url::port)),
    (&["url:getEscapedPath() string"], |args, _| part(args, |url| url.path.clone())),
    (&["url:getQuery() map<string, list<string>>"], query),
    (&["ip(string) ip", "cidr:ip() ip"], ip),
    (&["isIP(string) bool"], is_ip),
    (&["ip.isCanonical(string) bool"], is_canonical),
    (&["ip:family() int"], family),
    (&["ip:isUnspecified() bool"], |args, _| address(args, |ip| ip.is_unspecified())),
    (&["ip:isLoopback() bool"], |args, _| address(args, |ip| ip.is_loopback())),
    (&["ip:isLinkLocalMulticast() bool"], |args, _| address(args, is_link_local_multicast)),
    (&["ip:isLinkLocalUnicast() bool"], |args, _| address(args, is_link_local)),
    (&["ip:isGlobalUnicast() bool"], |args, _| address(args, is_global)),
    (&["cidr(string) cidr"], cidr),
    (&["isCIDR(string) bool"], is_cidr),
    (&["cidr:containsIP(ip) bool", "cidr:containsIP(string) bool"], contains_ip),
    (&["cidr:containsCIDR(cidr) bool", "cidr:containsCIDR(string) bool"], contains_cidr),
    (&["cidr:masked() cidr"], masked),
    (&["cidr:prefixLength() int"], prefix_length),
];

type Outcome<'a> = Result<Value<'a>, Fault>;

/// The longest URL or address that is read, in bytes.
const TEXT_BYTES_MAX: usize = 8_192;

/// A URL in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    scheme: String,
    host: String,
    path: String,
    query: String,
}

impl Url {
    /// Reads an absolute URL, or an absolute path.
    fn read(text: &str) -> Option<Self> {
        if text.len() > TEXT_BYTES_MAX || text.contains(|char: char| char.is_control() || char == ' ') {
            return None;
        }
        let text = text.split('#').next().unwrap_or_default();
        let (text, query) = text.split_once('?').unwrap_or((text, ""));
        if text.starts_with('/') && !text.starts_with("//") {
            return Some(Self {
                scheme: String::new(),
                host: String::new(),
                path: text.to_owned(),
                query: query.to_owned(),
            });
        }
        let (scheme, rest) = text.split_once("://")?;
        let good = scheme.starts_with(|char: char| char.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let url = Self {
            scheme: scheme.to_ascii_lowercase(),
            host: host.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
        };
        let port = url.port();
        (good && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(url)
    }

    fn hostname(&self) -> String {
        match self.host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address.to_owned(),
            None => self.host.split(':').next().unwrap_or_default().to_owned(),
        }
    }

    fn port(&self) -> String {
        let behind = self.host.rsplit_once(']').map_or(self.host.as_str(), |(_, behind)| behind);
        behind.split_once(':').map_or("", |(_, port)| port).to_owned()
    }
}

fn text<'v>(args: &'v [Value<'_>], fuel: &mut Fuel) -> Result<&'v str, Fault> {
    let [Value::Text(text)] = args else { return Err(Fault::overload()) };
    fuel.bytes(text.len())?;
    Ok(text)
}

fn url<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let url =
        Url::read(text(args, fuel)?).ok_or_else(|| Fault::value("URL parse error during conversion from string"))?;
    Ok(Value::Url(Rc::new(url)))
}

fn is_url<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    Ok(Value::Bool(Url::read(text(args, fuel)?).is_some()))
}

fn part<'a>(args: &[Value<'a>], of: fn(&Url) -> String) -> Outcome<'a> {
    match args {
        [Value::Url(url)] => Ok(Value::from(of(url))),
        _ => Err(Fault::overload()),
    }
}

fn query<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let [Value::Url(url)] = args else { return Err(Fault::overload()) };
    fuel.bytes(url.query.len())?;
    let mut found: std::collections::BTreeMap<Key, Vec<Value<'a>>> = std::collections::BTreeMap::new();
    for pair in url.query.split('&').filter(|pair| !pair.is_empty()) {
        fuel.burn(1)?;
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        found.entry(Key::Text(unescaped(name))).or_default().push(Value::from(unescaped(value)));
    }
    let found = found.into_iter().map(|(name, values)| (name, Value::from(values))).collect();
    Ok(Value::Map(Map::Made(Rc::new(found))))
}

/// A part of a query without its escapes.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let code = || {
            text.get(text.len() - rest.len()..text.len() - rest.len() + 2)
                .and_then(|code| u8::from_str_radix(code, 16).ok())
        };
        match (byte, code()) {
            (b'%', Some(code)) => {
                bytes.push(code);
                rest.nth(1);
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An address without a zone; those of version 4 that look like version 6 are none.
fn read_ip(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    let mapped = matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
    (!mapped).then_some(address)
}

fn read_cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address = read_ip(address)?;
    let plain = !length.is_empty()
        && length.bytes().all(|byte| byte.is_ascii_digit())
        && (length == "0" || !length.starts_with('0'));
    let length = length.parse().ok().filter(|length| plain && *length <= bits(address))?;
    Some((address, length))
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The network of an address.
fn network(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or_default();
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or_default();
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

fn ip<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    if let [Value::Cidr(address, _)] = args {
        return Ok(Value::Ip(*address));
    }
    read_ip(text(args, fuel)?)
        .map(Value::Ip)
        .ok_or_else(|| Fault::value("IP Address parse error during conversion from string"))
}

fn is_ip<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    Ok(Value::Bool(read_ip(text(args, fuel)?).is_some()))
}

fn is_canonical<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let text = text(args, fuel)?;
    let address = read_ip(text).ok_or_else(|| Fault::value("IP Address parse error during conversion from string"))?;
    Ok(Value::Bool(address.to_string() == text))
}

fn family<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    match args {
        [Value::Ip(address)] => Ok(Value::Int(if address.is_ipv4() { 4 } else { 6 })),
        _ => Err(Fault::overload()),
    }
}

fn address<'a>(args: &[Value<'a>], is: fn(IpAddr) -> bool) -> Outcome<'a> {
    match args {
        [Value::Ip(address)] => Ok(Value::Bool(is(*address))),
        _ => Err(Fault::overload()),
    }
}

fn is_link_local_multicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[..3] == [224, 0, 0],
        IpAddr::V6(address) => address.segments()[0] & 0xff0f == 0xff02,
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn is_global(address: IpAddr) -> bool {
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    !broadcast
        && !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_multicast()
        && !is_link_local(address)
}

fn cidr<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let read = read_cidr(text(args, fuel)?);
    let (address, length) =
        read.ok_or_else(|| Fault::value("network address parse error during conversion from string"))?;
    Ok(Value::Cidr(address, length))
}

fn is_cidr<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    Ok(Value::Bool(read_cidr(text(args, fuel)?).is_some()))
}

/// Whether one range has all of another.
fn covers((address, length): (IpAddr, u8), (other, other_length): (IpAddr, u8)) -> bool {
    bits(address) == bits(other) && length <= other_length && network(address, length) == network(other, length)
}

fn contains_ip<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let [Value::Cidr(range, length), other] = args else { return Err(Fault::overload()) };
    let other = match other {
        Value::Ip(_) => other.clone(),
        text => ip(std::slice::from_ref(text), fuel)?,
    };
    match other {
        Value::Ip(other) => Ok(Value::Bool(covers((*range, *length), (other, bits(other))))),
        _ => Err(Fault::overload()),
    }
}

fn contains_cidr<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Outcome<'a> {
    let [Value::Cidr(range, length), other] = args else { return Err(Fault::overload()) };
    let other = match other {
        Value::Cidr(..) => other.clone(),
        text => cidr(std::slice::from_ref(text), fuel)?,
    };
    match other {
        Value::Cidr(other, other_length) => Ok(Value::Bool(covers((*range, *length), (other, other_length)))),
        _ => Err(Fault::overload()),
    }
}

fn masked<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    match args {
        [Value::Cidr(address, length)] => Ok(Value::Cidr(network(*address, *length), *length)),
        _ => Err(Fault::overload()),
    }
}

fn prefix_length<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    match args {
        [Value::Cidr(_, length)] => Ok(Value::Int(i64::from(*length))),
        _ => Err(Fault::overload()),
    }
}
