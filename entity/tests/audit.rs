//! A payment's chain of entries against whoever rewrites it (test G23).

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    audit::{Actor, ActorKind, Flaw, Model, Standing, verify},
    id::{PaymentId, TransactionId},
    money::Currency,
    transaction::{Kind, ManagementState, Status},
};
use proptest::{prelude::*, sample::select};
use sea_orm::{Iterable, prelude::Uuid};

fn at(micros: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::microseconds(micros)
}

fn capture() -> Standing {
    Standing {
        payment_id: PaymentId::from(Uuid::from_u128(1)),
        transaction_id: TransactionId::from(Uuid::from_u128(2)),
        kind: Kind::Capture,
        status: Status::Sent,
        management_state: None,
        amount_minor: 2990,
        currency: Currency::EUR,
    }
}

/// Each of these, written one after the other.
fn chained(changes: impl IntoIterator<Item = (Standing, Actor, i64)>) -> Vec<Model> {
    let mut chain: Vec<Model> = vec![];
    for (standing, by, micros) in changes {
        let head = chain.last().map(Model::head);
        chain.push(Model::after(head.as_ref(), standing, by, at(micros)));
    }
    chain
}

fn actors() -> impl Strategy<Value = Actor> {
    let callers = select(vec![ActorKind::User, ActorKind::Anonymous, ActorKind::Service]);
    let caller = (callers, "[a-z=:0-9]{0,4}").prop_map(|(kind, id)| Actor { kind, id: Some(id) });
    prop_oneof![caller, select(vec![Actor::PROVIDER, Actor::SERVER, Actor::MIGRATION])]
}

fn standings() -> impl Strategy<Value = Standing> {
    let kinds = select(Kind::iter().collect::<Vec<_>>());
    let statuses = select(Status::iter().collect::<Vec<_>>());
    let states = proptest::option::of(select(ManagementState::iter().collect::<Vec<_>>()));
    (1..4u128, kinds, statuses, states, 1..9999i64).prop_map(
        |(transaction, kind, status, management_state, amount_minor)| Standing {
            transaction_id: TransactionId::from(Uuid::from_u128(transaction)),
            kind,
            status,
            management_state,
            amount_minor,
            ..capture()
        },
    )
}

fn chains(entries: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Model>> {
    proptest::collection::vec((standings(), actors(), 0..1_000_000i64), entries).prop_map(chained)
}

/// The next one of its kind, whichever it is.
fn other<T: Iterable + PartialEq>(than: &T) -> T {
    T::iter().find(|one| one != than).unwrap()
}

/// The same entry with something else in one of its fields; each way to do it.
fn altered(entry: &Model) -> Vec<Model> {
    let currency: Currency = if entry.currency == Currency::EUR { "USD".parse().unwrap() } else { Currency::EUR };
    let actor_id = match &entry.actor_id {
        None => Some(String::new()),
        Some(id) if id.is_empty() => None,
        Some(id) => Some(format!("{id}x")),
    };
    let next = |micros| entry.written_at + TimeDelta::microseconds(micros);
    let foreign = Model::after(None, capture(), Actor::SERVER, next(1)).digest;
    vec![
        Model { payment_id: PaymentId::from(Uuid::from_u128(9)), ..entry.clone() },
        Model { sequence: entry.sequence + 1, ..entry.clone() },
        Model { transaction_id: TransactionId::from(Uuid::from_u128(9)), ..entry.clone() },
        Model { kind: other(&entry.kind), ..entry.clone() },
        Model { status: other(&entry.status), ..entry.clone() },
        Model {
            management_state: match entry.management_state {
                None => Some(ManagementState::Reversed),
                Some(_) => None,
            },
            ..entry.clone()
        },
        Model { amount_minor: entry.amount_minor + 1, ..entry.clone() },
        Model { currency, ..entry.clone() },
        Model { actor_kind: other::<ActorKind>(&entry.actor_kind), ..entry.clone() },
        Model { actor_id, ..entry.clone() },
        Model { written_at: next(1), ..entry.clone() },
        Model { digest: foreign, ..entry.clone() },
    ]
}

#[test]
fn entries_are_numbered_from_one_and_each_is_built_on_the_one_before() {
    let chain = chained([(capture(), Actor::SERVER, 0), (capture(), Actor::SERVER, 0)]);

    let numbers: Vec<i64> = chain.iter().map(|entry| entry.sequence).collect();
    assert_eq!((numbers, verify(&chain)), (vec![1, 2], vec![]));
    assert_ne!(chain[0].digest, chain[1].digest);
}

#[test]
fn a_change_is_found_where_it_is() {
    let mut chain = chained([1, 2, 3].map(|at| (capture(), Actor::SERVER, at)));
    chain[1].amount_minor = 1;
    assert_eq!(verify(&chain), [Flaw::Altered { sequence: 2 }]);

    // Whoever makes it good for itself has to make good all that follow.
    let forged = Model::after(Some(&chain[0].head()), chain[1].standing(), Actor::SERVER, at(2));
    chain[1] = forged;
    assert_eq!(verify(&chain), [Flaw::Altered { sequence: 3 }]);
}

#[test]
fn the_canonical_form_does_not_drift() {
    let by = Actor { kind: ActorKind::Service, id: Some("checkout".into()) };
    let marked = Standing { management_state: Some(ManagementState::Reversed), ..capture() };
    let [first, second] =
        chained([(capture(), by, 1_500_000), (marked, Actor::PROVIDER, 1_500_001)]).try_into().unwrap();
    // (printf '16:orderpay audit 10:40:pay_00000000-0000-0000-0000-0000000000011:140:txn_00000000-0000-0000-0000-0000000000027:CAPTURE4:SENT0:';
    //  printf '4:29903:EUR7:SERVICE9:=checkout7:1500000') | sha256sum
    assert_eq!(first.digest.to_string(), "cea852c7f66011877ffb833ce23cb577104367fc2efcf8a9c77a3a958ae6ac56");
    // (printf '16:orderpay audit 132:'; echo -n THE_FIRST_DIGEST | xxd -r -p; printf '40:pay_00000000-0000-0000-0000-0000000000011:240:txn_…
    //  …27:CAPTURE4:SENT9:=REVERSED4:29903:EUR8:PROVIDER0:7:1500001') | sha256sum
    assert_eq!(second.digest.to_string(), "a0746dffb033ab6c1a4a7d6a2efa411ccfe6d66a70586798e07846c308a4b128");
}

proptest! {
    #[test]
    fn what_was_written_is_found_sound(chain in chains(0..9)) {
        prop_assert_eq!(verify(&chain), []);
    }

    #[test]
    fn any_change_of_any_field_of_any_entry_is_found(chain in chains(1..6)) {
        for place in 0..chain.len() {
            for entry in altered(&chain[place]) {
                let mut chain = chain.clone();
                chain[place] = entry;
                prop_assert_ne!(verify(&chain), [], "{}: {:?}", place, chain);
            }
        }
    }

    #[test]
    fn what_is_written_anew_in_place_of_another_is_found_by_the_one_after(
        chain in chains(2..8),
        (standing, by) in (standings(), actors()),
    ) {
        for place in 0..chain.len() - 1 {
            let mut rewritten = chain.clone();
            let before = place.checked_sub(1).map(|before| chain[before].head());
            rewritten[place] = Model::after(before.as_ref(), standing.clone(), by.clone(), at(-1));
            prop_assert_eq!(verify(&rewritten), [Flaw::Altered { sequence: chain[place + 1].sequence }]);
        }
    }

    #[test]
    fn what_is_taken_out_is_missed_whether_or_not_the_rest_is_renumbered(chain in chains(2..8)) {
        for place in 0..chain.len() - 1 {
            let mut cut = chain.clone();
            cut.remove(place);
            prop_assert_ne!(verify(&cut), []);
            for (number, entry) in (1..).zip(&mut cut) {
                entry.sequence = number;
            }
            prop_assert_ne!(verify(&cut), []);
        }
    }

    #[test]
    fn what_is_put_in_between_is_found(chain in chains(2..8), (standing, by) in (standings(), actors())) {
        for place in 1..chain.len() {
            let mut grown = chain.clone();
            grown.insert(place, Model::after(Some(&chain[place - 1].head()), standing.clone(), by.clone(), at(0)));
            for (number, entry) in (1..).zip(&mut grown) {
                entry.sequence = number;
            }
            prop_assert_ne!(verify(&grown), []);
        }
    }

    #[test]
    fn two_that_change_places_are_found(chain in chains(2..7)) {
        for one in 0..chain.len() {
            for two in one + 1..chain.len() {
                let mut swapped = chain.clone();
                swapped.swap(one, two);
                prop_assert_ne!(verify(&swapped), []);
                (swapped[one].sequence, swapped[two].sequence) = (chain[one].sequence, chain[two].sequence);
                prop_assert_ne!(verify(&swapped), []);
            }
        }
    }

    #[test]
    fn what_is_cut_off_at_the_end_leaves_a_sound_beginning(chain in chains(1..6)) {
        prop_assert_eq!(verify(&chain[..chain.len() - 1]), []);
    }
}
