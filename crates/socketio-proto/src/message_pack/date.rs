//! Dates as the method `toJSON` of JavaScript's `Date` writes them.

/// The latest date that a `Date` can hold, in milliseconds since 1970; the earliest one is the negative of it.
/// ECMA-262 §21.4.1.1.
const MAX_TIME: i64 = 8_640_000_000_000_000;

/// The extension type of a time in the MessagePack specification.
pub(super) const TIMESTAMP: i8 = -1;

/// Reads a time of the MessagePack specification, in milliseconds since 1970. `None` if it has another length than those
/// of the specification, or if no `Date` is that far away.
pub(super) fn read_timestamp(data: &[u8]) -> Option<i64> {
    let (seconds, nanoseconds) = match data.len() {
        4 => (i64::from(u32::from_be_bytes(data.try_into().ok()?)), 0),
        8 => {
            let both = u64::from_be_bytes(data.try_into().ok()?);
            ((both & ((1 << 34) - 1)) as i64, (both >> 34) as u32)
        }
        12 => {
            let (nanoseconds, seconds) = data.split_first_chunk()?;
            (i64::from_be_bytes(seconds.try_into().ok()?), u32::from_be_bytes(*nanoseconds))
        }
        _ => return None,
    };
    seconds.checked_mul(1000)?.checked_add(i64::from(nanoseconds / 1_000_000))
}

/// Returns the text of a date, such as `2000-06-13T00:00:00.000Z`, or `None` if a `Date` cannot hold it.
///
/// Libraries for dates either end at the year 9999, or bring a calendar with time zones. This needs only the days.
pub(super) fn to_json(milliseconds: i64) -> Option<String> {
    const DAY: i64 = 86_400_000;
    if !(-MAX_TIME..=MAX_TIME).contains(&milliseconds) {
        return None;
    }
    let (year, month, day) = civil_date(milliseconds.div_euclid(DAY));
    let time = milliseconds.rem_euclid(DAY);
    let (hours, minutes) = (time / 3_600_000, time / 60_000 % 60);
    let (seconds, millis) = (time / 1000 % 60, time % 1000);
    let year = match year {
        0..=9999 => format!("{year:04}"),
        _ => format!("{year:+07}"),
    };
    Some(format!("{year}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z"))
}

/// Returns the year, month and day in the Gregorian calendar, of a day counted from 1970-01-01. A year is counted from
/// March, so that the leap day is its last day.
fn civil_date(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_ERA: i64 = 146_097;
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(DAYS_PER_ERA), days.rem_euclid(DAYS_PER_ERA));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected texts are the output of `toJSON` in V8.
    #[test]
    fn dates_are_written_as_javascript_writes_them() {
        for (milliseconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (960_854_400_000, "2000-06-13T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "+010000-01-01T00:00:00.000Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
            (-62_167_219_200_001, "-000001-12-31T23:59:59.999Z"),
            (MAX_TIME, "+275760-09-13T00:00:00.000Z"),
            (-MAX_TIME, "-271821-04-20T00:00:00.000Z"),
        ] {
            assert_eq!(to_json(milliseconds).as_deref(), Some(text), "{milliseconds}");
        }
        for milliseconds in [MAX_TIME + 1, -MAX_TIME - 1, i64::MAX, i64::MIN] {
            assert_eq!(to_json(milliseconds), None, "{milliseconds}");
        }
    }
}
