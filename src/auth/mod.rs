//! Who is asking: a token in, a [`Caller`] out, and what a caller may do.
//!
//! What somebody may reach is said by an [`Audience`], which comes from what a caller may do. Finders by an id that a client sent need one, so that
//! a query can't forget whose orders it looks through; what is reached from a row that was found so needs none.

mod anonymous;
mod issuer;
mod jwks;
mod keys;
mod token;

use std::{collections::BTreeSet, fmt, str::FromStr};

use entity::{
    audit::{Actor, ActorKind},
    owner::{Owner, OwnerKind},
};
use serde::{Deserialize, Serialize};

use self::token::Sent;
pub use self::{
    anonymous::{AnonymousTokens, IssueError, OWN_ISSUER},
    issuer::{Issuer, Issuers, Signed},
    keys::{KeyError, KeySource, Keys},
    token::{Claims, Denied, Policy, Rejected, Verified, mint},
};
use crate::error::Error;

/// What a service may be allowed to do (rule A3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    OrdersRead,
    OrdersWrite,
    AttemptsWrite,
    PaymentsWrite,
    PaymentsCapture,
    PaymentsRefund,
    PaymentsCredit,
    PaymentsAudit,
    PaymentsReconcile,
    LocksWrite,
    TokensWrite,
}

impl Scope {
    pub const ALL: [Self; 11] = [
        Self::OrdersRead,
        Self::OrdersWrite,
        Self::AttemptsWrite,
        Self::PaymentsWrite,
        Self::PaymentsCapture,
        Self::PaymentsRefund,
        Self::PaymentsCredit,
        Self::PaymentsAudit,
        Self::PaymentsReconcile,
        Self::LocksWrite,
        Self::TokensWrite,
    ];

    /// As it stands in a token.
    pub fn name(self) -> &'static str {
        match self {
            Self::OrdersRead => "orders:read",
            Self::OrdersWrite => "orders:write",
            Self::AttemptsWrite => "attempts:write",
            Self::PaymentsWrite => "payments:write",
            Self::PaymentsCapture => "payments:capture",
            Self::PaymentsRefund => "payments:refund",
            Self::PaymentsCredit => "payments:credit",
            Self::PaymentsAudit => "payments:audit",
            Self::PaymentsReconcile => "payments:reconcile",
            Self::LocksWrite => "locks:write",
            Self::TokensWrite => "tokens:write",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|scope| scope.name() == name).ok_or(())
    }
}

/// The three kinds of caller (rule A1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum CallerKind {
    User,
    Anonymous,
    Service,
}

impl CallerKind {
    pub const ALL: [Self; 3] = [Self::User, Self::Anonymous, Self::Service];

    /// As it stands in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "USER",
            Self::Anonymous => "ANONYMOUS",
            Self::Service => "SERVICE",
        }
    }
}

/// Somebody whose token was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub kind: CallerKind,
    /// The token's `sub`.
    pub id: String,
    pub scopes: BTreeSet<Scope>,
}

/// Whose orders may be reached. Only what a caller may do makes one, or the server's own work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience(Reach);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reach {
    /// The orders of one shopper.
    Owner(Owner),
    /// Everybody's.
    Everyone,
}

impl Audience {
    /// What the server does of itself, such as taking in a provider's verified news, reaches everything.
    pub fn of_the_server() -> Self {
        Self(Reach::Everyone)
    }

    /// The one shopper whose orders may be reached; `None`: everybody's may.
    pub fn owner(&self) -> Option<&Owner> {
        match &self.0 {
            Reach::Owner(owner) => Some(owner),
            Reach::Everyone => None,
        }
    }
}

impl Caller {
    /// The shopper that this caller is; services own nothing.
    pub fn as_owner(&self) -> Option<Owner> {
        let kind = match self.kind {
            CallerKind::User => OwnerKind::User,
            CallerKind::Anonymous => OwnerKind::Anonymous,
            CallerKind::Service => return None,
        };
        let id = self.id.clone();
        Some(Owner { kind, id })
    }

    /// Who it is in the audit trail.
    pub fn actor(&self) -> Actor {
        let kind = match self.kind {
            CallerKind::User => ActorKind::User,
            CallerKind::Anonymous => ActorKind::Anonymous,
            CallerKind::Service => ActorKind::Service,
        };
        Actor { kind, id: Some(self.id.clone()) }
    }

    /// Whether this is a service that has the scope.
    pub fn has(&self, scope: Scope) -> bool {
        self.kind == CallerKind::Service && self.scopes.contains(&scope)
    }

    /// Refuses whoever is not a service with this scope; whoever is reaches everybody's orders with it (rules A3, A5).
    pub fn require(&self, scope: Scope) -> Result<Audience, Error> {
        if self.has(scope) { Ok(Audience(Reach::Everyone)) } else { Err(Error::Forbidden(scope)) }
    }

    /// Whose orders this caller may reach: shoppers their own, services with the scope everybody's (rules A2, A3).
    pub fn audience(&self, scope: Scope) -> Result<Audience, Error> {
        match self.as_owner() {
            Some(owner) => Ok(Audience(Reach::Owner(owner))),
            None => self.require(scope),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(kind: CallerKind, scopes: &[Scope]) -> Caller {
        Caller { kind, id: "ada".into(), scopes: scopes.iter().copied().collect() }
    }

    // rule A3
    #[test]
    fn a_scope_in_a_shoppers_token_gives_nothing() {
        let shopper = caller(CallerKind::User, &Scope::ALL);
        assert!(shopper.require(Scope::OrdersWrite).is_err());
        let own = Owner { kind: OwnerKind::User, id: "ada".into() };
        assert_eq!(shopper.audience(Scope::OrdersRead).ok(), Some(Audience(Reach::Owner(own))));
    }

    #[test]
    fn a_service_reaches_everybody_with_the_scope_and_nobody_without() {
        let service = caller(CallerKind::Service, &[Scope::OrdersRead]);
        assert_eq!(service.audience(Scope::OrdersRead).ok(), Some(Audience(Reach::Everyone)));
        assert!(service.audience(Scope::AttemptsWrite).is_err());
    }

    #[test]
    fn every_scope_reads_back_as_itself() {
        for scope in Scope::ALL {
            assert_eq!(scope.name().parse(), Ok(scope));
        }
    }
}
