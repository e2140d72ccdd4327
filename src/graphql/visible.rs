//! What a caller may not use is not in the schema that it can introspect (rule A4).
//!
//! This only hides; what refuses is the verb.

use async_graphql::Context;

use crate::auth::{Caller, CallerKind, Scope};

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

/// Shoppers may start attempts on their own orders, services with the scope on all.
pub fn to_payers(ctx: &Context<'_>) -> bool {
    let shopper = ctx.data_opt::<Caller>().is_some_and(|caller| caller.kind != CallerKind::Service);
    shopper || to_attempt_writers(ctx)
}
