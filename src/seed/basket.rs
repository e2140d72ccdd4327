//! Carts as shoppers fill them: one to four lines, mostly in euros.

use entity::{
    cart::{Cart, Draft, Line},
    metadata::Metadata,
    money::{Currency, Money},
};

use super::{SeedError, dice::Dice};

/// SKU, name, and price in the smallest unit: 12.50 EUR, 12.50 USD or 1250 JPY.
const GOODS: [(&str, &str, i64); 12] = [
    ("TEA-250", "Green tea, 250 g", 1250),
    ("TEA-100", "Black tea, 100 g", 690),
    ("TEA-CHAI", "Chai, loose, with cardamom", 890),
    ("CUP-1", "Tea cup", 1440),
    ("CUP-6", "Six tea cups in a box", 6900),
    ("POT-1", "Teapot", 4900),
    ("POT-IRON", "Cast iron teapot, 1.2 l", 11900),
    ("KET-1", "Kettle", 8900),
    ("TIN-3", "Three tins", 2400),
    ("SPO-4", "Four spoons", 1990),
    ("BOOK-TEA", "The book of tea", 1600),
    ("HON-500", "Honey, 500 g", 950),
];
const SHIPPING: i64 = 490;

/// The currencies, each with how often it is paid in.
pub struct Baskets([(u64, Currency); 3]);

impl Baskets {
    pub fn new() -> Result<Self, SeedError> {
        let currency = |code: &str| code.parse().map_err(|error| SeedError(format!("{code:?} {error}")));
        Ok(Self([(80, Currency::EUR), (12, currency("USD")?), (8, currency("JPY")?)]))
    }

    /// A cart that costs something.
    pub fn fill(&self, dice: &mut Dice) -> Result<Cart, SeedError> {
        let currency = dice.weighed(&self.0).copied().unwrap_or(Currency::EUR);
        let lines: Vec<Line> = (0..dice.within(1, 4)).filter_map(|_| line(currency, dice)).collect();
        let goods = lines.iter().map(|line| line.unit_price.times(line.quantity)).collect::<Result<Vec<_>, _>>();
        let goods = goods.and_then(|goods| Money::sum(goods, currency));
        let goods = goods.map_err(|error| SeedError(format!("a cart {error}")))?.minor();
        let discount = if dice.percent(15) { goods / 10 } else { 0 };
        let shipping = if goods < 5000 { SHIPPING } else { 0 };
        let tax = (goods - discount) * 19 / 100;
        let [discount, shipping, tax] = [discount, shipping, tax].map(|minor| Money::new(minor, currency));
        let cart = Cart::new(Draft { external_id: None, currency, lines, discount, shipping, tax });
        cart.map_err(|faults| SeedError(format!("a cart is none: {faults:?}")))
    }
}

fn line(currency: Currency, dice: &mut Dice) -> Option<Line> {
    let (sku, name, price) = dice.among(&GOODS)?;
    let quantity = *dice.weighed(&[(70, 1), (20, 2), (10, 3)])?;
    let unit_price = Money::new(*price, currency);
    Some(Line { sku: (*sku).into(), name: (*name).into(), quantity, unit_price, attributes: Metadata::default() })
}
