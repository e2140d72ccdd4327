//! The hosts that a development server is asked as.
//!
//! Its page holds tokens (rule A6). A website may let its own name stand for a loopback address (DNS rebinding), and a browser then takes our page
//! for a part of that website. The request still carries the website's name, and is refused.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, StatusCode, header, uri::Authority},
    middleware::{Next, from_fn},
};
use reqwest::Url;

use super::refusal;

/// Lets only those requests in that were sent to this machine by one of its own names, or to the host of the public URL.
pub fn for_this_machine_only(routes: Router, public_url: Option<&Url>) -> Router {
    let public: Option<Arc<str>> = public_url.and_then(Url::host_str).map(Arc::from);
    routes.layer(from_fn(move |request: Request, next: Next| {
        let is_ours = is_ours(request.headers(), public.as_deref());
        async move {
            if is_ours {
                return next.run(request).await;
            }
            let why = "In development mode the server is reached as localhost, by a loopback address, or by the host of ORDERPAY_PUBLIC_URL.";
            refusal(StatusCode::MISDIRECTED_REQUEST, "MISDIRECTED_REQUEST", why)
        }
    }))
}

fn is_ours(headers: &HeaderMap, public: Option<&str>) -> bool {
    let authority: Option<Authority> =
        headers.get(header::HOST).and_then(|host| host.to_str().ok()).and_then(|host| host.parse().ok());
    let Some(authority) = authority else { return false };
    let host = authority.host();
    let address: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    address.is_some_and(|address| address.is_loopback())
        || host.eq_ignore_ascii_case("localhost")
        || public.is_some_and(|public| host.eq_ignore_ascii_case(public))
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, routing::get};
    use tower::Service;

    use super::*;

    async fn status(host: Option<&str>) -> StatusCode {
        let public: Url = "https://pay.example/".parse().unwrap();
        let routes = Router::new().route("/", get(async || "the page"));
        let mut routes = for_this_machine_only(routes, Some(&public));
        let request = host.into_iter().fold(Request::builder(), |request, host| request.header(header::HOST, host));
        routes.call(request.body(Body::empty()).unwrap()).await.unwrap().status()
    }

    // rule A6
    #[tokio::test]
    async fn a_website_that_lets_its_name_stand_for_this_machine_reads_nothing() {
        for ours in [
            "localhost:8080",
            "LocalHost",
            "127.0.0.1:8080",
            "127.1.2.3",
            "[::1]:8080",
            "pay.example",
            "Pay.Example:443",
        ] {
            assert_eq!(status(Some(ours)).await, StatusCode::OK, "{ours}");
        }
        let foreign = [
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "192.168.0.1",
            "0.0.0.0",
            "",
            "?",
        ];
        for foreign in foreign {
            assert_eq!(status(Some(foreign)).await, StatusCode::MISDIRECTED_REQUEST, "{foreign}");
        }
        assert_eq!(status(None).await, StatusCode::MISDIRECTED_REQUEST);
    }
}
