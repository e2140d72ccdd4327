//! An app with orders, payments and transactions that nobody has to move money for.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    cart::{Cart, Draft, Line},
    id::{PaymentId, TransactionId},
    lock::{self, TokenHash},
    metadata::Metadata,
    money::Money,
    order,
    owner::{Owner, OwnerKind},
    payment,
    schedule::Schedule,
    transaction::{self, ProviderReference},
};
use sea_orm::{EntityTrait, IntoActiveModel};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    auth::{AnonymousTokens, Caller, CallerKind, Scope},
    clock::Clock,
    config::ReturnOrigins,
    db::Database,
    provider::Providers,
    secret::Secret,
    service::{
        change::Changes,
        change_hub,
        order::{NewOrder, create_order},
    },
};

pub fn service(scopes: &[Scope]) -> Caller {
    Caller { kind: CallerKind::Service, id: "checkout".into(), scopes: scopes.iter().copied().collect() }
}

pub fn checkout() -> Caller {
    service(&Scope::ALL)
}

/// A payment under a lock, with an authorization and a capture of it.
async fn add_payment(app: &App, order: &order::Model) {
    let (db, at) = (app.db.read(), order.created_at);
    let (order_id, currency, amount_minor) = (order.id, order.currency, order.total().minor());
    let id = PaymentId::new(at);
    let status = payment::Status::Active;
    let provider = "sandbox".to_owned();
    let (display, version, created_at, updated_at) = (Metadata::default(), 1, at, at);
    let row = payment::Model {
        id,
        order_id,
        provider,
        status,
        amount_minor,
        currency,
        display,
        version,
        created_at,
        updated_at,
    };
    payment::Entity::insert(row.clone().into_active_model()).exec_without_returning(db).await.unwrap();
    let lock = lock::Model::new(id).take(TokenHash(vec![1]), Some("tea".into()), at, TimeDelta::days(1)).unwrap();
    lock::Entity::insert(lock.into_active_model()).exec_without_returning(db).await.unwrap();
    let authorization = authorization(&row, at);
    let capture = transaction::Model {
        id: TransactionId::new(at),
        kind: transaction::Kind::Capture,
        status: transaction::Status::Failed,
        parent_id: Some(authorization.id),
        reference: TransactionId::new(at).to_string(),
        failure_code: Some("card_declined".into()),
        decline: Some(transaction::Decline::Soft),
        ..authorization.clone()
    };
    for row in [authorization, capture] {
        transaction::Entity::insert(row.into_active_model()).exec_without_returning(db).await.unwrap();
    }
}

fn authorization(payment: &payment::Model, at: DateTime<Utc>) -> transaction::Model {
    transaction::Model {
        id: TransactionId::new(at),
        payment_id: payment.id,
        kind: transaction::Kind::Authorize,
        status: transaction::Status::Succeeded,
        management_state: None,
        amount_minor: payment.amount_minor,
        currency: payment.currency,
        parent_id: None,
        attempt_id: None,
        reference: TransactionId::new(at).to_string(),
        provider_reference: Some(ProviderReference("ch_1".into())),
        failure_code: None,
        failure_message: None,
        decline: None,
        source: Some("tests".into()),
        source_entity_type: None,
        source_entity_id: None,
        fencing_number: Some(2),
        sends: 1,
        sent_at: Some(at),
        checks: 0,
        next_check_at: None,
        created_at: at,
        settled_at: Some(at),
    }
}

/// An app with two orders and nobody to pay them.
pub async fn app() -> Arc<App> {
    let db = Database::open("sqlite::memory:", 1).await.unwrap();
    db.migrate().await.unwrap();
    let providers = Providers::new(vec![]);
    let provider_timeout = std::time::Duration::from_secs(1);
    let return_origins = ReturnOrigins::Loopback;
    let payment_lock_ttl = std::time::Duration::from_secs(10);
    let (clock, changes, checks) = (Clock::default(), Changes::default(), Schedule::usual());
    let anonymous_tokens = Some(AnonymousTokens::new(&Secret::random().unwrap()));
    let app = App {
        db,
        clock,
        providers,
        changes,
        return_origins,
        anonymous_tokens,
        provider_timeout,
        checks,
        payment_lock_ttl,
    };
    for (key, quantity) in [("1", 1), ("2", 2)] {
        let currency = "KWD".parse().unwrap();
        let zero = Money::zero(currency);
        let attributes = Metadata::new([("colour".to_owned(), "red".to_owned())].into()).unwrap();
        let unit_price = Money::new(1250, currency);
        let line = Line { sku: "TEA".into(), name: "Tea".into(), quantity, unit_price, attributes };
        let draft = Draft { external_id: None, currency, lines: vec![line], discount: zero, shipping: zero, tax: zero };
        let owner = Owner { kind: OwnerKind::User, id: "ada".into() };
        let new = NewOrder { owner, cart: Cart::new(draft).unwrap(), metadata: Metadata::default() };
        let order = create_order(&app, &checkout(), Ok(new), key).await.unwrap();
        add_payment(&app, &order).await;
    }
    let app = Arc::new(app);
    tokio::spawn(change_hub::run(Arc::clone(&app), CancellationToken::new()));
    app
}
