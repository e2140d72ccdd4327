//! The command line: `serve`, `migrate`, `check`, `schema`, `token`, `sandbox` and `seed`.

use std::{
    collections::BTreeSet,
    io::{IsTerminal, Write},
    ops::RangeInclusive,
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand};
use tokio::signal;
use tracing_subscriber::{fmt, layer::SubscriberExt, registry, util::SubscriberInitExt};

use crate::{
    auth::{CallerKind, KeySource, Scope, mint},
    clock::Clock,
    config::{Config, LogFormat, Purpose, Settings},
    development, graphql,
    seed::{self, Plan, progress::Progress},
    server::{self, Instruments, Running, ServerError, failed},
    service,
};

/// A token that is good for less is of no use; one that is good for longer is never taken back.
const TTL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(365 * 24 * 60 * 60);

/// How `check` ends where it could not look; where it looked and found faults it ends as any command that fails.
const NOT_LOOKED: u8 = 2;

/// orderpay: a GraphQL server for orders and the payments made for them.
///
/// Without a command it serves. Without settings it serves in development mode: a SQLite file in the working directory, a small
/// demo, GraphiQL, and tokens to try.
#[derive(Debug, Parser)]
#[command(name = "orderpay", version, max_term_width = 120)]
pub struct Cli {
    #[command(flatten)]
    pub settings: Settings,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve GraphQL, webhooks and, in development, GraphiQL (what happens without a command too)
    Serve,
    /// Bring the database's schema up to date, and exit
    Migrate,
    /// Verify the whole database, name each fault, and exit with 0 (nothing is wrong), 1 (faults) or 2 (it could not be looked at)
    ///
    /// It only reads, and may run beside servers: each payment's bounds, every summary against the ledger, orders against their money, carts and
    /// snapshots, attempts, locks, idempotency keys, what waits and nobody will come back to. Only the database's URL is needed.
    ///
    /// All of it is read in one snapshot, as long as that takes. Beside a busy server the database keeps for it what is written over meanwhile: on
    /// SQLite the file that ends in `-wal` grows until it is done, on PostgreSQL vacuum waits with all that is younger than the snapshot. On a large
    /// database run it when little is written, or on a copy.
    Check,
    /// Print the GraphQL schema in the schema definition language
    Schema,
    /// Print a token signed with the configured secret, or with the development secret of this directory
    Token {
        /// What kind of caller it is for
        #[arg(long, value_enum)]
        kind: CallerKind,
        /// The caller's id, 1 to 255 characters
        #[arg(long, value_parser = subject)]
        sub: String,
        /// What a service may do
        #[arg(long, value_parser = scopes, help = scope_help())]
        scope: Option<BTreeSet<Scope>>,
        /// How long it is good for, 1s to 365d: 30s, 15m, 1h, 7d
        #[arg(long, default_value = "1h", value_parser = ttl)]
        ttl: Duration,
    },
    /// Run the sandbox payment provider as a process of its own
    Sandbox,
    /// Fill an empty database with the orders of two years, in every state, for benchmarks and trials
    ///
    /// It brings the schema up to date first, refuses a database that holds an order, and writes all or nothing. `orderpay check` finds nothing wrong
    /// with what it wrote. Of the users, `whale` has the most orders, `regular-1` to `regular-1000` have 60 each, and `user-1` and so on share the
    /// rest. The sandbox knows nothing of the payments: they are there to be read. Only the database's URL is needed.
    Seed(Plan),
}

fn subject(text: &str) -> Result<String, &'static str> {
    if (1..=255).contains(&text.chars().count()) { Ok(text.to_owned()) } else { Err("must have 1 to 255 characters") }
}

fn scopes(names: &str) -> Result<BTreeSet<Scope>, String> {
    let scope = |name: &str| {
        name.parse().map_err(|()| format!("{name:?} is none of {}", Scope::ALL.map(Scope::name).join(", ")))
    };
    names.split_whitespace().map(scope).collect()
}

fn scope_help() -> String {
    format!("What a service may do, space-separated: {} [default: all of them]", Scope::ALL.map(Scope::name).join(" "))
}

fn ttl(text: &str) -> Result<Duration, &'static str> {
    let ttl = humantime::parse_duration(text).ok().filter(|ttl| TTL.contains(ttl));
    ttl.ok_or("must be 1s to 365d, a number and its unit")
}

impl Cli {
    /// How the program ends where it can't do what the command line says.
    pub fn failure(&self) -> ExitCode {
        match &self.command {
            Some(Command::Check) => NOT_LOOKED.into(),
            _ => ExitCode::FAILURE,
        }
    }
}

/// Does what the command line says; gives how the program ends.
pub async fn run(cli: Cli) -> Result<ExitCode, ServerError> {
    match cli.command.unwrap_or(Command::Serve) {
        Command::Schema => print(&graphql::sdl())?,
        Command::Serve => serve(checked(cli.settings, Purpose::Serve)?).await?,
        Command::Migrate => migrate(&checked(cli.settings, Purpose::Migrate)?).await?,
        Command::Check => return check(&checked(cli.settings, Purpose::Check)?).await,
        Command::Token { kind, sub, scope, ttl } => {
            token(&checked(cli.settings, Purpose::Token)?, kind, &sub, scope.as_ref(), ttl)?;
        }
        Command::Sandbox => {
            let config = checked(cli.settings, Purpose::Sandbox)?;
            let listening = |address| say(&format!("listening on http://{address}"));
            let mut signals = Signals::heard()?;
            let stopped = async move {
                signals.next().await;
            };
            server::serve_sandbox(config, listening, stopped).await?;
        }
        Command::Seed(plan) => seed(&checked(cli.settings, Purpose::Migrate)?, plan).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn checked(settings: Settings, purpose: Purpose) -> Result<Config, ServerError> {
    let config = match purpose {
        Purpose::Serve | Purpose::Sandbox => settings.check_for(purpose).map_err(failed("orderpay can't start")),
        Purpose::Migrate | Purpose::Token | Purpose::Check => settings.check_for(purpose).map_err(ServerError::from),
    }?;
    log(&config)?;
    Ok(config)
}

/// Logs go to standard error; standard output is for what was asked for.
fn log(config: &Config) -> Result<(), ServerError> {
    let to_terminal = std::io::stderr().is_terminal();
    let lines = fmt::layer().with_ansi(to_terminal).with_writer(std::io::stderr);
    let log = registry().with(config.log.clone());
    let set = match config.log_format {
        LogFormat::Text => log.with(lines).try_init(),
        LogFormat::Json => log.with(lines.json().flatten_event(true).with_span_list(false)).try_init(),
    };
    set.map_err(failed("the log can't be opened"))
}

async fn serve(config: Config) -> Result<(), ServerError> {
    let (graphiql, delay) = (config.graphiql, config.stop.delay);
    let mut signals = Signals::heard()?;
    let running = tokio::select! {
        started = server::start(config, Instruments::default()) => started?,
        // It may wait long for its database, and nobody is served yet.
        _ = signals.next() => {
            tracing::info!("stopping before it listened");
            return Ok(());
        }
    };
    welcome(&running, graphiql);
    if signals.next().await == Signal::Terminate && !delay.is_zero() {
        tracing::info!("leaving: requests should go elsewhere");
        running.leave();
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            _ = signals.next() => {}
        }
    }
    tracing::info!("stopping");
    running.stop().await
}

fn welcome(running: &Running, graphiql: bool) {
    say(&format!("listening on http://{}", running.address));
    if graphiql {
        say(&format!("GraphiQL is at http://{}/", running.address));
    }
    if running.callers.is_empty() {
        return;
    }
    tracing::warn!("DEVELOPMENT MODE: no keys are configured; tokens are signed with a secret of this directory");
    say("Development mode. Tokens to try (Authorization: Bearer …):");
    for caller in &running.callers {
        say(&format!("\n  {}: {}\n  {}", caller.name, caller.description, caller.token));
    }
}

/// A line on standard output. If nobody reads it any more, the server serves all the same.
fn say(line: &str) {
    if let Err(error) = writeln!(std::io::stdout(), "{line}") {
        tracing::debug!(%error, "nobody reads standard output");
    }
}

fn print(text: &str) -> Result<(), ServerError> {
    std::io::stdout().write_all(text.as_bytes()).map_err(failed("standard output"))
}

async fn migrate(config: &Config) -> Result<(), ServerError> {
    let db = server::open_database(config, 1).await?;
    db.migrate().await.map_err(failed("the database can't be migrated"))?;
    db.close().await.map_err(failed("the database can't be closed"))
}

/// The database is migrated as it is for serving; then it is filled.
async fn seed(config: &Config, plan: Plan) -> Result<(), ServerError> {
    let db = server::open_database(config, 1).await?;
    db.migrate().await.map_err(failed("the database can't be migrated"))?;
    let mut progress = Progress::of(plan.orders.into());
    let written = seed::seed(&db, plan, |orders| progress.at(orders.into())).await;
    drop(progress);
    say(&written.map_err(failed("the database can't be filled"))?.to_string());
    db.close().await.map_err(failed("the database can't be closed"))
}

/// A line for each fault, and one that sums up.
async fn check(config: &Config) -> Result<ExitCode, ServerError> {
    let db = server::open_database_to_look(config).await?;
    let verdict = service::check::check(&db, Clock::System.now(), &mut |finding| say(&finding.to_string()))
        .await
        .map_err(failed("the database can't be looked at"))?;
    say(&verdict.to_string());
    db.close().await.map_err(failed("the database can't be closed"))?;
    Ok(if verdict.faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn token(
    config: &Config,
    kind: CallerKind,
    sub: &str,
    scopes: Option<&BTreeSet<Scope>>,
    ttl: Duration,
) -> Result<(), ServerError> {
    if scopes.is_some() && kind != CallerKind::Service {
        return Err(failed("--scope")("only a service has scopes: leave it out, or say --kind service"));
    }
    let secret = match &config.keys {
        Some(KeySource::Secret(secret)) => secret.clone(),
        None if config.is_development() => {
            development::secret().map_err(failed("the development secret can't be kept"))?
        }
        None | Some(KeySource::File(_) | KeySource::Url(_)) => {
            return Err(failed("orderpay token")(
                "without ORDERPAY_JWT_SECRET tokens come from the identity system only",
            ));
        }
    };
    let ttl = chrono::Duration::from_std(ttl).map_err(failed("--ttl"))?;
    let claims = development::claims(&config.tokens, Clock::System.now(), kind, sub, scopes, ttl);
    let token = mint(&secret, &claims).map_err(failed("the token can't be signed"))?;
    print(&format!("{token}\n"))
}

/// How the process is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    /// By whoever runs it: SIGTERM.
    Terminate,
    /// By a person: Ctrl-C.
    Interrupt,
}

/// What comes when the process is asked to end. Heard from now on, and not only once somebody waits for it: a server that says it listens can be
/// asked to end at once.
#[cfg(unix)]
struct Signals {
    terminated: signal::unix::Signal,
    interrupted: signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn heard() -> Result<Self, ServerError> {
        use signal::unix::{SignalKind, signal};
        let terminated = signal(SignalKind::terminate()).map_err(failed("SIGTERM can't be heard"))?;
        let interrupted = signal(SignalKind::interrupt()).map_err(failed("SIGINT can't be heard"))?;
        Ok(Self { terminated, interrupted })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminated.recv() => Signal::Terminate,
            _ = self.interrupted.recv() => Signal::Interrupt,
        }
    }
}

/// What comes when the process is asked to end: Ctrl-C.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn heard() -> Result<Self, ServerError> {
        Ok(Self)
    }

    async fn next(&mut self) -> Signal {
        if signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Signal::Interrupt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_somebody_and_for_scopes_that_there_are() {
        let told = |sub: &str, scope: &str| {
            let arguments = ["orderpay", "token", "--kind=service", "--sub", sub, "--scope", scope];
            Cli::try_parse_from(arguments).map_err(|error| error.to_string())
        };
        assert!(told("till", "orders:read orders:write").is_ok());
        assert!(told(&"é".repeat(255), "").is_ok());
        for (sub, scope, mistake) in [
            ("", "orders:read", "'--sub <SUB>': must have 1 to 255 characters"),
            (&"x".repeat(256), "orders:read", "'--sub <SUB>': must have 1 to 255 characters"),
            ("till", "orders:read orders:raed", "'--scope <SCOPE>': \"orders:raed\" is none of orders:read"),
        ] {
            let told = told(sub, scope).unwrap_err();
            assert!(told.contains(mistake), "{told}");
        }
    }

    #[test]
    fn a_token_is_good_for_a_second_to_a_year() {
        let told = |ttl: &str| {
            let told = Cli::try_parse_from(["orderpay", "token", "--kind=user", "--sub=ada", "--ttl", ttl]);
            told.map(drop).map_err(|error| error.to_string())
        };
        for good in ["1s", "15m", "365d"] {
            assert_eq!(told(good), Ok(()), "{good}");
        }
        for bad in ["0s", "999ms", "366d", "soon", "60"] {
            let told = told(bad).unwrap_err();
            assert!(told.contains("must be 1s to 365d"), "{told}");
        }
    }

    #[tokio::test]
    async fn only_a_service_has_scopes() {
        let arguments = ["orderpay", "token", "--kind=user", "--sub=ada", "--scope=orders:read"];
        let refused = run(Cli::try_parse_from(arguments).unwrap()).await.unwrap_err();
        assert!(refused.to_string().starts_with("--scope: only a service has scopes"), "{refused}");
    }
}
