//! A database for one test: empty, migrated, and nobody else's.

use std::fs;

use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, Statement};

use super::{
    postgres::Server,
    setting::{fresh, setting},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    fn of(url: &str) -> Self {
        if url.starts_with("sqlite") { Self::Sqlite } else { Self::Postgres }
    }
}

#[derive(Clone, Debug)]
pub struct Database {
    pub engine: Engine,
    pub url: String,
    /// The file, or the database's name on its server.
    pub name: String,
}

impl Database {
    /// `None` where PostgreSQL is not to be had.
    #[expect(clippy::print_stdout, reason = "libtest shows it beside the test that says so")]
    pub fn make(engine: Engine) -> Option<Self> {
        match engine {
            Engine::Sqlite => {
                let name = setting().directory.join(format!("{}.db", fresh("test-")));
                let name = name.to_str()?.to_owned();
                let url = format!("sqlite://{name}?mode=rwc");
                Some(Self { engine, url, name })
            }
            Engine::Postgres => {
                let Some(server) = Server::find() else {
                    println!("passed without a look: PostgreSQL was not found");
                    return None;
                };
                let name = server.create();
                let url = server.url_of(&name);
                Some(Self { engine, url, name })
            }
        }
    }

    /// One in a place that the test made itself, and that ends with the test.
    pub fn at(url: &str) -> Self {
        Self { engine: Engine::of(url), url: url.to_owned(), name: String::new() }
    }

    /// As the sandbox's books: what it had declined under this reference it has carried out.
    pub async fn carries_out(&self, reference: &str) {
        let look = self.look().await;
        look.run(&format!(
            "UPDATE sandbox_transaction SET status = 'succeeded', amount_moved = amount, failure = NULL, decline = NULL
             WHERE reference = '{reference}'"
        ))
        .await;
        look.run(&format!(
            "INSERT INTO sandbox_movement (id, transaction_id, kind, amount, currency, at)
             SELECT 'mov_' || id, id, kind, amount, currency, created_at FROM sandbox_transaction WHERE reference = '{reference}'"
        ))
        .await;
    }

    pub fn remove(&self) {
        match self.engine {
            Engine::Sqlite => {
                for ending in ["", "-wal", "-shm"] {
                    let _ = fs::remove_file(format!("{}{ending}", self.name));
                }
            }
            Engine::Postgres => {
                if let Some(server) = Server::find() {
                    server.remove(&self.name);
                }
            }
        }
    }

    /// A look into the database beside the server's own.
    pub async fn look(&self) -> Look {
        Look::at(&self.url).await
    }
}

/// One connection, for what no API shows.
pub struct Look {
    engine: Engine,
    connection: DatabaseConnection,
}

impl Look {
    /// A look into the database at this address.
    pub async fn at(url: &str) -> Self {
        let mut options = ConnectOptions::new(url);
        options.max_connections(1).sqlx_logging(false);
        let connection = sea_orm::Database::connect(options).await.expect("the database opens");
        Self { engine: Engine::of(url), connection }
    }

    pub async fn run(&self, sql: &str) {
        self.connection.execute_unprepared(sql).await.expect(sql);
    }

    /// Why the database does not do this.
    pub async fn refuses(&self, sql: &str) -> String {
        self.connection.execute_unprepared(sql).await.expect_err(sql).to_string()
    }

    /// Whether nobody stands still in the middle of a transaction that writes.
    pub async fn is_at_rest(&self) -> bool {
        match self.engine {
            // Only one can be in one: is it free for us?
            Engine::Sqlite => {
                self.run("PRAGMA busy_timeout = 100").await;
                let free = self.connection.execute_unprepared("BEGIN IMMEDIATE; ROLLBACK").await;
                self.run("PRAGMA busy_timeout = 5000").await;
                free.is_ok()
            }
            Engine::Postgres => {
                let sql = "SELECT count(*) AS n FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'";
                self.number(sql).await == 0
            }
        }
    }

    /// An order's id as SQL has it.
    pub fn id_of(&self, order: &str) -> String {
        let uuid = order.trim_start_matches("ord_");
        match self.engine {
            Engine::Sqlite => format!("x'{}'", uuid.replace('-', "")),
            Engine::Postgres => format!("'{uuid}'"),
        }
    }

    /// Changes an order so many times past all servers, each time in a transaction of its own: nobody is told but by the table.
    pub async fn changes(&self, order: &str, times: usize) {
        let (begin, id) = (if self.engine == Engine::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" }, self.id_of(order));
        for _ in 0..times {
            self.run(&format!(
                "{begin};
                UPDATE orders SET version = version + 1 WHERE id = {id};
                INSERT INTO outbox (topic, order_id, subject_id, created_at)
                SELECT 'ORDER', id, id, created_at FROM orders WHERE id = {id};
                COMMIT"
            ))
            .await;
        }
    }

    fn statement(&self, sql: &str) -> Statement {
        let backend = match self.engine {
            Engine::Sqlite => DbBackend::Sqlite,
            Engine::Postgres => DbBackend::Postgres,
        };
        Statement::from_string(backend, sql)
    }

    /// The number in the column `n` of the one row.
    pub async fn number(&self, sql: &str) -> i64 {
        let row = self.connection.query_one_raw(self.statement(sql)).await.expect(sql);
        row.and_then(|row| row.try_get("", "n").ok()).expect(sql)
    }

    /// The texts in one column of all rows.
    pub async fn texts(&self, sql: &str, column: &str) -> Vec<String> {
        let rows = self.connection.query_all_raw(self.statement(sql)).await.expect(sql);
        rows.iter().map(|row| row.try_get("", column).expect(column)).collect()
    }

    pub async fn tables(&self) -> Vec<String> {
        let sql = match self.engine {
            Engine::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name",
            Engine::Postgres => "SELECT tablename::text AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1",
        };
        self.texts(sql, "name").await
    }
}
