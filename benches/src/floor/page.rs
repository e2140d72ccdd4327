//! A page of orders as a bare handler reads and writes it: one statement, its rows, and the same answer as the server's, in the same shape.
//!
//! It knows nothing of GraphQL: what is selected is what the benchmark's document selects, and no more is read.

use serde::{Serialize, Serializer};
use sqlx::{
    FromRow,
    types::{
        Uuid,
        chrono::{DateTime, Utc},
    },
};

/// The rows of a page: cut out first, and joined outside. The server's statement reads these columns, too.
pub const STATEMENT: &str =
    "SELECT o.id, o.owner_sequence, o.number, o.status, o.currency, o.total_minor, o.created_at,
        p.id AS payment_id, p.status AS payment_status, p.amount_minor AS payment_minor, p.currency AS payment_currency,
        t.kind, t.status AS transaction_status, t.management_state, t.amount_minor AS transaction_minor,
        t.currency AS transaction_currency
    FROM (SELECT * FROM orders WHERE owner_kind = 'USER' AND owner_id = $1 ORDER BY owner_sequence DESC LIMIT $2) AS o
    LEFT JOIN payment AS p ON p.order_id = o.id
    LEFT JOIN payment_transaction AS t ON t.payment_id = p.id
    ORDER BY o.owner_sequence DESC, p.id";

/// An order with a transaction of a payment of it, or with none.
#[derive(FromRow)]
pub struct Row {
    id: Uuid,
    owner_sequence: i64,
    number: String,
    status: String,
    currency: String,
    total_minor: i64,
    created_at: DateTime<Utc>,
    #[sqlx(flatten)]
    payment: PaymentRow,
    #[sqlx(flatten)]
    transaction: TransactionRow,
}

#[derive(FromRow)]
struct PaymentRow {
    payment_id: Option<Uuid>,
    payment_status: Option<String>,
    payment_minor: Option<i64>,
    payment_currency: Option<String>,
}

#[derive(FromRow)]
struct TransactionRow {
    kind: Option<String>,
    transaction_status: Option<String>,
    management_state: Option<String>,
    transaction_minor: Option<i64>,
    transaction_currency: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    data: Data,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    user_orders: Connection,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Connection {
    edges: Vec<Edge>,
    page_info: PageInfo,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

#[derive(Serialize)]
struct Edge {
    cursor: String,
    node: Order,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    id: Uuid,
    number: String,
    status: String,
    created_at: DateTime<Utc>,
    total: Money,
    payments: Vec<Payment>,
}

/// In the currency's smallest unit, shown as a decimal.
#[derive(Serialize)]
struct Money {
    #[serde(rename = "amount", serialize_with = "as_decimal")]
    minor: i64,
    currency: String,
}

#[derive(Serialize)]
struct Payment {
    id: Uuid,
    status: String,
    amount: Money,
    summary: Summary,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    amount_authorized: Amount,
    amount_captured: Amount,
    amount_refunded: Amount,
}

/// The same, without its currency: the document asks for it once.
#[derive(Default, Serialize)]
struct Amount {
    #[serde(rename = "amount", serialize_with = "as_decimal")]
    minor: i64,
}

/// The answer that these rows make: so many orders, of which one more was read if there is a next page.
pub fn answer(rows: Vec<Row>, first: usize) -> Vec<u8> {
    let mut edges: Vec<Edge> = Vec::with_capacity(first + 1);
    for row in rows {
        if edges.last().is_none_or(|last| last.node.id != row.id) {
            edges.push(Edge { cursor: row.owner_sequence.to_string(), node: Order::of(&row) });
        }
        let order = &mut edges.last_mut().expect("one was just added").node;
        order.add(row.payment, row.transaction);
    }
    let has_next_page = edges.len() > first;
    edges.truncate(first);
    let end_cursor = edges.last().map(|edge| edge.cursor.clone());
    let user_orders = Connection { edges, page_info: PageInfo { has_next_page, end_cursor } };
    serde_json::to_vec(&Answer { data: Data { user_orders } }).expect("orders are JSON")
}

impl Order {
    fn of(row: &Row) -> Self {
        Self {
            id: row.id,
            number: row.number.clone(),
            status: row.status.clone(),
            created_at: row.created_at,
            total: Money { minor: row.total_minor, currency: row.currency.clone() },
            payments: vec![],
        }
    }

    fn add(&mut self, payment: PaymentRow, transaction: TransactionRow) {
        let PaymentRow { payment_id: Some(id), payment_status, payment_minor, payment_currency } = payment else {
            return;
        };
        if self.payments.last().is_none_or(|last| last.id != id) {
            let amount =
                Money { minor: payment_minor.unwrap_or_default(), currency: payment_currency.unwrap_or_default() };
            let status = payment_status.unwrap_or_default();
            self.payments.push(Payment { id, status, amount, summary: Summary::nothing() });
        }
        self.payments.last_mut().expect("one was just added").add(&transaction);
    }
}

impl Payment {
    fn add(&mut self, transaction: &TransactionRow) {
        let counts = transaction.transaction_status.as_deref() == Some("SUCCEEDED")
            && transaction.transaction_currency.as_ref() == Some(&self.amount.currency)
            && matches!(
                transaction.management_state.as_deref(),
                None | Some("REVERSAL_CANDIDATE" | "AUTOMATIC_REVERSAL_NOT_ALLOWED")
            );
        let (Some(kind), Some(minor), true) = (&transaction.kind, transaction.transaction_minor, counts) else {
            return;
        };
        let Summary { amount_authorized, amount_captured, amount_refunded } = &mut self.summary;
        match kind.as_str() {
            "AUTHORIZE" => amount_authorized.minor += minor,
            "REVERSE_AUTHORIZE" => amount_authorized.minor -= minor,
            "CAPTURE" | "AUTHORIZE_AND_CAPTURE" => amount_captured.minor += minor,
            "REFUND" => {
                amount_captured.minor -= minor;
                amount_refunded.minor += minor;
            }
            _ => {}
        }
    }
}

impl Summary {
    fn nothing() -> Self {
        let [amount_authorized, amount_captured, amount_refunded] = [(); 3].map(|()| Amount::default());
        Self { amount_authorized, amount_captured, amount_refunded }
    }
}

/// With cents, as most currencies have them: what the others have is no work of another kind.
fn as_decimal<S: Serializer>(minor: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{}.{:02}", minor / 100, minor % 100))
}
