//! The audit trail: each change of money leaves an entry that says who made it, and no entry is ever changed (test G23). What `orderpay check` makes of
//! one that was, is in `checks`.

use crate::{
    crash_points::sources::{name_of_function, sources},
    support::{Engine, News, Payment, Shop, process},
};

on_each_database![
    whoever_asks_and_the_provider_who_answers_are_named,
    what_the_server_undoes_of_itself_is_its_own,
    an_outcome_that_nobody_heard_is_noted_by_the_server,
    money_of_a_session_is_named_after_whoever_told_of_it,
    what_a_person_decided_is_named_after_them,
    nobody_changes_or_deletes_an_entry,
    transactions_that_are_there_already_begin_a_trail,
    trails_that_grow_side_by_side_stay_whole,
];

/// A line for each entry about this payment.
async fn trail(shop: &Shop, payment: &str) -> Vec<String> {
    let sql = format!(
        "SELECT sequence || ' ' || kind || ' ' || amount_minor || ' ' || status || coalesce(' ' || management_state, '')
            || ': ' || actor_kind || coalesce(' ' || actor_id, '') AS line
        FROM payment_audit WHERE payment_id = {} ORDER BY sequence",
        shop.spells(payment)
    );
    shop.database().await.texts(&sql, "line").await
}

async fn whoever_asks_and_the_provider_who_answers_are_named(shop: Shop) {
    let payment = shop.authorized().await;
    shop.checkout().captures(&payment, "29.90").await;
    shop.back_office().refunds(&payment, "10.00").await;

    assert_eq!(
        trail(&shop, &payment.id).await,
        [
            "1 AUTHORIZE 2990 SENT: SERVICE checkout",
            "2 AUTHORIZE 2990 SUCCEEDED: PROVIDER",
            "3 CAPTURE 2990 SENT: SERVICE checkout",
            "4 CAPTURE 2990 SUCCEEDED: PROVIDER",
            "5 REFUND 1000 SENT: SERVICE back-office",
            "6 REFUND 1000 SUCCEEDED: PROVIDER",
        ]
    );
}

async fn what_the_server_undoes_of_itself_is_its_own(shop: Shop) {
    let payment = shop.authorized().await;
    shop.checkout().archives(&payment).await;

    assert_eq!(
        trail(&shop, &payment.id).await[2..],
        [
            "3 AUTHORIZE 2990 SUCCEEDED REQUIRES_REVERSAL: SERVICE checkout",
            "4 AUTHORIZE 2990 SUCCEEDED REVERSAL_IN_PROGRESS: SERVER",
            "5 REVERSE_AUTHORIZE 2990 SENT REVERSAL_TRANSACTION: SERVER",
            "6 REVERSE_AUTHORIZE 2990 SUCCEEDED REVERSAL_TRANSACTION: PROVIDER",
            "7 AUTHORIZE 2990 SUCCEEDED REVERSED: PROVIDER",
        ]
    );
}

async fn an_outcome_that_nobody_heard_is_noted_by_the_server(shop: Shop) {
    let payment = shop.payment("tok_answer_lost").await;
    shop.checkout().authorizes(&payment, "29.90").await;

    // What the provider tells of it later comes after.
    assert_eq!(
        trail(&shop, &payment.id).await[..2],
        ["1 AUTHORIZE 2990 SENT: SERVICE checkout", "2 AUTHORIZE 2990 UNKNOWN: SERVER"]
    );
}

async fn money_of_a_session_is_named_after_whoever_told_of_it(shop: Shop) {
    let (heard, reported) = (shop.known_to_ada().await, shop.known_to_ada().await);

    shop.hears(&News::of_session(&heard.session, "succeeded")).await;
    shop.checkout().reports(&reported.session, "SUCCEEDED", "29.90").await;

    assert_eq!(trail(&shop, &heard.payment).await, ["1 AUTHORIZE_AND_CAPTURE 2990 SUCCEEDED: PROVIDER"]);
    assert_eq!(trail(&shop, &reported.payment).await, ["1 AUTHORIZE_AND_CAPTURE 2990 SUCCEEDED: SERVICE checkout"]);
}

async fn what_a_person_decided_is_named_after_them(shop: Shop) {
    let (_, attempt) = shop.open_attempt().await;
    shop.hears(&News::that(&attempt, "succeeded").received(2989, "EUR")).await;
    let case = shop.newest_case().await;

    shop.accountant().decides(&case, "ACCEPT", "the bank's statement").await;

    let payment = case["payment"]["id"].as_str().unwrap();
    assert_eq!(trail(&shop, payment).await, ["1 AUTHORIZE_AND_CAPTURE 2989 SUCCEEDED: SERVICE carla"]);
}

async fn nobody_changes_or_deletes_an_entry(shop: Shop) {
    shop.captured().await;
    let mut attacks = vec![
        "UPDATE payment_audit SET amount_minor = 1",
        "UPDATE payment_audit SET digest = digest WHERE sequence = 2",
        "DELETE FROM payment_audit WHERE sequence = 4",
        "DELETE FROM payment_audit",
    ];
    attacks.push(match shop.engine() {
        Engine::Sqlite => "INSERT OR REPLACE INTO payment_audit SELECT * FROM payment_audit",
        Engine::Postgres => "TRUNCATE payment_audit",
    });

    for attack in attacks {
        let why = shop.database().await.refuses(attack).await;
        assert!(why.contains("the audit trail is only added to"), "{attack}: {why}");
    }

    assert_eq!(shop.count("payment_audit").await, 4);
}

/// More than a page of them, and of several payments.
async fn transactions_that_are_there_already_begin_a_trail(shop: Shop) {
    let (sold, credited) = (shop.captured().await, shop.payment("tok_ok").await);
    shop.back_office().credits(&credited, "0.01").await;
    many_credits(&shop, &credited).await;
    forgets_the_trail(&shop).await;

    let migrated = process::run(&["--database-url", shop.database_url(), "migrate"]);

    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let began = ["1 AUTHORIZE 2990 SUCCEEDED: MIGRATION", "2 CAPTURE 2990 SUCCEEDED: MIGRATION"];
    assert_eq!(trail(&shop, &sold.id).await, began);
    assert_eq!((shop.count("payment_audit").await, trail(&shop, &credited.id).await.len()), (1203, 1201));
    assert_eq!(shop.faults().await, Vec::<String>::new());

    // It goes on from there, and nobody changes it.
    shop.back_office().refunds(&sold, "1.00").await;
    assert_eq!(
        trail(&shop, &sold.id).await[2..],
        ["3 REFUND 100 SENT: SERVICE back-office", "4 REFUND 100 SUCCEEDED: PROVIDER"]
    );
    shop.database().await.refuses("DELETE FROM payment_audit").await;
    assert_eq!(shop.faults().await, Vec::<String>::new());
}

/// Twelve hundred more transactions like the one that this payment has.
async fn many_credits(shop: &Shop, payment: &Payment) {
    let id = match shop.engine() {
        Engine::Sqlite => "randomblob(16)",
        Engine::Postgres => "gen_random_uuid()",
    };
    shop.plants(&format!(
        "WITH RECURSIVE more (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more WHERE n < 1200)
        INSERT INTO payment_transaction (id, payment_id, kind, status, amount_minor, currency, reference, fencing_number,
            created_at, settled_at)
        SELECT {id}, payment_id, kind, status, amount_minor, currency, reference || n, fencing_number, created_at, settled_at
        FROM payment_transaction, more WHERE payment_id = [{}]",
        payment.id
    ))
    .await;
}

/// The database as it was before there was a trail.
async fn forgets_the_trail(shop: &Shop) {
    shop.plants("DROP TABLE payment_audit").await;
    if shop.engine() == Engine::Postgres {
        shop.plants("DROP FUNCTION payment_audit_append_only").await;
    }
    shop.plants("DELETE FROM seaql_migrations WHERE version = 'm20261122_000007_audit'").await;
}

async fn trails_that_grow_side_by_side_stay_whole(shop: Shop) {
    let mut payments = vec![];
    for _ in 0..4 {
        payments.push(shop.payment("tok_ok").await);
    }
    let at_work = payments.iter().map(|payment| {
        let (shop, payment) = (shop.clone(), payment.clone());
        tokio::spawn(async move {
            shop.checkout().authorizes(&payment, "29.90").await;
            shop.checkout().captures(&payment, "29.90").await;
        })
    });
    for work in at_work.collect::<Vec<_>>() {
        work.await.unwrap();
    }

    for payment in &payments {
        assert_eq!(trail(&shop, &payment.id).await.len(), 4);
    }
    shop.is_sound().await;
}

/// Who else than `src/service/audit.rs` writes into the table of transactions, and what: when one is looked at next, and how often it was sent.
const OTHERS: [&str; 3] = [
    "src/service/reconcile/payments.rs, check_at",
    "src/service/reconcile/payments.rs, note_checks",
    "src/service/recovery.rs, repeat",
];

#[test]
fn no_other_module_writes_how_a_transaction_stands() {
    let mut writers = vec![];
    for (file, text) in sources("src") {
        if file != "src/service/audit.rs" && !file.contains("/tests/") {
            writers.extend(writes(&text).into_iter().map(|function| format!("{file}, {function}")));
        }
    }
    assert_eq!(writers, OTHERS, "a change of a transaction goes through src/service/audit.rs, which writes its entry");
}

/// The functions of a file that write into the table, by SQL or by the entity that is in scope.
fn writes(text: &str) -> Vec<String> {
    let (mut function, mut in_scope, mut imports, mut found) = ("", false, String::new(), vec![]);
    for line in text.lines() {
        function = name_of_function(line).unwrap_or(function);
        let begins = line.trim_start().starts_with("use ");
        if begins || !imports.is_empty() {
            imports += line.trim();
            if line.ends_with(';') {
                in_scope = imports_entity(&imports).map_or(in_scope, |module| module == "transaction");
                imports.clear();
            }
        }
        let sql = ["INTO payment_transaction", "UPDATE payment_transaction", "DELETE FROM payment_transaction"];
        let verbs = ["insert", "update", "delete"].map(|verb| format!("Entity::{verb}"));
        let by_entity = verbs.iter().filter_map(|verb| line.split_once(verb.as_str())).any(|(before, _)| {
            let named = before.strip_suffix("::");
            named.map_or(in_scope, |path| path.ends_with("transaction"))
        });
        if by_entity || sql.iter().any(|sql| line.contains(sql)) {
            found.push(function.to_owned());
        }
    }
    found
}

/// The module of the bare `Entity` that a `use` brings into scope.
fn imports_entity(imports: &str) -> Option<&str> {
    let at = imports.match_indices("Entity").find(|(at, word)| {
        let is_edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
        is_edge(imports[..*at].chars().last()) && is_edge(imports[at + word.len()..].chars().next())
    })?;
    let (mut depth, before) = (0, &imports[..at.0]);
    let opening = before.char_indices().rev().find(|(_, c)| {
        depth += match c {
            '}' => 1,
            '{' => -1,
            _ => 0,
        };
        depth < 0
    });
    let path = opening.map_or(before, |(at, _)| &before[..at]).trim_end_matches("::");
    path.rsplit([' ', ':', '{', ',']).next()
}

#[test]
fn a_writer_is_found_however_it_names_the_table() {
    for text in [
        "fn f() {\n    transaction::Entity::insert(row)",
        "fn f() {\n    use transaction::{ActiveModel, Column, Entity};\n    Entity::update_many()",
        "use entity::{\n    attempt::{Column as C, Model},\n    transaction::{Entity, Kind},\n};\nfn f() {\n    Entity::delete_many()",
        "fn f() {\n    \"UPDATE payment_transaction SET",
    ] {
        assert_eq!(writes(text), ["f"], "{text}");
    }
    for text in [
        "use entity::{\n    attempt::{Column, Entity},\n    transaction::{self, Kind},\n};\nfn f() {\n    Entity::insert(row)",
        "fn f() {\n    payment::Entity::update_many()",
        "use transaction::Entity;\nfn f() {\n    Entity::find()",
    ] {
        assert_eq!(writes(text), Vec::<String>::new(), "{text}");
    }
}
