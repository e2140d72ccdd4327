//! What the tests stand on: databases, a shop with its actors, and the payment provider as a test sees it.

mod actor;
mod acts;
mod auditor;
pub mod books;
mod cases;
pub mod cluster;
pub mod database;
pub mod dice;
mod discretion;
pub mod disk;
pub mod forms;
pub mod gate;
pub mod identity;
pub mod mall;
mod news;
mod pay;
mod postgres;
pub mod process;
mod programs;
pub mod proxy;
pub mod schema;
pub mod setting;
pub mod shop;
mod socket;
mod sound;
pub mod track;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

pub use self::{
    actor::{Actor, code, outcome},
    acts::{Attempt, Known, tea},
    books::{cents, charged, of_cents},
    database::{Database, Engine},
    discretion::is_discreet,
    news::News,
    pay::{Payment, euros, news_of_transaction, outcome_of, sums, with},
    setting::{fresh, fresh_file, say, setting},
    shop::{ANONYMOUS_TOKEN_SECRET, JWT_SECRET, RETURN_URL, Shop, WEBHOOK_SECRET},
    socket::{Heard, Socket},
};

/// Makes `name::sqlite` and `name::postgres` of each `async fn name(shop: Shop)`. A test that is not in its file's list is dead code, which
/// the compiler tells.
macro_rules! on_each_database {
    ($($name:ident),+ $(,)?) => { $(
        mod $name {
            #[test]
            fn sqlite() {
                crate::support::run(crate::support::Engine::Sqlite, super::$name);
            }

            #[test]
            fn postgres() {
                crate::support::run(crate::support::Engine::Postgres, super::$name);
            }
        }
    )+ };
}

/// Runs one test on one database: its own, made before and removed after, whatever becomes of the test. Nothing is wrong with what it leaves.
pub fn run(engine: Engine, test: impl AsyncFnOnce(Shop)) {
    run_with(engine, &[], test);
}

/// The same in a shop with other settings; `settings` are flags.
pub fn run_with(engine: Engine, settings: &[&str], test: impl AsyncFnOnce(Shop)) {
    let Some(database) = Database::make(engine) else {
        return;
    };
    let runtime = runtime();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let shop = Shop::open_with(database.clone(), settings).await;
            test(shop.clone()).await;
            shop.stop().await;
            shop.was_left_sound().await;
        });
    }));
    drop(runtime);
    database.remove();
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

#[expect(clippy::disallowed_methods, reason = "these are the tests' own settings, not the program's")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Waits until something holds, for ten seconds at the most.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "not within ten seconds: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Does something, and expects that no row came or went.
pub async fn writing_nothing<T>(shop: &Shop, act: impl AsyncFnOnce() -> T) -> T {
    let before = shop.rows().await;
    let done = act().await;
    assert_eq!(shop.rows().await, before);
    done
}
