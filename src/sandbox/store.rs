//! The sandbox's memory: each verb is one database transaction, and a state is never written without the events that tell of it.
//!
//! Sends nothing and waits for nobody. What time alone changes is written by whoever looks next, so that no reader sees a session
//! that should have ended.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};

use super::method::{Method, Outcome, Plan, Telling};
use super::parent::Limits;
use super::rows::{Key, advance, insert, load, sql};
use super::session::{Session, State};
use super::upgrade::upgrade;
use super::webhook::Event;
use super::{SandboxError, now, unguessable};

pub struct Store {
    pub(super) db: DatabaseConnection,
    pub(super) limits: Limits,
    public_url: String,
    session_ttl: Duration,
}

/// What the shop asks for.
pub struct Wish {
    pub reference: String,
    pub amount: i64,
    pub currency: String,
    pub return_url: Option<String>,
    pub webhook_url: String,
    pub description: Option<String>,
}

pub enum Created<T> {
    New(T),
    /// The reference was used before, for the same.
    Same(T),
    /// The reference was used before, for something else.
    Reused,
}

/// What became of a wish to change a session.
pub enum Change {
    Made(Session),
    /// The session was not open any more, and is as it was.
    TooLate(Session),
}

/// How often a file that another process is opening is tried, and how long after each try: five seconds in all.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);

/// Opens the file. While somebody else turns a new one to WAL, SQLite refuses instead of letting others wait: so it is tried again.
async fn connect(options: &ConnectOptions) -> Result<DatabaseConnection, DbErr> {
    for _ in 1..TRIES {
        match Database::connect(options.clone()).await {
            Err(error) if error.to_string().contains("database is locked") => tokio::time::sleep(PAUSE).await,
            opened => return opened,
        }
    }
    Database::connect(options.clone()).await
}

impl Store {
    pub async fn open(
        url: &str,
        public_url: String,
        session_ttl: Duration,
        limits: Limits,
    ) -> Result<Self, SandboxError> {
        let mut options = ConnectOptions::new(url);
        // An in-memory database lives in its one connection and dies with it.
        let connections = if url.contains(":memory:") || url.contains("mode=memory") { 1 } else { 4 };
        options
            .max_connections(connections)
            .idle_timeout(None)
            .max_lifetime(None)
            .sqlx_logging(false)
            .test_before_acquire(false)
            .map_sqlx_sqlite_opts(|sqlite| {
                sqlite
                    .journal_mode(SqliteJournalMode::Wal)
                    // What was acknowledged to a shop must outlive a power cut: this stands for a bank.
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(Duration::from_secs(5))
                    .foreign_keys(true)
            });
        let db = connect(&options).await?;
        let store = Self { db, limits, public_url, session_ttl };
        let tx = store.begin().await?;
        upgrade(&tx).await?;
        tx.commit().await?;
        Ok(store)
    }

    pub async fn create(&self, wish: Wish) -> Result<Created<Session>, SandboxError> {
        let now = now();
        let session = Session {
            id: unguessable("ses")?,
            reference: wish.reference,
            amount: wish.amount,
            currency: wish.currency,
            state: State::Open,
            return_url: wish.return_url,
            webhook_url: wish.webhook_url,
            description: wish.description,
            client_secret: unguessable("sec")?,
            expires_at: now + self.session_ttl,
            created_at: now,
        };
        let tx = self.begin().await?;
        if insert(&tx, &session).await? {
            self.tell(&tx, &Event::of_session(&session, &self.public_url, now)?, 1).await?;
            tx.commit().await?;
            return Ok(Created::New(session));
        }
        let Some(earlier) = load(&tx, Key::Reference(&session.reference)).await? else {
            return Err(SandboxError::Contradiction { id: session.id });
        };
        let earlier = self.catch_up(&tx, earlier, now).await?;
        tx.commit().await?;
        let same = (earlier.amount, &earlier.currency) == (session.amount, &session.currency);
        Ok(if same { Created::Same(earlier) } else { Created::Reused })
    }

    pub async fn find(&self, key: Key<'_>) -> Result<Option<Session>, SandboxError> {
        match load(&self.db, key).await? {
            Some(session) if session.overdue(now()).is_some() => self.refresh(&session.id).await,
            found => Ok(found),
        }
    }

    /// Writes what time has done to a session, and tells of it.
    pub async fn refresh(&self, id: &str) -> Result<Option<Session>, SandboxError> {
        let tx = self.begin().await?;
        let Some(session) = load(&tx, Key::Id(id)).await? else {
            return Ok(None);
        };
        let session = self.catch_up(&tx, session, now()).await?;
        tx.commit().await?;
        Ok(Some(session))
    }

    /// A press on the payment page. `None`: there is no such session.
    pub async fn press(&self, id: &str, outcome: Outcome, method: Method) -> Result<Option<Change>, SandboxError> {
        let now = now();
        let tx = self.begin().await?;
        let Some(session) = load(&tx, Key::Id(id)).await? else {
            return Ok(None);
        };
        let session = self.catch_up(&tx, session, now).await?;
        let change = if session.state == State::Open {
            let plan = Plan::pressed(outcome, method, session.amount, now);
            Change::Made(self.carry_out(&tx, session, plan, now).await?)
        } else {
            Change::TooLate(session)
        };
        tx.commit().await?;
        Ok(Some(change))
    }

    /// The shop's own wish to cancel; the same life, the same event as if the shopper had pressed the button.
    pub async fn cancel(&self, id: &str) -> Result<Option<Change>, SandboxError> {
        self.press(id, Outcome::Cancel, Method::default()).await
    }

    /// Sessions that time has changed and nobody has looked at since.
    pub async fn overdue(&self) -> Result<Vec<String>, SandboxError> {
        let now = now().timestamp_millis();
        let rows = self.db.query_all_raw(sql(
            "SELECT id FROM sandbox_session WHERE status = 'open' AND expires_at <= ?
             UNION ALL
             SELECT id FROM sandbox_session WHERE status = 'processing' AND settles_at <= ?
             LIMIT 100",
            [now.into(), now.into()],
        ));
        rows.await?.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
    }

    /// A transaction that writes takes its turn when it begins: one that reads first and writes later would fail when
    /// another wrote in between, and no waiting helps then.
    pub(super) async fn begin(&self) -> Result<DatabaseTransaction, SandboxError> {
        let immediate = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        Ok(self.db.begin_with_options(immediate).await?)
    }

    pub(super) async fn catch_up(
        &self,
        tx: &DatabaseTransaction,
        session: Session,
        now: DateTime<Utc>,
    ) -> Result<Session, SandboxError> {
        match session.overdue(now) {
            Some(step) => self.carry_out(tx, session, Plan::just(step), now).await,
            None => Ok(session),
        }
    }

    /// Takes a session through the steps of a plan, and puts what the shop shall hear into the outbox.
    async fn carry_out(
        &self,
        tx: &DatabaseTransaction,
        mut session: Session,
        plan: Plan,
        now: DateTime<Utc>,
    ) -> Result<Session, SandboxError> {
        let mut stations = Vec::new();
        for step in plan.steps {
            session = advance(tx, session, step, now).await?;
            stations.push(session.clone());
        }
        let copies = match plan.telling {
            Telling::InOrder => 1,
            Telling::Thrice => 3,
            Telling::Never => return Ok(session),
            Telling::Backwards => {
                stations.reverse();
                1
            }
        };
        for station in &stations {
            self.tell(tx, &Event::of_session(station, &self.public_url, now)?, copies).await?;
        }
        Ok(session)
    }
}
