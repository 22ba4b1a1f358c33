//! Points in time, as data. Nothing here reads a clock.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime},
};

use crate::meta_v1;

/// Milliseconds since the Unix epoch, UTC. The `now` of every brain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This time plus `duration`; stays at the end of time rather than wrap.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl From<SystemTime> for Timestamp {
    /// What a clock says that somebody else has read. One that was set before 1970 counts as 1970.
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

impl From<Timestamp> for meta_v1::Time {
    /// Cut to seconds, which is what Kubernetes' `Time` carries.
    fn from(time: Timestamp) -> Self {
        Self { seconds: time.0.div_euclid(1000), nanos: 0 }
    }
}

impl From<Timestamp> for meta_v1::MicroTime {
    fn from(time: Timestamp) -> Self {
        let nanos = i32::try_from(time.0.rem_euclid(1000) * 1_000_000).unwrap_or(0);
        Self { seconds: time.0.div_euclid(1000), nanos }
    }
}

impl From<&meta_v1::Time> for Timestamp {
    fn from(time: &meta_v1::Time) -> Self {
        Self(time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos) / 1_000_000))
    }
}

impl From<&meta_v1::MicroTime> for Timestamp {
    fn from(time: &meta_v1::MicroTime) -> Self {
        Self(time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos) / 1_000_000))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, cut to seconds: `2026-11-23T01:10:01Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0.div_euclid(1000)) {
            Ok(time) => time.fmt(f),
            Err(_) => f.write_str("invalid time"),
        }
    }
}

impl FromStr for Timestamp {
    type Err = jiff::Error;

    /// Reads RFC 3339 with any offset and fraction.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<jiff::Timestamp>().map(|time| Self(time.as_millisecond()))
    }
}
