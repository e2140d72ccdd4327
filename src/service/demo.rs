//! The data of a first look: two users, a guest, and orders in every state.
//!
//! Made with the same verbs, provider and page as everything else; nothing is written past them.

use entity::{
    cart::{Cart, Draft, Line},
    metadata::Metadata,
    money::{Currency, Money},
    order::{self, Entity},
    owner::{Owner, OwnerKind},
};
use sea_orm::EntityTrait;

use super::{
    attempt::{self, AttemptToPay},
    order::{self as orders, NewOrder},
};
use crate::{
    app::App,
    auth::{Caller, CallerKind, Scope},
    error::Error,
};

/// Fills a database without orders.
pub async fn fill_if_empty(app: &App) -> Result<(), Error> {
    if Entity::find().one(app.db.read()).await?.is_some() {
        return Ok(());
    }
    let demo =
        Demo { app, checkout: Caller { kind: CallerKind::Service, id: "checkout".into(), scopes: Scope::ALL.into() } };
    demo.paid(&demo.order(OwnerKind::User, "ada", "EUR", &[("TEA-250", "Green tea, 250 g", 2, 1250)]).await?, "pay")
        .await?;
    demo.paid(&demo.order(OwnerKind::User, "ada", "JPY", &[("CUP-1", "Tea cup", 2, 1800)]).await?, "decline").await?;
    let cancelled = demo.order(OwnerKind::User, "ada", "EUR", &[("POT-1", "Teapot", 1, 4900)]).await?;
    orders::cancel_order(app, &demo.checkout, cancelled.id, Some("changed their mind".into()), None).await?;
    let open = demo
        .order(
            OwnerKind::User,
            "ada",
            "EUR",
            &[("CUP-1", "Tea cup", 1, 1440), ("TEA-250", "Green tea, 250 g", 1, 1250)],
        )
        .await?;
    demo.attempt(&open).await?;
    demo.order(OwnerKind::User, "ada", "KWD", &[("OUD-1", "Incense", 1, 3750)]).await?;
    demo.paid(&demo.order(OwnerKind::User, "grace", "USD", &[("KET-1", "Kettle", 1, 8900)]).await?, "pay").await?;
    demo.order(OwnerKind::Anonymous, "guest-1", "EUR", &[("TEA-100", "Black tea, 100 g", 1, 690)]).await?;
    Ok(())
}

struct Demo<'a> {
    app: &'a App,
    checkout: Caller,
}

impl Demo<'_> {
    async fn order(
        &self,
        kind: OwnerKind,
        id: &str,
        currency: &str,
        lines: &[(&str, &str, i32, i64)],
    ) -> Result<order::Model, Error> {
        let currency: Currency = currency.parse().map_err(|_| Error::Fault("a demo currency".into()))?;
        let zero = Money::zero(currency);
        let line = |(sku, name, quantity, price): &(&str, &str, i32, i64)| Line {
            sku: (*sku).into(),
            name: (*name).into(),
            quantity: *quantity,
            unit_price: Money::new(*price, currency),
            attributes: Metadata::default(),
        };
        let lines = lines.iter().map(line).collect();
        let draft = Draft { external_id: None, currency, lines, discount: zero, shipping: zero, tax: zero };
        let cart = Cart::new(draft).map_err(|faults| Error::Fault(format!("a demo cart: {faults:?}")))?;
        let owner = Owner { kind, id: id.into() };
        let key = format!("demo {id} {}", cart.digest());
        let new = NewOrder { owner, cart, metadata: Metadata::default() };
        orders::create_order(self.app, &self.checkout, new, &key).await
    }

    async fn attempt(&self, order: &order::Model) -> Result<Option<String>, Error> {
        let request = AttemptToPay { order_id: order.id, provider: None, return_url: None, expected_amount: None };
        let key = format!("demo {}", order.id);
        let attempted = attempt::attempt_to_pay_for_order(self.app, &self.checkout, request, &key).await?;
        Ok(attempted.attempt.and_then(|attempt| attempt.redirect_url))
    }

    /// Starts an attempt and does on the provider's page what a shopper would.
    async fn paid(&self, order: &order::Model, outcome: &str) -> Result<(), Error> {
        let Some(page) = self.attempt(order).await? else { return Ok(()) };
        let pressed = reqwest::Client::new().post(page).form(&[("outcome", outcome)]).send().await;
        pressed.map(|_| ()).map_err(|error| Error::Fault(format!("the demo's payment page: {error}")))
    }
}
