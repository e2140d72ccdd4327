//! A cart: what is bought, at which prices, in one currency.
//!
//! A `Cart` exists only if it holds to rule O3, so whoever has one need not check it again. It is never changed: an
//! order gets another one.

use std::fmt::{self, Write as _};

use sea_orm::{DeriveValueType, FromJsonQueryResult};
use serde::{Deserialize, Serialize};

use crate::{
    canonical::Canonical,
    fault::{Fault, Faults},
    metadata::Metadata,
    money::{Currency, Money, MoneyError},
};

const MOST_LINES: usize = 500;
const QUANTITIES: std::ops::RangeInclusive<i32> = 1..=1_000_000;

/// One line as it was sent, not checked yet.
#[derive(Clone, Debug)]
pub struct Line {
    pub sku: String,
    pub name: String,
    pub quantity: i32,
    pub unit_price: Money,
    pub attributes: Metadata,
}

/// A cart as it was sent, not checked yet.
#[derive(Clone, Debug)]
pub struct Draft {
    pub external_id: Option<String>,
    pub currency: Currency,
    pub lines: Vec<Line>,
    pub discount: Money,
    pub shipping: Money,
    pub tax: Money,
}

/// A cart that holds to rule O3: 1 to 500 lines, quantities of 1 to 1,000,000, one currency, and
/// total = Σ quantity × unit price − discount + shipping + tax, which is not negative.
#[derive(Clone, Debug, Serialize, Deserialize, FromJsonQueryResult)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Cart {
    draft: Draft,
    line_totals: Vec<Money>,
    subtotal: Money,
    total: Money,
}

impl Cart {
    /// Checks a draft; every fault is told, each with its path (`lines.3.quantity`).
    pub fn new(draft: Draft) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        if let Some(id) = &draft.external_id {
            faults.text("externalId", id, 1..=255);
        }
        let lines = draft.lines.len();
        if lines == 0 || lines > MOST_LINES {
            faults.add("lines", format!("has {lines} lines; 1 to {MOST_LINES} are allowed"));
        }
        for (index, line) in draft.lines.iter().take(MOST_LINES).enumerate() {
            check_line(&mut faults, &format!("lines.{index}"), line);
        }
        for (path, amount) in
            [("discountTotal", draft.discount), ("shippingTotal", draft.shipping), ("taxTotal", draft.tax)]
        {
            faults.take(path, amount.not_negative());
        }
        let draft = faults.or(Some(draft))?;
        let mut faults = Faults::default();
        let sums = faults.take("total", Sums::of(&draft));
        faults.or(sums).map(|Sums { lines, subtotal, total }| Self { draft, line_totals: lines, subtotal, total })
    }

    pub fn external_id(&self) -> Option<&str> {
        self.draft.external_id.as_deref()
    }

    pub fn currency(&self) -> Currency {
        self.draft.currency
    }

    pub fn lines(&self) -> &[Line] {
        &self.draft.lines
    }

    /// Each line with its total, quantity × unit price.
    pub fn lines_with_totals(&self) -> impl Iterator<Item = (&Line, Money)> {
        self.draft.lines.iter().zip(self.line_totals.iter().copied())
    }

    /// Σ quantity × unit price.
    pub fn subtotal(&self) -> Money {
        self.subtotal
    }

    pub fn discount(&self) -> Money {
        self.draft.discount
    }

    pub fn shipping(&self) -> Money {
        self.draft.shipping
    }

    pub fn tax(&self) -> Money {
        self.draft.tax
    }

    /// What the cart costs: zero or more.
    pub fn total(&self) -> Money {
        self.total
    }

    /// SHA-256 over the canonical form (rule O4): two carts are the same exactly if their digests are.
    ///
    /// The canonical form is a row of texts (in UTF-8; how each is written is said in `canonical`):
    ///
    /// 1. `orderpay cart 1`, the name and version of this form;
    /// 2. the caller's id of the cart, `=` before it, or an empty text where there is none;
    /// 3. the currency's code;
    /// 4. how many lines there are; then for each line, in the cart's order: SKU, name, quantity, unit price, how many
    ///    attributes there are, and each attribute's key and value, by ascending bytes of the key;
    /// 5. discount, shipping, tax.
    ///
    /// Amounts are whole numbers of the currency's smallest unit; numbers are decimal without leading zeros. Sums are not in
    /// it: they follow from the rest.
    pub fn digest(&self) -> CartDigest {
        let mut form = Canonical::new("orderpay cart 1");
        form.optional(self.external_id());
        form.text(self.currency().code());
        form.number(self.lines().len());
        for line in self.lines() {
            form.text(&line.sku);
            form.text(&line.name);
            form.number(line.quantity);
            form.number(line.unit_price.minor());
            form.number(line.attributes.pairs().len());
            for (key, value) in line.attributes.pairs() {
                form.text(key);
                form.text(value);
            }
        }
        for amount in [self.discount(), self.shipping(), self.tax()] {
            form.number(amount.minor());
        }
        CartDigest::of(form)
    }
}

fn check_line(faults: &mut Faults, path: &str, line: &Line) {
    faults.text(&format!("{path}.sku"), &line.sku, 1..=255);
    faults.text(&format!("{path}.name"), &line.name, 1..=500);
    if !QUANTITIES.contains(&line.quantity) {
        let (least, most) = (QUANTITIES.start(), QUANTITIES.end());
        let quantity = line.quantity;
        faults.add(&format!("{path}.quantity"), format!("is {quantity}; {least} to {most} are allowed"));
    }
    faults.take(&format!("{path}.unitPrice"), line.unit_price.not_negative());
}

struct Sums {
    lines: Vec<Money>,
    subtotal: Money,
    total: Money,
}

impl Sums {
    fn of(draft: &Draft) -> Result<Self, MoneyError> {
        let lines = draft.lines.iter().map(|line| line.unit_price.times(line.quantity));
        let lines: Vec<Money> = lines.collect::<Result<_, _>>()?;
        let subtotal = Money::sum(lines.iter().copied(), draft.currency)?;
        let total = subtotal.minus(draft.discount)?.plus(draft.shipping)?.plus(draft.tax)?.not_negative()?;
        Ok(Self { lines, subtotal, total })
    }
}

/// A cart's digest: 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, DeriveValueType)]
pub struct CartDigest(String);

impl CartDigest {
    fn of(form: Canonical) -> Self {
        let hex = form.finish().iter().fold(String::new(), |mut hex, byte| {
            // Writing to a String can't fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        Self(hex)
    }
}

impl fmt::Display for CartDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The form in which a cart is stored: only what can't be derived.
#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    external_id: Option<String>,
    currency: String,
    lines: Vec<StoredLine>,
    discount: i64,
    shipping: i64,
    tax: i64,
}

#[derive(Clone, Serialize, Deserialize)]
struct StoredLine {
    sku: String,
    name: String,
    quantity: i32,
    unit_price: i64,
    attributes: Metadata,
}

impl From<Cart> for Stored {
    fn from(Cart { draft, .. }: Cart) -> Self {
        Self {
            external_id: draft.external_id,
            currency: draft.currency.to_string(),
            lines: draft.lines.into_iter().map(StoredLine::from).collect(),
            discount: draft.discount.minor(),
            shipping: draft.shipping.minor(),
            tax: draft.tax.minor(),
        }
    }
}

impl From<Line> for StoredLine {
    fn from(line: Line) -> Self {
        Self {
            sku: line.sku,
            name: line.name,
            quantity: line.quantity,
            unit_price: line.unit_price.minor(),
            attributes: line.attributes,
        }
    }
}

impl TryFrom<Stored> for Cart {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let currency: Currency =
            stored.currency.parse().map_err(|error| format!("a stored cart's currency {error}"))?;
        let money = |minor| Money::new(minor, currency);
        let line = |line: StoredLine| Line {
            sku: line.sku,
            name: line.name,
            quantity: line.quantity,
            unit_price: money(line.unit_price),
            attributes: line.attributes,
        };
        Cart::new(Draft {
            external_id: stored.external_id,
            currency,
            lines: stored.lines.into_iter().map(line).collect(),
            discount: money(stored.discount),
            shipping: money(stored.shipping),
            tax: money(stored.tax),
        })
        .map_err(|faults| format!("a stored cart breaks the rules: {faults:?}"))
    }
}

impl PartialEq for Cart {
    fn eq(&self, other: &Self) -> bool {
        self.digest() == other.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn euro(minor: i64) -> Money {
        Money::new(minor, "EUR".parse().unwrap())
    }

    fn line(quantity: i32, price: i64) -> Line {
        Line {
            sku: "TEA-1".into(),
            name: "Tea".into(),
            quantity,
            unit_price: euro(price),
            attributes: Metadata::default(),
        }
    }

    fn draft(lines: Vec<Line>) -> Draft {
        Draft {
            external_id: None,
            currency: "EUR".parse().unwrap(),
            lines,
            discount: euro(0),
            shipping: euro(0),
            tax: euro(0),
        }
    }

    fn paths(draft: Draft) -> Vec<String> {
        let faults = Cart::new(draft).unwrap_err();
        faults.iter().map(|fault| fault.path.join(".")).collect()
    }

    // rule O3
    #[test]
    fn the_total_is_lines_less_discount_plus_shipping_and_tax() {
        let cart = Cart::new(Draft {
            discount: euro(300),
            shipping: euro(495),
            tax: euro(60),
            ..draft(vec![line(3, 450), line(1, 1000)])
        })
        .unwrap();
        assert_eq!((cart.subtotal(), cart.total()), (euro(2350), euro(2605)));
    }

    #[test]
    fn a_free_order_is_allowed_and_a_negative_one_is_not() {
        let with_discount = |discount| Draft { discount, ..draft(vec![line(1, 100)]) };
        assert_eq!(Cart::new(with_discount(euro(100))).unwrap().total(), euro(0));
        assert_eq!(paths(with_discount(euro(101))), ["total"]);
    }

    #[test]
    fn every_fault_is_told_with_its_path() {
        let faulty = Draft { tax: euro(-1), ..draft(vec![line(0, 1), line(1_000_001, 1), line(1, -1)]) };
        assert_eq!(paths(faulty), ["lines.0.quantity", "lines.1.quantity", "lines.2.unitPrice", "taxTotal"]);
    }

    #[test]
    fn a_cart_has_one_to_five_hundred_lines() {
        assert_eq!(paths(draft(vec![])), ["lines"]);
        assert_eq!(paths(draft(vec![line(1, 1); 501])), ["lines"]);
        assert!(Cart::new(draft(vec![line(1, 1); 500])).is_ok());
    }

    // rule M4
    #[test]
    fn a_total_that_overflows_is_refused() {
        assert_eq!(paths(draft(vec![line(1_000_000, i64::MAX / 2)])), ["total"]);
    }

    // rule O4
    #[test]
    fn equal_carts_have_equal_digests_and_every_part_counts() {
        let digest = |draft| Cart::new(draft).unwrap().digest();
        let with_attributes = |pairs: [(&str, &str); 2]| {
            let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
            let attributes = Metadata::new(BTreeMap::from(pairs)).unwrap();
            let mut line = line(1, 1);
            line.attributes = attributes;
            draft(vec![line])
        };
        let named = |sku: &str, name: &str| {
            let (sku, name) = (sku.to_owned(), name.to_owned());
            draft(vec![Line { sku, name, ..line(1, 1) }])
        };
        let external = |id: &str| Draft { external_id: Some(id.into()), ..draft(vec![line(1, 1)]) };
        assert_eq!(
            digest(with_attributes([("a", "1"), ("b", "2")])),
            digest(with_attributes([("b", "2"), ("a", "1")]))
        );
        let all = [
            digest(draft(vec![line(1, 1)])),
            digest(draft(vec![line(1, 2)])),
            digest(draft(vec![line(2, 1)])),
            digest(draft(vec![line(1, 1), line(1, 1)])),
            digest(with_attributes([("a", "1"), ("b", "2")])),
            digest(with_attributes([("a", "1b"), ("b", "2")])),
            digest(named("a", "bc")),
            digest(named("ab", "c")),
            digest(external("1")),
            digest(external("=")),
            digest(Draft { shipping: euro(1), ..draft(vec![line(1, 1)]) }),
            digest(Draft { tax: euro(1), ..draft(vec![line(1, 1)]) }),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one), "{index}");
        }
    }

    #[test]
    fn the_canonical_form_does_not_drift() {
        let mut tea = line(3, 450);
        tea.attributes = Metadata::new(BTreeMap::from([("colour".into(), "grün".into())])).unwrap();
        let cart = Cart::new(Draft { external_id: Some("cart-7".into()), tax: euro(90), ..draft(vec![tea]) }).unwrap();
        // printf '15:orderpay cart 17:=cart-73:EUR1:15:TEA-13:Tea1:33:4501:16:colour5:grün1:01:02:90' | sha256sum
        assert_eq!(cart.digest().to_string(), "33dd39fe046b60620d07ffab0b39ab72049c9bc0c89c18320cd8fa688705174e");
    }

    #[test]
    fn a_cart_is_stored_and_read_back_as_itself() {
        let cart = Cart::new(draft(vec![line(2, 5)])).unwrap();
        let stored = serde_json::to_string(&cart).unwrap();
        assert_eq!(serde_json::from_str::<Cart>(&stored).unwrap(), cart);
    }
}
