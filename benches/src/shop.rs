//! A shop with so many shoppers that none of them asks for more than one may, and each with a page of orders.
//!
//! One order is created as the checkout service would; the rest are made after it by SQL, each with a payment that is partly captured.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::{
    postgres::Postgres,
    server::{Server, mint},
    token::Mint,
    wire::{Client, post},
};

pub const SHOPPERS: usize = 2000;
pub const ORDERS_OF_EACH: usize = 20;

/// A page of twenty orders, each with its payments and their summaries.
pub const PAGE: &str = "{ viewer { orders(first: 20) { nodes { id number status createdAt total { amount currency } payments { id status \
    amount { amount currency } summary { amountAuthorized { amount } amountCaptured { amount } amountRefunded { amount } \
    amountAvailableForCapture { amount } amountAvailableForRefund { amount } fullyCaptured } } } pageInfo { hasNextPage endCursor } } } }";

/// Everybody who asks.
pub struct Shop {
    pub shoppers: Mint,
    pub services: Mint,
}

impl Shop {
    /// Fills the database of a server that has migrated it.
    pub async fn open(postgres: &Postgres, server: &Server) -> Self {
        let shop = Self { shoppers: mint(postgres, "user"), services: mint(postgres, "service") };
        shop.create_first_order(server).await;
        postgres.sql(&others(), "orderpay");
        postgres.sql("VACUUM (FREEZE, ANALYZE)", "orderpay");
        shop
    }

    /// What a shopper sends for a page. There are [`SHOPPERS`] of them; a number beyond that is one of them again.
    pub fn page(&self, shopper: usize) -> Vec<u8> {
        let token = self.shoppers.token(&format!("shopper-{}", shopper % SHOPPERS + 1));
        post(&token, json!({ "query": PAGE }).to_string().as_bytes())
    }

    /// A shopper's token whose signature was made with another key.
    pub fn forged(&self) -> String {
        let token = self.shoppers.token("shopper-1");
        let (signed, _) = token.rsplit_once('.').expect("a token has three parts");
        format!("{signed}.{}", "A".repeat(43))
    }

    async fn create_first_order(&self, server: &Server) {
        let request = post(&self.services.token("checkout"), &creation("first"));
        let answer = Client::new(Ipv4Addr::LOCALHOST, server.address).ask(&request).await.expect("an answer");
        let told = String::from_utf8_lossy(&answer.body);
        assert!(answer.is_good() && told.contains("ord_"), "{told}");
    }
}

/// What the checkout service asks for: an order of this shopper's, and never a second one.
pub fn creation(shopper: &str) -> Vec<u8> {
    let lines: Vec<Value> = (1..=3)
        .map(|line| json!({ "sku": format!("TEA-{line}"), "name": "Green tea", "quantity": 2, "unitPrice": "12.50" }))
        .collect();
    let body = json!({
        "query": "mutation ($input: CreateOrderInput!) { createOrder(input: $input) { order { id } problem { code } } }",
        "variables": { "input": {
            "owner": { "kind": "USER", "id": shopper },
            "idempotencyKey": shopper,
            "cart": { "currency": "EUR", "shippingTotal": "4.90", "lines": lines },
        } },
    });
    body.to_string().into_bytes()
}

/// An id as the server makes them, of the n-th thing of a kind.
pub fn id(kind: &str, number: &str) -> String {
    format!(
        "(lpad(to_hex(1795000000000 + {number}), 12, '0') || '7' || substr(md5('{kind}' || {number}), 1, 3) || '8' || \
         substr(md5('{kind}' || {number}), 4, 15))::uuid"
    )
}

fn others() -> String {
    let (order, payment) = (id("order", "n"), id("payment", "n"));
    let (authorization, capture) = (id("authorization", "n"), id("capture", "n"));
    let all = SHOPPERS * ORDERS_OF_EACH;
    let transaction = "INSERT INTO payment_transaction (id, payment_id, kind, status, amount_minor, currency, parent_id, reference, \
                       provider_reference, created_at, settled_at)";
    format!(
        "BEGIN;
        INSERT INTO order_owner (kind, id, order_count)
            SELECT 'USER', 'shopper-' || n, {ORDERS_OF_EACH} FROM generate_series(1, {SHOPPERS}) n;
        INSERT INTO orders (id, owner_kind, owner_id, owner_sequence, number, status, cart, cart_digest, currency, total_minor, metadata,
                version, created_at, updated_at)
            SELECT {order}, 'USER', 'shopper-' || (n - 1) % {SHOPPERS} + 1, (n - 1) / {SHOPPERS} + 1, 'B' || lpad(n::text, 9, '0'),
                status, cart, cart_digest, currency, total_minor, metadata, version, created_at, updated_at
            FROM orders, generate_series(1, {all}) n WHERE owner_id = 'first';
        INSERT INTO payment (id, order_id, provider, status, amount_minor, currency, display, version, created_at, updated_at)
            SELECT {payment}, {order}, 'sandbox', 'ACTIVE', total_minor, currency, '{{}}', 1, created_at, updated_at
            FROM orders, generate_series(1, {all}) n WHERE owner_id = 'first';
        {transaction}
            SELECT {authorization}, {payment}, 'AUTHORIZE', 'SUCCEEDED', total_minor, currency, NULL, 'a' || n, 'a' || n, created_at, created_at
            FROM orders, generate_series(1, {all}) n WHERE owner_id = 'first';
        {transaction}
            SELECT {capture}, {payment}, 'CAPTURE', 'SUCCEEDED', 1000, currency, {authorization}, 'c' || n, 'c' || n, created_at, created_at
            FROM orders, generate_series(1, {all}) n WHERE owner_id = 'first';
        COMMIT;"
    )
}
