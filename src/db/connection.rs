//! A connection from the pool, for as long as somebody has it.
//!
//! Nobody waits for a database for ever: sqlx has no limit on a statement, and a network that swallows everything answers nothing. What was left in the
//! middle, because its time was up or because nobody waits for it any more, is seen to by whoever lets go of the connection: so no connection goes back
//! that is in a state of its own, and none keeps its place in the pool for longer than a moment.

use std::{
    fmt, io, iter,
    sync::Arc,
    time::{Duration, Instant},
};

use sea_orm::{
    ConnAcquireErr, DbErr, ExecResult, QueryResult, RuntimeErr, Statement,
    sqlx::{self, AssertSqlSafe, Database, Executor, Postgres, Sqlite, pool::PoolConnection},
};
use sea_query_sqlx::SqlxValues;
use tokio::{runtime::Handle, sync::OwnedSemaphorePermit, time::timeout};
use uuid::Uuid;

use super::pool::Shelf;

/// How long the server waits for one statement, a BEGIN or a COMMIT. PostgreSQL itself gives up sooner (`statement_timeout`) and says so; this is for a
/// network or a machine that says nothing.
const STATEMENT_LIMIT: Duration = Duration::from_secs(12);
/// How long a connection may take to go back to the pool with a ROLLBACK, or after an error. Then it is cut.
const RETURN_LIMIT: Duration = Duration::from_secs(1);
/// The same for one that nothing is known against: a sign of life. Somebody may wait for its place, after it died unseen.
const SIGN_OF_LIFE: Duration = Duration::from_millis(500);
/// How long a statement that nobody waits for any more may go on. Most are done by then, and a connection is dearer than such a moment; what takes
/// longer is cut, and PostgreSQL ends it when it notices (`client_connection_check_interval`).
const GRACE: Duration = Duration::from_millis(100);

/// A row to be locked until a transaction ends. Nothing in it is text from outside: statements that share a round trip can't have values beside them.
#[derive(Clone, Copy, Debug)]
pub struct RowLock {
    pub table: &'static str,
    pub key: &'static str,
    pub id: Uuid,
}

impl fmt::Display for RowLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, key, id } = self;
        write!(f, "SELECT FROM {table} WHERE {key} = '{id}' FOR UPDATE")
    }
}

/// One of sqlx's.
pub(super) enum Connection {
    Postgres(PoolConnection<Postgres>),
    Sqlite(PoolConnection<Sqlite>),
}

/// A connection that somebody has. Dropped, it is put on the shelf, goes back to sqlx's pool, or is closed.
pub(super) struct Taken {
    /// There until it is dropped.
    connection: Option<Connection>,
    /// Since when sqlx's pool has not seen it.
    away_since: Instant,
    place: Option<OwnedSemaphorePermit>,
    shelf: Arc<Shelf>,
    /// A statement was sent, and its end was not seen.
    at_work: bool,
    /// A statement failed, it may be because the connection did: sqlx's pool finds out.
    in_doubt: bool,
    /// A BEGIN was sent, and the end of its transaction was not seen.
    in_transaction: bool,
    /// The turn to write, given up when the transaction has ended.
    turn: Option<OwnedSemaphorePermit>,
}

/// Does the same on a connection to either database, within the limit.
macro_rules! on {
    ($taken:expr, $connection:ident => $work:expr) => {{
        $taken.at_work = true;
        let done = match $taken.connection.as_mut() {
            Some(Connection::Postgres($connection)) => timeout(STATEMENT_LIMIT, $work).await,
            Some(Connection::Sqlite($connection)) => timeout(STATEMENT_LIMIT, $work).await,
            None => Ok(Err(sqlx::Error::PoolClosed)),
        };
        match done {
            Ok(done) => {
                $taken.at_work = false;
                $taken.in_doubt |= done.is_err();
                done
            }
            Err(_) => Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())),
        }
    }};
}

impl Taken {
    pub fn new(connection: Connection, away_since: Instant, place: OwnedSemaphorePermit, shelf: &Arc<Shelf>) -> Self {
        Self {
            connection: Some(connection),
            away_since,
            place: Some(place),
            shelf: Arc::clone(shelf),
            at_work: false,
            in_doubt: false,
            in_transaction: false,
            turn: None,
        }
    }

    pub async fn execute(&mut self, statement: Statement) -> sqlx::Result<ExecResult> {
        self.may_go_on()?;
        let (sql, values) = parts(statement);
        on!(self, connection => async {
            sqlx::query_with(sql, values).execute(&mut **connection).await.map(ExecResult::from)
        })
    }

    pub async fn execute_unprepared(&mut self, sql: &str) -> sqlx::Result<ExecResult> {
        self.may_go_on()?;
        let sql = AssertSqlSafe(sql.to_owned());
        on!(self, connection => async { connection.execute(sql).await.map(ExecResult::from) })
    }

    pub async fn query_one(&mut self, statement: Statement) -> sqlx::Result<Option<QueryResult>> {
        self.may_go_on()?;
        let (sql, values) = parts(statement);
        on!(self, connection => async {
            let row = sqlx::query_with(sql, values).fetch_optional(&mut **connection).await?;
            Ok(row.map(QueryResult::from))
        })
    }

    pub async fn query_all(&mut self, statement: Statement) -> sqlx::Result<Vec<QueryResult>> {
        self.may_go_on()?;
        let (sql, values) = parts(statement);
        on!(self, connection => async {
            let rows = sqlx::query_with(sql, values).fetch_all(&mut **connection).await?;
            Ok(rows.into_iter().map(QueryResult::from).collect())
        })
    }

    /// Begins a transaction that will write, with these rows locked; `turn` is given up when it has ended.
    pub async fn begin(&mut self, turn: Option<OwnedSemaphorePermit>, rows: &[RowLock]) -> sqlx::Result<()> {
        self.turn = turn;
        self.in_transaction = true;
        let begin = match self.connection {
            // A deferred transaction that turns to writing fails at once where another writer was quicker; one that asks first waits.
            Some(Connection::Sqlite(_)) => "BEGIN IMMEDIATE".to_owned(),
            _ => {
                iter::once("BEGIN".to_owned()).chain(rows.iter().map(RowLock::to_string)).collect::<Vec<_>>().join("; ")
            }
        };
        self.execute_unprepared(&begin).await.map(|_| ())
    }

    pub async fn commit(&mut self) -> sqlx::Result<()> {
        self.execute_unprepared("COMMIT").await?;
        self.ends();
        Ok(())
    }

    pub async fn rollback(&mut self) -> sqlx::Result<()> {
        self.execute_unprepared("ROLLBACK").await?;
        self.ends();
        Ok(())
    }

    fn ends(&mut self) {
        self.in_transaction = false;
        self.turn = None;
    }

    /// A connection that was left in the middle of something takes no more.
    fn may_go_on(&self) -> sqlx::Result<()> {
        match self.at_work {
            true => Err(sqlx::Error::Io(io::ErrorKind::ConnectionAborted.into())),
            false => Ok(()),
        }
    }
}

fn parts(statement: Statement) -> (AssertSqlSafe<String>, SqlxValues) {
    let values = statement.values.unwrap_or_else(|| sea_orm::Values(vec![]));
    (AssertSqlSafe(statement.sql), SqlxValues(values))
}

impl Drop for Taken {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let held = Held { _turn: self.turn.take(), _place: self.place.take() };
        let is_in_order = !(self.at_work || self.in_doubt || self.in_transaction);
        match connection {
            connection if is_in_order => self.shelf.put(connection, self.away_since),
            // Nobody knows how far it came, and PostgreSQL undoes what is cut.
            Connection::Postgres(connection) if self.at_work && self.in_transaction => drop(connection.detach()),
            connection => {
                let limit = if self.at_work { GRACE } else { RETURN_LIMIT };
                connection.goes_back(limit, self.in_transaction, Some(held));
            }
        }
    }
}

/// What is given up once a connection is back.
struct Held {
    _turn: Option<OwnedSemaphorePermit>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// One that is in order, to sqlx's pool.
    pub fn retires(self) {
        self.goes_back(SIGN_OF_LIFE, false, None);
    }

    /// To sqlx's pool, without anybody's waiting for it.
    fn goes_back(self, limit: Duration, in_transaction: bool, held: Option<Held>) {
        let Ok(runtime) = Handle::try_current() else { return self.ends() };
        match self {
            Self::Postgres(connection) => {
                runtime.spawn(async move {
                    let _late = timeout(limit, goes_back(connection, in_transaction)).await;
                    drop(held);
                });
            }
            // A file does not fall silent. Its thread does one thing after the other, and stops at the next row of what nobody reads.
            Self::Sqlite(connection) => {
                runtime.spawn(async move {
                    goes_back(connection, in_transaction).await;
                    drop(held);
                });
            }
        }
    }

    /// Without a word, where nobody is left who could wait for an answer.
    pub fn ends(self) {
        match self {
            Self::Postgres(connection) => drop(connection.detach()),
            Self::Sqlite(connection) => drop(connection.detach()),
        }
    }
}

/// Undoes what is left of a transaction and goes back to the pool, which first asks for a sign of life. Whatever is in the way of that, or a limit around
/// it, closes the connection: sqlx itself would wait for the answer for ever.
async fn goes_back<DB: Database>(mut connection: PoolConnection<DB>, in_transaction: bool)
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    connection.close_on_drop();
    if !in_transaction || (&mut *connection).execute("ROLLBACK").await.is_ok() {
        connection.return_to_pool().await;
    }
}

pub(super) fn not_taken(error: sqlx::Error) -> DbErr {
    match error {
        sqlx::Error::PoolTimedOut => no_place(),
        error => DbErr::Conn(RuntimeErr::SqlxError(error.into())),
    }
}

/// Nobody could have a connection in time.
pub(super) fn no_place() -> DbErr {
    DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)
}

/// As SeaORM names what went wrong with a statement.
pub(super) fn failed(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(error.into()))
}
