//! `IntOrString`: ports by number or name, rollout limits by number or percentage.

use crate::meta_v1::IntOrString;

/// What an [`IntOrString`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number.
    Int(i32),
    /// A text: a port's name or a percentage.
    Text(&'a str),
}

/// Which way a percentage of a whole number goes when it falls between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To the greater, as `maxSurge` does.
    Up,
    /// To the smaller, as `maxUnavailable` does.
    Down,
}

/// Why a limit cannot be computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an integer nor a percentage such as \"25%\"")]
pub struct InvalidPercent(String);

/// `IntOrString.type` of a text.
const TYPE_TEXT: i64 = 1;

impl IntOrString {
    /// A number.
    #[must_use]
    pub fn int(value: i32) -> Self {
        Self { r#type: 0, int_val: value, str_val: String::new() }
    }

    /// A text.
    pub fn text(value: impl Into<String>) -> Self {
        Self { r#type: TYPE_TEXT, int_val: 0, str_val: value.into() }
    }

    /// What it holds.
    #[must_use]
    pub fn value(&self) -> Value<'_> {
        if self.r#type == TYPE_TEXT { Value::Text(&self.str_val) } else { Value::Int(self.int_val) }
    }

    /// The number before the `%`, if it is a percentage.
    #[must_use]
    pub fn percent(&self) -> Option<i32> {
        let Value::Text(text) = self.value() else { return None };
        let digits = text.strip_suffix('%')?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    }

    /// The number, or the percentage taken of `total`.
    ///
    /// # Errors
    /// If it is a text that is no percentage.
    pub fn scaled(&self, total: i32, rounding: Rounding) -> Result<i32, InvalidPercent> {
        let text = match self.value() {
            Value::Int(value) => return Ok(value),
            Value::Text(text) => text,
        };
        let percent = self.percent().ok_or_else(|| InvalidPercent(text.to_owned()))?;
        let product = i64::from(percent) * i64::from(total);
        let extra = if rounding == Rounding::Up { 99 } else { 0 };
        Ok(i32::try_from((product + extra).div_euclid(100)).unwrap_or(i32::MAX))
    }
}

impl std::fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Int(value) => value.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Rounding::Down, Rounding::Up, Value};
    use crate::meta_v1::IntOrString;

    #[test]
    fn percentages_round_as_asked() {
        for (percent, total, up, down) in [("25%", 3, 1, 0), ("25%", 4, 1, 1), ("0%", 9, 0, 0), ("150%", 3, 5, 4)] {
            let value = IntOrString::text(percent);
            assert_eq!(
                (value.scaled(total, Up), value.scaled(total, Down)),
                (Ok(up), Ok(down)),
                "{percent} of {total}"
            );
        }
        assert_eq!(IntOrString::int(7).scaled(3, Up), Ok(7));
        for wrong in ["http", "%", "-5%", "1.5%", "+5%", "99999999999%"] {
            assert!(IntOrString::text(wrong).scaled(3, Up).is_err(), "{wrong}");
        }
        assert_eq!(IntOrString::text("http").value(), Value::Text("http"));
    }
}
