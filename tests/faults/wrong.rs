//! What can be found wrong in the books.

use std::fmt;

/// What a fault in the books comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Money moved that nobody asked for, or twice for one wish.
    DoubleCharge,
    /// A sum that is above its bound, or not what its parts add up to.
    WrongSum,
    /// Money that moved, or did not, and the books say otherwise.
    Lost,
    /// Clients were told what is not so, or one thing first and another later.
    Contradiction,
    /// What should have settled by itself.
    Unsettled,
    /// What `orderpay check` found.
    Check,
}

#[derive(Clone, Debug)]
pub struct Wrong {
    pub kind: Kind,
    pub what: String,
}

impl Wrong {
    pub fn new(kind: Kind, what: impl fmt::Display) -> Self {
        Self { kind, what: what.to_string() }
    }

    /// Whether money was charged twice, or a sum is wrong: what a broken server must be caught by.
    pub fn is_about_money(&self) -> bool {
        matches!(self.kind, Kind::DoubleCharge | Kind::WrongSum | Kind::Lost)
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.what)
    }
}
