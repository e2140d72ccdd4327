//! The floor: a bare axum handler that reads the rows of a page through sqlx with one statement, and writes them as JSON. It is what is left to be paid
//! without GraphQL, tokens, limits and everything else; beside it a static answer, for what is left without a database.
//!
//! It runs as a process of its own, so that its work can be told from that of the load.

use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
    routing::post,
};
use serde::{Deserialize, Serialize};
use sqlx::{
    FromRow, PgPool, SqlitePool,
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
    types::{
        Uuid,
        chrono::{DateTime, Utc},
    },
};
use tokio::net::TcpListener;

use crate::server::told_address;

/// The rows of a page: cut out first, and joined outside.
pub const PAGE: &str = "SELECT o.id, o.number, o.status, o.currency, o.total_minor, o.created_at, o.owner_sequence,
        p.id AS payment_id, p.status AS payment_status, p.amount_minor,
        t.kind, t.status AS transaction_status, t.amount_minor AS transaction_minor
    FROM (SELECT * FROM orders WHERE owner_kind = 'USER' AND owner_id = $1 ORDER BY owner_sequence DESC LIMIT $2) AS o
    LEFT JOIN payment AS p ON p.order_id = o.id
    LEFT JOIN payment_transaction AS t ON t.payment_id = p.id
    ORDER BY o.owner_sequence DESC, p.id";

/// As many as the server has by itself.
const CONNECTIONS: u32 = 10;

#[derive(Deserialize)]
struct Asked {
    user: String,
    first: i64,
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    number: String,
    status: String,
    currency: String,
    total_minor: i64,
    created_at: DateTime<Utc>,
    owner_sequence: i64,
    payment_id: Option<Uuid>,
    payment_status: Option<String>,
    amount_minor: Option<i64>,
    kind: Option<String>,
    transaction_status: Option<String>,
    transaction_minor: Option<i64>,
}

#[derive(Serialize)]
struct Order {
    id: Uuid,
    cursor: i64,
    number: String,
    status: String,
    created_at: DateTime<Utc>,
    total: Money,
    payments: Vec<Payment>,
}

#[derive(Clone, Serialize)]
struct Money {
    amount: String,
    currency: String,
}

#[derive(Serialize)]
struct Payment {
    id: Uuid,
    status: String,
    amount: Money,
    summary: Summary,
}

/// In the currency's smallest unit: what the transactions add up to.
#[derive(Default, Serialize)]
struct Summary {
    authorized: i64,
    captured: i64,
    refunded: i64,
}

/// Cents, as most currencies have them: what the others have is no work of another kind.
fn money(minor: i64, currency: &str) -> Money {
    Money { amount: format!("{}.{:02}", minor / 100, minor % 100), currency: currency.to_owned() }
}

impl Summary {
    fn add(&mut self, kind: &str, status: Option<&str>, minor: i64) {
        if status != Some("SUCCEEDED") {
            return;
        }
        match kind {
            "AUTHORIZE" => self.authorized += minor,
            "REVERSE_AUTHORIZE" => self.authorized -= minor,
            "CAPTURE" => self.captured += minor,
            "AUTHORIZE_AND_CAPTURE" => {
                self.authorized += minor;
                self.captured += minor;
            }
            "REFUND" => {
                self.captured -= minor;
                self.refunded += minor;
            }
            _ => {}
        }
    }
}

fn page(rows: Vec<Row>) -> Vec<u8> {
    let mut orders: Vec<Order> = vec![];
    for row in rows {
        if orders.last().is_none_or(|last| last.id != row.id) {
            orders.push(Order {
                id: row.id,
                cursor: row.owner_sequence,
                number: row.number,
                status: row.status,
                created_at: row.created_at,
                total: money(row.total_minor, &row.currency),
                payments: vec![],
            });
        }
        let order = orders.last_mut().expect("one was just added");
        let (Some(id), Some(status), Some(minor)) = (row.payment_id, row.payment_status, row.amount_minor) else {
            continue;
        };
        if order.payments.last().is_none_or(|last| last.id != id) {
            let (amount, summary) = (money(minor, &row.currency), Summary::default());
            order.payments.push(Payment { id, status, amount, summary });
        }
        if let (Some(kind), Some(minor), Some(payment)) = (row.kind, row.transaction_minor, order.payments.last_mut()) {
            payment.summary.add(&kind, row.transaction_status.as_deref(), minor);
        }
    }
    serde_json::to_vec(&orders).expect("orders are JSON")
}

fn json(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn from_postgres(State(pool): State<PgPool>, body: Bytes) -> Response {
    let asked: Asked = serde_json::from_slice(&body).expect("a question");
    let rows = sqlx::query_as(PAGE).bind(&asked.user).bind(asked.first).fetch_all(&pool).await;
    json(page(rows.expect("rows")))
}

async fn from_sqlite(State(pool): State<SqlitePool>, body: Bytes) -> Response {
    let asked: Asked = serde_json::from_slice(&body).expect("a question");
    let rows = sqlx::query_as(PAGE).bind(&asked.user).bind(asked.first).fetch_all(&pool).await;
    json(page(rows.expect("rows")))
}

/// Whose process is ended when it is dropped.
pub struct Floor {
    child: Child,
    pub address: SocketAddr,
}

impl Floor {
    /// This program once more, as a server.
    pub fn start(database: &str) -> Self {
        let own = std::env::current_exe().expect("where this program is");
        let mut command = Command::new(own);
        let mut child = command.args(["floor", database]).stdout(Stdio::piped()).spawn().expect("the floor starts");
        let address = told_address(&mut child).expect("the floor listens");
        Self { child, address }
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves until the process is ended, with as many threads as there are cores. Tells its address on standard output.
pub async fn serve(database: &str) {
    let fixed = Router::new().route("/static", post(async || json(b"[]".to_vec())));
    let page = if database.starts_with("postgres") {
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
        Router::new().route("/page", post(from_postgres)).with_state(pool.connect(database).await.expect("a database"))
    } else {
        let file: SqliteConnectOptions = database.parse().expect("a file");
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
        let pool = pool.connect_with(file.journal_mode(SqliteJournalMode::Wal)).await.expect("a database");
        Router::new().route("/page", post(from_sqlite)).with_state(pool)
    };
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("a port");
    let address = listener.local_addr().expect("its address");
    writeln!(io::stdout(), "listening on http://{address}").expect("standard output");
    axum::serve(listener, fixed.merge(page)).await.expect("a server");
}
