//! What the provider says of a session, in the words of its webhook, so that a test can say it too.

use serde_json::{Value, json};

use super::{acts::Attempt, setting::fresh};

/// News of an attempt's session, about 29.90 EUR unless it says otherwise.
#[derive(Clone, Debug)]
pub struct News {
    pub event_id: String,
    session: String,
    status: &'static str,
    minor: i64,
    currency: &'static str,
}

impl News {
    /// `succeeded`, `failed`, `cancelled`, `expired`, `processing` or `pending`.
    pub fn that(attempt: &Attempt, status: &'static str) -> Self {
        Self::of_session(&attempt.external_id, status)
    }

    pub fn of_session(session: &str, status: &'static str) -> Self {
        Self { event_id: fresh("evt_test_"), session: session.to_owned(), status, minor: 2990, currency: "EUR" }
    }

    /// Other money than was asked for.
    pub fn received(self, minor: i64, currency: &'static str) -> Self {
        Self { minor, currency, ..self }
    }

    /// The same news as another event.
    pub fn told_anew(&self) -> Self {
        Self { event_id: fresh("evt_test_"), ..self.clone() }
    }

    pub fn body(&self) -> String {
        let moved = self.status == "succeeded";
        let failure = json!({ "code": "card_declined", "message": "Declined.", "decline": "soft" });
        json!({
            "id": self.event_id,
            "type": format!("session.{}", self.status),
            "created_at": "2026-11-21T09:30:00.000Z",
            "data": { "session": {
                "id": self.session,
                "reference": "not read",
                "amount": self.minor,
                "currency": self.currency,
                "status": self.status,
                "amount_received": moved.then_some(self.minor),
                "currency_received": moved.then_some(self.currency),
                "redirect_url": "http://127.0.0.1/not-read",
                "client_secret": "not read",
                "expires_at": "2026-11-21T10:30:00.000Z",
                "created_at": "2026-11-21T09:30:00.000Z",
                "failure": if self.status == "failed" { failure } else { Value::Null },
            } },
        })
        .to_string()
    }
}
