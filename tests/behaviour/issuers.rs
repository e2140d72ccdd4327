//! Issuers: each with its own keys, which turn, are cached, and are not fetched more often than they need to be.

use chrono::Duration;
use serde_json::{Value, json};

use crate::support::{
    Actor, Shop, fresh,
    identity::{Identity, Signer},
    process, setting,
};

on_each_database![
    a_key_that_turns_is_known_at_once_and_the_old_one_is_gone_in_five_minutes,
    keys_stay_good_while_their_issuer_is_down,
    a_flood_of_unknown_keys_is_one_fetch,
    a_set_that_turns_bad_changes_nothing,
    several_issuers_speak_each_for_their_own,
];

const SHOP: &str = "https://shop.example";
const STAFF: &str = "https://staff.example";

fn token(shop: &Shop, key: &Signer, other: Value) -> String {
    let claims = json!({ "sub": "ada", "kind": "user", "exp": (shop.now() + Duration::hours(1)).timestamp() });
    key.signs(&key.header().to_string(), &crate::support::with(claims, other).to_string())
}

/// The status of what is answered to whoever brings this token.
async fn status(shop: &Shop, token: &str) -> u16 {
    let request = shop.client().post(shop.url("/graphql")).bearer_auth(token);
    let answer = request.json(&json!({ "query": "{ viewer { id } }" })).send().await.expect("it answers");
    answer.status().as_u16()
}

/// A server whose one issuer publishes this key.
async fn taking(shop: &Shop, key: &Signer) -> (Identity, Shop) {
    let identity = Identity::publishing(&[key]).await;
    let shop = shop.second(&["--jwt-jwks", &identity.url()]).await;
    assert_eq!(identity.fetches(), 1);
    (identity, shop)
}

// rule A1
async fn a_key_that_turns_is_known_at_once_and_the_old_one_is_gone_in_five_minutes(shop: Shop) {
    let (old, new) = (Signer::ec("old"), Signer::ed("new"));
    let (identity, shop) = taking(&shop, &old).await;
    let (old_token, new_token) = (token(&shop, &old, json!({})), token(&shop, &new, json!({})));
    shop.moves_time_by(Duration::seconds(30));
    identity.publishes(&[&old, &new]);

    assert_eq!(status(&shop, &new_token).await, 200, "one more fetch, and it is known");
    assert_eq!((status(&shop, &old_token).await, identity.fetches()), (200, 2));
    identity.publishes(&[&new]);
    shop.moves_time_by(Duration::seconds(299));
    assert_eq!((status(&shop, &old_token).await, identity.fetches()), (200, 2), "nobody has looked yet");
    shop.moves_time_by(Duration::seconds(1));
    assert_eq!((status(&shop, &old_token).await, identity.fetches()), (401, 3));
    assert_eq!((status(&shop, &new_token).await, identity.fetches()), (200, 3));
    shop.stop().await;
}

// rule A1
async fn keys_stay_good_while_their_issuer_is_down(shop: Shop) {
    let key = Signer::rsa("one");
    let (identity, shop) = taking(&shop, &key).await;
    let good = token(&shop, &key, json!({}));
    identity.goes_down();

    for minutes in [1, 5, 10, 30] {
        shop.moves_time_by(Duration::minutes(minutes));
        assert_eq!(status(&shop, &good).await, 200);
    }
    assert!(identity.fetches() > 1, "it was asked");
    let strange = token(&shop, &Signer::rsa("two"), json!({}));
    assert_eq!(status(&shop, &strange).await, 401);
    shop.stop().await;
}

// rule A1
async fn a_flood_of_unknown_keys_is_one_fetch(shop: Shop) {
    let (key, unknown) = (Signer::ec("one"), Signer::ec("unknown"));
    let (identity, shop) = taking(&shop, &key).await;
    let good = token(&shop, &key, json!({}));
    let flood = async || {
        let mut flood = tokio::task::JoinSet::new();
        for at in 0..100 {
            let header = crate::support::with(unknown.header(), json!({ "kid": format!("unknown-{at}") }));
            let exp = (shop.now() + Duration::hours(1)).timestamp();
            let claims = json!({ "sub": "ada", "kind": "user", "exp": exp });
            let (shop, token) = (shop.clone(), unknown.signs(&header.to_string(), &claims.to_string()));
            flood.spawn(async move { status(&shop, &token).await });
        }
        assert_eq!(flood.join_all().await, [401; 100]);
    };

    flood().await;
    assert_eq!(identity.fetches(), 1, "it was read a moment ago");
    for more in 1..=3 {
        shop.moves_time_by(Duration::seconds(30));
        flood().await;
        assert_eq!((identity.fetches(), status(&shop, &good).await), (1 + more, 200));
    }
    identity.goes_down();
    shop.moves_time_by(Duration::seconds(30));
    flood().await;
    assert_eq!((identity.fetches(), status(&shop, &good).await), (5, 200), "and no more where it is down");
    shop.stop().await;
}

// rule A1
async fn a_set_that_turns_bad_changes_nothing(shop: Shop) {
    let (key, new) = (Signer::ec("one"), Signer::ec("new"));
    let (identity, shop) = taking(&shop, &key).await;
    let set = |count: usize| json!({ "keys": vec![new.jwk(); count] }).to_string();
    let too_long = set(1) + &" ".repeat(256 * 1024);

    for bad in [String::new(), "{}".into(), json!({ "keys": [] }).to_string(), set(101), too_long] {
        identity.publishes_text(bad);
        shop.moves_time_by(Duration::seconds(30));
        assert_eq!(status(&shop, &token(&shop, &new, json!({}))).await, 401);
        assert_eq!(status(&shop, &token(&shop, &key, json!({}))).await, 200);
    }
    assert_eq!(identity.fetches(), 6);
    shop.stop().await;
}

/// The name of a file with these issuers in it.
fn file_of(issuers: &Value) -> String {
    let file = setting().directory.join(fresh("issuers-"));
    std::fs::write(&file, issuers.to_string()).expect("a file");
    file.to_str().expect("a path").to_owned()
}

// rules A1, A3
async fn several_issuers_speak_each_for_their_own(shop: Shop) {
    // Both have named their key alike.
    let (of_shop, of_staff) = (Signer::ec("1"), Signer::ec("1"));
    let (shoppers, staff) = (Identity::publishing(&[&of_shop]).await, Identity::publishing(&[&of_staff]).await);
    let issuers = file_of(&json!([
        { "issuer": SHOP, "jwks": shoppers.url(), "kinds": ["user", "anonymous"] },
        { "issuer": STAFF, "jwks": staff.url(), "audience": "orderpay", "kinds": ["service"] },
    ]));
    let shop = shop.second(&["--jwt-issuers", &issuers]).await;
    let service = json!({ "iss": STAFF, "aud": "orderpay", "kind": "service", "scope": "orders:read" });

    let told = [
        (&of_shop, json!({ "iss": SHOP })),
        (&of_staff, service.clone()),
        (&of_shop, json!({ "iss": SHOP, "kind": "service", "scope": "orders:read" })),
        (&of_staff, crate::support::with(service.clone(), json!({ "kind": "user" }))),
        (&of_staff, crate::support::with(service.clone(), json!({ "aud": "shop" }))),
        (&of_shop, service),
        (&of_staff, json!({ "iss": SHOP })),
        (&of_shop, json!({ "iss": "https://evil.example" })),
        (&of_shop, json!({})),
    ];
    let mut statuses = vec![];
    for (key, claims) in told {
        statuses.push(status(&shop, &token(&shop, key, claims)).await);
    }

    assert_eq!(statuses, [200, 200, 401, 401, 401, 401, 401, 401, 401]);
    // A stranger's key makes only the set be read again that it would be in.
    shop.moves_time_by(Duration::seconds(30));
    assert_eq!(status(&shop, &token(&shop, &Signer::ec("2"), json!({ "iss": STAFF }))).await, 401);
    assert_eq!((shoppers.fetches(), staff.fetches()), (1, 2));
    let viewer = Actor::with_token(&shop, &token(&shop, &of_shop, json!({ "iss": SHOP })));
    assert_eq!(viewer.sees("{ viewer { kind } }", json!({})).await["viewer"]["kind"], "USER");
    shop.stop().await;
}

#[test]
fn issuers_that_cannot_be_used_are_named_before_anything_is_served() {
    let told = |issuers: &Value, more: &[&str]| {
        let file = file_of(issuers);
        let serve =
            ["--listen=127.0.0.1:0", "--providers=sandbox", "--database-url=sqlite::memory:", "--jwt-issuers", &file];
        let output = process::run(&[&serve, more, &["serve"]].concat());
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let good = json!({ "issuer": SHOP, "secret": "thirty-two bytes of one shared secret" });
    let missing = json!({ "issuer": STAFF, "jwks": "/nowhere/jwks.json" });

    let told_of_keys = told(&json!([good, missing]), &[]);
    let entry = "ORDERPAY_JWT_ISSUERS, entry 2: its keys, /nowhere/jwks.json, can't be used";
    assert!(told_of_keys.contains(entry), "{told_of_keys}");
    let unnamed = told(&json!([good]), &["--jwt-secret", "another secret that has thirty-two bytes"]);
    assert!(unnamed.contains("ORDERPAY_JWT_ISSUER: is needed beside ORDERPAY_JWT_ISSUERS"), "{unnamed}");
    assert!(!unnamed.contains("shared secret") && !told_of_keys.contains("shared secret"));
}
