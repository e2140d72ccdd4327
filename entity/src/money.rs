//! Money: a whole number of a currency's smallest unit, and the currency.
//!
//! There is no `+`, no float and no rounding: adding returns a `Result`, because currencies may differ and integers
//! overflow, and an amount that a currency can't express is refused (rules M1 to M4).

use std::{fmt, str::FromStr};

use rust_decimal::Decimal;
use sea_orm::DeriveValueType;
use serde::{Deserialize, Serialize};

/// A currency of ISO 4217 that amounts can be given in: one with a smallest unit. Currencies that went out of use stay, because
/// orders in them stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, DeriveValueType)]
#[sea_orm(value_type = "String")]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// The euro.
    pub const EUR: Self = Self(iso_currency::Currency::EUR);

    /// How many decimal places its amounts have: 2 for EUR, 0 for JPY, 3 for KWD.
    pub fn places(self) -> u32 {
        self.0.exponent().unwrap_or_default().into()
    }

    /// The three letters: `EUR`.
    pub fn code(self) -> &'static str {
        self.0.code()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A text that is no currency's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCurrency;

impl fmt::Display for UnknownCurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not a currency: three capital letters of ISO 4217 are, such as EUR")
    }
}

impl std::error::Error for UnknownCurrency {}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(code: &str) -> Result<Self, UnknownCurrency> {
        iso_currency::Currency::from_code(code)
            .filter(|currency| currency.exponent().is_some())
            .map(Self)
            .ok_or(UnknownCurrency)
    }
}

/// Why there is no such amount. Its words are meant for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MoneyError {
    /// More decimal places than the currency has (rule M2).
    TooManyPlaces { currency: Currency, found: u32 },
    /// Amounts of two currencies met (rule M3).
    Mixed { left: Currency, right: Currency },
    /// More than 64 bits of the smallest unit (rule M4).
    Overflow { currency: Currency },
    /// A move of money that moves none, or backwards (rule M4).
    NotAboveZero,
    /// An amount that can't be less than nothing.
    Negative,
}

impl fmt::Display for MoneyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyPlaces { currency, found } => {
                write!(f, "has {found} decimal places; {currency} has {}", currency.places())
            }
            Self::Mixed { left, right } => write!(f, "is in {right}; {left} is needed"),
            Self::Overflow { currency } => {
                write!(f, "is too large: at most {} can be handled", Money::new(i64::MAX, *currency))
            }
            Self::NotAboveZero => f.write_str("must be above zero"),
            Self::Negative => f.write_str("must not be negative"),
        }
    }
}

impl std::error::Error for MoneyError {}

/// An amount of one currency, in its smallest unit: 12.50 EUR is 1250.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "(i64, String)", into = "(i64, String)")]
pub struct Money {
    minor: i64,
    currency: Currency,
}

impl Money {
    /// So many of the currency's smallest unit.
    pub fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    pub fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// The amount that a decimal number names, exactly or not at all (rule M2). Trailing zeros count as places: `10.00` is
    /// no amount of JPY.
    pub fn from_decimal(amount: Decimal, currency: Currency) -> Result<Self, MoneyError> {
        let found = amount.scale();
        let places = currency.places();
        if found > places {
            return Err(MoneyError::TooManyPlaces { currency, found });
        }
        10_i128
            .checked_pow(places - found)
            .and_then(|factor| amount.mantissa().checked_mul(factor))
            .and_then(|minor| i64::try_from(minor).ok())
            .map(|minor| Self { minor, currency })
            .ok_or(MoneyError::Overflow { currency })
    }

    pub fn minor(self) -> i64 {
        self.minor
    }

    pub fn currency(self) -> Currency {
        self.currency
    }

    /// The amount as a decimal number with exactly the currency's places.
    pub fn to_decimal(self) -> Decimal {
        Decimal::from_i128_with_scale(self.minor.into(), self.currency.places())
    }

    /// The same number as text.
    pub fn amount(self) -> Amount {
        Amount(self)
    }

    pub fn is_zero(self) -> bool {
        self.minor == 0
    }

    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.with(other, i64::checked_add)
    }

    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.with(other, i64::checked_sub)
    }

    /// So many times this amount.
    pub fn times(self, quantity: i32) -> Result<Self, MoneyError> {
        let currency = self.currency;
        self.minor
            .checked_mul(quantity.into())
            .map(|minor| Self { minor, currency })
            .ok_or(MoneyError::Overflow { currency })
    }

    /// The sum; zero of the given currency where there is nothing to add (rule M3).
    pub fn sum(amounts: impl IntoIterator<Item = Self>, currency: Currency) -> Result<Self, MoneyError> {
        amounts.into_iter().try_fold(Self::zero(currency), Self::plus)
    }

    /// Itself, if it may move: an amount above zero (rule M4).
    pub fn above_zero(self) -> Result<Self, MoneyError> {
        if self.minor > 0 { Ok(self) } else { Err(MoneyError::NotAboveZero) }
    }

    /// Itself, if it is zero or more.
    pub fn not_negative(self) -> Result<Self, MoneyError> {
        if self.minor >= 0 { Ok(self) } else { Err(MoneyError::Negative) }
    }

    /// Whether this amount is at least the other.
    pub fn covers(self, other: Self) -> Result<bool, MoneyError> {
        self.minus(other).map(|rest| rest.minor >= 0)
    }

    fn with(self, other: Self, apply: fn(i64, i64) -> Option<i64>) -> Result<Self, MoneyError> {
        let currency = self.currency;
        if other.currency != currency {
            return Err(MoneyError::Mixed { left: currency, right: other.currency });
        }
        apply(self.minor, other.minor).map(|minor| Self { minor, currency }).ok_or(MoneyError::Overflow { currency })
    }
}

impl From<Money> for (i64, String) {
    fn from(money: Money) -> Self {
        (money.minor, money.currency.to_string())
    }
}

impl TryFrom<(i64, String)> for Money {
    type Error = UnknownCurrency;

    fn try_from((minor, code): (i64, String)) -> Result<Self, UnknownCurrency> {
        code.parse().map(|currency| Self::new(minor, currency))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount(), self.currency)
    }
}

/// Shows an amount with exactly the currency's places, and without its currency. Pages are full of them, so that it takes no way through a [`Decimal`].
#[derive(Clone, Copy, Debug)]
pub struct Amount(Money);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (minor, places) = (self.0.minor, self.0.currency.places());
        let Some(one) = 10_u64.checked_pow(places).filter(|one| *one > 1) else { return write!(f, "{minor}") };
        let (sign, digits, width) = (if minor < 0 { "-" } else { "" }, minor.unsigned_abs(), places as usize);
        write!(f, "{sign}{}.{:0width$}", digits / one, digits % one)
    }
}

/// Why a text is no decimal number that can be handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotDecimal {
    Malformed,
    /// More digits than any amount has.
    TooLong,
}

impl fmt::Display for NotDecimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "is not a decimal number such as \"12.50\"",
            Self::TooLong => "is too large, or has too many digits",
        })
    }
}

impl std::error::Error for NotDecimal {}

/// Reads digits with at most one point and a minus sign before them, exactly: no exponent, no spaces, no thousands.
pub fn parse_decimal(text: &str) -> Result<Decimal, NotDecimal> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(NotDecimal::Malformed);
    }
    Decimal::from_str_exact(text).map_err(|_| NotDecimal::TooLong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn currency(code: &str) -> Currency {
        code.parse().unwrap()
    }

    fn money(amount: &str, code: &str) -> Result<Money, String> {
        let amount = parse_decimal(amount).map_err(|error| error.to_string())?;
        Money::from_decimal(amount, currency(code)).map_err(|error| error.to_string())
    }

    #[test]
    fn an_amount_has_its_currencys_places() {
        let shown = [("12.5", "EUR"), ("1250", "JPY"), ("1", "KWD"), ("0", "EUR"), ("-0.01", "EUR")]
            .map(|(amount, code)| money(amount, code).unwrap().to_string());
        assert_eq!(shown, ["12.50 EUR", "1250 JPY", "1.000 KWD", "0.00 EUR", "-0.01 EUR"]);
    }

    // rule M2
    #[test]
    fn more_places_than_the_currency_has_are_refused() {
        assert_eq!(money("10.005", "EUR"), Err("has 3 decimal places; EUR has 2".into()));
        assert_eq!(money("10.5", "JPY"), Err("has 1 decimal places; JPY has 0".into()));
        assert_eq!(money("0.0001", "KWD"), Err("has 4 decimal places; KWD has 3".into()));
    }

    #[test]
    fn what_is_not_written_as_a_decimal_number_is_refused() {
        for text in ["", "-", ".5", "5.", "1e3", "1_000", " 1", "+1", "1,5", "NaN", "0x1", "١"] {
            assert_eq!(parse_decimal(text), Err(NotDecimal::Malformed), "{text}");
        }
    }

    #[test]
    fn only_currencies_with_a_smallest_unit_are_known() {
        for code in ["eur", "EU", "", "XXX", "XAU", "EURO"] {
            assert_eq!(code.parse::<Currency>(), Err(UnknownCurrency), "{code}");
        }
    }

    // rule M3
    #[test]
    fn currencies_never_mix() {
        let (euro, yen) = (Money::new(1, currency("EUR")), Money::new(1, currency("JPY")));
        assert_eq!(euro.plus(yen).unwrap_err().to_string(), "is in JPY; EUR is needed");
    }

    // rule M4
    #[test]
    fn overflow_is_an_error() {
        let most = Money::new(i64::MAX, currency("EUR"));
        assert!(most.plus(Money::new(1, currency("EUR"))).is_err());
        assert!(most.times(2).is_err());
        assert!(money("92233720368547758.08", "EUR").is_err());
        assert_eq!(money("92233720368547758.07", "EUR"), Ok(most));
        assert_eq!(parse_decimal(&"9".repeat(40)), Err(NotDecimal::TooLong));
    }

    proptest! {
        #[test]
        fn an_amount_is_shown_as_its_decimal_number_is(minor: i64, code in prop::sample::select(vec!["EUR", "JPY", "KWD", "CLF"])) {
            let money = Money::new(minor, currency(code));
            prop_assert_eq!(money.amount().to_string(), money.to_decimal().to_string());
        }

        #[test]
        fn every_amount_reads_back_as_itself(minor: i64, code in prop::sample::select(vec!["EUR", "JPY", "KWD", "CLF"])) {
            let amount = Money::new(minor, currency(code));
            let text = amount.to_decimal().to_string();
            prop_assert_eq!(money(&text, code), Ok(amount));
        }
    }
}
