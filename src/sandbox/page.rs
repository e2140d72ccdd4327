//! The payment page: where the shopper pays, declines or cancels, with a plain form and no script at all.
//!
//! Loads nothing from elsewhere, lets nobody frame it, and asks for no card: a real one must never end up here.

use std::fmt::{self, Write};
use std::time::Duration;

use axum::Form;
use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use reqwest::Url;
use rust_decimal::Decimal;
use serde::Deserialize;

use super::method::{Method, Outcome};
use super::rows::Key;
use super::session::{Session, State as Life};
use super::store::Change;
use super::{Sandbox, SandboxError};

/// How long the shopper waits for the shop to hear of the payment, before being sent back to it.
const NEWS_FIRST: Duration = Duration::from_secs(3);

pub fn router(sandbox: &Sandbox) -> Router {
    Router::new()
        .route("/pay/{id}", get(show).post(press))
        .route("/pay.css", get(stylesheet))
        .with_state(sandbox.clone())
}

async fn stylesheet() -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "max-age=3600")];
    (headers, include_str!("pay.css"))
}

async fn show(State(sandbox): State<Sandbox>, Path(id): Path<String>) -> Response {
    match sandbox.0.store.find(Key::Id(&id)).await {
        Ok(Some(session)) if session.state == Life::Open => offer(&session),
        Ok(Some(session)) => closed(StatusCode::GONE, &session),
        Ok(None) => unknown(),
        Err(error) => broken(&error),
    }
}

#[derive(Deserialize)]
struct Press {
    outcome: Outcome,
    #[serde(default)]
    method: Method,
}

async fn press(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    form: Result<Form<Press>, FormRejection>,
) -> Response {
    let Ok(Form(Press { outcome, method })) = form else {
        return notice(
            StatusCode::BAD_REQUEST,
            "That did not work",
            "The form was incomplete. Go back and try again.",
            "",
        );
    };
    match sandbox.0.store.press(&id, outcome, method).await {
        Ok(Some(Change::Made(session))) => {
            sandbox.0.news.notify_one();
            news_first(&sandbox, &session.id).await;
            match return_address(&session) {
                Some(url) => (StatusCode::SEE_OTHER, [(header::LOCATION, url.to_string())]).into_response(),
                None => closed(StatusCode::OK, &session),
            }
        }
        Ok(Some(Change::TooLate(session))) => closed(StatusCode::GONE, &session),
        Ok(None) => unknown(),
        Err(error) => broken(&error),
    }
}

/// Lets the shop hear of it before the shopper is back there; if it takes too long, the worker goes on with it.
async fn news_first(sandbox: &Sandbox, session: &str) {
    let (sandbox, session) = (sandbox.clone(), session.to_owned());
    // A task of its own, so that neither a closed tab nor the end of our patience breaks off a delivery half-way.
    let delivery = tokio::spawn(async move {
        if let Err(error) = sandbox.deliver(&session).await {
            tracing::error!(%error, session, "the outbox failed; the worker will try again");
        }
    });
    if tokio::time::timeout(NEWS_FIRST, delivery).await.is_err() {
        tracing::warn!("the shop was slow to take a webhook; the shopper goes back without waiting for it");
    }
}

fn return_address(session: &Session) -> Option<Url> {
    let mut url = Url::parse(session.return_url.as_deref()?).ok()?;
    url.query_pairs_mut().append_pair("session", &session.id);
    Some(url)
}

fn offer(session: &Session) -> Response {
    let mut methods = String::new();
    for method in Method::ALL {
        let (token, meaning) = (method.token(), method.meaning());
        let checked = if method == Method::default() { " checked" } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(
            methods,
            r#"<label class="method"><input type="radio" name="method" value="{token}"{checked}><code>{token}</code><span>{meaning}</span></label>"#
        );
    }
    let summary = summary(session);
    let body = format!(
        r#"{summary}
<form method="post">
  <button class="pay" name="outcome" value="pay">Pay {price}</button>
  <div class="others">
    <button name="outcome" value="decline">Decline</button>
    <button name="outcome" value="cancel">Cancel</button>
  </div>
  <details>
    <summary>Test methods</summary>
    <fieldset><legend>What <em>Pay</em> pays with</legend>{methods}</fieldset>
  </details>
</form>"#,
        price = Escaped(&price(session)),
    );
    page(StatusCode::OK, "Pay", &body, session.return_url.as_deref())
}

/// The page of a session that can't be paid any more; it leads back to the shop.
fn closed(status: StatusCode, session: &Session) -> Response {
    let (title, text) = match session.state {
        Life::Open => ("Still open", "This payment is still open."),
        Life::Processing { .. } => ("Processing", "The payment is on its way. There is nothing more to do here."),
        Life::Succeeded { .. } => ("Paid", "The payment went through."),
        Life::Failed(_) => ("Declined", "The payment was declined, and no money moved."),
        Life::Cancelled => ("Cancelled", "The payment was cancelled, and no money moved."),
        Life::Expired => ("Expired", "The time for this payment is over, and no money moved."),
    };
    let back = return_address(session).map_or_else(String::new, |url| {
        format!(r#"<a class="back" href="{}">Back to the shop</a>"#, Escaped(url.as_str()))
    });
    notice(status, title, text, &format!("{}{back}", summary(session)))
}

fn unknown() -> Response {
    notice(StatusCode::NOT_FOUND, "No such payment", "This address does not belong to a payment.", "")
}

fn broken(error: &SandboxError) -> Response {
    tracing::error!(%error, "the payment page failed");
    notice(StatusCode::INTERNAL_SERVER_ERROR, "That did not work", "The sandbox failed. Try again in a moment.", "")
}

fn notice(status: StatusCode, title: &str, text: &str, more: &str) -> Response {
    page(status, title, &format!(r#"<h1>{title}</h1><p class="text">{text}</p>{more}"#), None)
}

fn summary(session: &Session) -> String {
    let description = session.description.as_deref().filter(|text| !text.is_empty()).unwrap_or("Payment");
    format!(r#"<p class="description">{}</p><p class="amount">{}</p>"#, Escaped(description), Escaped(&price(session)))
}

fn page(status: StatusCode, title: &str, body: &str, return_url: Option<&str>) -> Response {
    let html = format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · Sandbox</title>
<link rel="stylesheet" href="../pay.css">
</head>
<body>
<main>
<p class="banner">Sandbox — no real money</p>
<section>
{body}
</section>
</main>
</body>
</html>
"#
    );
    (status, protection(return_url), Html(html)).into_response()
}

fn protection(return_url: Option<&str>) -> [(HeaderName, String); 4] {
    let policy = format!(
        "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'{}",
        return_url.map(form_target).unwrap_or_default()
    );
    [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ]
}

/// Chromium applies `form-action` to the redirect after the form too, so the shop's own origin must be allowed.
fn form_target(return_url: &str) -> String {
    let Ok(url) = Url::parse(return_url) else {
        return String::new();
    };
    let origin = url.origin().ascii_serialization();
    // A policy cannot name an IPv6 address, and must not be given what could end the directive: then the scheme has to do.
    let nameable = origin.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":/.-_".contains(&byte));
    if nameable { format!(" {origin}") } else { format!(" {}:", url.scheme()) }
}

/// An amount with the decimal places that its currency has.
fn price(session: &Session) -> String {
    format!("{} {}", Decimal::new(session.amount, places(&session.currency)), session.currency)
}

/// ISO 4217; two places where nothing else is known.
fn places(currency: &str) -> u32 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI" | "VND"
        | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}

/// Text on its way into HTML, as content or as a quoted attribute.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            other => f.write_char(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_the_places_of_its_currency() {
        let shown = [("EUR", 4200), ("JPY", 1250), ("KWD", 1000), ("EUR", 5), ("CLF", 12345)]
            .map(|(currency, amount)| Decimal::new(amount, places(currency)).to_string());
        assert_eq!(shown, ["42.00", "1250", "1.000", "0.05", "1.2345"]);
    }

    #[test]
    fn what_a_shop_writes_stays_text() {
        assert_eq!(Escaped(r#"<b a="'">&"#).to_string(), "&lt;b a=&quot;&#39;&quot;&gt;&amp;");
    }

    #[test]
    fn the_policy_allows_the_way_back_and_nothing_that_a_shop_could_add_to_it() {
        assert_eq!(form_target("https://shop.example:8443/thanks?a=1"), " https://shop.example:8443");
        assert_eq!(form_target("http://[::1]:3000/"), " http:");
        assert_eq!(form_target("https://shop;script-src/"), " https:");
    }
}
