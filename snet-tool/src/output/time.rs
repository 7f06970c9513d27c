// SPDX-License-Identifier: MIT OR Apache-2.0
//! Times and durations as people read them.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// How moments look: local, or UTC with a `Z` behind.
pub(crate) struct Times {
    zone: TimeZone,
    suffix: &'static str,
}

impl Times {
    /// In UTC, or in the time zone of the system.
    pub(crate) fn new(utc: bool) -> Self {
        if utc {
            Self { zone: TimeZone::UTC, suffix: "Z" }
        } else {
            Self { zone: TimeZone::system(), suffix: "" }
        }
    }

    /// `2026-11-22 15:42:07`, from milliseconds since 1970.
    pub(crate) fn moment(&self, millis: i64) -> String {
        self.format(millis, "%F %T")
    }

    /// `2026-11-22 15:42:07.123`, from milliseconds since 1970.
    pub(crate) fn exact(&self, millis: i64) -> String {
        self.format(millis, "%F %T%.3f")
    }

    fn format(&self, millis: i64, format: &str) -> String {
        match Timestamp::from_millisecond(millis) {
            Ok(time) => {
                let zoned = time.to_zoned(self.zone.clone());
                format!("{}{}", zoned.strftime(format), self.suffix)
            }
            // A clock gone wrong shall not hide the rest of the line.
            Err(_) => format!("@{millis}ms"),
        }
    }
}

/// Now, in milliseconds since 1970.
pub(crate) fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

/// A duration in its two largest units: `350ms`, `12s`, `3m20s`, `2h05m`, `4d03h`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_in_the_zone_that_was_asked_for() {
        assert_eq!(Times::new(true).moment(0), "1970-01-01 00:00:00Z");
        assert_eq!(Times::new(true).exact(1_500), "1970-01-01 00:00:01.500Z");
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(Times { zone, suffix: "" }.moment(0), "1970-01-01 02:00:00");
    }

    #[test]
    fn a_moment_out_of_range_is_still_told() {
        assert_eq!(Times::new(true).moment(i64::MAX), format!("@{}ms", i64::MAX));
    }

    #[test]
    fn durations_name_their_two_largest_units() {
        let text = |seconds| duration(Duration::from_secs(seconds));
        assert_eq!(duration(Duration::from_millis(350)), "350ms");
        assert_eq!(text(12), "12s");
        assert_eq!(text(200), "3m20s");
        assert_eq!(text(2 * 3600 + 300), "2h05m");
        assert_eq!(text(4 * 86400 + 3 * 3600), "4d03h");
    }
}
