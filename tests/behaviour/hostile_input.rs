//! Input that means harm: fields that nobody offered (test G24), SQL in every text (test G25), and addresses of somebody's choice (test G26).

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{
    Shop,
    forms::{almighty, forms},
    outcome, writing_nothing,
};

on_each_database![
    a_field_that_nobody_offered_is_refused,
    sql_in_a_text_is_only_a_text,
    no_address_that_a_request_names_is_called,
];

// G24
async fn a_field_that_nobody_offered_is_refused(shop: Shop) {
    let service = almighty(&shop);
    let mut tried = 0;
    for form in forms(&service).await {
        writing_nothing(&shop, async || {
            for object in &form.objects {
                for (name, value) in [("state", json!("PAID")), ("ownerId", json!("eve")), ("__proto__", json!({}))] {
                    let variables = form.with(&format!("{object}/{name}"), value);
                    let answer = form.is_sent_by(&service, variables).await;
                    // A case's state may be asked for, but no input has one.
                    assert_eq!(outcome(&answer), "BAD_REQUEST", "{} {object}/{name}: {answer}", form.name);
                    tried += 1;
                }
            }
        })
        .await;
    }
    assert!(tried > 60, "{tried}");
}

/// A hundred texts that would be statements, were they not bound.
fn statements() -> Vec<String> {
    let ends = ["", " --", " #", "/*", ";--"];
    let cores = [
        "' OR '1'='1",
        "\" OR \"\"=\"",
        "') OR ('1'='1",
        "' OR 1=1",
        "1 OR 1=1",
        "'; DROP TABLE orders",
        "'; DELETE FROM payment",
        "'); UPDATE orders SET status = 'PAID'",
        "' UNION SELECT name FROM sqlite_master",
        "' UNION SELECT table_name FROM information_schema.tables",
        "' AND 1=CAST((SELECT version()) AS int)",
        "'||(SELECT pg_sleep(5))||'",
        "'; SELECT pg_sleep(5)",
        "' AND randomblob(1000000000)",
        "%' OR '%'='",
        "\\' OR 1=1",
        "$1",
        "?1",
        "$$; ROLLBACK; $$",
        "ada'/**/OR/**/'a'='a",
    ];
    cores.iter().flat_map(|core| ends.map(|end| format!("{core}{end}"))).collect()
}

// G25
async fn sql_in_a_text_is_only_a_text(shop: Shop) {
    shop.known_to_ada().await;
    let service = almighty(&shop);
    let statements = statements();
    assert_eq!(statements.len(), 100);
    for form in forms(&service).await.iter().filter(|form| !form.is_mutation) {
        writing_nothing(&shop, async || {
            for blank in &form.blanks {
                for statement in &statements {
                    if blank.pointer.starts_with("/filter/") {
                        continue;
                    }
                    let answer = form.is_sent_by(&service, form.with(&blank.pointer, json!(statement))).await;
                    is_refused_or_finds_nothing(&answer, statement);
                }
            }
        })
        .await;
    }
    for statement in &statements {
        let document = "query($number: String, $user: ID!) { orders(filter: { number: $number }) { totalCount }
            userOrders(userId: $user) { totalCount } anonymousUserOrders(anonymousUserId: $user) { totalCount } }";
        let found = service.asks(document, json!({ "number": statement, "user": statement })).await;
        for list in ["orders", "userOrders", "anonymousUserOrders"] {
            let count = &found["data"][list]["totalCount"];
            let is_too_long = statement.chars().count() > 32;
            assert!(count == 0 || is_too_long, "{list} {statement}: {found}");
        }
    }
}

/// No fault of the server's, and no row.
fn is_refused_or_finds_nothing(answer: &Value, statement: &str) {
    let word = outcome(answer);
    assert!(["ok", "nothing", "INVALID_INPUT"].contains(&word.as_str()), "{statement}: {answer}");
}

// G26, rule A7
async fn no_address_that_a_request_names_is_called(shop: Shop) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let here = listener.local_addr().expect("its address");
    let service = almighty(&shop);
    let addresses = [
        format!("http://{here}/"),
        format!("https://{here}/thanks"),
        format!("https://shop.example@{here}/"),
        format!("http://localhost:{}/", here.port()),
        format!("http://[::ffff:127.0.0.1]:{}/", here.port()),
        format!("//{here}/"),
        format!("file://{here}/etc/passwd"),
    ];
    let order = shop.adas_order().await;
    for address in &addresses {
        shop.user("ada").tries_to_pay(&order, json!({ "returnUrl": address })).await;
        for form in forms(&service).await {
            for blank in form.blanks.iter().filter(|blank| blank.of != "Metadata") {
                form.is_sent_by(&service, form.with(&blank.pointer, json!(address))).await;
            }
        }
        let news = json!({ "id": "evt", "type": "session.succeeded", "callback": address, "webhook_url": address });
        shop.webhook(&news.to_string()).await;
    }
    let request = shop.client().post(shop.url("/graphql")).header("host", here.to_string());
    let request = request.header("forwarded", format!("host={here}")).header("x-forwarded-host", here.to_string());
    request.body("{}").send().await.expect("it answers");
    shop.reconciles().await;

    let called = tokio::time::timeout(std::time::Duration::from_millis(200), listener.accept()).await;
    assert!(called.is_err(), "{called:?}");
}
