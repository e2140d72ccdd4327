//! Tokens that are odd, forged or huge, each a way in somewhere else: none is a way in here, and all are answered alike.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use crate::support::{
    JWT_SECRET, Shop,
    identity::{Identity, Signer, set, signed, signed_with_secret},
    setting,
};

on_each_database![
    no_odd_token_is_a_way_in,
    a_plain_token_of_each_kind_of_key_is_a_way_in,
    no_address_in_a_token_is_asked,
    a_token_that_calls_itself_an_access_token_is_one,
];

const ISSUER: &str = "https://id.example";

/// A server that takes tokens of one issuer, whose keys are of each kind.
struct Door {
    shop: Shop,
    rsa: Signer,
    ec: Signer,
    ed: Signer,
    mallory: Signer,
}

impl Door {
    async fn of(shop: &Shop) -> Self {
        let (rsa, ec, ed) = (Signer::rsa("rsa-1"), Signer::ec("ec-1"), Signer::ed("ed-1"));
        let file = setting().directory.join(crate::support::fresh("jwks-"));
        std::fs::write(&file, set(&[&rsa, &ec, &ed])).expect("a key set");
        let file = file.to_str().expect("a path").to_owned();
        let settings = ["--jwt-jwks", &file, "--jwt-issuer", ISSUER, "--jwt-audience", "orderpay"];
        Self { shop: shop.second(&settings).await, rsa, ec, ed, mallory: Signer::rsa("rsa-1") }
    }

    /// What a good token says.
    fn claims(&self) -> Value {
        let now = self.shop.now().timestamp();
        json!({ "sub": "ada", "kind": "user", "iss": ISSUER, "aud": "orderpay", "exp": now + 60 })
    }

    /// A good token with other claims.
    fn with(&self, other: &Value) -> String {
        self.ec.signs(&self.ec.header().to_string(), &crate::support::with(self.claims(), other.clone()).to_string())
    }

    fn without(&self, claim: &str) -> String {
        let mut claims = self.claims();
        claims.as_object_mut().expect("claims").remove(claim);
        self.ec.signs(&self.ec.header().to_string(), &claims.to_string())
    }

    /// A good token with another header.
    fn headed(&self, other: &Value) -> String {
        let header = crate::support::with(self.ec.header(), other.clone());
        self.ec.signs(&header.to_string(), &self.claims().to_string())
    }

    /// How a request with these `Authorization` headers is answered: the status, its challenge and its body.
    async fn answers(&self, authorizations: &[String]) -> (u16, Option<String>, Value) {
        let mut request = self.shop.client().post(self.shop.url("/graphql"));
        for authorization in authorizations {
            request = request.header("authorization", authorization);
        }
        let answer = request.json(&json!({ "query": "{ viewer { id } }" })).send().await.expect("it answers");
        let challenge = answer.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
        (answer.status().as_u16(), challenge, answer.json().await.expect("JSON"))
    }

    /// Who is let in with a token.
    async fn lets_in(&self, token: &str) -> Option<String> {
        let (status, _, body) = self.answers(&[format!("Bearer {token}")]).await;
        let id = body["data"]["viewer"]["id"].as_str().map(str::to_owned);
        assert_eq!(id.is_some(), status == 200, "{body}");
        id
    }
}

/// The public half of a key in each of its forms, taken for a shared secret.
fn signed_with_public_halves(door: &Door) -> Vec<(String, String)> {
    let mut odd = vec![];
    for key in [&door.rsa, &door.ec, &door.ed] {
        let pem = key.public_pem();
        let jwk = key.jwk();
        let of_jwk = |field: &str| jwk[field].as_str().unwrap_or_default().as_bytes().to_vec();
        let forms = [
            ("PEM", pem.clone().into_bytes()),
            ("PEM without its last line break", pem.trim_end().as_bytes().to_vec()),
            ("DER", key.public_der.clone()),
            ("JWK", jwk.to_string().into_bytes()),
            ("modulus", of_jwk("n")),
            ("x", of_jwk("x")),
            ("raw x", URL_SAFE_NO_PAD.decode(of_jwk("x")).expect("base64")),
            ("nothing", vec![]),
        ];
        for (form, secret) in forms {
            let header = json!({ "alg": "HS256", "typ": "at+jwt", "kid": key.id });
            let forged = signed_with_secret(&secret, &header.to_string(), &door.claims().to_string());
            odd.push((format!("HS256 with the {form} of {}", key.id), forged));
            // The header says what the key is for, the signature is another's.
            let swapped = signed_with_secret(&secret, &key.header().to_string(), &door.claims().to_string());
            odd.push((format!("HMAC with the {form}, called {:?}", key.algorithm), swapped));
        }
    }
    odd
}

fn of_another_algorithm(door: &Door) -> Vec<(String, String)> {
    let claims = door.claims().to_string();
    let mut odd = vec![];
    for none in ["none", "None", "nOnE", "NONE", "", "HS1024"] {
        let header = json!({ "alg": none, "typ": "at+jwt", "kid": "rsa-1" });
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(&claims));
        odd.push((format!("alg {none:?}, unsigned"), format!("{message}.")));
        odd.push((format!("alg {none:?}, signed"), format!("{message}.{}", URL_SAFE_NO_PAD.encode([0; 64]))));
    }
    for (key, alg) in [(&door.rsa, "ES256"), (&door.ec, "RS256"), (&door.ed, "ES256"), (&door.ec, "EdDSA")] {
        let header = crate::support::with(key.header(), json!({ "alg": alg }));
        odd.push((format!("{} called {alg}", key.id), key.signs(&header.to_string(), &claims)));
    }
    for (key, kid) in [(&door.rsa, "ec-1"), (&door.ec, "rsa-1"), (&door.ed, "ec-1")] {
        let header = crate::support::with(key.header(), json!({ "kid": kid }));
        odd.push((format!("{} called {kid}", key.id), key.signs(&header.to_string(), &claims)));
    }
    // A key is for one algorithm, even of its own family.
    for alg in ["RS384", "RS512", "PS256"] {
        let header = crate::support::with(door.rsa.header(), json!({ "alg": alg }));
        odd.push((format!("RS256 called {alg}"), door.rsa.signs(&header.to_string(), &claims)));
    }
    let empty = [0; 64];
    let message = door.ec.signs(&door.ec.header().to_string(), &claims);
    let (message, _) = message.rsplit_once('.').expect("three parts");
    odd.push(("ES256 with a signature of zeros".into(), format!("{message}.{}", URL_SAFE_NO_PAD.encode(empty))));
    odd
}

fn of_another_key(door: &Door) -> Vec<(String, String)> {
    let mallory = &door.mallory;
    let claims = door.claims().to_string();
    let mut odd: Vec<(String, String)> = [
        json!(null),
        json!(""),
        json!("unheard-of"),
        json!("../../../../dev/null"),
        json!("/proc/self/environ"),
        json!("' OR '1'='1"),
        json!("rsa-1'; DROP TABLE orders; --"),
        json!("http://127.0.0.1:1/jwks.json"),
        json!("rsa-1\u{0}"),
        json!("x".repeat(4000)),
        json!(1),
        json!(["rsa-1"]),
    ]
    .iter()
    .map(|kid| (format!("kid {kid:.40}"), door.headed(&json!({ "kid": kid }))))
    .collect();
    let mut no_kid = door.ec.header();
    no_kid.as_object_mut().expect("a header").remove("kid");
    odd.push(("no kid".into(), door.ec.signs(&no_kid.to_string(), &claims)));
    for brings in [
        json!({}),
        json!({ "jwk": mallory.jwk() }),
        json!({ "jwk": mallory.jwk(), "kid": "mallory's" }),
        json!({ "x5c": [base64::engine::general_purpose::STANDARD.encode(&mallory.public_der)] }),
        json!({ "jku": "https://evil.example/jwks.json" }),
        json!({ "x5u": "https://evil.example/cert.pem" }),
    ] {
        let header = crate::support::with(mallory.header(), brings.clone());
        odd.push((format!("mallory's key, {brings:.30}"), mallory.signs(&header.to_string(), &claims)));
    }
    let header = json!({ "alg": "HS256", "typ": "at+jwt" });
    odd.push(("another's secret".into(), signed_with_secret(JWT_SECRET.as_bytes(), &header.to_string(), &claims)));
    odd
}

fn of_other_claims(door: &Door) -> Vec<(String, String)> {
    let mut odd: Vec<(String, String)> =
        ["sub", "kind", "exp", "iss", "aud"].iter().map(|claim| (format!("no {claim}"), door.without(claim))).collect();
    let others = [
        (
            "sub",
            vec![
                json!(""),
                json!("x".repeat(256)),
                json!("a\nb"),
                json!("a\u{0}"),
                json!("\u{7f}"),
                json!("\u{85}"),
                json!(1),
                json!(null),
                json!(["ada"]),
            ],
        ),
        ("kind", vec![json!("admin"), json!("USER"), json!(""), json!(["user", "service"]), json!(null)]),
        (
            "iss",
            vec![
                json!("https://evil.example"),
                json!("https://id.example/"),
                json!("HTTPS://ID.EXAMPLE"),
                json!([ISSUER]),
                json!("orderpay"),
                json!(""),
                json!(null),
            ],
        ),
        (
            "aud",
            vec![
                json!("shop"),
                json!(["shop", "till"]),
                json!([]),
                json!(""),
                json!("orderpay "),
                json!(null),
                json!({ "orderpay": 1 }),
            ],
        ),
    ];
    for (claim, values) in others {
        let each = values.iter().map(|value| (format!("{claim} {value:.40}"), door.with(&json!({ (claim): value }))));
        odd.extend(each);
    }
    odd
}

fn of_another_time(door: &Door) -> Vec<(String, String)> {
    let now = door.shop.now().timestamp();
    let mut odd = vec![];
    let others = [
        (
            "exp",
            vec![
                json!(now - 5),
                json!(now - 6),
                json!(0),
                json!(-1),
                json!(i64::MIN),
                json!(1e300),
                json!(1e10),
                json!(now + 60).to_string().into(),
                json!(i64::MAX),
                json!(u64::MAX),
                json!(null),
                json!([now + 60]),
                json!(true),
            ],
        ),
        ("nbf", vec![json!(now + 6), json!(i64::MAX), json!("0"), json!(0.5)]),
    ];
    for (claim, values) in others {
        let each = values.iter().map(|value| (format!("{claim} {value:.40}"), door.with(&json!({ (claim): value }))));
        odd.extend(each);
    }
    odd
}

fn of_claims_that_are_none_or_are_there_twice(door: &Door) -> Vec<(String, String)> {
    let now = door.shop.now().timestamp();
    let mut odd = vec![];
    let seconds = format!("{}.5", now + 60);
    for (what, claims) in [
        ("exp with a fraction", door.claims().to_string().replace(&(now + 60).to_string(), &seconds)),
        ("sub twice", door.claims().to_string().replacen('{', r#"{"sub":"grace","#, 1)),
        ("kind twice", door.claims().to_string().replacen('{', r#"{"kind":"service","#, 1)),
        ("exp twice", door.claims().to_string().replacen('{', r#"{"exp":1,"#, 1)),
        ("iss twice", door.claims().to_string().replacen('{', r#"{"iss":"https://evil.example","#, 1)),
        ("no object", "[]".to_owned()),
        ("no JSON", "hello".to_owned()),
    ] {
        odd.push((what.to_owned(), door.ec.signs(&door.ec.header().to_string(), &claims)));
    }
    odd
}

fn of_another_shape(door: &Door) -> Vec<(String, String)> {
    let good = door.with(&json!({}));
    let [header, claims, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let one = json!({ "payload": claims, "protected": header, "signature": signature });
    let two = json!({ "payload": claims, "signatures": [
        { "protected": header, "signature": signature }, { "protected": header, "signature": signature },
    ] });
    let mut odd = vec![
        ("nothing".to_owned(), String::new()),
        ("no token".to_owned(), "let-me-in".to_owned()),
        ("two parts".to_owned(), format!("{header}.{claims}")),
        ("unsigned".to_owned(), format!("{header}.{claims}.")),
        ("two signatures".to_owned(), format!("{good}.{signature}")),
        ("five parts".to_owned(), format!("{header}.{claims}.{claims}.{claims}.{signature}")),
        ("a JWE".to_owned(), format!("{}.a.b.c.d", URL_SAFE_NO_PAD.encode(r#"{"alg":"RSA-OAEP","enc":"A128GCM"}"#))),
        ("JWS in JSON".to_owned(), one.to_string()),
        ("JWS in JSON, signed twice".to_owned(), two.to_string()),
        ("padded".to_owned(), format!("{header}.{claims}.{signature}==")),
        ("a dot before".to_owned(), format!(".{good}")),
        ("a space before".to_owned(), format!(" {good}")),
        ("more after".to_owned(), format!("{good} {good}")),
        ("nothing but dots".to_owned(), "..".to_owned()),
        ("huge: 20 kB of claims".to_owned(), door.with(&json!({ "padding": "x".repeat(15_000) }))),
        ("huge: 20 kB of dots".to_owned(), ".".repeat(20_000)),
        (
            "a header that is deep".to_owned(),
            format!("{}.{claims}.{signature}", URL_SAFE_NO_PAD.encode("[".repeat(3000))),
        ),
        ("claims that are deep".to_owned(), door.ec.signs(&door.ec.header().to_string(), &"[".repeat(3000))),
    ];
    for other in [
        json!({ "crit": ["exp"] }),
        json!({ "crit": [] }),
        json!({ "crit": ["b64"], "b64": false }),
        json!({ "typ": "id+jwt" }),
        json!({ "typ": "logout+jwt" }),
        json!({ "typ": "dpop+jwt" }),
        json!({ "typ": "JWE" }),
        json!({ "typ": "" }),
        json!({ "typ": 1 }),
    ] {
        odd.push((format!("header {other}"), door.headed(&other)));
    }
    let twice = door.ec.header().to_string().replacen('{', r#"{"alg":"none","#, 1);
    odd.push(("alg twice".into(), door.ec.signs(&twice, &door.claims().to_string())));
    odd
}

// rule A1
async fn no_odd_token_is_a_way_in(shop: Shop) {
    let door = Door::of(&shop).await;
    let before = door.shop.rows().await;
    let good = door.with(&json!({}));
    assert_eq!(door.lets_in(&good).await.as_deref(), Some("ada"));
    let odd = [
        signed_with_public_halves(&door),
        of_another_algorithm(&door),
        of_another_key(&door),
        of_other_claims(&door),
        of_another_time(&door),
        of_claims_that_are_none_or_are_there_twice(&door),
        of_another_shape(&door),
    ];
    let odd = odd.into_iter().flatten().map(|(what, token)| (what, vec![format!("Bearer {token}")]));
    let headers = [
        ("no header", vec![]),
        ("the token alone", vec![good.clone()]),
        ("another scheme", vec![format!("Basic {good}")]),
        ("a good token twice", vec![format!("Bearer {good}"), format!("Bearer {good}")]),
        ("a good token and another", vec![format!("Bearer {good}"), "Bearer x.y.z".to_owned()]),
    ];
    let all: Vec<_> = odd.chain(headers.map(|(what, headers)| (what.to_owned(), headers))).collect();

    let mut wrong = vec![];
    for (what, headers) in &all {
        let (status, challenge, body) = door.answers(headers).await;
        let error = &body["errors"][0];
        let names =
            |of: &Value| of.as_object().map(|of| of.keys().cloned().collect::<BTreeSet<_>>()).unwrap_or_default();
        let shape = [names(&body), names(error), names(&error["extensions"])]
            .map(|names| names.into_iter().collect::<Vec<_>>().join(" "));
        let told = (status, challenge.as_deref(), error["extensions"]["code"].as_str());
        let alike = shape == ["errors", "extensions message", "code requestId"]
            && body["errors"].as_array().unwrap().len() == 1;
        if told != (401, Some("Bearer"), Some("UNAUTHENTICATED")) || !alike {
            wrong.push(format!("{what}: {status} {body}"));
        }
        // Nothing of a token is told back.
        if let Some(token) = headers.first().filter(|token| token.len() > 40) {
            assert!(!body.to_string().contains(&token[token.len() - 20..]), "{what}: {body}");
        }
    }

    // What is larger still is not even read as a header.
    let huge = door.with(&json!({ "padding": "x".repeat(75_000) }));
    let request = door.shop.client().post(door.shop.url("/graphql")).bearer_auth(huge);
    assert_eq!(request.json(&json!({ "query": "{ viewer { id } }" })).send().await.unwrap().status(), 431);
    assert!(all.len() > 130, "{}", all.len());
    assert_eq!(wrong, [""; 0]);
    assert_eq!(door.shop.rows().await, before);
    door.shop.stop().await;
}

// rule A1: the other half of the test above
async fn a_plain_token_of_each_kind_of_key_is_a_way_in(shop: Shop) {
    let door = Door::of(&shop).await;
    let now = door.shop.now().timestamp();

    for key in [&door.rsa, &door.ec, &door.ed] {
        let token = key.signs(&key.header().to_string(), &door.claims().to_string());
        assert_eq!(door.lets_in(&token).await.as_deref(), Some("ada"), "{:?}", key.algorithm);
    }
    for edge in [
        json!({ "exp": now - 4 }),
        json!({ "nbf": now + 5 }),
        json!({ "aud": ["shop", "orderpay"] }),
        json!({ "unheard": "of" }),
        json!({ "exp": 253_402_300_799_i64 }),
    ] {
        assert_eq!(door.lets_in(&door.with(&edge)).await.as_deref(), Some("ada"), "{edge}");
    }
    let longest = "é".repeat(255);
    assert_eq!(door.lets_in(&door.with(&json!({ "sub": longest }))).await, Some(longest));
    door.shop.stop().await;
}

// rules A1, A7: what a token brings along is looked past
async fn no_address_in_a_token_is_asked(shop: Shop) {
    let door = Door::of(&shop).await;
    let mallory = &door.mallory;
    let evil = Identity::publishing(&[mallory]).await;

    for kid in ["rsa-1", "mallory's"] {
        let brings = json!({ "jku": evil.url(), "x5u": evil.url(), "jwk": mallory.jwk(), "kid": kid });
        let header = crate::support::with(mallory.header(), brings.clone());
        assert_eq!(door.lets_in(&mallory.signs(&header.to_string(), &door.claims().to_string())).await, None);
        let issuer = crate::support::with(door.claims(), json!({ "iss": evil.url() }));
        assert_eq!(door.lets_in(&mallory.signs(&header.to_string(), &issuer.to_string())).await, None);
    }
    let beside = json!({ "jku": evil.url(), "x5u": evil.url(), "jwk": mallory.jwk() });
    assert_eq!(door.lets_in(&door.headed(&beside)).await.as_deref(), Some("ada"), "the key is the known one");

    assert_eq!(evil.fetches(), 0);
    door.shop.stop().await;
}

async fn a_token_that_calls_itself_an_access_token_is_one(shop: Shop) {
    let door = Door::of(&shop).await;
    let mut untyped = door.ec.header();
    untyped.as_object_mut().expect("a header").remove("typ");

    for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"] {
        assert_eq!(door.lets_in(&door.headed(&json!({ "typ": typ }))).await.as_deref(), Some("ada"), "{typ}");
    }
    let untyped = door.ec.signs(&untyped.to_string(), &door.claims().to_string());
    assert_eq!(door.lets_in(&untyped).await.as_deref(), Some("ada"));
    // What signs as it should is refused for what it says alone.
    let key = EncodingKey::from_secret(b"any");
    assert_eq!(door.lets_in(&signed(Algorithm::HS256, &key, "{}", "{}")).await, None);
    door.shop.stop().await;
}
