//! The sandbox provider, as this server sees it: an HTTP API like any other's.
//!
//! The service behind it is `crate::sandbox`; nothing of it is used here but the way to sign.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, Utc};
use entity::{
    attempt::{ClientSecret, Report},
    money::Money,
    transaction::{Decline, Failure},
};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Client, Url};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::{CallError, Notice, PaymentProvider, Session, SessionRequest, WebhookError, http};
use crate::{sandbox::api_key, secret::Secret};

/// How old, or how far ahead, a webhook's signature may be (rule W1), in seconds.
const TOLERANCE_SECONDS: i64 = 300;
const SIGNATURE: &str = "orderpay-signature";

/// The sandbox's API at one address.
pub struct Sandbox {
    client: Client,
    base: Url,
    webhook_url: Url,
    secret: Secret,
}

impl Sandbox {
    /// `base` is where its API is, `webhook_url` where it shall send its news.
    pub fn new(base: Url, webhook_url: Url, secret: Secret, timeout: Duration) -> Result<Self, reqwest::Error> {
        Ok(Self { client: http::client(timeout)?, base, webhook_url, secret })
    }

    fn url(&self, path: &str) -> String {
        format!("{}/v1/{path}", self.base.as_str().trim_end_matches('/'))
    }

    fn authorized(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request.bearer_auth(api_key(self.secret.expose()))
    }
}

#[derive(Serialize)]
struct Create<'a> {
    reference: &'a str,
    amount: i64,
    currency: &'a str,
    return_url: Option<&'a str>,
    webhook_url: &'a str,
    description: &'a str,
}

/// A session, or why there is none.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Session(Shown),
    /// The session stands beside the error where it ended before it could be cancelled.
    Error {
        error: Refusal,
        session: Option<Shown>,
    },
}

#[derive(Deserialize)]
struct Refusal {
    code: String,
    message: String,
}

#[derive(Deserialize)]
struct Shown {
    id: String,
    amount: i64,
    currency: String,
    status: String,
    amount_received: Option<i64>,
    currency_received: Option<String>,
    redirect_url: String,
    client_secret: String,
    expires_at: DateTime<Utc>,
    failure: Option<ShownFailure>,
}

#[derive(Deserialize)]
struct ShownFailure {
    code: String,
    message: String,
    decline: Option<String>,
}

#[derive(Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    data: EventData,
}

#[derive(Deserialize)]
struct EventData {
    session: Shown,
}

impl Shown {
    /// The session, if it makes sense: one that succeeded says how much money moved, and no text holds what a database can't.
    fn read(self) -> Option<Session> {
        let report = report(&self.status)?;
        let (minor, currency) = match (report, self.amount_received, self.currency_received) {
            (Report::Succeeded, Some(minor), Some(currency)) => (minor, currency),
            (Report::Succeeded, ..) => return None,
            _ => (self.amount, self.currency),
        };
        let failure = self.failure.map(ShownFailure::read);
        let texts = [
            Some(&self.id),
            Some(&self.redirect_url),
            Some(&self.client_secret),
            failure.as_ref().map(|it| &it.code),
            failure.as_ref().map(|it| &it.message),
        ];
        if texts.into_iter().flatten().any(|text| text.contains('\0')) {
            return None;
        }
        Some(Session {
            report,
            amount: Money::new(minor, currency.parse().ok()?),
            external_id: self.id,
            redirect_url: Some(self.redirect_url),
            client_secret: Some(ClientSecret(self.client_secret)),
            failure,
            expires_at: Some(self.expires_at),
        })
    }
}

impl ShownFailure {
    fn read(self) -> Failure {
        Failure {
            decline: match self.decline.as_deref() {
                Some("soft") => Some(Decline::Soft),
                Some("hard") => Some(Decline::Hard),
                _ => None,
            },
            code: self.code,
            message: self.message,
        }
    }
}

fn report(status: &str) -> Option<Report> {
    Some(match status {
        "open" | "pending" => Report::Pending,
        "processing" => Report::Processing,
        "succeeded" => Report::Succeeded,
        "failed" => Report::Failed,
        "cancelled" => Report::Cancelled,
        "expired" => Report::Expired,
        _ => return None,
    })
}

fn unreadable() -> CallError {
    CallError::Unknown("the provider's answer can't be read".into())
}

fn session((status, answer): (StatusCode, Answer)) -> Result<Session, CallError> {
    match answer {
        Answer::Session(shown) if status.is_success() => shown.read().ok_or_else(unreadable),
        Answer::Session(_) => Err(unreadable()),
        Answer::Error { error, .. } => Err(CallError::Refused(format!("{}: {}", error.code, error.message))),
    }
}

#[async_trait::async_trait]
impl PaymentProvider for Sandbox {
    fn name(&self) -> &'static str {
        "sandbox"
    }

    async fn create_session(&self, request: &SessionRequest<'_>) -> Result<Session, CallError> {
        let body = Create {
            reference: request.reference,
            amount: request.amount.minor(),
            currency: request.amount.currency().code(),
            return_url: request.return_url,
            webhook_url: self.webhook_url.as_str(),
            description: &request.description,
        };
        let request = self.client.post(self.url("sessions")).json(&body);
        session(http::call(self.authorized(request)).await?)
    }

    async fn find_session(&self, reference: &str) -> Result<Option<Session>, CallError> {
        let request = self.client.get(self.url("sessions")).query(&[("reference", reference)]);
        match http::call(self.authorized(request)).await? {
            (StatusCode::NOT_FOUND, Answer::Error { error, .. }) if error.code == "session_not_found" => Ok(None),
            answer => session(answer).map(Some),
        }
    }

    async fn cancel_session(&self, external_id: &str) -> Result<Session, CallError> {
        let request = self.client.post(self.url(&format!("sessions/{external_id}/cancel")));
        match http::call(self.authorized(request)).await? {
            // Too late to cancel: the session says what it came to instead.
            (StatusCode::CONFLICT, Answer::Error { session: Some(shown), .. }) => shown.read().ok_or_else(unreadable),
            answer => session(answer),
        }
    }

    fn verify_webhook(&self, headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Result<(), WebhookError> {
        let header = headers.get(SIGNATURE).and_then(|value| value.to_str().ok());
        verify(&self.secret, header.unwrap_or_default(), body, now.timestamp())
    }

    fn read_event(&self, body: &[u8]) -> Result<Notice, WebhookError> {
        let event: Event = serde_json::from_slice(body).map_err(|_| WebhookError::Unreadable)?;
        let told = event.kind.strip_prefix("session.").and_then(report).ok_or(WebhookError::Unreadable)?;
        let session = event.data.session.read().ok_or(WebhookError::Unreadable)?;
        if event.id.contains('\0') || (told == Report::Succeeded) != (session.report == Report::Succeeded) {
            return Err(WebhookError::Unreadable);
        }
        Ok(Notice {
            event_id: event.id,
            external_id: session.external_id,
            report: told,
            amount: session.amount,
            failure: session.failure,
        })
    }
}

/// Checks `t=…,v1=…`: one of the signatures (several while a secret turns) must be the HMAC-SHA256 of `t`, a point and the raw body, and
/// `t` not more than 300 s away. Compared in constant time.
fn verify(secret: &Secret, header: &str, body: &[u8], now: i64) -> Result<(), WebhookError> {
    let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
    let mut times = parts().filter(|(name, _)| *name == "t");
    let (Some((_, at)), None) = (times.next(), times.next()) else {
        return Err(WebhookError::Unverified);
    };
    let seconds: i64 = match at.bytes().all(|byte| byte.is_ascii_digit()) {
        true => at.parse().map_err(|_| WebhookError::Unverified)?,
        false => return Err(WebhookError::Unverified),
    };
    if seconds.abs_diff(now) > TOLERANCE_SECONDS.unsigned_abs() {
        return Err(WebhookError::Unverified);
    }
    let signed = |signature: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose()).ok()?;
        mac.update(at.as_bytes());
        mac.update(b".");
        mac.update(body);
        mac.verify_slice(&unhex(signature)?).ok()
    };
    // A header with a thousand signatures is nobody's rotation.
    parts()
        .filter(|(name, _)| *name == "v1")
        .take(5)
        .find_map(|(_, signature)| signed(signature))
        .ok_or(WebhookError::Unverified)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::sign;

    const NOW: i64 = 1_000_000;
    const BODY: &[u8] = br#"{"id":"evt_1"}"#;

    fn secret() -> Secret {
        Secret::new("whsec")
    }

    fn check(header: &str) -> Result<(), WebhookError> {
        verify(&secret(), header, BODY, NOW)
    }

    fn signature_at(at: i64) -> String {
        sign(secret().expose(), at, BODY)
    }

    // rule W1
    #[test]
    fn a_signature_is_good_for_five_minutes_either_way() {
        for (at, good) in [(NOW, true), (NOW - 300, true), (NOW + 300, true), (NOW - 301, false), (NOW + 301, false)] {
            assert_eq!(check(&signature_at(at)).is_ok(), good, "{at}");
        }
    }

    #[test]
    fn another_body_or_another_secret_is_refused() {
        let header = signature_at(NOW);
        assert!(verify(&secret(), &header, br#"{"id":"evt_1"} "#, NOW).is_err());
        assert!(verify(&Secret::new("other"), &header, BODY, NOW).is_err());
    }

    #[test]
    fn while_a_secret_turns_one_good_signature_is_enough() {
        let good = signature_at(NOW);
        let (time, signature) = good.split_once(',').unwrap();
        assert!(check(&format!("{time},v1=00,{signature}")).is_ok());
        assert!(check(&format!("{time},v0=00,{signature}")).is_ok());
    }

    #[test]
    fn an_odd_header_is_refused_and_does_not_panic() {
        let good = signature_at(NOW);
        let many = format!("t={NOW}{},{}", ",v1=00".repeat(1000), good.split_once(',').unwrap().1);
        let odd = [
            "".to_owned(),
            "t=".into(),
            format!("t={NOW}"),
            good.replace("t=", "t=+"),
            good.replace("v1=", "v0="),
            format!("{good},t={NOW}"),
            format!("t={NOW},v1=é0"),
            format!("t={NOW},v1=0"),
            "t=99999999999999999999,v1=00".into(),
            "t=١,v1=00".into(),
            "x".repeat(10_000),
            many,
        ];
        for header in odd {
            assert_eq!(check(&header), Err(WebhookError::Unverified), "{}", &header[..header.len().min(60)]);
        }
    }
}
