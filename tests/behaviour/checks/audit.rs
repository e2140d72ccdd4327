//! The audit trail against whoever rewrites it, or the ledger past it (test G23).

use crate::support::{Payment, Shop};

use super::{sorted, transactions};

on_each_database![
    an_entry_that_was_changed,
    an_entry_that_was_changed_and_made_good_for_itself,
    an_entry_that_was_taken_out,
    entries_that_changed_places,
    the_end_of_a_trail_that_was_cut_off,
    a_transaction_without_an_entry,
    a_ledger_that_was_changed_past_its_trail,
    an_entry_about_another_payment,
    an_entry_that_cannot_be_read,
];

/// A captured payment, whose trail has four entries: each of the two was written down and answered.
async fn captured(shop: &Shop) -> (Payment, [String; 2]) {
    let payment = shop.captured().await;
    let ids = transactions(shop, &payment).await.try_into().expect("two");
    shop.audit_trail_can_be_changed().await;
    (payment, ids)
}

/// Plants something, and expects exactly these faults.
async fn finds(shop: &Shop, sql: &str, faults: &[String]) {
    shop.plants(sql).await;
    assert_eq!(sorted(shop.faults().await), sorted(faults.to_vec()), "{sql}");
}

async fn an_entry_that_was_changed(shop: Shop) {
    let (payment, _) = captured(&shop).await;
    let id = &payment.id;
    shop.captured().await;

    let second = format!("{id}: entry 2 of its audit trail is not as it was written");
    for (change, back) in [
        ("amount_minor = 2991", "amount_minor = 2990"),
        ("actor_kind = 'SERVER'", "actor_kind = 'PROVIDER'"),
        ("status = 'FAILED'", "status = 'SUCCEEDED'"),
        ("management_state = 'REVERSED'", "management_state = NULL"),
    ] {
        let at = format!("WHERE sequence = 2 AND payment_id = [{id}]");
        let mut faults = vec![second.clone()];
        if let Some(what) = stands_otherwise(change) {
            faults.push(format!("{}: {what}", transactions(&shop, &payment).await[0]));
        }
        finds(&shop, &format!("UPDATE payment_audit SET {change} {at}"), &faults).await;
        finds(&shop, &format!("UPDATE payment_audit SET {back} {at}"), &[]).await;
    }
}

/// What the authorization is then, beside its last entry.
fn stands_otherwise(change: &str) -> Option<String> {
    let written = match change {
        "amount_minor = 2991" => "AUTHORIZE of 29.91 EUR, SUCCEEDED",
        "status = 'FAILED'" => "AUTHORIZE of 29.90 EUR, FAILED",
        "management_state = 'REVERSED'" => "AUTHORIZE of 29.90 EUR, SUCCEEDED, REVERSED",
        _ => return None,
    };
    Some(format!("stands as AUTHORIZE of 29.90 EUR, SUCCEEDED in the ledger, and as {written} in the audit trail"))
}

/// The digest is that of another entry that was written once: the next one was not built on it.
async fn an_entry_that_was_changed_and_made_good_for_itself(shop: Shop) {
    let (payment, _) = captured(&shop).await;
    let forged = "SELECT digest FROM payment_audit WHERE sequence = 3";

    let faults = [2, 3].map(|n| format!("{}: entry {n} of its audit trail is not as it was written", payment.id));
    finds(&shop, &format!("UPDATE payment_audit SET digest = ({forged}) WHERE sequence = 2"), &faults).await;
}

async fn an_entry_that_was_taken_out(shop: Shop) {
    let (payment, _) = captured(&shop).await;

    let gap = format!("{}: its audit trail goes on with entry 3 where entry 2 is due", payment.id);
    let stands = format!(
        "{}: stands as AUTHORIZE of 29.90 EUR, SUCCEEDED in the ledger, and as AUTHORIZE of 29.90 EUR, SENT in the audit trail",
        transactions(&shop, &payment).await[0]
    );
    finds(&shop, "DELETE FROM payment_audit WHERE sequence = 2", &[gap, stands.clone()]).await;

    // Renumbered there is no gap, and what follows does not follow.
    shop.plants("UPDATE payment_audit SET sequence = 2 WHERE sequence = 3").await;
    let faults = [2, 3].map(|n| format!("{}: entry {n} of its audit trail is not as it was written", payment.id));
    finds(
        &shop,
        "UPDATE payment_audit SET sequence = 3 WHERE sequence = 4",
        &[faults[0].clone(), faults[1].clone(), stands],
    )
    .await;
}

async fn entries_that_changed_places(shop: Shop) {
    let (payment, _) = captured(&shop).await;

    for (from, to) in [(1, 9), (3, 1), (9, 3)] {
        shop.plants(&format!("UPDATE payment_audit SET sequence = {to} WHERE sequence = {from}")).await;
    }

    let faults = shop.faults().await;
    let altered =
        [1, 2, 3, 4].map(|n| format!("{}: entry {n} of its audit trail is not as it was written", payment.id));
    assert!(altered.iter().all(|fault| faults.contains(fault)), "{faults:#?}");
}

async fn the_end_of_a_trail_that_was_cut_off(shop: Shop) {
    let (_, [_, capture]) = captured(&shop).await;

    let stands =
        "stands as CAPTURE of 29.90 EUR, SUCCEEDED in the ledger, and as CAPTURE of 29.90 EUR, SENT in the audit trail";
    finds(&shop, "DELETE FROM payment_audit WHERE sequence = 4", &[format!("{capture}: {stands}")]).await;
}

async fn a_transaction_without_an_entry(shop: Shop) {
    let (_, [_, capture]) = captured(&shop).await;

    let fault = format!("{capture}: has no entry in the audit trail");
    finds(&shop, "DELETE FROM payment_audit WHERE sequence IN (3, 4)", &[fault]).await;
}

/// What the other checks can't see: it all adds up.
async fn a_ledger_that_was_changed_past_its_trail(shop: Shop) {
    let (payment, [_, capture]) = captured(&shop).await;
    shop.back_office().refunds(&payment, "10.00").await;
    let refund = transactions(&shop, &payment).await.remove(2);

    let fault = |amount| {
        format!(
            "{refund}: stands as REFUND of {amount} EUR, SUCCEEDED in the ledger, and as REFUND of 10.00 EUR, SUCCEEDED in the audit trail"
        )
    };
    let raised = "UPDATE payment_transaction SET amount_minor = 2000 WHERE kind = 'REFUND'";
    finds(&shop, raised, &[fault("20.00")]).await;
    finds(&shop, "UPDATE payment_transaction SET amount_minor = 1000 WHERE kind = 'REFUND'", &[]).await;
    let marked = format!(
        "{capture}: stands as CAPTURE of 29.90 EUR, SUCCEEDED, AUTOMATIC_REVERSAL_NOT_ALLOWED in the ledger, \
        and as CAPTURE of 29.90 EUR, SUCCEEDED in the audit trail"
    );
    let mark =
        "UPDATE payment_transaction SET management_state = 'AUTOMATIC_REVERSAL_NOT_ALLOWED' WHERE kind = 'CAPTURE'";
    finds(&shop, mark, &[marked]).await;
}

async fn an_entry_about_another_payment(shop: Shop) {
    let (payment, [_, capture]) = captured(&shop).await;
    let other = shop.authorized().await;
    let [elsewhere] = transactions(&shop, &other).await.try_into().expect("one");

    let moved = format!(
        "UPDATE payment_audit SET transaction_id = [{elsewhere}] WHERE sequence >= 3 AND payment_id = [{}]",
        payment.id
    );
    let altered = [3, 4].map(|n| format!("{}: entry {n} of its audit trail is not as it was written", payment.id));
    let mut faults = altered.to_vec();
    faults.push(format!("{capture}: has no entry in the audit trail"));
    faults.push(format!("{}: its audit trail is about {elsewhere}, which is not of it", payment.id));
    finds(&shop, &moved, &faults).await;
}

async fn an_entry_that_cannot_be_read(shop: Shop) {
    let (payment, _) = captured(&shop).await;
    shop.lets_anything_be_written().await;

    shop.plants("UPDATE payment_audit SET status = 'WON' WHERE sequence = 2").await;

    let faults = shop.faults().await;
    let unread = format!("entry 2 of {}: can't be read: ", payment.id);
    assert!(faults.len() == 1 && faults[0].starts_with(&unread), "{faults:#?}");
}
