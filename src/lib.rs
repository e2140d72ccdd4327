//! orderpay: a GraphQL server for orders and the payments made for them.
//!
//! Read it in this order. The nouns and their rules are in the `entity` crate: what an order is, when news moves an attempt on, what a
//! payment's transactions add up to (so: how much may be refunded is decided in [`entity::summary`]). The verbs are in [`service`]: each is one use
//! case with its queries and its transaction. The face is in [`graphql`] and [`http`]: it parses arguments into nouns, calls one verb, and wraps
//! what comes back. Face → verbs → nouns, never back.
//!
//! Beside them: [`auth`] turns a token into a caller; [`provider`] is all that is known of payment providers; [`sandbox`] is a small payment provider
//! of our own, which the rest reaches over HTTP only; the reconciler sees to what nobody has heard the end of; what was
//! committed is told to who watches by [`service::change`]; [`config`] holds every setting; [`server`] puts it all together and runs it; [`seed`]
//! fills an empty database with a million orders.

#![forbid(unsafe_code)]

pub mod app;
pub mod auth;
pub mod clock;
pub mod command;
pub mod config;
pub mod db;
mod development;
pub mod error;
mod faults;
pub mod graphql;
pub mod http;
pub mod provider;
mod reconciler;
pub mod sandbox;
pub mod secret;
pub mod seed;
pub mod server;
pub mod service;
