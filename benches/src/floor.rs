//! The floor: a bare axum handler that reads the rows of a page through sqlx with one statement, and writes them as JSON. It is what is left to be paid
//! without GraphQL, tokens, limits and everything else; beside it a static answer, for what is left without a database.
//!
//! It runs as a process of its own, so that its work can be told from that of the load.

mod page;

use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    process::{Command, Stdio},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
    routing::post,
};
use serde::Deserialize;
use sqlx::{
    PgPool, SqlitePool,
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
};
use tokio::net::TcpListener;

use self::page::STATEMENT;
use crate::{
    process::Running,
    server::{CONNECTIONS, told_address},
};

#[derive(Deserialize)]
struct Asked {
    user: String,
    first: u8,
}

impl Asked {
    /// One more than is wanted, as the server reads: it tells whether there is a next page.
    fn rows(&self) -> i64 {
        i64::from(self.first) + 1
    }
}

fn json(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn from_postgres(State(pool): State<PgPool>, body: Bytes) -> Response {
    let asked: Asked = serde_json::from_slice(&body).expect("a question");
    let rows = sqlx::query_as(STATEMENT).bind(&asked.user).bind(asked.rows()).fetch_all(&pool).await;
    json(page::answer(rows.expect("rows"), asked.first.into()))
}

async fn from_sqlite(State(pool): State<SqlitePool>, body: Bytes) -> Response {
    let asked: Asked = serde_json::from_slice(&body).expect("a question");
    let rows = sqlx::query_as(STATEMENT).bind(&asked.user).bind(asked.rows()).fetch_all(&pool).await;
    json(page::answer(rows.expect("rows"), asked.first.into()))
}

/// The statement that it reads a page with, for those who ask the database without it: of `$1`, so many rows as `$2`.
pub fn statement() -> &'static str {
    STATEMENT
}

pub struct Floor {
    running: Running,
    pub address: SocketAddr,
}

impl Floor {
    /// This program once more, as a server.
    pub fn start(database: &str) -> Self {
        let own = std::env::current_exe().expect("where this program is");
        let mut command = Command::new(own);
        let mut running = Running::start(command.args(["floor", database]).stdout(Stdio::piped()));
        let address = told_address(&mut running.0).expect("the floor listens");
        Self { running, address }
    }

    pub fn process(&self) -> u32 {
        self.running.0.id()
    }
}

/// Serves until the process is ended, with as many threads as there are cores. Tells its address on standard output.
pub async fn serve(database: &str) {
    let fixed = Router::new().route("/static", post(async || json(b"{\"data\":{}}".to_vec())));
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
