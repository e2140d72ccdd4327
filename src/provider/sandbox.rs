//! The sandbox provider, as this server sees it: an HTTP API like any other's.
//!
//! The service behind it is `crate::sandbox`; nothing of it is used here but the way to sign.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, Utc};
use entity::{
    attempt::{ClientSecret, Report},
    capability::Capabilities,
    money::Money,
    transaction::{Decline, Failure, Kind, ProviderReference},
};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Client, Url};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::{
    About, Answer as Said, Answered, CallError, Notice, PaymentProvider, Session, SessionNews, SessionRequest,
    TransactionRequest, WebhookError, http,
};
use crate::{
    sandbox::{Limits, api_key},
    secret::{Secret, unhex},
};

/// How old, or how far ahead, a webhook's signature may be (rule W1), in seconds.
const TOLERANCE_SECONDS: i64 = 300;
const SIGNATURE: &str = "orderpay-signature";

/// The sandbox's API at one address.
pub struct Sandbox {
    client: Client,
    base: Url,
    webhook_url: Url,
    secret: Secret,
    limits: Limits,
}

impl Sandbox {
    /// `base` is where its API is, `webhook_url` where it shall send its news.
    pub fn new(
        base: Url,
        webhook_url: Url,
        secret: Secret,
        timeout: Duration,
        limits: Limits,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self { client: http::client(timeout)?, base, webhook_url, secret, limits })
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

#[derive(Serialize)]
struct Run<'a> {
    reference: &'a str,
    kind: &'static str,
    amount: i64,
    currency: &'a str,
    method: Option<&'a str>,
    parent: Option<&'a str>,
    webhook_url: &'a str,
}

/// A transaction, or why there is none.
#[derive(Deserialize)]
#[serde(untagged)]
enum TransactionAnswer {
    Transaction(Box<ShownTransaction>),
    Error { error: Refusal },
}

#[derive(Deserialize)]
struct ShownTransaction {
    id: String,
    reference: String,
    amount: i64,
    currency: String,
    status: String,
    amount_moved: Option<i64>,
    currency_moved: Option<String>,
    amount_released: Option<i64>,
    failure: Option<ShownFailure>,
}

impl ShownTransaction {
    /// The transaction, if it makes sense: one that succeeded says how much money moved, and no text holds what a database can't.
    fn read(self) -> Option<(String, Said)> {
        let (status, minor, currency) = match (self.status.as_str(), self.amount_moved, self.currency_moved) {
            ("succeeded", Some(minor), Some(currency)) => (Answered::Succeeded, minor, currency),
            ("pending", None, None) => (Answered::Pending, self.amount, self.currency),
            ("failed", None, None) => (Answered::Failed, self.amount, self.currency),
            _ => return None,
        };
        let amount = Money::new(minor, currency.parse().ok()?);
        let failure = self.failure.map(ShownFailure::read);
        let texts = [
            Some(&self.id),
            Some(&self.reference),
            failure.as_ref().map(|it| &it.code),
            failure.as_ref().map(|it| &it.message),
        ];
        if texts.into_iter().flatten().any(|text| text.contains('\0')) {
            return None;
        }
        let released = self.amount_released.map(|minor| Money::new(minor, amount.currency()));
        let provider_reference = ProviderReference(self.id);
        Some((self.reference, Said { status, amount, released, provider_reference, failure }))
    }
}

fn transaction((status, answer): (StatusCode, TransactionAnswer), reference: &str) -> Result<Said, CallError> {
    match answer {
        TransactionAnswer::Transaction(shown) if status.is_success() => match shown.read() {
            Some((of, said)) if of == reference => Ok(said),
            _ => Err(unreadable()),
        },
        TransactionAnswer::Transaction(_) => Err(unreadable()),
        TransactionAnswer::Error { error } if status.is_client_error() => Err(CallError::Refused(error.code)),
        TransactionAnswer::Error { .. } => Err(unreadable()),
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Authorize => "authorize",
        Kind::AuthorizeAndCapture => "authorize_and_capture",
        Kind::Capture => "capture",
        Kind::ReverseAuthorize => "reverse_authorize",
        Kind::Refund => "refund",
        Kind::DetachedCredit => "detached_credit",
    }
}

#[derive(Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    data: EventData,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum EventData {
    Session(Shown),
    Transaction(ShownTransaction),
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
        Answer::Error { error, .. } if status.is_client_error() => Err(CallError::Refused(error.code)),
        Answer::Error { .. } => Err(unreadable()),
    }
}

#[async_trait::async_trait]
impl PaymentProvider for Sandbox {
    fn name(&self) -> &'static str {
        "sandbox"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            kinds: &[
                Kind::Authorize,
                Kind::AuthorizeAndCapture,
                Kind::Capture,
                Kind::ReverseAuthorize,
                Kind::Refund,
                Kind::DetachedCredit,
            ],
            partial_capture: true,
            repeated_capture: !self.limits.single_capture,
            partial_capture_ends_authorization: self.limits.capture_ends_authorization,
            partial_reversal: !self.limits.no_partial_reversal,
        }
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
        session(http::call("create_session", self.authorized(request)).await?)
    }

    async fn find_session(&self, reference: &str) -> Result<Option<Session>, CallError> {
        let request = self.client.get(self.url("sessions")).query(&[("reference", reference)]);
        match http::call("find_session", self.authorized(request)).await? {
            (StatusCode::NOT_FOUND, Answer::Error { error, .. }) if error.code == "session_not_found" => Ok(None),
            answer => session(answer).map(Some),
        }
    }

    async fn cancel_session(&self, external_id: &str) -> Result<Session, CallError> {
        let request = self.client.post(self.url(&format!("sessions/{external_id}/cancel")));
        match http::call("cancel_session", self.authorized(request)).await? {
            // Too late to cancel: the session says what it came to instead.
            (StatusCode::CONFLICT, Answer::Error { session: Some(shown), .. }) => shown.read().ok_or_else(unreadable),
            answer => session(answer),
        }
    }

    async fn run_transaction(&self, request: &TransactionRequest<'_>) -> Result<Said, CallError> {
        let body = Run {
            reference: request.reference,
            kind: kind(request.kind),
            amount: request.amount.minor(),
            currency: request.amount.currency().code(),
            method: request.method.map(|method| method.0.as_str()),
            parent: request.parent,
            webhook_url: self.webhook_url.as_str(),
        };
        let call = self.client.post(self.url("transactions")).json(&body);
        transaction(http::call("run_transaction", self.authorized(call)).await?, request.reference)
    }

    async fn find_transaction(&self, reference: &str) -> Result<Option<Said>, CallError> {
        let call = self.client.get(self.url("transactions")).query(&[("reference", reference)]);
        match http::call("find_transaction", self.authorized(call)).await? {
            (StatusCode::NOT_FOUND, TransactionAnswer::Error { error }) if error.code == "transaction_not_found" => {
                Ok(None)
            }
            answer => transaction(answer, reference).map(Some),
        }
    }

    fn verify_webhook(&self, headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Result<(), WebhookError> {
        let header = headers.get(SIGNATURE).and_then(|value| value.to_str().ok());
        verify(&self.secret, header.unwrap_or_default(), body, now.timestamp())
    }

    fn read_event(&self, body: &[u8]) -> Result<Notice, WebhookError> {
        let event: Event = serde_json::from_slice(body).map_err(|_| WebhookError::Unreadable)?;
        if event.id.contains('\0') {
            return Err(WebhookError::Unreadable);
        }
        let about = event.data.read(&event.kind).ok_or(WebhookError::Unreadable)?;
        Ok(Notice { event_id: event.id, about })
    }
}

impl EventData {
    /// What an event of this type tells. One whose type and body contradict each other tells nothing.
    fn read(self, kind: &str) -> Option<About> {
        match self {
            Self::Session(shown) => {
                let told = kind.strip_prefix("session.").and_then(report)?;
                let Session { external_id, report, amount, failure, .. } = shown.read()?;
                let agrees = (told == Report::Succeeded) == (report == Report::Succeeded);
                agrees.then_some(About::Session(SessionNews { external_id, report: told, amount, failure }))
            }
            Self::Transaction(shown) => {
                let agrees = kind.strip_prefix("transaction.") == Some(shown.status.as_str());
                let (reference, answer) = shown.read()?;
                agrees.then_some(About::Transaction { reference, answer })
            }
        }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    proptest! {
        /// What a signature is made of, in any order and number, around one that would be good but for a digit.
        #[test]
        fn any_header_but_a_good_one_is_refused(
            noise in "(t=[0-9]{0,12}|v1=[0-9a-f]{0,70}|[,= ]|v0=x){0,12}|\\PC{0,80}",
            at in 0..64_usize,
        ) {
            prop_assert!(check(&noise).is_err());
            let good = signature_at(NOW);
            let (head, digits) = good.split_at(good.len() - 64);
            let flipped: String = digits.chars().enumerate().map(|(n, digit)| match (n == at, digit) {
                (true, '0') => '1',
                (true, _) => '0',
                (false, digit) => digit,
            }).collect();
            prop_assert!(check(&[head, &flipped].concat()).is_err());
        }

        #[test]
        fn any_body_is_an_event_or_refused(body: Vec<u8>, text in r#"\{"id":"[a-z]{0,3}","type":"(session|transaction)\.[a-z]{0,10}","data":\{.{0,60}\}\}"#) {
            for body in [&body[..], text.as_bytes()] {
                if let Ok(Event { kind, data, .. }) = serde_json::from_slice(body) {
                    let _ = data.read(&kind);
                }
            }
        }
    }
}
