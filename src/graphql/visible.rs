//! What a caller may not use is not in the schema that it can introspect (rule A4).
//!
//! This only hides; what refuses is the verb.

use std::sync::Arc;

use async_graphql::Context;

use crate::{
    app::App,
    auth::{Caller, CallerKind, Scope},
};

fn caller_has(ctx: &Context<'_>, scope: Scope) -> bool {
    ctx.data_opt::<Caller>().is_some_and(|caller| caller.has(scope))
}

pub fn to_order_readers(ctx: &Context<'_>) -> bool {
    caller_has(ctx, Scope::OrdersRead)
}

pub fn to_order_writers(ctx: &Context<'_>) -> bool {
    caller_has(ctx, Scope::OrdersWrite)
}

pub fn to_attempt_writers(ctx: &Context<'_>) -> bool {
    caller_has(ctx, Scope::AttemptsWrite)
}

pub fn to_payment_writers(ctx: &Context<'_>) -> bool {
    caller_has(ctx, Scope::PaymentsWrite)
}

pub fn to_capturers(ctx: &Context<'_>) -> bool {
    caller_has(ctx, Scope::PaymentsCapture)
}

pub fn to_refunders(ctx: &Context<'_>) -> bool {
    caller_has(ctx, Scope::PaymentsRefund)
}

pub fn to_creditors(ctx: &Context<'_>) -> bool {
    caller_has(ctx, Scope::PaymentsCredit)
}

pub fn to_auditors(ctx: &Context<'_>) -> bool {
    caller_has(ctx, Scope::PaymentsAudit)
}

pub fn to_lockers(ctx: &Context<'_>) -> bool {
    caller_has(ctx, Scope::LocksWrite)
}

/// To nobody where this server issues no tokens.
pub fn to_token_issuers(ctx: &Context<'_>) -> bool {
    caller_has(ctx, Scope::TokensWrite) && ctx.data_opt::<Arc<App>>().is_some_and(|app| app.anonymous_tokens.is_some())
}

pub fn to_reconcilers(ctx: &Context<'_>) -> bool {
    caller_has(ctx, Scope::PaymentsReconcile)
}

/// Shoppers may look at their own orders, services with the scope at all.
pub fn to_order_viewers(ctx: &Context<'_>) -> bool {
    is_shopper(ctx) || to_order_readers(ctx)
}

fn is_shopper(ctx: &Context<'_>) -> bool {
    ctx.data_opt::<Caller>().is_some_and(|caller| caller.kind != CallerKind::Service)
}

/// Shoppers may start attempts on their own orders, services with the scope on all.
pub fn to_payers(ctx: &Context<'_>) -> bool {
    is_shopper(ctx) || to_attempt_writers(ctx)
}

/// Whoever may use a mutation at all: to others there is no type for them, because one without fields would be none.
pub fn to_mutators(ctx: &Context<'_>) -> bool {
    let mut any = [
        to_order_writers,
        to_payers,
        to_attempt_writers,
        to_payment_writers,
        to_capturers,
        to_refunders,
        to_creditors,
        to_lockers,
        to_reconcilers,
        to_token_issuers,
    ]
    .into_iter();
    any.any(|may| may(ctx))
}
