//! Points and lengths of time. Time zones are UTC, or so many hours and minutes from it: names of zones would depend on the
//! files of the host that asks.

use jiff::{Timestamp, ToSpan as _, civil::DateTime, tz::Offset};

use super::Line;
use crate::cel::{
    fuel::{Fault, Fuel},
    value::Value,
};

pub(super) const TABLE: &[Line] = &[
    (&["timestamp(timestamp) timestamp", "timestamp(string) timestamp", "timestamp(int) timestamp"], to_timestamp),
    (&["duration(duration) duration", "duration(string) duration", "duration(int) duration"], to_duration),
    (&["timestamp:getFullYear() int", "timestamp:getFullYear(string) int"], year),
    (&["timestamp:getMonth() int", "timestamp:getMonth(string) int"], month),
    (&["timestamp:getDate() int", "timestamp:getDate(string) int"], date),
    (&["timestamp:getDayOfMonth() int", "timestamp:getDayOfMonth(string) int"], day_of_month),
    (&["timestamp:getDayOfWeek() int", "timestamp:getDayOfWeek(string) int"], day_of_week),
    (&["timestamp:getDayOfYear() int", "timestamp:getDayOfYear(string) int"], day_of_year),
    (&["timestamp:getHours() int", "timestamp:getHours(string) int", "duration:getHours() int"], hours),
    (&["timestamp:getMinutes() int", "timestamp:getMinutes(string) int", "duration:getMinutes() int"], minutes),
    (&["timestamp:getSeconds() int", "timestamp:getSeconds(string) int", "duration:getSeconds() int"], full_seconds),
    (
        &["timestamp:getMilliseconds() int", "timestamp:getMilliseconds(string) int", "duration:getMilliseconds() int"],
        milliseconds,
    ),
];

type Outcome<'a> = Result<Value<'a>, Fault>;

/// Units of a duration, in nanoseconds.
const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// The longest text of a duration that is read, in bytes.
const DURATION_BYTES_MAX: usize = 64;

/// A length of time as Go writes it: `1h30m`, `-1.5s`.
pub(crate) fn duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() || rest.len() > DURATION_BYTES_MAX {
        return None;
    }
    let mut nanos: i128 = 0;
    while !rest.is_empty() {
        let (number, behind) =
            rest.split_at(rest.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(rest.len()));
        let unit = behind.find(|char: char| char.is_ascii_digit() || char == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit);
        let (_, of) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        nanos = nanos.checked_add(parts(number, of)?)?;
        rest = behind;
    }
    i64::try_from(if negative { -nanos } else { nanos }).ok()
}

/// So many of a unit, with digits behind the point.
fn parts(number: &str, of: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits =
        |text: &str| if text.is_empty() { Some(0) } else { text.get(..text.len().min(18))?.parse::<i128>().ok() };
    let scale = 10_i128.pow(u32::try_from(fraction.len().min(18)).ok()?);
    let whole = if whole.is_empty() { 0 } else { whole.parse::<i128>().ok()? };
    whole.checked_mul(of)?.checked_add(digits(fraction)? * of / scale)
}

/// A point in time: RFC 3339, or a date alone.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    if text.len() == 10 {
        return text
            .parse::<jiff::civil::Date>()
            .ok()?
            .to_datetime(jiff::civil::Time::midnight())
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()
            .map(|time| time.timestamp());
    }
    text.parse().ok()
}

/// A length of time in seconds, as CEL writes it.
pub(super) fn seconds(nanos: i64) -> String {
    let (sign, nanos) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
    let fraction = format!(".{:09}", nanos % 1_000_000_000);
    format!("{sign}{}{}s", nanos / 1_000_000_000, fraction.trim_end_matches('0').trim_end_matches('.'))
}

fn to_timestamp<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    match args {
        [time @ Value::Timestamp(_)] => Ok(time.clone()),
        [Value::Text(text)] => timestamp(text)
            .map(Value::Timestamp)
            .ok_or_else(|| Fault::value("type conversion error from 'string' to 'timestamp'")),
        [Value::Int(seconds)] => Timestamp::from_second(*seconds).map(Value::Timestamp).map_err(|_| range()),
        _ => Err(Fault::overload()),
    }
}

fn to_duration<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    match args {
        [length @ Value::Duration(_)] => Ok(length.clone()),
        [Value::Text(text)] => duration(text)
            .map(Value::Duration)
            .ok_or_else(|| Fault::value("type conversion error from 'string' to 'duration'")),
        [Value::Int(nanos)] => Ok(Value::Duration(*nanos)),
        _ => Err(Fault::overload()),
    }
}

fn range() -> Fault {
    Fault::value("timestamp overflow")
}

pub(super) fn add<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Timestamp(time), Value::Duration(nanos)] | [Value::Duration(nanos), Value::Timestamp(time)] => {
            time.checked_add((*nanos).nanoseconds()).map(Value::Timestamp).map_err(|_| range())
        }
        [Value::Duration(one), Value::Duration(other)] => {
            one.checked_add(*other).map(Value::Duration).ok_or_else(|| Fault::value("duration overflow"))
        }
        _ => Err(Fault::overload()),
    }
}

pub(super) fn subtract<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Timestamp(one), Value::Timestamp(other)] => {
            let nanos = one.as_nanosecond() - other.as_nanosecond();
            i64::try_from(nanos).map(Value::Duration).map_err(|_| Fault::value("duration overflow"))
        }
        [Value::Timestamp(time), Value::Duration(nanos)] => {
            time.checked_sub((*nanos).nanoseconds()).map(Value::Timestamp).map_err(|_| range())
        }
        [Value::Duration(one), Value::Duration(other)] => {
            one.checked_sub(*other).map(Value::Duration).ok_or_else(|| Fault::value("duration overflow"))
        }
        _ => Err(Fault::overload()),
    }
}

/// What a clock shows at a point in time, in UTC or so far from it.
fn clock(args: &[Value<'_>]) -> Result<DateTime, Fault> {
    match args {
        [Value::Timestamp(time)] => Ok(Offset::UTC.to_datetime(*time)),
        [Value::Timestamp(time), Value::Text(zone)] => Ok(offset(zone)?.to_datetime(*time)),
        _ => Err(Fault::overload()),
    }
}

/// `UTC`, `+01:00`.
fn offset(zone: &str) -> Result<Offset, Fault> {
    let read = || {
        if matches!(zone, "" | "UTC" | "Z") {
            return Some(Offset::UTC);
        }
        let (negative, rest) = zone.strip_prefix('-').map_or((false, zone), |rest| (true, rest));
        let (hours, minutes) = rest.strip_prefix('+').unwrap_or(rest).split_once(':')?;
        let (hours, minutes) = (hours.parse::<u8>().ok()?, minutes.parse::<u8>().ok()?);
        let seconds = i32::from(hours.min(99)) * 3_600 + i32::from(minutes.min(99)) * 60;
        Offset::from_seconds(if negative { -seconds } else { seconds }).ok()
    };
    read().ok_or_else(|| Fault::value(format!("unknown time zone {zone}; use UTC or an offset such as +01:00")))
}

fn field<'a>(args: &[Value<'a>], of: fn(DateTime) -> i64) -> Outcome<'a> {
    clock(args).map(|time| Value::Int(of(time)))
}

fn year<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    field(args, |time| time.year().into())
}

fn month<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    field(args, |time| i64::from(time.month()) - 1)
}

fn date<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    field(args, |time| time.day().into())
}

fn day_of_month<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    field(args, |time| i64::from(time.day()) - 1)
}

fn day_of_week<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    field(args, |time| time.weekday().to_sunday_zero_offset().into())
}

fn day_of_year<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    field(args, |time| i64::from(time.day_of_year()) - 1)
}

fn hours<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    if let [Value::Duration(nanos)] = args {
        return Ok(Value::Int(nanos / 3_600_000_000_000));
    }
    field(args, |time| time.hour().into())
}

fn minutes<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    if let [Value::Duration(nanos)] = args {
        return Ok(Value::Int(nanos / 60_000_000_000));
    }
    field(args, |time| time.minute().into())
}

fn full_seconds<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    if let [Value::Duration(nanos)] = args {
        return Ok(Value::Int(nanos / 1_000_000_000));
    }
    field(args, |time| time.second().into())
}

fn milliseconds<'a>(args: &[Value<'a>], _: &mut Fuel) -> Outcome<'a> {
    if let [Value::Duration(nanos)] = args {
        return Ok(Value::Int(nanos / 1_000_000 % 1_000));
    }
    field(args, |time| time.millisecond().into())
}
