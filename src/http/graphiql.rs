//! GraphiQL's page and the files that it is made of.
//!
//! The page offers the callers that it is given and opens with the examples in `web/examples`. It refuses to run any
//! script or to speak to any host that its Content-Security-Policy does not name: this server only, or, where the
//! build could not embed GraphiQL, also the exact public addresses of its files, whose content the browser checks.
//! It keeps no token: those it is given are in the page itself, which no cache may store.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

/// Somebody whom a reader of the page can play. No `Debug`: the token is one.
#[derive(Clone)]
pub struct DemoCaller {
    /// Shown in the chooser: "Ada (user)".
    pub name: String,
    /// One sentence beside the chooser: what this caller may do.
    pub description: String,
    /// The bearer token without the word `Bearer`.
    pub token: String,
}

pub struct PageSettings {
    /// Where the page sends its requests, on this server: "/graphql".
    pub endpoint: String,
    /// The first one is chosen when the page opens; may be empty.
    pub callers: Vec<DemoCaller>,
}

/// `GET /` is the page, `GET /graphiql/{file}` what it loads.
pub fn routes(settings: &PageSettings) -> Router {
    let page: Arc<str> = page(settings).into();
    let policy: Arc<str> = content_security_policy().into();
    Router::new().route("/", get(async move || answer_page(&page, &policy))).route("/graphiql/{file}", get(answer_file))
}

/// A published file of GraphiQL or React; `build.rs` writes the list.
struct LibraryFile {
    name: &'static str,
    content_type: &'static str,
    public_address: &'static str,
    integrity: &'static str,
    /// None where the build had no npm: browsers then take the file from its public address.
    gzip: Option<&'static [u8]>,
}

const LIBRARY: &[LibraryFile] = include!(concat!(env!("OUT_DIR"), "/graphiql_library.rs"));

impl LibraryFile {
    fn kind(&self) -> Kind {
        match self.content_type.split(';').next() {
            Some("text/css") => Kind::Style,
            Some("text/javascript") => Kind::Script,
            _ => Kind::License,
        }
    }

    fn address(&self) -> String {
        if self.gzip.is_some() { format!("/graphiql/{}", self.name) } else { self.public_address.into() }
    }

    /// The element that makes a page load it. The browser refuses content that is not the one with this integrity.
    fn element(&self) -> String {
        let (address, integrity) = (self.address(), self.integrity);
        match self.kind() {
            Kind::Style => {
                format!(r#"<link rel="stylesheet" href="{address}" integrity="{integrity}" crossorigin="anonymous">"#)
            }
            Kind::Script => {
                format!(r#"<script defer src="{address}" integrity="{integrity}" crossorigin="anonymous"></script>"#)
            }
            Kind::License => format!(r#"<link rel="license" href="{address}">"#),
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Style,
    Script,
    License,
}

const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Our own part of the page, served as it is.
const OWN_FILES: &[(&str, &str, &str)] = &[
    ("page.css", STYLE, include_str!("../../web/src/page.css")),
    ("page.js", SCRIPT, include_str!("../../web/src/page.js")),
    ("memory.js", SCRIPT, include_str!("../../web/src/memory.js")),
    ("send.js", SCRIPT, include_str!("../../web/src/send.js")),
    ("subscribe.js", SCRIPT, include_str!("../../web/src/subscribe.js")),
    ("tabs.js", SCRIPT, include_str!("../../web/src/tabs.js")),
];

pub(crate) struct Example {
    pub(crate) query: &'static str,
    pub(crate) variables: &'static str,
}

macro_rules! example {
    ($name:literal) => {
        Example {
            query: include_str!(concat!("../../web/examples/", $name, ".graphql")),
            variables: include_str!(concat!("../../web/examples/", $name, ".json")),
        }
    };
}

/// In the order of the story that they tell, one tab each.
pub(crate) const EXAMPLES: &[Example] = &[
    example!("01-welcome"),
    example!("02-create-order"),
    example!("03-order-to-pay"),
    example!("04-attempt-to-pay"),
    example!("05-order-now"),
    example!("06-user-orders"),
    example!("07-provider-reports"),
    example!("08-change-cart"),
    example!("09-cancel-order"),
    example!("10-claim-orders"),
    example!("11-create-payment"),
    example!("12-authorize"),
    example!("13-lock-payment"),
    example!("14-capture"),
    example!("15-unlock-payment"),
    example!("16-refund"),
    example!("17-ledger"),
    example!("18-order-updated"),
    example!("19-cases"),
    example!("20-resolve-case"),
    example!("21-guest-token"),
];

fn page(settings: &PageSettings) -> String {
    let library: Vec<_> = LIBRARY.iter().map(LibraryFile::element).collect();
    include_str!("../../web/src/page.html")
        .replace("{{library}}", &library.join("\n    "))
        .replace("{{settings}}", &settings_for_script(settings))
}

/// Inside a script element `<` could end it; JSON may write it as `\u003c` instead.
fn settings_for_script(settings: &PageSettings) -> String {
    let callers: Vec<_> = settings
        .callers
        .iter()
        .map(|caller| json!({ "name": caller.name, "description": caller.description, "token": caller.token }))
        .collect();
    let examples: Vec<_> =
        EXAMPLES.iter().map(|example| json!({ "query": example.query, "variables": example.variables })).collect();
    json!({ "endpoint": settings.endpoint, "callers": callers, "examples": examples, "loadedFrom": elsewhere(Kind::Script) })
        .to_string()
        .replace('<', "\\u003c")
}

/// The public addresses that the page loads its scripts or its styles from; none where the build embedded them.
fn elsewhere(kind: Kind) -> Vec<&'static str> {
    LIBRARY.iter().filter(|file| file.gzip.is_none() && file.kind() == kind).map(|file| file.public_address).collect()
}

/// The one style element that GraphiQL makes at run time: its dialogs stop the page behind them from scrolling.
const DIALOG_STYLE: &str = "'sha256-nzTgYzXYDNe6BAHiiI7NNlfK8n/auuOAhh2t92YvuXo='";

fn content_security_policy() -> String {
    let scripts = [&["'self'"], &elsewhere(Kind::Script)[..]].concat().join(" ");
    let styles = [&["'self'", DIALOG_STYLE], &elsewhere(Kind::Style)[..]].concat().join(" ");
    format!(
        "default-src 'none'; script-src {scripts}; style-src {styles}; font-src data:; img-src 'self' data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

fn answer_page(page: &str, policy: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, page.to_owned()).into_response()
}

/// Library files are there only gzipped and go out so to every client: all browsers take it, and nobody else asks.
async fn answer_file(Path(name): Path<String>) -> Response {
    let plain = OWN_FILES
        .iter()
        .find(|(own, ..)| *own == name)
        .map(|(_, kind, text)| (file_headers(kind, "no-cache"), *text).into_response());
    let library = || {
        let file = LIBRARY.iter().find(|file| file.name == name)?;
        let headers = file_headers(file.content_type, "public, max-age=31536000, immutable");
        Some((headers, [(header::CONTENT_ENCODING, "gzip")], file.gzip?).into_response())
    };
    plain.or_else(library).unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
}

fn file_headers(content_type: &'static str, cache: &'static str) -> [(HeaderName, &'static str); 3] {
    [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, cache), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_setting_can_end_the_script_element_that_holds_it() {
        let name = "</script><script>".to_owned();
        let caller = DemoCaller { description: name.clone(), token: name.clone(), name };
        let settings = PageSettings { endpoint: "/graphql".into(), callers: vec![caller] };
        assert!(!settings_for_script(&settings).contains('<'));
    }

    #[test]
    fn every_example_in_the_folder_is_a_tab() {
        let files = std::fs::read_dir("web/examples").map(Iterator::count).ok();
        assert_eq!(files, Some(EXAMPLES.len() * 2));
    }

    #[test]
    fn a_page_names_each_address_that_it_loads_from_in_its_policy() {
        let policy = content_security_policy();
        let strangers = LIBRARY.iter().filter(|file| file.gzip.is_none() && file.kind() != Kind::License);
        assert!(strangers.map(|file| file.public_address).all(|address| policy.contains(address)));
        assert!(!policy.contains("unsafe"));
    }
}
