//! Times for people.

use std::fmt;

use tollgate_wire::Timestamp;

/// Shows a [`Timestamp`] since 1970 in UTC, as RFC 3339 has it: `2026-11-24T19:04:12.123456Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallTime(pub Timestamp);

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.nanos() / 1_000_000_000;
        let micros = self.0.nanos() % 1_000_000_000 / 1000;
        let (year, month, day) = date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

/// Shows a [`Timestamp`] since 1970 in UTC as `ctime` of C does: `Tue Nov 24 19:04:12 2026`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Calendar(pub(super) Timestamp);

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let name = |names: &[&'static str], at: u64| {
            usize::try_from(at).ok().and_then(|at| names.get(at).copied()).unwrap_or("?")
        };
        let seconds = self.0.nanos() / 1_000_000_000;
        let days = seconds / 86_400;
        let (year, month, day) = date(days);
        let (weekday, month) = (name(&DAYS, days % 7), name(&MONTHS, month - 1));
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{weekday} {month} {day:>2} {hour:02}:{minute:02}:{second:02} {year}")
    }
}

/// Year, month and day of a day since 1970 in the Gregorian calendar.
///
/// Counted from 1 March of year 0, so that the leap day comes last in its year and months follow a
/// pattern of 153 days in five.
const fn date(days_since_1970: u64) -> (u64, u64, u64) {
    let days = days_since_1970 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_read_as_they_should() {
        // Expected values from `date -u -d @SECONDS`.
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, "2000-02-28T23:59:59.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (951_868_800, "2000-03-01T00:00:00.000000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
        ] {
            assert_eq!(WallTime(Timestamp::from_secs(seconds)).to_string(), expected);
        }
        assert_eq!(
            WallTime(Timestamp(1_767_225_599_999_999_999)).to_string(),
            "2025-12-31T23:59:59.999999Z"
        );
    }

    #[test]
    fn the_calendar_reads_as_ctime_does() {
        // Expected values from `LC_ALL=C date -u -d @SECONDS '+%a %b %e %T %Y'`.
        for (seconds, expected) in [
            (0, "Thu Jan  1 00:00:00 1970"),
            (951_782_399, "Mon Feb 28 23:59:59 2000"),
            (1_779_805_872, "Tue May 26 14:31:12 2026"),
        ] {
            assert_eq!(Calendar(Timestamp::from_secs(seconds)).to_string(), expected);
        }
    }

    #[test]
    fn days_and_dates_agree_for_four_centuries() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..146_097 {
            assert_eq!(date(days), (year, month, day));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + u64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }
}
