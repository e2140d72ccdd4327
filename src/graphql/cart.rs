//! Carts as the API shows and takes them.

use async_graphql::{InputObject, Object, SimpleObject};
use entity::{
    cart::{self, Draft, Line},
    fault::Faults,
    money::{self as nouns, Currency},
};

use super::{
    money::{Money, amount},
    scalar::{CurrencyCode, Decimal, Metadata},
    walk::at_hand,
};
use crate::error::Read;

/// What is bought, at which prices, in one currency.
pub struct Cart(pub cart::Cart);

/// What is bought, at which prices, in one currency.
#[Object]
impl Cart {
    /// The caller's own id of the cart, where it keeps one.
    async fn external_id(&self) -> Option<String> {
        self.0.external_id().map(str::to_owned)
    }

    /// What is bought, line by line: 1 to 500.
    async fn lines(&self) -> Vec<CartLine> {
        self.lines_at_hand()
    }

    /// The sum of the lines.
    async fn subtotal(&self) -> Money {
        self.0.subtotal().into()
    }

    /// Taken off the subtotal.
    async fn discount_total(&self) -> Money {
        self.0.discount().into()
    }

    /// Added for shipping.
    async fn shipping_total(&self) -> Money {
        self.0.shipping().into()
    }

    /// Added for taxes.
    async fn tax_total(&self) -> Money {
        self.0.tax().into()
    }

    /// Subtotal − discount + shipping + tax, never negative.
    async fn total(&self) -> Money {
        self.0.total().into()
    }

    /// SHA-256 over the canonical form of all of the above; two carts are the same exactly if this is.
    async fn digest(&self) -> String {
        self.0.digest().to_string()
    }
}

impl Cart {
    fn lines_at_hand(&self) -> Vec<CartLine> {
        self.0.lines_with_totals().map(|(line, total)| CartLine::new(line, total)).collect()
    }
}

at_hand!(Cart,
    "externalId" => |it| it.0.external_id().map(str::to_owned),
    "lines" => |it| it.lines_at_hand(),
    "subtotal" => |it| Money::from(it.0.subtotal()),
    "discountTotal" => |it| Money::from(it.0.discount()),
    "shippingTotal" => |it| Money::from(it.0.shipping()),
    "taxTotal" => |it| Money::from(it.0.tax()),
    "total" => |it| Money::from(it.0.total()),
    "digest" => |it| it.0.digest().to_string(),
);

/// One line of a cart.
#[derive(SimpleObject)]
pub struct CartLine {
    /// The seller's name of what is bought.
    sku: String,
    /// Its name for people.
    name: String,
    /// How many: 1 to 1,000,000.
    quantity: i32,
    /// The price of one.
    unit_price: Money,
    /// quantity × unitPrice
    line_total: Money,
    /// Free-form: size, colour, …
    attributes: Metadata,
}

at_hand!(CartLine,
    "sku" => |it| it.sku,
    "name" => |it| it.name,
    "quantity" => |it| it.quantity,
    "unitPrice" => |it| it.unit_price,
    "lineTotal" => |it| it.line_total,
    "attributes" => |it| it.attributes,
);

impl CartLine {
    fn new(line: &Line, total: nouns::Money) -> Self {
        Self {
            sku: line.sku.clone(),
            name: line.name.clone(),
            quantity: line.quantity,
            unit_price: line.unit_price.into(),
            line_total: total.into(),
            attributes: (&line.attributes).into(),
        }
    }
}

/// A cart to be taken in: prices come from trusted services only.
#[derive(Clone, Debug, InputObject)]
pub struct CartInput {
    /// The caller's own id of the cart, 1 to 255 characters.
    external_id: Option<String>,
    /// The one currency of all its amounts.
    currency: CurrencyCode,
    /// 1 to 500 lines.
    lines: Vec<CartLineInput>,
    /// Taken off the sum of the lines.
    #[graphql(default_with = "zero()")]
    discount_total: Option<Decimal>,
    /// Added for shipping.
    #[graphql(default_with = "zero()")]
    shipping_total: Option<Decimal>,
    /// Added for taxes.
    #[graphql(default_with = "zero()")]
    tax_total: Option<Decimal>,
}

fn zero() -> Option<Decimal> {
    Some(Decimal::Text("0".into()))
}

/// One line of a cart to be taken in.
#[derive(Clone, Debug, InputObject)]
pub struct CartLineInput {
    /// The seller's name of what is bought, 1 to 255 characters.
    sku: String,
    /// Its name for people, 1 to 500 characters.
    name: String,
    /// How many: 1 to 1,000,000.
    quantity: i32,
    /// The price of one, zero or more.
    unit_price: Decimal,
    /// Free-form: size, colour, …
    attributes: Option<Metadata>,
}

impl CartInput {
    /// The cart, or all that is wrong with it.
    pub fn read(self) -> Read<cart::Cart> {
        let mut faults = Faults::default();
        let currency = faults.take("currency", self.currency.0.parse());
        let mut amounts =
            Amounts { faults, currency: currency.unwrap_or(Currency::EUR), is_readable: currency.is_some() };
        let lines = self.lines.into_iter().enumerate().map(|(index, line)| line.read(&mut amounts, index)).collect();
        let draft = Draft {
            external_id: self.external_id,
            currency: amounts.currency,
            lines,
            discount: amounts.read("discountTotal", self.discount_total.as_ref()),
            shipping: amounts.read("shippingTotal", self.shipping_total.as_ref()),
            tax: amounts.read("taxTotal", self.tax_total.as_ref()),
        };
        let Amounts { mut faults, .. } = amounts;
        let cart = cart::Cart::new(draft).map_err(|mut found| {
            // A sum over amounts that could not be read says nothing.
            found.retain(|fault| faults.is_empty() || fault.path != ["total"]);
            faults.extend(found);
        });
        faults.or(cart.ok())
    }
}

/// Reads amounts. Where one can't be read that is noted, and zero stands in for it, so that what else is wrong is found in the same go.
struct Amounts {
    faults: Faults,
    currency: Currency,
    /// Without a currency no amount can be read, and none is called wrong.
    is_readable: bool,
}

impl Amounts {
    fn read(&mut self, path: &str, given: Option<&Decimal>) -> nouns::Money {
        let given = given.filter(|_| self.is_readable);
        let read = given.and_then(|given| amount(&mut self.faults, path, given, self.currency));
        read.unwrap_or_else(|| nouns::Money::zero(self.currency))
    }
}

impl CartLineInput {
    fn read(self, amounts: &mut Amounts, index: usize) -> Line {
        let unit_price = amounts.read(&format!("lines.{index}.unitPrice"), Some(&self.unit_price));
        let attributes = self.attributes.unwrap_or_default();
        let attributes = attributes.read(&mut amounts.faults, &format!("lines.{index}.attributes"));
        let attributes = attributes.unwrap_or_default();
        Line { sku: self.sku, name: self.name, quantity: self.quantity, unit_price, attributes }
    }
}
