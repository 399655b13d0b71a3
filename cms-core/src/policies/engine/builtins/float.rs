// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Numbers with a fraction, in the forms of Go's `strconv`.

/// `%e`: one digit, a point, digits, and an exponent of at least two digits.
pub(super) fn scientific(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    with_exponent(digits, exponent.parse().unwrap_or(0))
}

/// `%g`: the shorter of both forms; without a precision, as few digits as tell the number.
pub(super) fn general(number: f64, precision: Option<usize>, keeps_zeros: bool) -> String {
    let text = match precision {
        Some(digits) => format!("{number:.*e}", digits.max(1) - 1),
        None => format!("{number:e}"),
    };
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = if digits.contains('.') && !keeps_zeros {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        digits
    };
    let most = precision.map_or(6, |digits| i32::try_from(digits.max(1)).unwrap_or(i32::MAX));
    if exponent < -4 || exponent >= most {
        return with_exponent(digits, exponent);
    }
    let places =
        i32::try_from(digits.chars().filter(char::is_ascii_digit).count()).unwrap_or(0) - 1 - exponent;
    format!("{number:.*}", usize::try_from(places).unwrap_or(0))
}

fn with_exponent(digits: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}
