//! Two of the books, as they stand: what the database holds, and what the provider's ledger says.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    provider::{self, Movement},
    stage::Stage,
    support::database::Look,
};

#[derive(Clone, Debug, Deserialize)]
pub struct Transaction {
    pub reference: String,
    pub payment_id: String,
    pub kind: String,
    pub status: String,
    pub amount: i64,
    /// Who asked for it: `storm`, the server itself, or the provider.
    pub source: Option<String>,
    /// The idempotency key that it was asked for under, where a client asked.
    pub for_key: Option<String>,
    pub sends: i64,
    /// In milliseconds, as all times here.
    pub settled_at: Option<i64>,
    /// When an answer of the provider's was written down first: that it is on its way is one.
    pub answered_at: Option<i64>,
    /// Whether a person has to decide.
    pub has_case: bool,
}

impl Transaction {
    pub fn is_answered(&self) -> bool {
        self.status == "SUCCEEDED" || self.status == "FAILED"
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct Order {
    pub id: String,
    pub status: String,
    pub total: i64,
    pub cancelled_at: Option<i64>,
    /// Whether a person has to decide about money of it.
    pub has_case: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Payment {
    pub id: String,
    pub order_id: String,
    pub amount: i64,
    pub has_case: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Attempt {
    /// Its id, as clients are told.
    pub reference: String,
    pub payment_id: String,
    pub status: String,
    pub has_case: bool,
}

/// What a key stands for.
#[derive(Clone, Debug, Deserialize)]
pub struct Operation {
    pub key: String,
    pub mutation: String,
    pub state: String,
    /// The id of the order, payment or attempt that it made or gave back, as clients are told.
    pub made: Option<String>,
}

pub struct Books {
    pub transactions: Vec<Transaction>,
    pub orders: Vec<Order>,
    pub payments: Vec<Payment>,
    pub attempts: Vec<Attempt>,
    pub operations: Vec<Operation>,
    /// By our references.
    pub movements: HashMap<String, Vec<Movement>>,
    /// When the provider first knew of a transaction, in milliseconds, by our references.
    pub known: HashMap<String, i64>,
}

const TRANSACTIONS: &str = "
SELECT reference, payment_id, kind, status, amount_minor AS amount, source, sends,
    CASE source WHEN 'storm' THEN source_entity_id END AS for_key,
    (extract(epoch FROM settled_at) * 1000)::bigint AS settled_at,
    (SELECT (extract(epoch FROM min(written_at)) * 1000)::bigint FROM payment_audit a
        WHERE a.transaction_id = t.id AND a.status IN ('PENDING', 'SUCCEEDED', 'FAILED')) AS answered_at,
    EXISTS (SELECT 1 FROM reconciliation_case c WHERE c.transaction_id = t.id AND c.reason <> 'OUTCOME_UNKNOWN') AS has_case
FROM payment_transaction t ORDER BY created_at, id";

const ORDERS: &str = "
SELECT id, status, total_minor AS total, (extract(epoch FROM cancelled_at) * 1000)::bigint AS cancelled_at,
    EXISTS (SELECT 1 FROM reconciliation_case c JOIN payment p ON p.id = c.payment_id
        WHERE p.order_id = o.id AND c.reason <> 'OUTCOME_UNKNOWN') AS has_case
FROM orders o";

const PAYMENTS: &str = "
SELECT id, order_id, amount_minor AS amount,
    EXISTS (SELECT 1 FROM reconciliation_case c WHERE c.payment_id = p.id AND c.reason <> 'OUTCOME_UNKNOWN') AS has_case
FROM payment p";

const ATTEMPTS: &str = "
SELECT reference, payment_id, status,
    EXISTS (SELECT 1 FROM reconciliation_case c WHERE c.attempt_id = a.id AND c.reason <> 'OUTCOME_UNKNOWN') AS has_case
FROM payment_attempt a";

const OPERATIONS: &str = "
SELECT idempotency_key AS key, mutation, state, CASE mutation
    WHEN 'createOrder' THEN 'ord_' || order_id
    WHEN 'createPayment' THEN 'pay_' || payment_id
    WHEN 'attemptToPayForOrder' THEN 'att_' || attempt_id END AS made
FROM operation";

impl Books {
    /// Nothing may be under way while they are read.
    pub async fn read(stage: &Stage) -> Self {
        let look = Look::at(&stage.database_url()).await;
        let url = stage.sandbox_url().expect("the provider runs");
        Self {
            transactions: rows(&look, TRANSACTIONS).await,
            orders: rows(&look, ORDERS).await,
            payments: rows(&look, PAYMENTS).await,
            attempts: rows(&look, ATTEMPTS).await,
            operations: rows(&look, OPERATIONS).await,
            movements: provider::ledger(stage.servers[0].shop.client(), &url).await,
            known: provider::knew_at(stage.sandbox_database()).await,
        }
    }
}

impl Books {
    /// The keys that money was moved under, and nothing is open.
    pub fn answered_keys(&self) -> BTreeSet<String> {
        let keys = |answered: bool| {
            let rows = self.transactions.iter().filter(move |row| row.is_answered() == answered);
            rows.filter_map(|row| row.for_key.clone()).collect::<BTreeSet<_>>()
        };
        &keys(true) - &keys(false)
    }

    /// The keys that an order, a payment or an attempt was made under, and that have ended.
    pub fn made_keys(&self) -> BTreeSet<String> {
        let made = self.operations.iter().filter(|one| one.made.is_some() && one.state != "IN_PROGRESS");
        made.map(|one| one.key.clone()).collect()
    }
}

async fn rows<T: DeserializeOwned>(look: &Look, sql: &str) -> Vec<T> {
    let rows = look.texts(&format!("SELECT row_to_json(one)::text AS row FROM ({sql}) AS one"), "row").await;
    rows.iter().map(|row| serde_json::from_str(row).expect(row)).collect()
}
