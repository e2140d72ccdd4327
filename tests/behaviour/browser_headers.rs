//! What browsers are told: which websites may read answers (CORS), and what no page may do with them.

use reqwest::{Method, Response, header::HeaderMap};
use serde_json::json;

use crate::support::{Engine, Shop, run, run_with};

const ORIGINS: &str = "--cors-origins=https://shop.example,https://till.example:8443";

/// What a browser asks before it sends a request of a page.
async fn preflight(shop: &Shop, origin: &str) -> Response {
    let request = shop.client().request(Method::OPTIONS, shop.url("/graphql")).header("origin", origin);
    let request = request.header("access-control-request-method", "POST");
    request.header("access-control-request-headers", "authorization,content-type").send().await.unwrap()
}

async fn asks(shop: &Shop, origin: Option<&str>, token: Option<&str>) -> Response {
    let mut request = shop.client().post(shop.url("/graphql")).json(&json!({ "query": "{ viewer { id } }" }));
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await.unwrap()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

fn allowed(answer: &Response) -> &str {
    header(answer.headers(), "access-control-allow-origin")
}

// G18
#[test]
fn exactly_the_configured_websites_may_read_answers() {
    run_with(Engine::Sqlite, &[ORIGINS], async |shop| {
        let ada = shop.user("ada");
        for origin in ["https://shop.example", "https://till.example:8443"] {
            for answer in [
                preflight(&shop, origin).await,
                asks(&shop, Some(origin), Some(ada.token())).await,
                asks(&shop, Some(origin), None).await,
            ] {
                assert_eq!(allowed(&answer), origin);
                assert!(header(answer.headers(), "vary").contains("origin"));
                assert_eq!(header(answer.headers(), "access-control-allow-credentials"), "");
            }
        }
        let strangers = [
            "null",
            "http://shop.example",
            "https://shop.example.evil.example",
            "https://evilshop.example",
            "https://evil.example/https://shop.example",
            "https://shop.example:8443",
            "https://till.example",
            "https://sub.shop.example",
            "https://SHOP.example",
            "https://shop.example,https://till.example:8443",
            "*",
        ];
        for origin in strangers {
            for answer in [preflight(&shop, origin).await, asks(&shop, Some(origin), Some(ada.token())).await] {
                assert_eq!(allowed(&answer), "", "{origin}");
                assert!(header(answer.headers(), "vary").contains("origin"));
            }
        }
        assert_eq!(asks(&shop, None, Some(ada.token())).await.status(), 200);
    });
}

#[test]
fn a_page_may_send_what_it_needs_and_read_what_it_needs() {
    run_with(Engine::Sqlite, &[ORIGINS], async |shop| {
        let told = preflight(&shop, "https://shop.example").await;

        assert_eq!(told.status(), 200);
        let listed = |name: &str| {
            let mut listed: Vec<String> = header(told.headers(), name).split(',').map(str::to_owned).collect();
            listed.sort();
            listed.join(" ")
        };
        assert_eq!(listed("access-control-allow-methods"), "GET POST");
        assert_eq!(listed("access-control-allow-headers"), "accept authorization content-type x-request-id");
        assert_eq!(listed("access-control-max-age"), "3600");
        let answer = asks(&shop, Some("https://shop.example"), None).await;
        assert_eq!(header(answer.headers(), "access-control-expose-headers"), "x-request-id,retry-after");
    });
}

#[test]
fn without_the_setting_no_website_may() {
    run(Engine::Sqlite, async |shop| {
        let answer = preflight(&shop, "https://shop.example").await;
        assert_eq!((answer.status().as_u16(), allowed(&answer)), (405, ""));
        assert_eq!(allowed(&asks(&shop, Some("https://shop.example"), None).await), "");
    });
}

/// What an answer has to say, and what it must not.
fn is_protected(what: &str, headers: &HeaderMap) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(header(headers, name), value, "{what}: {name}");
        assert_eq!(headers.get_all(name).iter().count(), 1, "{what}: {name}");
    }
    let policies: Vec<_> = headers.get_all("content-security-policy").iter().collect();
    let [policy] = policies[..] else { panic!("{what}: {policies:?}") };
    let policy = policy.to_str().unwrap();
    for part in ["default-src 'none'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{what}: {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{what}: {policy}");
    assert_ne!(header(headers, "cache-control"), "", "{what}");
    assert_eq!(headers.get("set-cookie"), None, "{what}");
}

// G19
#[test]
fn every_answer_is_protected() {
    let settings = ["--graphiql=on", "--public-url=https://pay.example", ORIGINS, "--failures-per-address=1"];
    run_with(Engine::Sqlite, &settings, async |shop| {
        let (get, post) = (Method::GET, Method::POST);
        let asked = [
            (get.clone(), "/healthz", "", 200, "no-store"),
            (get.clone(), "/readyz", "", 200, "no-store"),
            (get.clone(), "/", "", 200, "no-store"),
            (get.clone(), "/graphiql/page.js", "", 200, "no-cache"),
            (get.clone(), "/graphiql/nothing.js", "", 404, "no-store"),
            (get.clone(), "/nowhere", "", 404, "no-store"),
            (get.clone(), "/graphql", "", 401, "no-store"),
            (Method::PUT, "/graphql", "", 405, "no-store"),
            (Method::OPTIONS, "/graphql", "", 200, "no-store"),
            (post.clone(), "/graphql", "{}", 415, "no-store"),
            (post.clone(), "/webhooks/sandbox", "{}", 401, "no-store"),
            (post.clone(), "/webhooks/sandbox", "{}", 429, "no-store"),
            (get.clone(), "/sandbox/pay/nothing", "", 404, "no-store"),
            (get.clone(), "/sandbox/pay.css", "", 200, "max-age=3600"),
            (get, "/sandbox/v1/sessions?reference=att_1", "", 401, "no-store"),
            (post, "/webhooks/sandbox", &"x".repeat(300 * 1024), 413, "no-store"),
        ];
        for (method, path, body, status, cache) in asked {
            let preflight = [("origin", "https://shop.example"), ("access-control-request-method", "POST")];
            let mut request = shop.client().request(method.clone(), shop.url(path)).body(body.to_owned());
            if method == Method::OPTIONS {
                request = preflight.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            }
            let answer = request.send().await.unwrap();

            let what = format!("{method} {path}");
            assert_eq!(
                (answer.status().as_u16(), header(answer.headers(), "cache-control")),
                (status, cache),
                "{what}"
            );
            is_protected(&what, answer.headers());
            assert_eq!(header(answer.headers(), "strict-transport-security"), "max-age=31536000", "{what}");
        }
        for token in [Some(shop.user("ada").token()), None, Some("bad")] {
            let answer = asks(&shop, None, token).await;
            is_protected("a GraphQL answer", answer.headers());
            assert_eq!(header(answer.headers(), "cache-control"), "no-store");
        }
    });
}

#[test]
fn a_server_without_https_does_not_ask_browsers_for_it() {
    run(Engine::Sqlite, async |shop| {
        let answer = shop.client().get(shop.url("/healthz")).send().await.unwrap();
        assert_eq!(header(answer.headers(), "strict-transport-security"), "");
    });
}

// G19
#[test]
fn the_payment_page_has_no_script_no_style_of_its_own_and_nothing_from_elsewhere() {
    run(Engine::Sqlite, async |shop| {
        let (_, attempt) = shop.open_attempt().await;
        let answer = shop.client().get(&attempt.redirect_url).send().await.unwrap();

        is_protected("the payment page", answer.headers());
        let policy = header(answer.headers(), "content-security-policy").to_owned();
        assert_eq!(
            policy,
            "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' https://shop.example"
        );
        let page = answer.text().await.unwrap().to_lowercase();
        for foreign in ["<script", "<style", "style=", "javascript:", " onclick", " onload", "src=", "//"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    });
}
