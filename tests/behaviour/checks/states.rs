//! Orders against their money, carts, snapshots and owners.

use chrono::Duration;

use crate::support::{Payment, Shop, tea};

use super::{decided_case, finds, open_case, transactions};

on_each_database![
    an_empty_database_is_sound,
    a_database_after_the_whole_story_is_sound,
    a_paid_order_without_its_snapshot,
    a_paid_order_without_its_money,
    a_paid_order_without_its_time,
    money_that_was_left_unpaid,
    more_money_than_a_paid_order_costs,
    more_money_than_a_paid_order_costs_that_is_being_given_back,
    more_money_than_a_paid_order_costs_beside_a_case_of_another_payment,
    money_of_a_session_that_somebody_accepted,
    money_that_stays_on_a_cancelled_order,
    money_that_came_for_a_cancelled_order,
    a_cart_that_is_not_what_is_written_beside_it,
    a_snapshot_of_another_cart,
    a_gap_in_an_owners_numbers,
    a_miscounted_owner,
    a_row_that_cant_be_read,
];

async fn an_empty_database_is_sound(shop: Shop) {
    let (faults, verdict) = shop.verdict().await;

    assert_eq!(faults, Vec::<String>::new());
    assert_eq!(
        verdict.to_string(),
        "looked at 0 orders, 0 payments, 0 transactions, 0 audit entries, 0 attempts, 0 snapshots, 0 locks, 0 cases, 0 owners, \
        0 operations, 0 provider events, 0 changes: nothing is wrong"
    );
}

async fn a_database_after_the_whole_story_is_sound(shop: Shop) {
    let (paid, attempt) = shop.open_attempt().await;
    shop.shopper_pays(&attempt).await;
    shop.comes_to_have("orders WHERE status = 'PAID'").await;
    let (_, declined) = shop.open_attempt().await;
    shop.shopper_declines(&declined).await;
    shop.comes_to_have("payment_attempt WHERE status = 'FAILED'").await;
    let captured = shop.captured().await;
    shop.back_office().refunds(&captured, "12.50").await;
    shop.back_office().credits(&captured, "1.00").await;
    let archived = shop.authorized().await;
    shop.checkout().archives(&archived).await;
    let cancelled = shop.authorized().await;
    shop.checkout().cancels(&cancelled.order).await;
    let declined = shop.payment("tok_declined_soft").await;
    shop.checkout().authorizes(&declined, "29.90").await;
    shop.checkout().creates_order_of(&shop.guest("visitor"), tea()).await;

    shop.is_sound().await;
    let (_, verdict) = shop.verdict().await;
    assert!(
        verdict.to_string().starts_with(
            "looked at 7 orders, 6 payments, 10 transactions, 25 audit entries, 2 attempts, 2 snapshots, 6 locks"
        ),
        "{verdict}"
    );
    assert!(paid.starts_with("ord_"));
}

async fn a_paid_order_without_its_snapshot(shop: Shop) {
    let order = shop.captured().await.order;

    let fault = format!("{order}: is PAID and has no snapshot");
    finds(&shop, "DELETE FROM order_snapshot", &[&fault]).await;
}

async fn a_paid_order_without_its_money(shop: Shop) {
    let order = shop.captured().await.order;

    let fault = format!("{order}: is PAID, and 0.00 EUR of its 29.90 EUR were ever captured");
    finds(&shop, "UPDATE payment_transaction SET status = 'FAILED' WHERE kind = 'CAPTURE'", &[&fault]).await;
}

async fn a_paid_order_without_its_time(shop: Shop) {
    let order = shop.captured().await.order;
    shop.lets_anything_be_written().await;

    shop.plants("UPDATE orders SET paid_at = NULL").await;

    let faults = shop.faults().await;
    assert!(faults.contains(&format!("{order}: is PAID, and not since when")), "{faults:?}");
}

async fn money_that_was_left_unpaid(shop: Shop) {
    let payment = shop.captured().await;
    let order = &payment.order;
    let unpaid = "UPDATE orders SET status = 'AWAITING_PAYMENT', paid_at = NULL";

    let still = format!("{order}: is not PAID and has a snapshot, taken at ");
    shop.plants(unpaid).await;
    assert!(shop.faults().await[0].starts_with(&still));
    let fault = format!(
        "{order}: awaits payment, though 29.90 EUR of its 29.90 EUR are captured, and there is no case about it"
    );
    finds(&shop, "DELETE FROM order_snapshot", &[&fault]).await;

    // Somebody is asked, or left it so; that it was to be given back is no excuse.
    let about = about_its_capture(&shop, "CONTRADICTING_RESULT", &payment).await;
    finds(&shop, &open_case(&about), &[]).await;
    for (resolution, faults) in [("WRITE_OFF", [].as_slice()), ("ACCEPT", &[]), ("REFUND", &[fault.as_str()])] {
        shop.plants("DELETE FROM reconciliation_case").await;
        finds(&shop, &decided_case(&about, resolution), faults).await;
    }
}

async fn more_money_than_a_paid_order_costs(shop: Shop) {
    let payment = shop.captured().await;
    let order = &payment.order;
    shop.plants("UPDATE payment SET amount_minor = 3990").await;
    let fault = format!("{order}: is PAID and holds 39.90 EUR, more than its 29.90 EUR, and there is no case about it");
    finds(&shop, "UPDATE payment_transaction SET amount_minor = 3990", &[&fault]).await;

    let about = about_its_capture(&shop, "PAID_TWICE", &payment).await;
    for case in [open_case(&about), decided_case(&about, "ACCEPT"), decided_case(&about, "WRITE_OFF")] {
        finds(&shop, &case, &[]).await;
        shop.plants("DELETE FROM reconciliation_case").await;
    }
    // What was asked about something else excuses nothing, nor what was to be given back.
    let unknown = about_its_capture(&shop, "OUTCOME_UNKNOWN", &payment).await;
    let [authorization, _] = transactions(&shop, &payment).await.try_into().expect("two");
    let hold = format!("'AMOUNT_MISMATCH', [{}], NULL, [{authorization}]", payment.id);
    let nothing = format!("'AMOUNT_MISMATCH', [{}], NULL, NULL", payment.id);
    for case in [
        open_case(&unknown),
        decided_case(&unknown, "ACCEPT"),
        open_case(&hold),
        open_case(&nothing),
        decided_case(&about, "REFUND"),
        decided_case(&about, "RECHECK"),
    ] {
        finds(&shop, &case, &[&fault]).await;
        shop.plants("DELETE FROM reconciliation_case").await;
    }
}

/// A case of that reason about a payment's last transaction.
async fn about_its_capture(shop: &Shop, reason: &str, payment: &Payment) -> String {
    let last = transactions(shop, payment).await.pop().expect("a transaction");
    format!("'{reason}', [{}], NULL, [{last}]", payment.id)
}

async fn more_money_than_a_paid_order_costs_that_is_being_given_back(shop: Shop) {
    let payment = shop.captured().await;
    shop.back_office().refunds(&payment, "10.00").await;
    shop.plants("UPDATE payment SET amount_minor = 3990").await;
    finds(&shop, "UPDATE payment_transaction SET amount_minor = 3990 WHERE kind <> 'REFUND'", &[]).await;

    let unanswered = "UPDATE payment_transaction SET status = 'PENDING', settled_at = NULL WHERE kind = 'REFUND'";
    finds(&shop, unanswered, &[]).await;

    let refused = "UPDATE payment_transaction SET status = 'FAILED', settled_at = created_at WHERE kind = 'REFUND'";
    let fault = format!(
        "{}: is PAID and holds 39.90 EUR, more than its 29.90 EUR, and there is no case about it",
        payment.order
    );
    finds(&shop, refused, &[&fault]).await;
    let about = about_its_capture(&shop, "FAILED_REVERSAL", &payment).await;
    finds(&shop, &open_case(&about), &[]).await;
}

async fn more_money_than_a_paid_order_costs_beside_a_case_of_another_payment(shop: Shop) {
    let order = shop.adas_order().await;
    let first = shop.payment_on(&order, "20.00", "tok_ok").await;
    shop.checkout().sells(&first, "20.00").await;
    let second = shop.payment_on(&order, "9.90", "tok_ok").await;
    shop.checkout().sells(&second, "9.90").await;
    shop.plants(&format!("UPDATE payment SET amount_minor = 3990 WHERE id = [{}]", second.id)).await;
    let raised = format!("UPDATE payment_transaction SET amount_minor = 3990 WHERE payment_id = [{}]", second.id);
    let holds = |kept: &str| {
        format!("{order}: is PAID and holds {kept} EUR, more than its 29.90 EUR, and there is no case about it")
    };
    finds(&shop, &raised, &[&holds("59.90")]).await;

    let about = about_its_capture(&shop, "PAID_TWICE", &first).await;
    finds(&shop, &open_case(&about), &[&holds("39.90")]).await;
    shop.plants("DELETE FROM reconciliation_case").await;
    let about = about_its_capture(&shop, "PAID_TWICE", &second).await;
    finds(&shop, &open_case(&about), &[]).await;
}

async fn money_of_a_session_that_somebody_accepted(shop: Shop) {
    let payment = shop.captured().await;
    shop.plants("UPDATE payment SET amount_minor = 3990").await;
    shop.plants("UPDATE payment_transaction SET amount_minor = 3990").await;
    let fault = format!(
        "{}: is PAID and holds 39.90 EUR, more than its 29.90 EUR, and there is no case about it",
        payment.order
    );

    // Money that nobody accepted is not what the ledger holds.
    let about = format!("'CART_CHANGED', [{}], NULL, NULL", payment.id);
    for (case, faults) in [
        (open_case(&about), [fault.as_str()].as_slice()),
        (decided_case(&about, "WRITE_OFF"), &[&fault]),
        (decided_case(&about, "ACCEPT"), &[]),
    ] {
        finds(&shop, &case, faults).await;
        shop.plants("DELETE FROM reconciliation_case").await;
    }
}

fn cancelled_at(at: &str) -> String {
    format!("UPDATE orders SET status = 'CANCELLED', cancelled_at = {at}, paid_at = NULL")
}

async fn money_that_stays_on_a_cancelled_order(shop: Shop) {
    let payment = shop.captured().await;
    shop.plants("DELETE FROM order_snapshot").await;
    finds(&shop, &cancelled_at("paid_at"), &[]).await;

    // Whoever cancelled it had time to give it back.
    shop.moves_time_by(Duration::minutes(61));

    let fault =
        format!("{}: is CANCELLED and holds 29.90 EUR of captured money, and there is no case about it", payment.order);
    assert_eq!(shop.faults().await, std::slice::from_ref(&fault));
    let about = about_its_capture(&shop, "OUTCOME_UNKNOWN", &payment).await;
    finds(&shop, &open_case(&about), &[&fault]).await;
    shop.plants("DELETE FROM reconciliation_case").await;
    let about = about_its_capture(&shop, "CONTRADICTING_RESULT", &payment).await;
    finds(&shop, &decided_case(&about, "ACCEPT"), &[]).await;
}

async fn money_that_came_for_a_cancelled_order(shop: Shop) {
    let payment = shop.captured().await;
    shop.plants("DELETE FROM order_snapshot").await;

    let fault =
        format!("{}: is CANCELLED and holds 29.90 EUR of captured money, and there is no case about it", payment.order);
    finds(&shop, &cancelled_at("created_at"), &[&fault]).await;
}

async fn a_cart_that_is_not_what_is_written_beside_it(shop: Shop) {
    let order = shop.adas_order().await;
    let seen = shop.user("ada").looks_at(&order).await;
    let (digest, other) = (seen["cart"]["digest"].as_str().expect("a digest"), "f".repeat(64));

    let total = format!("{order}: its cart costs 29.90 EUR, and 29.89 EUR is written beside it");
    finds(&shop, "UPDATE orders SET total_minor = 2989", &[&total]).await;
    let fault = format!("{order}: its cart's digest is {digest}, and {other} is written beside it");
    finds(&shop, &format!("UPDATE orders SET cart_digest = '{other}', total_minor = 2990"), &[&fault]).await;
}

async fn a_snapshot_of_another_cart(shop: Shop) {
    let order = shop.captured().await.order;
    let seen = shop.user("ada").looks_at(&order).await;
    let (digest, other) = (seen["cart"]["digest"].as_str().expect("a digest"), "f".repeat(64));

    let itself = format!("{order}: its snapshot's digest is {digest}, and {other} is written beside it");
    let orders = format!("{order}: its snapshot is of the cart {other}, and it has {digest}");
    finds(&shop, &format!("UPDATE order_snapshot SET cart_digest = '{other}'"), &[&itself, &orders]).await;
}

async fn a_gap_in_an_owners_numbers(shop: Shop) {
    shop.adas_order().await;
    let second = shop.adas_order().await;

    let fault = r#"owner USER "ada": has 2 orders, numbered 1 to 3, and 2 are counted"#;
    finds(&shop, &format!("UPDATE orders SET owner_sequence = 3 WHERE id = [{second}]"), &[fault]).await;
}

async fn a_miscounted_owner(shop: Shop) {
    shop.adas_order().await;

    let fault = r#"owner USER "ada": has 1 orders, numbered 1 to 1, and 7 are counted"#;
    finds(&shop, "UPDATE order_owner SET order_count = 7", &[fault]).await;
    let nobody = "INSERT INTO order_owner (kind, id, order_count) VALUES ('ANONYMOUS', 'no
body', 1)";
    let another = r#"owner ANONYMOUS "no\nbody": has no orders, and 1 are counted"#;
    finds(&shop, nobody, &[another, fault]).await;
}

async fn a_row_that_cant_be_read(shop: Shop) {
    let [first, second] = [shop.captured().await.order, shop.captured().await.order];

    shop.plants(&format!("UPDATE orders SET currency = 'EUX', total_minor = 1 WHERE id = [{first}]")).await;
    shop.plants("UPDATE order_snapshot SET cart = '{}'").await;

    let faults = shop.faults().await;
    let begin = |fault: &String| fault.split(" read:").next().unwrap_or_default().to_owned();
    let expected = [
        format!("{first}: can't be"),
        format!("the snapshot of {first}: can't be"),
        format!("the snapshot of {second}: can't be"),
    ];
    assert_eq!(faults.iter().map(begin).collect::<Vec<_>>(), expected, "{faults:#?}");
}
