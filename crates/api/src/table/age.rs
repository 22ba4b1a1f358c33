//! How long ago something was, as `kubectl` says it.

use std::time::Duration;

use crate::{Timestamp, meta_v1};

const MINUTE_S: u64 = 60;
const HOUR_S: u64 = 60 * MINUTE_S;
const DAY_S: u64 = 24 * HOUR_S;
const YEAR_S: u64 = 365 * DAY_S;

/// `5s`, `2m3s`, `3h5m`, `4d2h`, `2y30d`: at most two units, the second only while the first is small.
#[must_use]
pub fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        _ if seconds < 2 * MINUTE_S => format!("{seconds}s"),
        _ if seconds < 10 * MINUTE_S => two(seconds, (MINUTE_S, "m"), (1, "s")),
        _ if seconds < 3 * HOUR_S => format!("{}m", seconds / MINUTE_S),
        _ if seconds < 8 * HOUR_S => two(seconds, (HOUR_S, "h"), (MINUTE_S, "m")),
        _ if seconds < 2 * DAY_S => format!("{}h", seconds / HOUR_S),
        _ if seconds < 8 * DAY_S => two(seconds, (DAY_S, "d"), (HOUR_S, "h")),
        _ if seconds < 2 * YEAR_S => format!("{}d", seconds / DAY_S),
        _ if seconds < 8 * YEAR_S => two(seconds, (YEAR_S, "y"), (DAY_S, "d")),
        _ => format!("{}y", seconds / YEAR_S),
    }
}

/// So many of one unit and of the next; the next only if there are any.
fn two(seconds: u64, (unit, name): (u64, &str), (small_unit, small_name): (u64, &str)) -> String {
    let (many, few) = (seconds / unit, seconds % unit / small_unit);
    if few == 0 { format!("{many}{name}") } else { format!("{many}{name}{few}{small_name}") }
}

/// How long ago `time` was; `<unknown>` if it is not known.
#[must_use]
pub fn since(time: Option<&meta_v1::Time>, now: Timestamp) -> String {
    time.map_or_else(|| "<unknown>".to_owned(), |time| human(now.since(time.into())))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::human;

    #[test]
    fn ages_read_as_kubectl_writes_them() {
        let (minute, hour, day) = (60, 3600, 86_400);
        let cases = [
            (0, "0s"),
            (119, "119s"),
            (2 * minute, "2m"),
            (2 * minute + 3, "2m3s"),
            (10 * minute, "10m"),
            (179 * minute, "179m"),
            (3 * hour, "3h"),
            (3 * hour + 5 * minute, "3h5m"),
            (8 * hour + 5 * minute, "8h"),
            (47 * hour, "47h"),
            (4 * day + 2 * hour, "4d2h"),
            (8 * day + 2 * hour, "8d"),
            (729 * day, "729d"),
            (760 * day, "2y30d"),
            (8 * 365 * day + day, "8y"),
        ];
        for (seconds, text) in cases {
            assert_eq!(human(Duration::from_secs(seconds)), text);
        }
    }
}
