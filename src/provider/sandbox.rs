//! The sandbox provider, as this server sees it: an HTTP API like any other's.
//!
//! The service behind it is `crate::sandbox`; nothing of it is used here but the way to sign.

mod shown;
mod signature;

use std::time::Duration;

use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use entity::{capability::Capabilities, transaction::Kind};
use reqwest::{Client, Url};
use serde::Serialize;

use super::{
    Answer, CallError, Notice, PaymentProvider, Session, SessionRequest, TransactionRequest, WebhookError, http,
};
use crate::{
    sandbox::{Limits, api_key},
    secret::Secret,
};

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
        shown::session(http::call("create_session", self.authorized(request)).await?)
    }

    async fn find_session(&self, reference: &str) -> Result<Option<Session>, CallError> {
        let request = self.client.get(self.url("sessions")).query(&[("reference", reference)]);
        shown::session_if_any(http::call("find_session", self.authorized(request)).await?)
    }

    async fn cancel_session(&self, external_id: &str) -> Result<Session, CallError> {
        let request = self.client.post(self.url(&format!("sessions/{external_id}/cancel")));
        shown::ended_session(http::call("cancel_session", self.authorized(request)).await?)
    }

    async fn run_transaction(&self, request: &TransactionRequest<'_>) -> Result<Answer, CallError> {
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
        shown::transaction(http::call("run_transaction", self.authorized(call)).await?, request.reference)
    }

    async fn find_transaction(&self, reference: &str) -> Result<Option<Answer>, CallError> {
        let call = self.client.get(self.url("transactions")).query(&[("reference", reference)]);
        shown::transaction_if_any(http::call("find_transaction", self.authorized(call)).await?, reference)
    }

    fn verify_webhook(&self, headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Result<(), WebhookError> {
        let header = headers.get(SIGNATURE).and_then(|value| value.to_str().ok());
        signature::verify(&self.secret, header.unwrap_or_default(), body, now.timestamp())
    }

    fn read_event(&self, body: &[u8]) -> Result<Notice, WebhookError> {
        shown::event(body)
    }
}
