// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Arithmetic with fractions in decimals: `0.1 + 0.2` is `0.3`, as in OPA, whose numbers have more digits
//! than a double. A result is rounded to a double once.

/// `digits * 10 ^ exponent`
#[derive(Clone, Copy)]
pub(super) struct Decimal {
    digits: i128,
    exponent: i32,
}

/// Computes with two numbers; nothing if the result needs more digits than there is room for.
pub(super) fn decimals(
    left: Option<f64>,
    right: Option<f64>,
    compute: fn(Decimal, Decimal) -> Option<Decimal>,
) -> Option<f64> {
    compute(Decimal::of(left?)?, Decimal::of(right?)?)?.to_double()
}

impl Decimal {
    /// A number by the digits that tell it from all others.
    fn of(number: f64) -> Option<Self> {
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e')?;
        let places = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        let exponent = exponent.parse::<i32>().ok()? - i32::try_from(places).ok()?;
        Some(Self { digits: digits.replace('.', "").parse().ok()?, exponent })
    }

    fn to_double(self) -> Option<f64> {
        format!("{}e{}", self.digits, self.exponent).parse().ok().filter(|number: &f64| number.is_finite())
    }

    pub(super) fn plus(self, other: Self) -> Option<Self> {
        let exponent = self.exponent.min(other.exponent);
        let scaled = |number: Self| {
            number.digits.checked_mul(10_i128.checked_pow(u32::try_from(number.exponent - exponent).ok()?)?)
        };
        Some(Self { digits: scaled(self)?.checked_add(scaled(other)?)?, exponent })
    }

    pub(super) fn minus(self, other: Self) -> Option<Self> {
        self.plus(Self { digits: -other.digits, ..other })
    }

    pub(super) fn times(self, other: Self) -> Option<Self> {
        let digits = self.digits.checked_mul(other.digits)?;
        Some(Self { digits, exponent: self.exponent + other.exponent })
    }

    /// Divides, to at least twenty digits.
    pub(super) fn by(self, other: Self) -> Option<Self> {
        let room = 37 - self.digits.checked_abs()?.checked_ilog10().unwrap_or(0);
        let digits = self.digits.checked_mul(10_i128.checked_pow(room)?)?.checked_div(other.digits)?;
        Some(Self { digits, exponent: self.exponent - other.exponent - i32::try_from(room).ok()? })
    }

    /// For what has no fractions.
    pub(super) fn none(self, _: Self) -> Option<Self> {
        None
    }
}
