//! Which media types a request is sent in and may be answered in (GraphQL over HTTP, sections 4 and 5).

use axum::http::{HeaderMap, header};

/// What an answer is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `application/graphql-response+json`: the status says whether the request was one.
    GraphqlResponse,
    /// `application/json`: where GraphQL was understood at all the status is 200.
    Json,
}

impl MediaType {
    /// The best of what a client accepts; `None` if that is neither.
    pub fn accepted(headers: &HeaderMap) -> Option<Self> {
        let mut ranges = headers.get_all(header::ACCEPT).iter().flat_map(|value| {
            let value = value.to_str().unwrap_or_default();
            value.split(',').filter(|range| !range.trim().is_empty())
        });
        // Whoever says nothing knows nothing of the newer type.
        let Some(first) = ranges.next() else { return Some(Self::Json) };
        let wanted = std::iter::once(first).chain(ranges).filter_map(Range::read);
        let best = wanted.filter(|range| range.weight > 0).max_by_key(|range| (range.weight, range.rank));
        best.map(|range| range.media_type)
    }

    /// As it stands in `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        }
    }
}

/// A media range that one of the two types is in.
struct Range {
    media_type: MediaType,
    /// In thousandths.
    weight: u16,
    /// How closely it names the type.
    rank: u8,
}

impl Range {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (media_type, rank) = match parts.next()?.to_ascii_lowercase().as_str() {
            "application/graphql-response+json" => (MediaType::GraphqlResponse, 3),
            "application/json" => (MediaType::Json, 2),
            "application/*" => (MediaType::Json, 1),
            "*/*" => (MediaType::Json, 0),
            _ => return None,
        };
        let mut weight = 1000;
        for part in parts {
            let (name, value) = part.split_once('=')?;
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => weight = thousandths(value.trim())?,
                "charset" if !is_utf8(value) => return None,
                _ => {}
            }
        }
        Some(Self { media_type, weight, rank })
    }
}

/// A weight with up to three decimal places (RFC 9110, section 12.4.2).
fn thousandths(text: &str) -> Option<u16> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_weight = matches!(whole, "0" | "1") && part.len() <= 3 && part.bytes().all(|digit| digit.is_ascii_digit());
    let number: u16 = is_weight.then(|| format!("{whole}{part:0<3}").parse().ok())??;
    Some(number.min(1000))
}

/// Whether a body is sent as JSON in UTF-8. Nothing that a browser sends across sites without asking is.
pub fn is_json(headers: &HeaderMap) -> bool {
    let mut all = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(Ok(content_type)), None) = (all.next().map(|value| value.to_str()), all.next()) else { return false };
    let mut parts = content_type.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/json"));
    is_json
        && parts
            .filter_map(|part| part.split_once('='))
            .all(|(name, value)| !name.trim().eq_ignore_ascii_case("charset") || is_utf8(value))
}

fn is_utf8(charset: &str) -> bool {
    let charset = charset.trim().trim_matches('"');
    charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn accepted(accept: Option<&'static str>) -> Option<MediaType> {
        let named = accept.map(|accept| (header::ACCEPT, HeaderValue::from_static(accept)));
        MediaType::accepted(&named.into_iter().collect())
    }

    #[test]
    fn the_best_of_what_is_accepted_is_answered() {
        const NEW: Option<MediaType> = Some(MediaType::GraphqlResponse);
        const OLD: Option<MediaType> = Some(MediaType::Json);
        for (accept, answered) in [
            (None, OLD),
            (Some(""), OLD),
            (Some("*/*"), OLD),
            (Some("application/*"), OLD),
            (Some("application/json"), OLD),
            (Some("Application/JSON; charset=UTF-8"), OLD),
            (Some("application/graphql-response+json"), NEW),
            (Some("application/graphql-response+json;charset=utf-8, application/json;charset=utf-8"), NEW),
            (Some("application/json, application/graphql-response+json"), NEW),
            (Some("application/graphql-response+json;q=0.5, application/json"), OLD),
            (Some("application/graphql-response+json; q=0, */*;q=0.1"), OLD),
            (Some("text/html, */*;q=0.8"), OLD),
            (Some("text/html"), None),
            (Some("text/event-stream"), None),
            (Some("application/json; charset=latin1"), None),
            (Some("application/json; q=2"), None),
            (Some("application/json;q=0"), None),
        ] {
            assert_eq!(accepted(accept), answered, "{accept:?}");
        }
    }

    #[test]
    fn only_json_is_read() {
        let is = |content_type: &'static str| {
            is_json(&[(header::CONTENT_TYPE, HeaderValue::from_static(content_type))].into_iter().collect())
        };
        for json in [
            "application/json",
            "APPLICATION/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
        ] {
            assert!(is(json), "{json}");
        }
        for other in [
            "",
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/graphql-response+json",
            "application/graphql",
            "application/jsonp",
            "application/json; charset=utf-16",
            "text/plain; application/json",
        ] {
            assert!(!is(other), "{other}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
