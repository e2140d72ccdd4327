//! Money as the API shows it.

use async_graphql::{InputObject, Object};
use entity::{fault::Faults, money};

use super::{
    scalar::{CurrencyCode, Decimal},
    walk::{Displayed, at_hand},
};

/// An amount of one currency.
#[derive(Clone, Copy, Debug)]
pub struct Money(money::Money);

/// An amount of one currency.
#[Object]
impl Money {
    /// With exactly the currency's decimal places: "12.50" EUR, "1250" JPY, "1.000" KWD.
    async fn amount(&self) -> Decimal {
        self.0.into()
    }

    /// The currency that it is in.
    async fn currency(&self) -> CurrencyCode {
        self.0.currency().into()
    }

    /// The same amount in the currency's smallest unit, as a string: 12.50 EUR is "1250", 1250 JPY is "1250".
    async fn minor_units(&self) -> String {
        self.0.minor().to_string()
    }
}

at_hand!(Money,
    "amount" => |it| Displayed(it.0.amount()),
    "currency" => |it| it.0.currency().code(),
    "minorUnits" => |it| Displayed(it.0.minor()),
);

impl From<money::Money> for Money {
    fn from(money: money::Money) -> Self {
        Self(money)
    }
}

/// More decimal places than the currency has are refused, never rounded.
#[derive(Clone, Debug, InputObject)]
pub struct MoneyInput {
    /// As a string: "12.50".
    pub amount: Decimal,
    /// The currency that it is in.
    pub currency: CurrencyCode,
}

impl MoneyInput {
    /// The amount, or faults under this path.
    pub fn read(&self, faults: &mut Faults, path: &str) -> Option<money::Money> {
        let currency = faults.take(&format!("{path}.currency"), self.currency.0.parse());
        amount(faults, &format!("{path}.amount"), &self.amount, currency?)
    }

    /// An amount that may move, or faults under this path (rule M4).
    pub fn read_above_zero(&self, faults: &mut Faults, path: &str) -> Option<money::Money> {
        let amount = self.read(faults, path)?;
        faults.take(&format!("{path}.amount"), amount.above_zero())
    }
}

/// An amount of a currency that is known, or a fault at this path (rules M1, M2).
pub fn amount(faults: &mut Faults, path: &str, amount: &Decimal, currency: money::Currency) -> Option<money::Money> {
    let why = "is a JSON number, which may have lost digits; amounts are strings, such as \"12.50\"";
    let text = faults.take(path, amount.text().ok_or(why))?;
    let decimal = faults.take(path, money::parse_decimal(text))?;
    faults.take(path, money::Money::from_decimal(decimal, currency))
}
