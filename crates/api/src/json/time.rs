//! Times as text. Every object has one and every owner of fields another, and lists write thousands of them: the usual ones are
//! written without the library that knows all calendars.

use jiff::{Timestamp, fmt::temporal::DateTimePrinter};

const SECONDS_A_DAY: i64 = 86_400;

/// The days of four years, one of which is a leap year.
const DAYS_OF_FOUR_YEARS: i64 = 4 * 365 + 1;

/// The beginning of the year 2100, in seconds since 1970: until then every fourth year is a leap year.
const EASY_UNTIL: i64 = 4_102_444_800;

/// The length of each month in a year that begins in March, so that the day which leap years have comes last.
const MONTHS: [i64; 11] = [31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31];

/// How many digits a fraction has that says microseconds.
const MICROS: u8 = 6;

/// Writes a point in time in RFC 3339 and in quotes, with so many decimals.
pub(super) fn write(seconds: i64, nanos: i64, decimals: u8, into: &mut Vec<u8>) {
    if !(0..EASY_UNTIL).contains(&seconds) || !(0..1_000_000_000).contains(&nanos) || !matches!(decimals, 0 | MICROS) {
        let nanos = i32::try_from(nanos).unwrap_or(0);
        let time = Timestamp::new(seconds, nanos).unwrap_or_default();
        let printer = DateTimePrinter::new().precision(Some(decimals));
        into.extend_from_slice(format!("\"{}\"", printer.timestamp_to_string(&time)).as_bytes());
        return;
    }
    let (year, month, day) = date(seconds / SECONDS_A_DAY);
    let second = seconds % SECONDS_A_DAY;
    into.push(b'"');
    let parts =
        [(year, 4, b'-'), (month, 2, b'-'), (day, 2, b'T'), (second / 3600, 2, b':'), (second / 60 % 60, 2, b':')];
    for (number, digits, behind) in parts {
        put(number, digits, into);
        into.push(behind);
    }
    put(second % 60, 2, into);
    if decimals == MICROS {
        into.push(b'.');
        put(nanos / 1000, 6, into);
    }
    into.extend_from_slice(b"Z\"");
}

/// Year, month and day of a day since 1970.
fn date(day: i64) -> (i64, i64, i64) {
    // From March 1968, when four years begin of which the last day is that of the leap year.
    let since = day + 671;
    let (fours, day) = (since / DAYS_OF_FOUR_YEARS, since % DAYS_OF_FOUR_YEARS);
    // The last day of four years belongs to the fourth of them.
    let year = (day / 365).min(3);
    let mut left = day - year * 365;
    let mut month = 0;
    for length in MONTHS {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    let is_next_year = month >= 10;
    let month = if is_next_year { month - 9 } else { month + 3 };
    (1968 + 4 * fours + year + i64::from(is_next_year), month, left + 1)
}

/// Writes a number with so many digits.
fn put(number: i64, digits: u32, into: &mut Vec<u8>) {
    for place in (0..digits).rev() {
        into.push(b'0' + u8::try_from(number / 10_i64.pow(place) % 10).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ours(seconds: i64, nanos: i64, decimals: u8) -> String {
        let mut text = Vec::new();
        write(seconds, nanos, decimals, &mut text);
        String::from_utf8(text).expect("text")
    }

    fn theirs(seconds: i64, nanos: i64, decimals: u8) -> String {
        let time = Timestamp::new(seconds, i32::try_from(nanos).expect("below a second")).unwrap_or_default();
        format!("\"{}\"", DateTimePrinter::new().precision(Some(decimals)).timestamp_to_string(&time))
    }

    #[test]
    fn every_day_has_its_date() {
        for day in 0..=EASY_UNTIL / SECONDS_A_DAY {
            let second = day * SECONDS_A_DAY + day % SECONDS_A_DAY;
            assert_eq!(ours(second, 0, 0), theirs(second, 0, 0));
        }
    }

    proptest! {
        #[test]
        fn times_are_written_as_the_library_writes_them(
            seconds in -3_000_000_000_i64..8_000_000_000, nanos in 0_i64..1_000_000_000,
        ) {
            let nanos = if seconds < 0 { 0 } else { nanos };
            prop_assert_eq!(ours(seconds, 0, 0), theirs(seconds, 0, 0));
            prop_assert_eq!(ours(seconds, nanos, MICROS), theirs(seconds, nanos, MICROS));
        }
    }
}
