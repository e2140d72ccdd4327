//! Sharing out, against what must hold for every history of a payment, and example by example.
//!
//! A history is a row of requests as the server plays them: each is shared out by what the ledger says, written, and answered in any way at any time.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use chrono::{DateTime, TimeDelta};
use entity::{
    capability::Capabilities,
    id::{PaymentId, TransactionId},
    money::{Currency, Money},
    share::{MOST_SHARES, Refusal, Share, Wanted, available, share_out},
    summary::{Entry, PaymentSummary},
    transaction::{Heard, Kind, ManagementState, Model, Status, Undoing},
};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use uuid::Uuid;

const KINDS: [Kind; 6] = [
    Kind::Authorize,
    Kind::AuthorizeAndCapture,
    Kind::Capture,
    Kind::ReverseAuthorize,
    Kind::Refund,
    Kind::DetachedCredit,
];

/// A provider that can do everything.
const ABLE: Capabilities = Capabilities {
    kinds: &KINDS,
    partial_capture: true,
    repeated_capture: true,
    partial_capture_ends_authorization: false,
    partial_reversal: true,
};

fn euros(minor: i64) -> Money {
    Money::new(minor, Currency::EUR)
}

/// A payment's transactions, in no order.
#[derive(Clone, Debug)]
struct Ledger {
    payment: Money,
    rows: Vec<Model>,
}

impl Ledger {
    fn of(payment: i64) -> Self {
        Self { payment: euros(payment), rows: vec![] }
    }

    /// Two are made in each second; ids tell those apart.
    fn add(&mut self, kind: Kind, parent: Option<TransactionId>, amount: Money, status: Status) -> TransactionId {
        let number = self.rows.len();
        let id = TransactionId::from(Uuid::from_u128(1 + number as u128));
        let row = Model {
            id,
            payment_id: PaymentId::from(Uuid::nil()),
            kind,
            status,
            management_state: None,
            amount_minor: amount.minor(),
            currency: amount.currency(),
            parent_id: parent,
            attempt_id: None,
            reference: id.to_string(),
            provider_reference: None,
            failure_code: None,
            failure_message: None,
            decline: None,
            source: None,
            source_entity_type: None,
            source_entity_id: None,
            fencing_number: None,
            sends: 1,
            sent_at: None,
            checks: 0,
            next_check_at: None,
            created_at: DateTime::UNIX_EPOCH + TimeDelta::seconds(i64::try_from(number / 2).unwrap()),
            settled_at: None,
        };
        // A ledger may be read in any order: the newest first here.
        self.rows.insert(0, row);
        id
    }

    fn succeeded(&mut self, kind: Kind, parent: Option<TransactionId>, minor: i64) -> TransactionId {
        self.add(kind, parent, euros(minor), Status::Succeeded)
    }

    fn row(&mut self, id: TransactionId) -> &mut Model {
        self.rows.iter_mut().find(|row| row.id == id).unwrap()
    }

    fn entries(&self) -> Vec<Entry> {
        self.rows.iter().map(Model::entry).collect()
    }

    fn summary(&self) -> PaymentSummary {
        PaymentSummary::of(self.payment, &self.entries()).unwrap()
    }

    fn share(&self, kind: Kind, minor: i64, parent: Option<TransactionId>, by: &Capabilities) -> Shared {
        let wanted = Wanted { kind, amount: euros(minor), parent };
        share_out(wanted, self.payment, &self.rows, by).unwrap()
    }
}

type Shared = Result<Vec<Share>, Refusal>;

fn shares<const N: usize>(shares: [(TransactionId, i64); N]) -> Shared {
    Ok(shares.map(|(parent, minor)| Share { parent: Some(parent), amount: euros(minor) }).to_vec())
}

// rules M5, P3
#[test]
fn a_refund_is_shared_out_over_two_captures_oldest_first() {
    let mut ledger = Ledger::of(100);
    let hold = ledger.succeeded(Kind::Authorize, None, 100);
    let first = ledger.succeeded(Kind::Capture, Some(hold), 30);
    let second = ledger.succeeded(Kind::Capture, Some(hold), 50);
    assert_eq!(ledger.share(Kind::Refund, 60, None, &ABLE), shares([(first, 30), (second, 30)]));
    ledger.add(Kind::Refund, Some(first), euros(10), Status::Unknown);
    assert_eq!(ledger.share(Kind::Refund, 60, None, &ABLE), shares([(first, 20), (second, 40)]));
    assert_eq!(ledger.share(Kind::Refund, 60, Some(second), &ABLE), Err(Refusal::Exceeds(euros(50))));
}

// rule P3
#[test]
fn age_goes_before_the_id_and_the_id_where_the_age_is_the_same() {
    let mut ledger = Ledger::of(100);
    let sales = [10, 20].map(|minor| ledger.succeeded(Kind::AuthorizeAndCapture, None, minor));
    assert_eq!(ledger.rows[0].created_at, ledger.rows[1].created_at);
    assert_eq!(ledger.share(Kind::Refund, 11, None, &ABLE), shares([(sales[0], 10), (sales[1], 1)]));
    ledger.row(sales[1]).created_at -= TimeDelta::seconds(1);
    assert_eq!(ledger.share(Kind::Refund, 21, None, &ABLE), shares([(sales[1], 20), (sales[0], 1)]));
}

// rule P3
#[test]
fn what_acts_on_nothing_is_one_share_and_takes_no_parent() {
    let mut ledger = Ledger::of(100);
    let hold = ledger.succeeded(Kind::Authorize, None, 40);
    for (kind, most) in [(Kind::Authorize, 60), (Kind::AuthorizeAndCapture, 60), (Kind::DetachedCredit, 1_000)] {
        let whole = Share { parent: None, amount: euros(most) };
        assert_eq!(ledger.share(kind, most, None, &ABLE), Ok(vec![whole]));
        let unsuitable = Refusal::Unsuitable("this kind of transaction acts on no earlier one");
        assert_eq!(ledger.share(kind, 1, Some(hold), &ABLE), Err(unsuitable));
    }
    assert_eq!(ledger.share(Kind::Authorize, 61, None, &ABLE), Err(Refusal::Exceeds(euros(60))));
}

// rule P5
#[test]
fn more_than_there_is_is_refused_with_what_there_is() {
    let mut ledger = Ledger::of(100);
    assert_eq!(ledger.share(Kind::Capture, 1, None, &ABLE), Err(Refusal::Exceeds(euros(0))));
    let hold = ledger.succeeded(Kind::Authorize, None, 100);
    ledger.add(Kind::Capture, Some(hold), euros(30), Status::Pending);
    ledger.add(Kind::Capture, Some(hold), euros(20), Status::Failed);
    assert_eq!(ledger.share(Kind::Capture, 71, None, &ABLE), Err(Refusal::Exceeds(euros(70))));
    assert_eq!(ledger.share(Kind::Capture, 70, None, &ABLE), shares([(hold, 70)]));
}

// rule P3
#[test]
fn a_named_parent_that_is_not_suitable_is_refused_with_the_reason() {
    let refusal = |status, state, kind| {
        let mut ledger = Ledger::of(100);
        let hold = ledger.add(Kind::Authorize, None, euros(100), status);
        ledger.row(hold).management_state = state;
        ledger.share(kind, 1, Some(hold), &ABLE)
    };
    let unsuitable = |why| Err(Refusal::Unsuitable(why));
    let reversed = Some(ManagementState::Reversed);
    assert_eq!(refusal(Status::Succeeded, None, Kind::Refund), unsuitable("it is of a kind that this can't act on"));
    assert_eq!(refusal(Status::Failed, None, Kind::Capture), unsuitable("it failed"));
    assert_eq!(refusal(Status::Unknown, None, Kind::Capture), unsuitable("its outcome is not known yet"));
    let gone = unsuitable("it was reversed, or is about to be");
    assert_eq!(refusal(Status::Succeeded, reversed, Kind::Capture), gone);

    let mut another = Ledger::of(100);
    let elsewhere = another.succeeded(Kind::Authorize, None, 100);
    let stranger = unsuitable("there is no such transaction of this payment");
    assert_eq!(Ledger::of(100).share(Kind::Capture, 1, Some(elsewhere), &ABLE), stranger);
}

// rule S1
#[test]
fn what_is_about_to_be_reversed_is_passed_over() {
    let mut ledger = Ledger::of(100);
    let unwanted = ledger.succeeded(Kind::Authorize, None, 50);
    let wanted = ledger.succeeded(Kind::Authorize, None, 50);
    ledger.row(unwanted).management_state = Some(ManagementState::RequiresReversal);
    assert_eq!(ledger.share(Kind::Capture, 50, None, &ABLE), shares([(wanted, 50)]));
    assert_eq!(ledger.share(Kind::Capture, 51, None, &ABLE), Err(Refusal::Exceeds(euros(50))));
}

// rule S1
#[test]
fn what_was_itself_reversed_takes_nothing_from_its_parent() {
    let mut ledger = Ledger::of(100);
    let sale = ledger.succeeded(Kind::AuthorizeAndCapture, None, 100);
    let refund = ledger.succeeded(Kind::Refund, Some(sale), 30);
    ledger.row(refund).management_state = Some(ManagementState::Reversed);
    assert_eq!(ledger.share(Kind::Refund, 100, None, &ABLE), shares([(sale, 100)]));
}

#[test]
fn no_more_calls_are_made_than_fit_one_request() {
    let mut ledger = Ledger::of(100);
    let hold = ledger.succeeded(Kind::Authorize, None, 100);
    for _ in 0..=MOST_SHARES {
        ledger.succeeded(Kind::Capture, Some(hold), 1);
    }
    let most = i64::try_from(MOST_SHARES).unwrap();
    assert_eq!(ledger.share(Kind::Refund, most, None, &ABLE).map(|shares| shares.len()), Ok(MOST_SHARES));
    assert_eq!(ledger.share(Kind::Refund, most + 1, None, &ABLE), Err(Refusal::TooMany));
}

/// Two holds of 60 and 40.
fn two_holds() -> (Ledger, TransactionId, TransactionId) {
    let mut ledger = Ledger::of(100);
    let first = ledger.succeeded(Kind::Authorize, None, 60);
    let second = ledger.succeeded(Kind::Authorize, None, 40);
    (ledger, first, second)
}

// rule P10
#[test]
fn a_kind_that_the_provider_does_not_do_is_unsupported() {
    let (ledger, ..) = two_holds();
    let by = Capabilities { kinds: &[Kind::AuthorizeAndCapture, Kind::Refund], ..ABLE };
    let unsupported = Refusal::Unsupported("can't do this kind of transaction");
    assert_eq!(ledger.share(Kind::Capture, 1, None, &by), Err(unsupported));
}

// rule P10
#[test]
fn without_partial_captures_each_hold_is_captured_whole() {
    let (ledger, first, second) = two_holds();
    let by = Capabilities { partial_capture: false, ..ABLE };
    let unsupported = Refusal::Unsupported("can only capture all of an authorization");
    assert_eq!(ledger.share(Kind::Capture, 100, None, &by), shares([(first, 60), (second, 40)]));
    assert_eq!(ledger.share(Kind::Capture, 60, None, &by), shares([(first, 60)]));
    assert_eq!(ledger.share(Kind::Capture, 59, None, &by), Err(unsupported.clone()));
    assert_eq!(ledger.share(Kind::Capture, 61, None, &by), Err(unsupported));
    assert_eq!(ledger.share(Kind::Capture, 40, Some(second), &by), shares([(second, 40)]));
    assert_eq!(ledger.share(Kind::ReverseAuthorize, 1, None, &by), shares([(first, 1)]));
}

// rule P10
#[test]
fn without_repeated_captures_a_hold_is_captured_from_once() {
    let (mut ledger, first, second) = two_holds();
    let by = Capabilities { repeated_capture: false, ..ABLE };
    let unsupported = Refusal::Unsupported("can capture from an authorization only once");
    ledger.add(Kind::Capture, Some(first), euros(10), Status::Failed);
    ledger.succeeded(Kind::ReverseAuthorize, Some(first), 10);
    assert_eq!(ledger.share(Kind::Capture, 1, None, &by), shares([(first, 1)]), "neither of these was a capture");
    ledger.add(Kind::Capture, Some(first), euros(10), Status::Pending);
    assert_eq!(ledger.share(Kind::Capture, 1, Some(first), &by), Err(unsupported.clone()));
    assert_eq!(ledger.share(Kind::Capture, 40, None, &by), shares([(second, 40)]), "the other hold is untouched");
    assert_eq!(ledger.share(Kind::Capture, 41, None, &by), Err(unsupported));
    assert_eq!(ledger.share(Kind::ReverseAuthorize, 40, None, &by), shares([(first, 40)]));
}

// rule P10
#[test]
fn where_a_partial_capture_ends_a_hold_an_unanswered_one_leaves_it_open_how_much_there_is() {
    let (mut ledger, first, second) = two_holds();
    let by = Capabilities { partial_capture_ends_authorization: true, ..ABLE };
    let capture = ledger.add(Kind::Capture, Some(first), euros(10), Status::Unknown);
    assert_eq!(ledger.share(Kind::Capture, 50, Some(first), &by), Err(Refusal::Unanswered));
    assert_eq!(ledger.share(Kind::ReverseAuthorize, 50, Some(first), &by), Err(Refusal::Unanswered));
    assert_eq!(ledger.share(Kind::Capture, 40, None, &by), shares([(second, 40)]), "the other hold is untouched");
    assert_eq!(ledger.share(Kind::Capture, 41, None, &by), Err(Refusal::Unanswered));
    ledger.row(capture).status = Status::Failed;
    assert_eq!(ledger.share(Kind::Capture, 60, Some(first), &by), shares([(first, 60)]));
}

// rule P10
#[test]
fn a_refund_waits_for_no_answer_of_another_refund() {
    let mut ledger = Ledger::of(100);
    let sale = ledger.succeeded(Kind::AuthorizeAndCapture, None, 100);
    ledger.add(Kind::Refund, Some(sale), euros(30), Status::Unknown);
    let by = Capabilities { partial_capture_ends_authorization: true, ..ABLE };
    assert_eq!(ledger.share(Kind::Refund, 70, None, &by), shares([(sale, 70)]));
}

// rule P10
#[test]
fn without_partial_reversals_all_that_is_left_is_reversed() {
    let (mut ledger, first, second) = two_holds();
    ledger.succeeded(Kind::Capture, Some(first), 10);
    let by = Capabilities { partial_reversal: false, ..ABLE };
    let unsupported = Refusal::Unsupported("can only reverse all that is left of an authorization");
    assert_eq!(ledger.share(Kind::ReverseAuthorize, 90, None, &by), shares([(first, 50), (second, 40)]));
    assert_eq!(ledger.share(Kind::ReverseAuthorize, 49, None, &by), Err(unsupported.clone()));
    assert_eq!(ledger.share(Kind::ReverseAuthorize, 51, None, &by), Err(unsupported));
    assert_eq!(ledger.share(Kind::Capture, 1, None, &by), shares([(first, 1)]));
}

// rule M3
#[test]
fn an_amount_of_another_currency_is_no_amount_of_this_payment() {
    let (ledger, first, _) = two_holds();
    let yen = Money::new(1, "JPY".parse().unwrap());
    let wanted = Wanted { kind: Kind::Capture, amount: yen, parent: Some(first) };
    assert!(share_out(wanted, ledger.payment, &ledger.rows, &ABLE).is_err());
}

/// One step of a history, as numbers: what is done, of which kind, with how much, on which, and what is heard.
type Dice = (u8, u8, u8, u8, u8);

#[derive(Clone, Debug)]
struct History {
    payment: i64,
    by: Capabilities,
    steps: Vec<Dice>,
}

fn history() -> impl Strategy<Value = History> {
    let steps = prop::collection::vec(any::<Dice>(), 0..24);
    (1_i64..=100, any::<[bool; 4]>(), steps).prop_map(|(payment, [parts, repeats, ends, reverses], steps)| {
        let by = Capabilities {
            partial_capture: parts,
            repeated_capture: repeats,
            partial_capture_ends_authorization: ends,
            partial_reversal: reverses,
            ..ABLE
        };
        History { payment, by, steps }
    })
}

fn pick<T: Copy>(of: &[T], by: u8) -> T {
    of[usize::from(by) % of.len()]
}

/// Half of the answers are good.
const HEARD: [Heard; 6] =
    [Heard::Succeeded, Heard::Nothing, Heard::Succeeded, Heard::Failed, Heard::Succeeded, Heard::Pending];

impl History {
    /// Plays it; `look` sees each request, the ledger before, and what it is shared out to.
    fn play(&self, mut look: impl FnMut(&Ledger, Wanted, &Shared) -> Result<(), TestCaseError>) -> PlayResult {
        let mut ledger = Ledger::of(self.payment);
        for &(deed, kind, size, which, heard) in &self.steps {
            match deed % 8 {
                0..=5 => {
                    let kind = pick(&ledger.worth_asking(kind), kind);
                    let amount = euros(1 + i64::from(size) * ledger.about_as_much_as_there_is(kind) / 255);
                    let parent = (which % 8 == 0 && !ledger.rows.is_empty()).then(|| pick(&ledger.ids(), which / 8));
                    let wanted = Wanted { kind, amount, parent };
                    let shared = share_out(wanted, ledger.payment, &ledger.rows, &self.by).unwrap();
                    look(&ledger, wanted, &shared)?;
                    for (at, share) in shared.iter().flatten().enumerate() {
                        let id = ledger.add(wanted.kind, share.parent, share.amount, Status::Sent);
                        ledger.hear(id, pick(&HEARD, heard.wrapping_mul(1 + u8::try_from(at).unwrap())), &self.by);
                    }
                }
                6 if !ledger.rows.is_empty() => {
                    ledger.hear(pick(&ledger.ids(), which), pick(&HEARD, heard), &self.by);
                }
                7 if kind % 4 == 0 => ledger.unwant(),
                _ => {}
            }
        }
        Ok(ledger)
    }
}

type PlayResult = Result<Ledger, TestCaseError>;

impl Ledger {
    fn ids(&self) -> Vec<TransactionId> {
        self.rows.iter().map(|row| row.id).collect()
    }

    fn available(&self, kind: Kind) -> i64 {
        available(kind, &self.summary()).unwrap_or(self.payment).minor()
    }

    /// Any kind now and then, else one that there is something for.
    fn worth_asking(&self, dice: u8) -> Vec<Kind> {
        KINDS.into_iter().filter(|kind| dice.is_multiple_of(16) || self.available(*kind) > 0).collect()
    }

    /// And a little more; what acts on nothing takes a part only, so that there are several to act on.
    fn about_as_much_as_there_is(&self, kind: Kind) -> i64 {
        let available = self.available(kind);
        if kind.parents().is_empty() { available / 3 + 1 } else { available * 9 / 8 + 1 }
    }

    fn left_of(&self, id: TransactionId) -> i64 {
        let row = self.rows.iter().find(|row| row.id == id).unwrap();
        row.amount_minor - self.taken_of(id)
    }

    /// Rule P4, word for word: known and unanswered children together.
    fn taken_of(&self, id: TransactionId) -> i64 {
        let children = self.rows.iter().filter(|row| row.parent_id == Some(id));
        let live = children.filter(|row| row.status != Status::Failed && ManagementState::counts(row.management_state));
        live.map(|row| row.amount_minor).sum()
    }

    /// As the server records an answer.
    fn hear(&mut self, id: TransactionId, heard: Heard, by: &Capabilities) {
        let row = self.row(id).clone();
        let Some(status) = row.status.on(heard) else { return };
        self.row(id).status = status;
        if row.management_state == Some(ManagementState::ReversalTransaction) {
            let undoing = match status {
                Status::Succeeded => Undoing::Done,
                Status::Failed => Undoing::Failed,
                Status::Sent | Status::Pending | Status::Unknown => return,
            };
            let original = self.row(row.parent_id.unwrap());
            original.management_state = ManagementState::on(original.management_state, undoing);
        }
        if by.partial_capture_ends_authorization && status == Status::Succeeded && row.kind == Kind::Capture {
            // The provider says that it let the rest go.
            let hold = row.parent_id.unwrap();
            let rest = self.left_of(hold);
            if rest > 0 {
                self.succeeded(Kind::ReverseAuthorize, Some(hold), rest);
            }
        }
    }

    /// As the server archives a payment: what is held is marked and undone, or the rest of it reversed.
    fn unwant(&mut self) {
        let holds = self.rows.iter().filter(|row| row.kind == Kind::Authorize && row.status != Status::Failed);
        for hold in holds.cloned().collect::<Vec<_>>() {
            let left = self.left_of(hold.id);
            if left == hold.amount_minor {
                let Some(state) = ManagementState::on(hold.management_state, Undoing::Unwanted) else { continue };
                self.row(hold.id).management_state = Some(state);
                if hold.status == Status::Succeeded {
                    self.row(hold.id).management_state = ManagementState::on(Some(state), Undoing::Begun);
                    let undoing = self.add(Kind::ReverseAuthorize, Some(hold.id), euros(left), Status::Sent);
                    self.row(undoing).management_state = Some(ManagementState::ReversalTransaction);
                }
            } else if ManagementState::counts(hold.management_state) && left > 0 {
                self.add(Kind::ReverseAuthorize, Some(hold.id), euros(left), Status::Sent);
            }
        }
    }

    /// What may be acted on, oldest first, and how much is left of each.
    fn suitable(&self, kind: Kind) -> Vec<(TransactionId, i64)> {
        let succeeded = self.rows.iter().filter(|row| row.status == Status::Succeeded);
        let counting = succeeded.filter(|row| ManagementState::counts(row.management_state));
        let mut fitting: Vec<&Model> = counting.filter(|row| kind.parents().contains(&row.kind)).collect();
        fitting.sort_by_key(|row| (row.created_at, row.id));
        fitting.iter().map(|row| (row.id, self.left_of(row.id))).filter(|(_, left)| *left > 0).collect()
    }
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

proptest! {
    #![proptest_config(cases(17_000))]

    // rule M5
    #[test]
    fn shares_add_up_to_what_was_asked_oldest_first(history in history()) {
        history.play(|ledger, wanted, shared| {
            let Ok(shares) = shared else { return Ok(()) };
            let minors: Vec<i64> = shares.iter().map(|share| share.amount.minor()).collect();
            prop_assert!(minors.iter().all(|minor| *minor > 0));
            prop_assert_eq!(minors.iter().sum::<i64>(), wanted.amount.minor());
            if wanted.kind.parents().is_empty() {
                prop_assert_eq!(shares.len(), 1);
                return Ok(());
            }
            let suitable = ledger.suitable(wanted.kind);
            let place = |share: &Share| suitable.iter().position(|(id, _)| Some(*id) == share.parent).unwrap();
            let places: Vec<usize> = shares.iter().map(place).collect();
            prop_assert!(places.is_sorted_by(|older, newer| older < newer));
            // All but the last take all that is left.
            for (place, minor) in places.iter().zip(&minors).take(shares.len() - 1) {
                prop_assert_eq!(suitable[*place].1, *minor);
            }
            if history.by == ABLE && wanted.parent.is_none() {
                prop_assert_eq!(places, (0..shares.len()).collect::<Vec<_>>());
            }
            Ok(())
        })?;
    }

    // rules P4, P5
    #[test]
    fn nothing_exceeds_its_parent_or_what_is_available(history in history()) {
        let ledger = history.play(|ledger, wanted, shared| {
            let available = available(wanted.kind, &ledger.summary());
            let asked = wanted.amount.minor();
            prop_assert!(shared.is_err() || available.is_none_or(|available| asked <= available.minor()));
            Ok(())
        })?;
        for id in ledger.ids() {
            prop_assert!(ledger.left_of(id) >= 0, "{id}");
        }
    }

    // rules S4, S5
    #[test]
    fn every_history_is_sound_and_a_refund_reopens_nothing(history in history()) {
        let ledger = history.play(|ledger, wanted, shared| {
            let before = ledger.summary();
            prop_assert!(before.sound);
            let Ok(shares) = shared else { return Ok(()) };
            let mut after = ledger.clone();
            for share in shares {
                after.add(wanted.kind, share.parent, share.amount, Status::Succeeded);
            }
            let after = after.summary();
            prop_assert!(after.sound);
            if wanted.kind == Kind::Refund {
                prop_assert_eq!(after.available_for_capture, before.available_for_capture);
                prop_assert_eq!(after.available_for_authorize, before.available_for_authorize);
                prop_assert_eq!(after.total_ever_captured, before.total_ever_captured);
            }
            Ok(())
        })?;
        prop_assert!(ledger.summary().sound);
    }

    // rule P5
    #[test]
    fn a_refusal_says_exactly_how_much_there_is(history in history()) {
        history.play(|ledger, wanted, _| {
            let asked = |minor| ledger.share(wanted.kind, minor, wanted.parent, &ABLE);
            let Err(Refusal::Exceeds(most)) = asked(wanted.amount.minor()) else { return Ok(()) };
            let most = most.minor();
            prop_assert!((0..wanted.amount.minor()).contains(&most));
            prop_assert!(most == 0 || asked(most).is_ok());
            prop_assert_eq!(asked(most + 1), Err(Refusal::Exceeds(euros(most))));
            Ok(())
        })?;
    }

    // rule P10
    #[test]
    fn a_provider_is_asked_for_nothing_that_it_cannot_do(history in history()) {
        let by = history.by;
        history.play(|ledger, wanted, shared| {
            for share in shared.iter().flatten() {
                let Some(parent) = share.parent else { continue };
                let live = |row: &&Model| row.parent_id == Some(parent) && row.status != Status::Failed;
                let captured = ledger.rows.iter().filter(live).any(|row| row.kind == Kind::Capture);
                let unanswered = ledger.rows.iter().filter(live).any(|row| row.status.is_unanswered());
                let whole = share.amount.minor() == ledger.left_of(parent);
                let can = match wanted.kind {
                    Kind::Capture => {
                        (whole || by.partial_capture)
                            && (!captured || by.repeated_capture)
                            && (!unanswered || !by.partial_capture_ends_authorization)
                    }
                    Kind::ReverseAuthorize => {
                        (whole || by.partial_reversal) && (!unanswered || !by.partial_capture_ends_authorization)
                    }
                    _ => true,
                };
                prop_assert!(can);
            }
            Ok(())
        })?;
    }
}

#[test]
fn the_histories_meet_every_kind_of_answer() {
    let mut met = [0; 6];
    let mut runner = TestRunner::deterministic();
    for _ in 0..2_000 {
        let history = history().new_tree(&mut runner).unwrap().current();
        let counted = history.play(|_, _, shared| {
            let answer = match shared {
                Ok(shares) => usize::from(shares.len() > 1),
                Err(Refusal::Exceeds(_)) => 2,
                Err(Refusal::Unsuitable(_)) => 3,
                Err(Refusal::Unsupported(_)) => 4,
                Err(Refusal::Unanswered) => 5,
                Err(Refusal::TooMany) => return Err(TestCaseError::fail("a history is shorter than that")),
            };
            met[answer] += 1;
            Ok(())
        });
        assert!(counted.is_ok());
    }
    assert!(met.iter().all(|times| *times >= 30), "{met:?}");
}

const STATUSES: [Status; 5] = [Status::Sent, Status::Pending, Status::Unknown, Status::Succeeded, Status::Failed];

const UNCOUNTED: [Option<ManagementState>; 5] = [
    Some(ManagementState::RequiresReversal),
    Some(ManagementState::ReversalInProgress),
    Some(ManagementState::Reversed),
    Some(ManagementState::FailedReversal),
    Some(ManagementState::ReversalTransaction),
];

const COUNTED: [Option<ManagementState>; 3] =
    [None, Some(ManagementState::ReversalCandidate), Some(ManagementState::AutomaticReversalNotAllowed)];

/// Any ledger at all, also one that can't come about.
fn any_ledger() -> impl Strategy<Value = Vec<Entry>> {
    let entry = any::<(u8, u8, u8, u8)>().prop_map(|(kind, status, state, minor)| {
        let states = [COUNTED.as_slice(), UNCOUNTED.as_slice()].concat();
        let management_state = pick(&states, state);
        Entry {
            kind: pick(&KINDS, kind),
            status: pick(&STATUSES, status),
            management_state,
            amount: euros(minor.into()),
        }
    });
    prop::collection::vec(entry, 0..12)
}

/// Rules S1 to S5, word for word.
fn as_the_rules_say(payment: i64, ledger: &[Entry]) -> PaymentSummary {
    let sum = |counts: &dyn Fn(&Entry) -> bool| -> i64 {
        ledger.iter().filter(|entry| counts(entry)).map(|entry| entry.amount.minor()).sum()
    };
    let known = |kind| {
        sum(&|it| it.kind == kind && it.status == Status::Succeeded && !UNCOUNTED.contains(&it.management_state))
    };
    let unanswered = |it: &Entry| [Status::Sent, Status::Pending, Status::Unknown].contains(&it.status);
    let pending = |kind| sum(&|it| it.kind == kind && unanswered(it));
    let undone = |kind| sum(&|it| it.kind == kind && unanswered(it) && UNCOUNTED.contains(&it.management_state));
    let (a, r, c) = (known(Kind::Authorize), known(Kind::ReverseAuthorize), known(Kind::Capture));
    let (s, f, d) = (known(Kind::AuthorizeAndCapture), known(Kind::Refund), known(Kind::DetachedCredit));
    let (pa, pr, pc) = (pending(Kind::Authorize), pending(Kind::ReverseAuthorize), pending(Kind::Capture));
    let (ps, pf, pd) = (pending(Kind::AuthorizeAndCapture), pending(Kind::Refund), pending(Kind::DetachedCredit));
    let stuck = Some(ManagementState::FailedReversal);
    let (charge, capture, refund) = (payment - (a - r) - s - pa - ps, a - r - c - pc - pr, c + s - f - pf);
    let bounds = [
        charge + undone(Kind::Authorize) + pr,
        capture + undone(Kind::ReverseAuthorize),
        refund + undone(Kind::Refund),
        a - r,
        c + s - f,
    ];
    PaymentSummary {
        authorized: euros(a - r),
        captured: euros(c + s - f),
        refunded: euros(f),
        credited: euros(d),
        total_ever_captured: euros(c + s),
        available_for_authorize: euros(charge.max(0)),
        available_for_authorize_and_capture: euros(charge.max(0)),
        available_for_capture: euros(capture.max(0)),
        available_for_reverse_authorization: euros(capture.max(0)),
        available_for_refund: euros(refund.max(0)),
        pending: euros(pa + pr + pc + ps + pf + pd),
        stuck_in_reversal: euros(sum(&|it| it.status == Status::Succeeded && it.management_state == stuck)),
        fully_authorized: a - r == payment,
        fully_captured: c + s - f == payment,
        partially_captured: 0 < c + s - f && c + s - f < payment,
        fully_refunded: c + s > 0 && f == c + s,
        sound: bounds.iter().all(|bound| *bound >= 0),
    }
}

proptest! {
    #![proptest_config(cases(100_000))]

    // rules S1 to S5
    #[test]
    fn the_summary_of_any_ledger_is_what_the_rules_say(payment in 1_i64..1_000, ledger in any_ledger()) {
        let summary = PaymentSummary::of(euros(payment), &ledger).unwrap();
        prop_assert_eq!(summary, as_the_rules_say(payment, &ledger));
    }
}

proptest! {
    #![proptest_config(cases(17_000))]

    // rules S1 to S5
    #[test]
    fn the_summary_of_any_history_is_what_the_rules_say(history in history()) {
        let ledger = history.play(|_, _, _| Ok(()))?;
        prop_assert_eq!(ledger.summary(), as_the_rules_say(history.payment, &ledger.entries()));
    }
}
