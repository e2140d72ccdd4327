//! How orderpay behaves, seen from outside: actors make requests over HTTP, and every behaviour is looked at on SQLite and on PostgreSQL.
//!
//! Each test has a server, a database, a payment provider and a clock of its own. PostgreSQL is started by the tests where its programs are
//! found, and ends with them; see `support::postgres`. Rules are named as RULES.md numbers them.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[macro_use]
mod support;

mod access;
mod after_decisions;
mod anonymous_tokens;
mod archived_payments;
mod attempts;
mod audit;
mod bad_input;
mod bad_queries;
mod browser;
mod browser_headers;
mod busy_databases;
mod capabilities;
mod card_numbers;
mod cases;
mod checks;
mod claims;
mod commands;
mod commits_in_doubt;
mod conflicts;
mod connections;
mod costs;
mod crash_points;
mod database_outages;
mod database_promises;
mod decisions;
mod disks;
mod double_charges;
mod dry_runs;
mod endings;
mod fencing;
mod fields;
mod first_money;
mod foreign;
mod front_door;
mod given_back;
mod hosted_payments;
mod hostile_input;
mod http;
mod idempotency;
mod issuers;
mod killed_writers;
mod late_sessions;
mod leaks;
mod lists;
mod locked_payments;
mod locks;
mod lost_answers;
mod news;
mod odd_tokens;
mod oracles;
mod order_changes;
mod orders;
mod outages;
mod overload;
mod parent_transactions;
mod parked_news;
mod payment_changes;
mod payment_histories;
mod payment_input;
mod payment_races;
mod payments;
mod races;
mod reconciled_attempts;
mod reconciliation;
mod sandbox_methods;
mod secrets;
mod seeds;
mod servers;
mod slow_clients;
mod socket_limits;
mod sockets;
mod splits;
mod storms;
mod subscriptions;
mod tailing;
mod tokens;
mod transaction_decisions;
mod transaction_news;
mod transactions;
mod unknown_outcomes;
mod visibility;
mod waits;
mod webhooks;
