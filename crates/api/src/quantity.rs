//! Kubernetes quantities: `100m`, `64Mi`, `1e3`, `0.5`, kept exactly.

use std::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign, Sub, SubAssign},
    str::FromStr,
};

use crate::meta_v1;

/// How a quantity is written; it stays as the user wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// Thousands: `n u m k M G T P E`.
    #[default]
    Decimal,
    /// Steps of 1024: `Ki Mi Gi Ti Pi Ei`.
    Binary,
    /// A power of ten: `1e3`.
    Exponent,
}

/// An exact amount of something, to the billionth.
///
/// Equality and order are of the amount, whichever way it is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// Why a text is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} {}", self.why())]
pub struct InvalidQuantity {
    text: String,
    why: &'static str,
}

impl InvalidQuantity {
    /// What is wrong with the text and what would be right, without the text.
    #[must_use]
    pub fn why(&self) -> String {
        format!(
            "is no quantity: {}; write a number and an optional suffix, such as 100m, 2, 1.5, 64Mi or 1e3",
            self.why
        )
    }
}

/// Parts of one: the smallest amount is a billionth.
const NANOS: i128 = 1_000_000_000;
/// The largest amount: 2^63 - 1, Kubernetes' own limit. Larger amounts become this one.
const AMOUNT_MAX: i128 = (i64::MAX as i128) * NANOS;
/// The most digits of a number that are read; more than any amount within the limits has.
const DIGITS_MAX: usize = 64;

impl Quantity {
    /// None.
    pub const ZERO: Self = Self { nanos: 0, format: Format::Decimal };

    /// A whole number of thousandths.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self::bounded(i128::from(millis) * 1_000_000, Format::Decimal)
    }

    /// A whole number, written with decimal suffixes.
    #[must_use]
    pub fn from_whole(value: i64) -> Self {
        Self::bounded(i128::from(value) * NANOS, Format::Decimal)
    }

    /// A number of bytes, written with binary suffixes.
    #[must_use]
    pub fn from_bytes(bytes: i64) -> Self {
        Self::bounded(i128::from(bytes) * NANOS, Format::Binary)
    }

    /// In thousandths, rounded up.
    #[must_use]
    pub fn millis(self) -> i128 {
        div_up(self.nanos, 1_000_000)
    }

    /// In ones, rounded up.
    #[must_use]
    pub fn whole(self) -> i128 {
        div_up(self.nanos, NANOS)
    }

    /// How many of `unit` it is, rounded up; nothing if `unit` is nothing.
    #[must_use]
    pub fn in_units_of(self, unit: Self) -> i128 {
        if unit.is_zero() { 0 } else { div_up(self.nanos, unit.nanos) }
    }

    /// Whether it has no fraction.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.nanos % NANOS == 0
    }

    /// Whether it is less than nothing.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    fn bounded(nanos: i128, format: Format) -> Self {
        Self { nanos: nanos.clamp(-AMOUNT_MAX, AMOUNT_MAX), format }
    }
}

/// Rounds towards more, for negative amounts away from zero, as Kubernetes does.
fn div_up(value: i128, unit: i128) -> i128 {
    let whole = value / unit;
    if value % unit == 0 { whole } else { whole + value.signum() }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Sub for Quantity {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self::bounded(self.nanos - other.nanos, if self.is_zero() { other.format } else { self.format })
    }
}

impl Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::bounded(self.nanos + other.nanos, if self.is_zero() { other.format } else { self.format })
    }
}

impl FromStr for Quantity {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|why| InvalidQuantity { text: text.chars().take(DIGITS_MAX).collect(), why })
    }
}

/// How a suffix scales: by a power of ten or by one of 1024.
enum Scale {
    Ten(i32, Format),
    Kibi(u32),
}

fn parse(text: &str) -> Result<Quantity, &'static str> {
    let (negative, digits) = match text.as_bytes().first() {
        None => return Err("it is empty"),
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        Some(_) => (false, text),
    };
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
    let (number, suffix) = digits.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return Err("it does not begin with a number");
    }
    if fraction.contains('.') {
        return Err("it has two decimal points");
    }
    if number.len() > DIGITS_MAX {
        return Err("it has too many digits");
    }
    let scale = scale(suffix)?;
    let (amount, format) = match scale {
        Scale::Ten(power, format) => (decimal(whole, fraction, power), format),
        Scale::Kibi(power) => (binary(whole, fraction, power), Format::Binary),
    };
    Ok(Quantity::bounded(if negative { -amount } else { amount }, format))
}

fn scale(suffix: &str) -> Result<Scale, &'static str> {
    let power = match suffix {
        "n" => -9,
        "u" => -6,
        "m" => -3,
        "" => 0,
        "k" => 3,
        "M" => 6,
        "G" => 9,
        "T" => 12,
        "P" => 15,
        "E" => 18,
        _ => return exotic_scale(suffix),
    };
    Ok(Scale::Ten(power, Format::Decimal))
}

fn exotic_scale(suffix: &str) -> Result<Scale, &'static str> {
    if let Some(power) = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].iter().position(|name| *name == suffix) {
        return Ok(Scale::Kibi(u32::try_from(power + 1).unwrap_or(0)));
    }
    let Some(exponent) = suffix.strip_prefix(['e', 'E']) else {
        return Err("its suffix is none of n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei");
    };
    let exponent: i32 = exponent.parse().map_err(|_| "its exponent is no whole number")?;
    Ok(Scale::Ten(exponent.clamp(-200, 200), Format::Exponent))
}

/// `whole.fraction` times ten to the `power`, in billionths, rounded up; anything too large is the limit.
fn decimal(whole: &str, fraction: &str, power: i32) -> i128 {
    let mut amount: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        amount = amount.saturating_mul(10).saturating_add(i128::from(digit - b'0'));
    }
    let shift = i64::from(power) + 9 - i64::try_from(fraction.len()).unwrap_or(0);
    let factor = u32::try_from(shift.unsigned_abs()).ok().and_then(|shift| 10_i128.checked_pow(shift));
    match (amount, factor, shift >= 0) {
        (0, ..) => 0,
        (_, Some(factor), true) => amount.saturating_mul(factor),
        (_, Some(factor), false) => div_up(amount, factor),
        (_, None, true) => i128::MAX,
        (_, None, false) => 1,
    }
}

/// `whole.fraction` times 1024 to the `power`, in billionths, rounded up. The fraction counts to nine digits.
fn binary(whole: &str, fraction: &str, power: u32) -> i128 {
    let nanos = decimal(whole, &fraction[..fraction.len().min(9)], 0);
    nanos.saturating_mul(1024_i128.pow(power))
}

impl fmt::Display for Quantity {
    /// The canonical form: no fraction, the largest suffix that leaves none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.nanos < 0 { "-" } else { "" };
        let nanos = self.nanos.unsigned_abs();
        let whole = nanos / NANOS.unsigned_abs();
        // Below 1024 (or with a fraction) the binary suffixes have nothing to say, and the decimal ones are used.
        if self.format == Format::Binary && self.is_whole() && whole >= 1024 {
            return fmt_binary(f, sign, whole);
        }
        fmt_decimal(f, sign, nanos, self.format)
    }
}

fn fmt_binary(f: &mut fmt::Formatter<'_>, sign: &str, mut whole: u128) -> fmt::Result {
    let mut suffixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].into_iter();
    let mut suffix = suffixes.next().unwrap_or_default();
    for next in suffixes {
        if !whole.is_multiple_of(1024) {
            break;
        }
        whole /= 1024;
        suffix = next;
    }
    f.pad(&format!("{sign}{whole}{suffix}"))
}

fn fmt_decimal(f: &mut fmt::Formatter<'_>, sign: &str, mut amount: u128, format: Format) -> fmt::Result {
    if amount == 0 {
        return f.pad("0");
    }
    let mut power = -9;
    while power < 18 && amount.is_multiple_of(1000) {
        amount /= 1000;
        power += 3;
    }
    if format == Format::Exponent && power != 0 {
        return f.pad(&format!("{sign}{amount}e{power}"));
    }
    let suffix = match power {
        -9 => "n",
        -6 => "u",
        -3 => "m",
        3 => "k",
        6 => "M",
        9 => "G",
        12 => "T",
        15 => "P",
        18 => "E",
        _ => "",
    };
    f.pad(&format!("{sign}{amount}{suffix}"))
}

impl TryFrom<&meta_v1::Quantity> for Quantity {
    type Error = InvalidQuantity;

    fn try_from(quantity: &meta_v1::Quantity) -> Result<Self, Self::Error> {
        quantity.string.parse()
    }
}

impl From<Quantity> for meta_v1::Quantity {
    fn from(quantity: Quantity) -> Self {
        Self { string: quantity.to_string() }
    }
}

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident, $of:ident, $back:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// None.
            pub const ZERO: Self = Self(0);

            /// This less `other`; nothing if that is more.
            #[must_use]
            pub fn saturating_sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }

        impl From<Quantity> for $name {
            /// Rounded up; less than nothing is nothing.
            fn from(quantity: Quantity) -> Self {
                Self(u64::try_from(quantity.$of().max(0)).unwrap_or(u64::MAX))
            }
        }

        impl From<$name> for Quantity {
            fn from(amount: $name) -> Self {
                Quantity::$back(i64::try_from(amount.0).unwrap_or(i64::MAX))
            }
        }

        impl From<$name> for meta_v1::Quantity {
            fn from(amount: $name) -> Self {
                Quantity::from(amount).into()
            }
        }

        impl Add for $name {
            type Output = Self;
            /// Stays at the largest amount rather than wrap.
            fn add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }

        impl Sub for $name {
            type Output = Self;
            /// Stays at nothing rather than wrap.
            fn sub(self, other: Self) -> Self {
                self.saturating_sub(other)
            }
        }

        impl SubAssign for $name {
            fn sub_assign(&mut self, other: Self) {
                *self = *self - other;
            }
        }

        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
                amounts.fold(Self::ZERO, Add::add)
            }
        }

        impl fmt::Display for $name {
            /// As a quantity in canonical form.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Quantity::from(*self).fmt(f)
            }
        }
    };
}

unit! {
    /// CPU time, in thousandths of one core.
    Millicores, millis, from_millis
}

unit! {
    /// Memory or storage, in bytes.
    ByteCount, whole, from_bytes
}

#[cfg(test)]
mod tests;
