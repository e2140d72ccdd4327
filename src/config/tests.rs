//! What the settings come to, and what is told of those that can't be used.

use clap::Parser;

use super::*;
use crate::auth::CallerKind;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
}

fn settings(arguments: &[&str]) -> Settings {
    Cli::try_parse_from(std::iter::once(&"orderpay").chain(arguments)).unwrap().settings
}

fn check_for(purpose: Purpose, arguments: &[&str]) -> Result<Config, String> {
    settings(arguments).check_for(purpose).map_err(|mistakes| mistakes.to_string())
}

fn check(arguments: &[&str]) -> Result<Config, String> {
    check_for(Purpose::Serve, arguments)
}

/// With keys, and one setting more.
fn check_production(setting: &str) -> Result<Config, String> {
    check(&[&PRODUCTION[..], &[setting]].concat())
}

const PRODUCTION: [&str; 4] = ["--jwt-secret", "0123456789abcdef0123456789abcdef", "--providers", "sandbox"];

#[test]
fn without_keys_it_is_development_and_with_keys_it_is_not() {
    let development = check(&[]).unwrap();
    assert!(development.graphiql && development.introspection && development.demo);
    assert_eq!(development.return_origins, ReturnOrigins::Loopback);
    let production = check(&PRODUCTION).unwrap();
    assert!(!production.graphiql && !production.introspection && !production.demo);
    assert_eq!(production.return_origins, ReturnOrigins::These(vec![]));
}

#[test]
fn a_server_goes_on_for_a_while_before_it_stops_but_not_in_development() {
    let delay = |checked: Result<Config, String>| checked.map(|config| config.stop.delay.as_secs());
    assert_eq!(delay(check(&[])), Ok(0));
    assert_eq!(delay(check(&PRODUCTION)), Ok(3));
    assert_eq!(delay(check(&["--stop-delay=20s"])), Ok(20));
    assert!(check_production("--stop-delay=1h").unwrap_err().contains("ORDERPAY_STOP_DELAY: must be 0s to 5m"));
}

// rule A6
#[test]
fn development_listens_on_a_loopback_address_only() {
    assert!(check(&["--listen", "0.0.0.0:8080"]).unwrap_err().contains("ORDERPAY_LISTEN"));
    assert!(check_production("--listen=0.0.0.0:8080").is_ok());
}

#[test]
fn a_command_asks_only_for_what_it_needs() {
    let everywhere = ["--listen=0.0.0.0:8080"];
    assert!(check_for(Purpose::Migrate, &everywhere).is_ok());
    assert!(check_for(Purpose::Token, &["--jwt-secret=0123456789abcdef0123456789abcdef"]).is_ok());
    assert!(check_for(Purpose::Sandbox, &["--listen=0.0.0.0:8080", "--sandbox-webhook-secret=s"]).is_ok());
    let told = check_for(Purpose::Sandbox, &everywhere).unwrap_err();
    assert!(told.contains("ORDERPAY_SANDBOX_WEBHOOK_SECRET"), "{told}");
}

#[test]
fn what_can_only_fail_later_is_told_at_once() {
    for (setting, told) in [
        ("--providers=sandbox,sandbox", "ORDERPAY_PROVIDERS: names a provider twice"),
        ("--providers=,", "ORDERPAY_PROVIDERS: names the payment providers"),
        ("--sandbox-database-url=postgres://localhost/x", "ORDERPAY_SANDBOX_DATABASE_URL: must be SQLite"),
        ("--sandbox-webhook-secret=", "ORDERPAY_SANDBOX_WEBHOOK_SECRET: must not be empty"),
        ("--database-url=postgres://localhost:x/y", "ORDERPAY_DATABASE_URL: must be"),
        ("--provider-timeout=99ms", "ORDERPAY_PROVIDER_TIMEOUT: must be 100ms to 1m"),
        ("--provider-timeout=61s", "ORDERPAY_PROVIDER_TIMEOUT: must be 100ms to 1m"),
        ("--database-connections=0", "ORDERPAY_DATABASE_CONNECTIONS: must be 1 to 1000"),
        ("--database-connections=1001", "ORDERPAY_DATABASE_CONNECTIONS: must be 1 to 1000"),
        ("--max-body-bytes=1023", "ORDERPAY_MAX_BODY_BYTES: must be 1024 to"),
        ("--public-url=https://ada:pw@shop.example", "ORDERPAY_PUBLIC_URL: must not hold a user name"),
        ("--public-url=shop", "ORDERPAY_PUBLIC_URL: must be a URL such as"),
        ("--listen=localhost", "ORDERPAY_LISTEN: must be an IP address and a port such as 127.0.0.1:8080"),
        ("--max-body-bytes=1MB", "ORDERPAY_MAX_BODY_BYTES: must be 1024 to"),
        ("--provider-timeout=soon", "ORDERPAY_PROVIDER_TIMEOUT: must be 100ms to 1m"),
        ("--payment-lock-ttl=999ms", "ORDERPAY_PAYMENT_LOCK_TTL: must be 1s to 5m"),
        ("--payment-lock-ttl=301s", "ORDERPAY_PAYMENT_LOCK_TTL: must be 1s to 5m"),
        ("--sandbox-limits=no-money", "ORDERPAY_SANDBOX_LIMITS, \"no-money\": must be single-capture"),
        ("--return-origins=shop", "ORDERPAY_RETURN_ORIGINS, \"shop\": must be an origin such as"),
        ("--log=orderpay=loud", "ORDERPAY_LOG: must be a level or a list such as"),
        ("--log-format=xml", "ORDERPAY_LOG_FORMAT: must be text or json"),
        ("--max-webhook-bytes=1023", "ORDERPAY_MAX_WEBHOOK_BYTES: must be 1024 to"),
        ("--max-connections=0", "ORDERPAY_MAX_CONNECTIONS: must be 1 to 1000000"),
        ("--header-timeout=99ms", "ORDERPAY_HEADER_TIMEOUT: must be 100ms to 5m"),
        ("--body-timeout=301s", "ORDERPAY_BODY_TIMEOUT: must be 100ms to 5m"),
        ("--query-timeout=0s", "ORDERPAY_QUERY_TIMEOUT: must be 100ms to 5m"),
        ("--socket-message-bytes=1023", "ORDERPAY_SOCKET_MESSAGE_BYTES: must be 1024 to"),
        ("--socket-subscriptions=0", "ORDERPAY_SOCKET_SUBSCRIPTIONS: must be 1 to 10000"),
        ("--socket-init-timeout=0s", "ORDERPAY_SOCKET_INIT_TIMEOUT: must be 100ms to 5m"),
        ("--socket-write-timeout=301s", "ORDERPAY_SOCKET_WRITE_TIMEOUT: must be 100ms to 5m"),
        ("--socket-ping-interval=50s", "ORDERPAY_SOCKET_SILENCE: must be longer than ORDERPAY_SOCKET_PING_INTERVAL"),
        ("--socket-silence=2h", "ORDERPAY_SOCKET_SILENCE: must be 100ms to 1h"),
        ("--drain-timeout=0s", "ORDERPAY_DRAIN_TIMEOUT: must be 100ms to 5m"),
        ("--max-concurrent-requests=3", "ORDERPAY_MAX_CONCURRENT_REQUESTS: must be 4 to 100000"),
        ("--max-concurrent-per-shopper=-1", "ORDERPAY_MAX_CONCURRENT_PER_SHOPPER: must be 0 to"),
        ("--rate-per-service=much", "ORDERPAY_RATE_PER_SERVICE: must be 0 to"),
        ("--trusted-proxies=proxy", "ORDERPAY_TRUSTED_PROXIES, \"proxy\": must be an IP address or a block"),
        ("--trusted-proxies=10.0.0.1/8", "ORDERPAY_TRUSTED_PROXIES, \"10.0.0.1/8\": names an address inside"),
    ] {
        let mistakes = check(&["--jwt-secret=0123456789abcdef0123456789abcdef", setting]).unwrap_err();
        assert!(mistakes.contains(told), "{setting}: {mistakes}");
        assert!(!mistakes.ends_with('\n'), "{mistakes:?}");
    }
    for setting in ["--provider-timeout=100ms", "--provider-timeout=60s", "--database-connections=1000"] {
        assert!(check_production(setting).is_ok(), "{setting}");
    }
}

#[test]
fn a_body_has_room_for_a_request_and_not_for_much_more() {
    let traffic = check(&PRODUCTION).unwrap().traffic;
    assert_eq!([traffic.max_body_bytes, traffic.max_webhook_bytes], [64 * 1024, 256 * 1024]);
}

#[test]
fn an_origin_is_written_as_browsers_write_it() {
    let wrong = [
        "*",
        "null",
        "https://*.shop.example",
        "https://shop.example/",
        "https://shop.example/checkout",
        "https://Shop.example",
        "https://shop.example:443",
        "https://ada@shop.example",
        "https://shop.example?",
        "shop.example",
        "file:///checkout.html",
    ];
    for origin in wrong {
        let mistakes = check_production(&format!("--cors-origins=https://till.example,{origin}")).unwrap_err();
        let told = format!("ORDERPAY_CORS_ORIGINS, {origin:?}: must be an origin as browsers write it");
        assert!(mistakes.contains(&told), "{mistakes}");
    }
    let right =
        check_production("--cors-origins=https://shop.example,http://localhost:3000,https://[2001:db8::1]").unwrap();
    assert_eq!(right.traffic.cors_origins, ["https://shop.example", "http://localhost:3000", "https://[2001:db8::1]"]);
}

#[test]
fn no_secret_and_no_password_is_shown() {
    let arguments = [
        "--jwt-secret=hunter2 hunter2 hunter2 hunter2 !",
        "--sandbox-webhook-secret=hunter2",
        "--database-url=postgres://orderpay:hunter2@db.example/orderpay",
        "--providers=sandbox",
    ];
    let shown = format!("{:?} {:?}", settings(&arguments), check(&arguments).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let told = check(&[
        "--listen=nowhere",
        "--jwt-secret=short",
        "--database-url=mysql://x",
        "--providers=sandbox,paypal",
        "--return-origins=https://shop.example/cart",
        "--introspection=maybe",
        "--provider-timeout=soon",
        "--database-connections=0",
        "--sandbox-url=ftp://x",
    ])
    .unwrap_err();
    for name in [
        "LISTEN",
        "JWT_SECRET",
        "DATABASE_URL",
        "PROVIDERS, \"paypal\"",
        "RETURN_ORIGINS",
        "INTROSPECTION",
        "PROVIDER_TIMEOUT",
        "DATABASE_CONNECTIONS",
        "SANDBOX_URL",
    ] {
        assert!(told.contains(&format!("ORDERPAY_{name}")), "{name} in {told}");
    }
    assert!(!told.contains("short"), "a secret is never repeated");
}

// rule A7
#[test]
fn a_shopper_is_sent_back_to_a_configured_origin_only() {
    let allows = |origins: &ReturnOrigins, url: &str| origins.allow(&url.parse().unwrap());
    let development = check(&[]).unwrap().return_origins;
    assert!(allows(&development, "http://localhost:3000/done"));
    assert!(allows(&development, "http://[::1]:3000/done"));
    assert!(!allows(&development, "http://localhost.evil.example/"));
    assert!(!allows(&development, "javascript:alert(1)"));
    let production = check_production("--return-origins=https://shop.example").unwrap().return_origins;
    assert!(allows(&production, "https://shop.example/done?x=1"));
    for foreign in [
        "http://shop.example/",
        "https://shop.example.evil/",
        "https://shop.example:8443/",
        "https://shop.example@evil/",
    ] {
        assert!(!allows(&production, foreign), "{foreign}");
    }
}

/// With a file of issuers, and other settings.
fn check_issuers(text: &str, more: &[&str]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("issuers.json");
    std::fs::write(&file, text).unwrap();
    let arguments = ["--providers=sandbox", "--jwt-issuers", file.to_str().unwrap()];
    check(&[&arguments, more].concat())
}

const TWO: &str = r#"[{"issuer": "https://shop.example", "jwks": "https://shop.example/jwks.json", "kinds": ["user"]},
    {"issuer": "https://staff.example", "secret": "hunter2 hunter2 hunter2 hunter2 !", "audience": "orderpay"}]"#;

#[test]
fn issuers_of_a_file_have_each_their_own_keys_audience_and_kinds() {
    let config = check_issuers(TWO, &[]).unwrap();
    assert!(!config.is_development() && !config.graphiql && !config.demo);
    let [shop, staff] = &config.more_tokens.issuers[..] else { panic!("two issuers") };
    assert!(matches!(shop.keys, KeySource::Url(_)) && matches!(staff.keys, KeySource::Secret(_)));
    assert_eq!((&shop.kinds[..], &staff.kinds[..]), (&[CallerKind::User][..], &CallerKind::ALL[..]));
    assert_eq!([&shop.policy.audience, &staff.policy.audience], [&None, &Some("orderpay".to_owned())]);
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn issuers_that_cannot_be_used_are_told_with_their_entry() {
    let keys = r#""jwks": "jwks.json""#;
    for (text, told) in [
        ("[]", "ORDERPAY_JWT_ISSUERS: names no issuer"),
        ("{", "is not JSON, from line 1 on"),
        ("{}", "must hold a list of issuers"),
        ("[1]", "ORDERPAY_JWT_ISSUERS, entry 1: must be an object"),
        (&format!("[{{{keys}}}]"), "entry 1: needs an issuer"),
        (&format!(r#"[{{"issuer": 1, {keys}}}]"#), "entry 1: its issuer must be a text"),
        (&format!(r#"[{{"issuer": "orderpay", {keys}}}]"#), "is the name of this server's own tokens"),
        (r#"[{"issuer": "a"}]"#, "entry 1: needs its keys: jwks or secret, and not both"),
        (&format!(r#"[{{"issuer": "a", {keys}, "secret": "hunter2"}}]"#), "and not both"),
        (r#"[{"issuer": "a", "secret": "hunter2"}]"#, "its secret must have at least 32 bytes"),
        (r#"[{"issuer": "a", "secret": ["hunter2"]}]"#, "its secret must be a text"),
        (r#"[{"issuer": "a", "jwks": "http://id.example/jwks"}]"#, "keys are fetched by https only"),
        (&format!(r#"[{{"issuer": "a", {keys}, "audiance": "hunter2"}}]"#), "has a field that is none of issuer, jwks"),
        (&format!(r#"[{{"issuer": "a", {keys}, "kinds": ["hunter2"]}}]"#), "its kinds must be a list of"),
        (&format!(r#"[{{"issuer": "a", {keys}, "kinds": []}}]"#), "its kinds must be a list of"),
        (
            &format!(r#"[{{"issuer": "a", {keys}}}, {{"issuer": "a", {keys}}}]"#),
            "entry 2: names an issuer that was named",
        ),
    ] {
        let mistakes = check_issuers(text, &[]).unwrap_err();
        assert!(mistakes.contains(told), "{text}: {mistakes}");
        assert!(!mistakes.contains("hunter2"), "{mistakes}");
    }
    let nowhere = check(&["--providers=sandbox", "--jwt-issuers=/nowhere.json"]).unwrap_err();
    assert!(nowhere.contains("ORDERPAY_JWT_ISSUERS: /nowhere.json can't be read"), "{nowhere}");
}

#[test]
fn beside_others_every_issuer_has_a_name_of_its_own() {
    let secret = "--jwt-secret=0123456789abcdef0123456789abcdef";
    let unnamed = check_issuers(TWO, &[secret]).unwrap_err();
    assert!(unnamed.contains("ORDERPAY_JWT_ISSUER: is needed beside ORDERPAY_JWT_ISSUERS"), "{unnamed}");
    assert!(check_issuers(TWO, &[secret, "--jwt-issuer=https://id.example"]).is_ok());
    let twice = check_issuers(TWO, &[secret, "--jwt-issuer=https://shop.example"]).unwrap_err();
    assert!(twice.contains("ORDERPAY_JWT_ISSUERS, entry 1: names an issuer that was named before"), "{twice}");
    let own = check_production("--jwt-issuer=orderpay").unwrap_err();
    assert!(own.contains("ORDERPAY_JWT_ISSUER: \"orderpay\" is the name of this server's own tokens"), "{own}");
}

#[test]
fn the_secret_of_anonymous_tokens_has_32_bytes() {
    let short = check_production("--anonymous-token-secret=hunter2").unwrap_err();
    assert!(short.contains("ORDERPAY_ANONYMOUS_TOKEN_SECRET: must have at least 32 bytes"), "{short}");
    assert!(!short.contains("hunter2"));
    let long = check_production("--anonymous-token-secret=0123456789abcdef0123456789abcdef").unwrap();
    assert!(long.more_tokens.anonymous_secret.is_some());
}
