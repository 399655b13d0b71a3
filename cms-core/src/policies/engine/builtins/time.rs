// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `time.*` where the library differs: days beyond a month's end, names of zones, and long durations.

use chrono::{DateTime, Datelike, Duration, NaiveDate, Offset, TimeZone, Timelike, Utc};
use chrono_tz::{OffsetName, Tz};
use regorus::Value;

use super::{Failure, Outcome, integer, library, mismatch, text};

/// Adds years, months and days. Days beyond the end of a month go on into the next.
pub(super) fn add_date(arguments: &[Value]) -> Outcome {
    let (nanos, zone) = moment(arguments)?;
    let (years, months, days) = (integer(arguments, 1)?, integer(arguments, 2)?, integer(arguments, 3)?);
    let local = local(nanos, zone).naive_local();
    let added = || {
        let months = years.checked_mul(12)?.checked_add(months)?.checked_add(i64::from(local.month0()))?;
        let year = i64::from(local.year()).checked_add(months.div_euclid(12))?;
        let month = u32::try_from(months.rem_euclid(12)).ok()? + 1;
        let first = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, 1)?;
        let days = Duration::try_days(days.checked_add(i64::from(local.day0()))?)?;
        let moved = first.checked_add_signed(days)?.and_time(local.time());
        // An hour that a clock skips is read as what follows it.
        let exact = zone.from_local_datetime(&moved).earliest();
        exact
            .or_else(|| zone.from_local_datetime(&(moved + Duration::hours(1))).earliest())?
            .timestamp_nanos_opt()
    };
    added().map(Value::from).ok_or_else(|| Failure::from("time outside of valid range"))
}

/// The years, months, days, hours, minutes and seconds between two times, as clocks in the zone of the
/// first show them.
pub(super) fn diff(arguments: &[Value]) -> Outcome {
    let (first, zone) = moment(arguments)?;
    let (second, _) = moment(arguments.get(1..).unwrap_or_default())?;
    let (from, to) = (first.min(second), first.max(second));
    let (from, to) = (local(from, zone).naive_local(), local(to, zone).naive_local());
    let mut months =
        i64::from(to.year() - from.year()) * 12 + i64::from(to.month()) - i64::from(from.month());
    let mut days = i64::from(to.day()) - i64::from(from.day());
    let mut seconds = i64::from(to.num_seconds_from_midnight()) - i64::from(from.num_seconds_from_midnight());
    if seconds < 0 {
        seconds += 24 * 60 * 60;
        days -= 1;
    }
    if days < 0 {
        // Lent by the month of the earlier time.
        days += i64::from(from.date().num_days_in_month());
        months -= 1;
    }
    let parts = [months / 12, months % 12, days, seconds / 3600, seconds / 60 % 60, seconds % 60];
    Ok(Value::from(parts.map(Value::from).to_vec()))
}

/// Formats a time. The library writes an offset where the layout asks for the name of the zone.
pub(super) fn format(arguments: &[Value]) -> Outcome {
    let layout = match arguments {
        [Value::Array(parts)] => parts.get(2),
        _ => None,
    };
    let layout = match layout {
        None => "RFC3339Nano",
        Some(Value::String(layout)) => layout.as_ref(),
        Some(_) => return Err(mismatch(arguments, 0, "array of number, string, string")),
    };
    let layout = NAMED.iter().find(|(name, _)| *name == layout).map_or(layout, |(_, own)| own);
    let (nanos, zone) = moment(arguments)?;
    let zone_name = match zone.offset_from_utc_datetime(&nanos.naive_utc()) {
        offset if offset.fix().local_minus_utc() == 0 && zone == Tz::UTC => "UTC".to_owned(),
        offset => offset.abbreviation().unwrap_or_default().to_owned(),
    };
    let mut written = String::new();
    for (index, part) in layout.split("MST").enumerate() {
        written.push_str(if index > 0 { &zone_name } else { "" });
        let mut rest = part;
        while !rest.is_empty() {
            let (plain, fraction, after) = until_fraction(rest);
            if !plain.is_empty() {
                let nanos = Value::from(nanos.timestamp_nanos_opt().unwrap_or_default());
                let asked = vec![nanos, zone.name().into(), plain.into()];
                let part = library("time.format", &[Value::from(asked)])?;
                written.push_str(part.as_string().map_or("", |text| text));
            }
            written.push_str(&fraction_of(nanos.timestamp_subsec_nanos(), fraction));
            rest = after;
        }
    }
    Ok(Value::from(written))
}

/// A layout up to its first fraction of a second, the fraction, and what follows: a point or a comma, and
/// zeros alone or nines alone.
fn until_fraction(layout: &str) -> (&str, &str, &str) {
    for (start, _) in layout.match_indices(['.', ',']) {
        let (before, from) = layout.split_at(start);
        let digits = from.get(1..).unwrap_or_default();
        let first = digits.chars().next().filter(|first| matches!(first, '0' | '9'));
        let length = first.map_or(0, |first| digits.len() - digits.trim_start_matches(first).len());
        let ends = !digits.get(length..).is_some_and(|next| next.starts_with(|c: char| c.is_ascii_digit()));
        if length > 0 && ends {
            let (fraction, after) = from.split_at(length + 1);
            return (before, fraction, after);
        }
    }
    (layout, "", "")
}

/// A fraction of a second in the form of a layout. Nines leave zeros at the end out.
fn fraction_of(nanos: u32, layout: &str) -> String {
    let digits = layout.len().saturating_sub(1);
    let all = format!("{nanos:09}");
    let wanted = all.get(..digits.min(9)).unwrap_or_default();
    let wanted = if layout.ends_with('9') { wanted.trim_end_matches('0') } else { wanted };
    match layout.chars().next() {
        Some(point) if !wanted.is_empty() => format!("{point}{wanted}"),
        _ => String::new(),
    }
}

/// Layouts that have names, of those that ask for the name of a zone or for a fraction.
const NAMED: &[(&str, &str)] = &[
    ("RFC3339Nano", "2006-01-02T15:04:05.999999999Z07:00"),
    ("UnixDate", "Mon Jan _2 15:04:05 MST 2006"),
    ("RFC822", "02 Jan 06 15:04 MST"),
    ("RFC850", "Monday, 02-Jan-06 15:04:05 MST"),
    ("RFC1123", "Mon, 02 Jan 2006 15:04:05 MST"),
];

/// Reads a duration: numbers, each with its unit.
pub(super) fn parse_duration_ns(arguments: &[Value]) -> Outcome {
    let text = text(arguments, 0)?;
    nanoseconds(text).map(Value::from).ok_or_else(|| Failure::Failed(format!("invalid duration \"{text}\"")))
}

fn nanoseconds(text: &str) -> Option<i64> {
    let (is_negative, mut rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut sum = 0_i128;
    let mut found = false;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = after.strip_prefix('.').map_or(("", after), digits);
        let unit_end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit_end)?;
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        // Further digits are less than a nanosecond of any unit.
        let fraction = fraction.get(..fraction.len().min(18))?;
        let part: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
        let part = part * scale / 10_i128.pow(u32::try_from(fraction.len()).ok()?);
        sum = sum.checked_add(whole.checked_mul(*scale)?)?.checked_add(part)?;
        found = true;
        rest = after;
    }
    i64::try_from(if is_negative { -sum } else { sum }).ok().filter(|_| found)
}

/// What digits a text begins with, and the rest.
fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// Units of a duration in nanoseconds.
const UNITS: &[(&str, i128)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("w", 604_800_000_000_000),
    ("y", 31_536_000_000_000_000),
];

/// The time that the first argument is: nanoseconds, or those with the name of a zone.
fn moment(arguments: &[Value]) -> Result<(DateTime<Utc>, Tz), Failure> {
    let (nanos, zone) = match arguments.first() {
        Some(Value::Array(parts)) => (parts.first(), parts.get(1)),
        other => (other, None),
    };
    let nanos = match nanos {
        Some(number @ Value::Number(_)) => number.as_i64().map_err(|_| Failure::from("timestamp too big"))?,
        _ => return Err(mismatch(arguments, 0, "one of {number, array}")),
    };
    let zone = match zone {
        None => Tz::UTC,
        Some(Value::String(name)) => match name.as_ref() {
            "" | "UTC" | "Local" => Tz::UTC,
            name => name.parse().map_err(|_| Failure::Failed(format!("unknown time zone {name}")))?,
        },
        Some(_) => return Err(mismatch(arguments, 0, "one of {number, array}")),
    };
    Ok((DateTime::from_timestamp_nanos(nanos), zone))
}

fn local(moment: DateTime<Utc>, zone: Tz) -> DateTime<Tz> {
    moment.with_timezone(&zone)
}
