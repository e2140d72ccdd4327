//! The data of a first look: two users, a guest, and orders in every state.
//!
//! Made with the same verbs, provider and page as everything else; nothing is written past them. A database that has an order is left as it
//! is.

use std::{collections::BTreeMap, fmt, time::Duration};

use entity::{
    cart::{Cart, Draft, Line},
    metadata::Metadata,
    money::{Currency, Money},
    order::Model,
    owner::{Owner, OwnerKind},
};
use reqwest::{Client, redirect};

use crate::{
    app::App,
    auth::{Caller, CallerKind, Scope},
    error::{Error, Problem},
    secret::hex,
    service::{
        attempt::{AttemptToPay, attempt_to_pay_for_order},
        order::{Cancellation, NewOrder, cancel_order, create_order},
        order_list::{Filter, Part, Wanted, get_orders},
    },
};

/// How long the provider's page may take to answer a press.
const PAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no demo, or half of one, in words for whoever starts the server.
#[derive(Debug)]
pub struct DemoError(String);

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DemoError {}

impl From<Error> for DemoError {
    fn from(error: Error) -> Self {
        Self(match error {
            Error::Problem(problem) => problem.to_string(),
            Error::Forbidden(scope) => format!("{scope} is missing"),
            Error::SwitchedOff(what) => format!("{what} is switched off"),
            Error::Busy(words) | Error::Fault(words) => words,
        })
    }
}

impl From<Problem> for DemoError {
    fn from(problem: Problem) -> Self {
        Error::from(problem).into()
    }
}

impl From<reqwest::Error> for DemoError {
    fn from(error: reqwest::Error) -> Self {
        Self(format!("the provider's payment page: {error}"))
    }
}

/// Fills a database without orders. Of servers that start on it at once, one does, and the others go on without waiting for it.
pub async fn fill_if_empty(app: &App) -> Result<(), DemoError> {
    let demo = Demo::new(app)?;
    if demo.has_orders().await? {
        return Ok(());
    }
    // Each run asks for other orders under the same keys, so that only one of them gets its first.
    let first = demo.order(ADA, "EUR", &[("TEA-250", "Green tea, 250 g", 2, 1250)]).await;
    match first {
        Ok(first) => demo.tell(&first).await,
        Err(Error::Problem(Problem::IdempotencyKeyReused)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

const ADA: (OwnerKind, &str) = (OwnerKind::User, "ada");
const GRACE: (OwnerKind, &str) = (OwnerKind::User, "grace");
const GUEST: (OwnerKind, &str) = (OwnerKind::Anonymous, "guest-1");

struct Demo<'a> {
    app: &'a App,
    checkout: Caller,
    browser: Client,
    /// Stands in the metadata of each order that this run makes.
    run: String,
}

impl<'a> Demo<'a> {
    fn new(app: &'a App) -> Result<Self, DemoError> {
        let mut run = [0; 8];
        getrandom::fill(&mut run).map_err(Error::from)?;
        Ok(Self {
            app,
            checkout: Caller { kind: CallerKind::Service, id: "checkout".into(), scopes: Scope::ALL.into() },
            browser: Client::builder().timeout(PAGE_TIMEOUT).redirect(redirect::Policy::none()).build()?,
            run: hex(&run),
        })
    }

    async fn has_orders(&self) -> Result<bool, Error> {
        let newest = Part::First { count: 1, after: None };
        let page = get_orders(self.app, &self.checkout, Filter::default(), newest, Wanted::default()).await?;
        Ok(!page.orders.is_empty())
    }

    /// What becomes of the first order, and all that comes after it.
    async fn tell(&self, first: &Model) -> Result<(), DemoError> {
        self.pay(first, "pay").await?;
        self.pay(&self.order(ADA, "JPY", &[("CUP-1", "Tea cup", 2, 1800)]).await?, "decline").await?;
        self.cancel(&self.order(ADA, "EUR", &[("POT-1", "Teapot", 1, 4900)]).await?).await?;
        let lines = [("CUP-1", "Tea cup", 1, 1440), ("TEA-250", "Green tea, 250 g", 1, 1250)];
        self.attempt(&self.order(ADA, "EUR", &lines).await?).await?;
        self.order(ADA, "KWD", &[("OUD-1", "Incense", 1, 3750)]).await?;
        self.pay(&self.order(GRACE, "USD", &[("KET-1", "Kettle", 1, 8900)]).await?, "pay").await?;
        self.order(GUEST, "EUR", &[("TEA-100", "Black tea, 100 g", 1, 690)]).await?;
        Ok(())
    }

    async fn order(
        &self,
        (kind, id): (OwnerKind, &str),
        currency: &str,
        lines: &[(&str, &str, i32, i64)],
    ) -> Result<Model, Error> {
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
        let cart = Cart::new(draft)?;
        let metadata = Metadata::new(BTreeMap::from([("demo".to_owned(), self.run.clone())]))?;
        let owner = Owner { kind, id: id.into() };
        let key = format!("demo {id} {}", cart.digest());
        create_order(self.app, &self.checkout, Ok(NewOrder { owner, cart, metadata }), &key).await
    }

    async fn cancel(&self, order: &Model) -> Result<(), Error> {
        let reason = Some("changed their mind".into());
        let cancellation = Cancellation { order_id: order.id, reason, expected_version: None, lock_token: None };
        cancel_order(self.app, &self.checkout, Ok(cancellation)).await?;
        Ok(())
    }

    /// Starts an attempt; gives the address of the provider's page.
    async fn attempt(&self, order: &Model) -> Result<String, DemoError> {
        let request = AttemptToPay {
            order_id: order.id,
            provider: None,
            return_url: None,
            expected_amount: None,
            lock_token: None,
        };
        let key = format!("demo {}", order.id);
        let attempted = attempt_to_pay_for_order(self.app, &self.checkout, Ok(request), &key).await?;
        match attempted.problem {
            Some(problem) => Err(problem.into()),
            None => attempted
                .attempt
                .and_then(|attempt| attempt.redirect_url)
                .ok_or(DemoError("the provider has no payment page".into())),
        }
    }

    /// Starts an attempt and does on the provider's page what a shopper would.
    async fn pay(&self, order: &Model, outcome: &str) -> Result<(), DemoError> {
        let page = self.attempt(order).await?;
        self.browser.post(page).form(&[("outcome", outcome)]).send().await?.error_for_status()?;
        Ok(())
    }
}
