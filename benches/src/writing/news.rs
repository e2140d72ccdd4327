//! What the provider says of its sessions, in its own words and with its signature.

use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::{server::WEBHOOK_SECRET, wire::request};

/// That one session succeeded.
pub struct News {
    /// The session.
    pub external_id: String,
    pub event_id: String,
    pub body: String,
}

impl News {
    /// As the provider would tell it after it told, with this body, that the session is open.
    pub fn after(number: usize, open: &str) -> Self {
        let mut event: Value = serde_json::from_str(open).expect("an event is JSON");
        assert_eq!(event["type"], "session.pending", "{open}");
        let event_id = format!("evt_{number:032x}");
        event["id"] = event_id.clone().into();
        event["type"] = "session.succeeded".into();
        let session = &mut event["data"]["session"];
        session["status"] = "succeeded".into();
        session["amount_received"] = session["amount"].clone();
        session["currency_received"] = session["currency"].clone();
        let external_id = session["id"].as_str().expect("a session has an id").to_owned();
        Self { external_id, event_id, body: event.to_string() }
    }
}

/// The request that tells it, signed now: it is good for five minutes.
pub fn webhook(news: &News) -> Vec<u8> {
    let body = news.body.as_bytes();
    request("/webhooks/sandbox", &format!("orderpay-signature: {}\r\n", signature(body)), body)
}

fn signature(body: &[u8]) -> String {
    #[expect(clippy::disallowed_methods, reason = "a provider has a clock of its own")]
    let at = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
    let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.as_bytes()).expect("any length is a key");
    mac.update(format!("{at}.").as_bytes());
    mac.update(body);
    let digest: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={at},v1={digest}")
}
