//! The lock-and-charge protocol, walked through whole: every order of events, every crash and every expiry of small worlds.
//!
//! Three server processes want to capture all of a payment's one authorization; there are two payments. Their steps are those of
//! `service/lock.rs` and `service/transaction.rs` (rules K1, K5, K7, P6, P7, R2): in one database transaction take the lock or check it, settle
//! first what is unanswered, check the bounds and write the transaction as SENT; look whether the lock still stands; send; record what was heard
//! and give the lock back. Locks and statuses change by `entity::lock::Model` and `entity::transaction::Status` themselves, never by a copy.
//!
//! Modelled: locks of one's own, a caller's lock with two requests inside it, verbs that are done within one database transaction; a process that
//! dies between any two database transactions or calls, and starts anew with its next job and nothing in memory; locks that run out at any instant,
//! also between the look and the call; calls that arrive late or never, answers that are lost, declines; a provider idempotent by reference.
//!
//! Not modelled: what happens inside a database transaction (it is one step here; row locks, isolation and failover are the database's), a provider
//! that forgets a reference, PENDING and webhooks, parts of an authorization and refunds (`tests/share.rs` has the amounts). Time is a distance: a
//! tick brings each expiry nearer, so no clock needs a bound. Whoever sleeps, or stays dead, is one whose turn doesn't come.

#![expect(
    clippy::indexing_slicing,
    reason = "processes, payments and rows are numbered; a wrong number fails the test"
)]

use std::{
    cell::RefCell,
    collections::HashSet,
    hash::{Hash, Hasher},
};

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    id::PaymentId,
    lock::{self, TokenHash},
    transaction::{Heard, Status},
};
use stateright::{Checker, Model, Property};
use uuid::Uuid;

const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;
const TICK: TimeDelta = TimeDelta::seconds(1);
const TTL: TimeDelta = TimeDelta::seconds(2);

/// A small world: who wants what, what may befall them, and what is wrong with the protocol.
#[derive(Clone, Copy)]
struct Protocol {
    work: Work,
    crashes: usize,
    ttl: TimeDelta,
    flaw: Option<Flaw>,
    /// Only this is looked for: the search ends with its first, and so shortest, counterexample.
    only: Option<&'static str>,
}

const SOUND: Protocol = Protocol { work: &[], crashes: 0, ttl: TTL, flaw: None, only: None };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// The database transaction that writes doesn't check the lock.
    NoFence,
    /// Lock and bounds are checked, but in a database transaction before the one that writes.
    ChecksThenWrites,
    /// Each call to the provider has a new reference.
    FreshReference,
    /// What is unanswered is neither settled nor counted.
    ForgetsUnanswered,
}

#[derive(Clone, Copy, Debug)]
enum Job {
    /// A capture without a token: under a lock of its own.
    Capture(usize),
    /// A caller locks the payment, captures with that token and unlocks.
    LockAndCapture(usize),
    /// Another request with the token of that process's first job.
    CaptureInLockOf(usize, usize),
    /// A verb that is done within one database transaction.
    PassThrough(usize),
}

/// The jobs of each process.
type Work = &'static [&'static [Job]];

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    payments: [Payment; 2],
    workers: Vec<Worker>,
    crashes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Payment {
    lock: Lock,
    captures: Vec<Capture>,
    /// What was written under, in this order.
    written: Vec<(i64, Token)>,
    /// What came of each reference at the provider.
    calls: Vec<Call>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Lock(lock::Model);

impl Hash for Lock {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.0.token_hash, self.0.fencing_number, self.0.expires_at).hash(state);
    }
}

/// A row of the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Capture {
    status: Status,
    reference: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Call {
    NotMade,
    /// It arrives at any later time, or never.
    Underway,
    Moved,
    Declined,
}

impl Call {
    fn heard(self) -> Heard {
        match self {
            Self::NotMade | Self::Underway => Heard::Nothing,
            Self::Moved => Heard::Succeeded,
            Self::Declined => Heard::Failed,
        }
    }
}

/// A process, and the number of its job.
type Token = [usize; 2];

fn hash([process, job]: Token) -> TokenHash {
    TokenHash([process.to_be_bytes(), job.to_be_bytes()].concat())
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Worker {
    jobs_done: usize,
    at: Step,
    refused: Option<Refusal>,
}

/// All that a process has in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Step {
    #[default]
    Rest,
    Deciding(Held),
    /// Only with [`Flaw::ChecksThenWrites`].
    Writing(Held),
    Looking(Held, Sending),
    /// It has looked and not sent yet: the window that nobody can close.
    Sending(Held, Sending),
    Waiting(Held, Sending, Sent),
    Unlocking(Held),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Held {
    payment: usize,
    token: Token,
    number: i64,
    whose: Whose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Whose {
    Own,
    Callers,
    /// The same caller's, who unlocks elsewhere.
    Shared,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Sending {
    capture: usize,
    /// Somebody's earlier one, before its own (rule R2).
    settling: bool,
}

/// The last two are noted only to see that the model gets there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Sent {
    reference: usize,
    after_takeover: bool,
    done_before: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Refusal {
    Busy,
    Lost,
    NotUnlocked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Does(usize, Deed),
    /// The provider gets a call, and moves the money or declines.
    Arrives {
        payment: usize,
        reference: usize,
        outcome: Call,
    },
    TimePasses,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Begins,
    Decides,
    Writes,
    Looks,
    Sends,
    Extends,
    RecordsTheAnswer,
    RecordsSilence,
    Unlocks,
    Dies,
}

impl Payment {
    fn new(number: u128) -> Self {
        let lock = Lock(lock::Model::new(PaymentId::from(Uuid::from_u128(number))));
        Self { lock, captures: vec![], written: vec![], calls: vec![] }
    }

    /// The look, and the fence.
    fn stands(&self, held: &Held) -> bool {
        self.lock.0.check(&hash(held.token), held.number, NOW).is_ok()
    }

    fn give_back(&mut self, held: &Held) -> Option<()> {
        self.lock = Lock(self.lock.0.give_back(&hash(held.token))?);
        Some(())
    }

    fn age(&mut self) {
        let lock = &mut self.lock.0;
        lock.expires_at = lock.expires_at.map(|at| NOW.max(at - TICK));
    }

    /// As SENT, with a reference of its own and the lock's number.
    fn write(&mut self, held: Held) -> Step {
        self.written.push((held.number, held.token));
        self.captures.push(Capture { status: Status::Sent, reference: self.calls.len() });
        self.calls.push(Call::NotMade);
        Step::Looking(held, Sending { capture: self.captures.len() - 1, settling: false })
    }

    fn unanswered(&self) -> Option<usize> {
        self.captures.iter().position(|capture| capture.status.is_unanswered())
    }

    fn count(&self, status: Status) -> usize {
        self.captures.iter().filter(|capture| capture.status == status).count()
    }

    fn moves(&self) -> usize {
        self.calls.iter().filter(|call| **call == Call::Moved).count()
    }
}

impl Worker {
    /// A way out: a lock of its own is given back in the same database transaction (rule K1).
    fn ends(&mut self, payment: &mut Payment, held: Held) {
        match held.whose {
            Whose::Own => {
                payment.give_back(&held);
                self.rests();
            }
            Whose::Callers => self.at = Step::Unlocking(held),
            Whose::Shared => self.rests(),
        }
    }

    fn is_refused(&mut self, payment: &mut Payment, held: Held) {
        self.refused = Some(Refusal::Lost);
        self.ends(payment, held);
    }

    fn rests(&mut self) {
        self.jobs_done += 1;
        self.at = Step::Rest;
    }
}

impl Protocol {
    fn start(&self) -> World {
        World {
            payments: [0, 1].map(Payment::new),
            workers: vec![Worker::default(); self.work.len()],
            crashes: self.crashes,
        }
    }

    /// What a process may do next, if it is its turn.
    fn deeds(&self, world: &World, process: usize) -> Vec<Deed> {
        let worker = &world.workers[process];
        let mut deeds = match worker.at {
            Step::Rest if worker.jobs_done == self.work[process].len() => return vec![],
            Step::Rest => return vec![Deed::Begins],
            Step::Deciding(_) => vec![Deed::Decides],
            Step::Writing(_) => vec![Deed::Writes],
            Step::Looking(..) => vec![Deed::Looks],
            Step::Sending(..) => vec![Deed::Sends],
            Step::Waiting(held, _, sent) => self.while_waiting(&world.payments[held.payment], held, sent),
            Step::Unlocking(_) => vec![Deed::Unlocks],
        };
        if world.crashes > 0 {
            deeds.push(Deed::Dies);
        }
        deeds
    }

    fn while_waiting(&self, payment: &Payment, held: Held, sent: Sent) -> Vec<Deed> {
        let mut deeds = vec![Deed::RecordsSilence];
        if payment.calls[sent.reference].heard() != Heard::Nothing {
            deeds.push(Deed::RecordsTheAnswer);
        }
        if self.extended(payment, held).is_some_and(|lock| lock != payment.lock) {
            deeds.push(Deed::Extends);
        }
        deeds
    }

    // rule K7
    fn extended(&self, payment: &Payment, held: Held) -> Option<Lock> {
        payment.lock.0.extend(&hash(held.token), NOW, self.ttl).map(Lock).ok()
    }

    fn does(&self, world: &mut World, process: usize, deed: Deed) {
        let World { payments, workers, crashes } = world;
        let worker = &mut workers[process];
        let (held, step) = match (worker.at, deed) {
            (Step::Rest, _) => return self.begins([process, worker.jobs_done], worker, payments),
            (_, Deed::Dies) => {
                *crashes -= 1;
                return worker.rests();
            }
            (Step::Deciding(held) | Step::Writing(held) | Step::Unlocking(held), _)
            | (Step::Looking(held, _) | Step::Sending(held, _) | Step::Waiting(held, ..), _) => (held, worker.at),
        };
        let payment = &mut payments[held.payment];
        match step {
            Step::Rest => {}
            Step::Deciding(_) => self.decides(worker, payment, held),
            Step::Writing(_) => worker.at = payment.write(held),
            Step::Looking(_, sending) if payment.stands(&held) => worker.at = Step::Sending(held, sending),
            Step::Looking(..) => worker.is_refused(payment, held),
            Step::Sending(_, sending) => worker.at = Step::Waiting(held, sending, self.sends(payment, held, sending)),
            Step::Waiting(..) if deed == Deed::Extends => {
                payment.lock = self.extended(payment, held).unwrap_or_else(|| payment.lock.clone());
            }
            Step::Waiting(_, sending, sent) => {
                let heard = payment.calls[sent.reference].heard();
                let heard = if deed == Deed::RecordsSilence { Heard::Nothing } else { heard };
                Self::records(worker, payment, held, sending, heard);
            }
            Step::Unlocking(_) => {
                // rule K6
                worker.refused = payment.give_back(&held).is_none().then_some(Refusal::NotUnlocked);
                worker.rests();
            }
        }
    }

    fn begins(&self, token: Token, worker: &mut Worker, payments: &mut [Payment; 2]) {
        worker.refused = None;
        let job = self.work[token[0]][token[1]];
        let (Job::Capture(at) | Job::LockAndCapture(at) | Job::CaptureInLockOf(_, at) | Job::PassThrough(at)) = job;
        let payment = &mut payments[at];
        let lock = match job {
            Job::Capture(_) | Job::LockAndCapture(_) => payment.lock.0.take(hash(token), None, NOW, self.ttl),
            Job::CaptureInLockOf(..) => Ok(payment.lock.0.clone()),
            Job::PassThrough(_) => payment.lock.0.take_and_give_back(NOW),
        };
        let Ok(lock) = lock else {
            // rule K2
            worker.refused = Some(Refusal::Busy);
            return worker.rests();
        };
        let held = |token, whose| Held { payment: at, token, number: lock.fencing_number, whose };
        payment.lock = Lock(lock.clone());
        match job {
            Job::Capture(_) => self.decides(worker, payment, held(token, Whose::Own)),
            Job::LockAndCapture(_) => worker.at = Step::Deciding(held(token, Whose::Callers)),
            Job::CaptureInLockOf(another, _) => self.decides(worker, payment, held([another, 0], Whose::Shared)),
            Job::PassThrough(_) => {
                payment.written.push((lock.fencing_number, token));
                worker.rests();
            }
        }
    }

    /// The database transaction that commits to something: to a capture of its own, or to settling an earlier one first.
    fn decides(&self, worker: &mut Worker, payment: &mut Payment, held: Held) {
        let flawed_by = |flaw| self.flaw == Some(flaw);
        if !payment.stands(&held) && !flawed_by(Flaw::NoFence) {
            return worker.is_refused(payment, held);
        }
        match payment.unanswered() {
            Some(capture) if !flawed_by(Flaw::ForgetsUnanswered) => {
                worker.at = Step::Looking(held, Sending { capture, settling: true });
            }
            _ if payment.count(Status::Succeeded) > 0 => worker.ends(payment, held),
            _ if flawed_by(Flaw::ChecksThenWrites) => worker.at = Step::Writing(held),
            _ => worker.at = payment.write(held),
        }
    }

    fn sends(&self, payment: &mut Payment, held: Held, sending: Sending) -> Sent {
        let mut reference = payment.captures[sending.capture].reference;
        if self.flaw == Some(Flaw::FreshReference) {
            reference = payment.calls.len();
            payment.calls.push(Call::NotMade);
        }
        let call = &mut payment.calls[reference];
        if *call == Call::NotMade {
            *call = Call::Underway;
        }
        let after_takeover = payment.lock.0.fencing_number > held.number;
        Sent { reference, after_takeover, done_before: *call == Call::Moved }
    }

    /// Whatever became of the lock meanwhile (rule P7).
    fn records(worker: &mut Worker, payment: &mut Payment, held: Held, sending: Sending, heard: Heard) {
        let capture = &mut payment.captures[sending.capture];
        capture.status = capture.status.on(heard).unwrap_or(capture.status);
        if sending.settling && !capture.status.is_unanswered() {
            worker.at = Step::Deciding(held);
        } else {
            worker.ends(payment, held);
        }
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.start()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for process in 0..world.workers.len() {
            actions.extend(self.deeds(world, process).into_iter().map(|deed| Action::Does(process, deed)));
        }
        for (payment, Payment { calls, .. }) in world.payments.iter().enumerate() {
            for reference in (0..calls.len()).filter(|reference| calls[*reference] == Call::Underway) {
                let arrives = |outcome| Action::Arrives { payment, reference, outcome };
                actions.extend([Call::Moved, Call::Declined].map(arrives));
            }
        }
        if world.payments.iter().any(|payment| payment.lock.0.holder_at(NOW).is_err()) {
            actions.push(Action::TimePasses);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut world = world.clone();
        match action {
            Action::Does(process, deed) => self.does(&mut world, process, deed),
            Action::Arrives { payment, reference, outcome } => world.payments[payment].calls[reference] = outcome,
            Action::TimePasses => world.payments.iter_mut().for_each(Payment::age),
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = what_must_hold();
        properties.extend(what_must_be_seen());
        properties.retain(|property| self.only.is_none_or(|only| only == property.name));
        properties
    }
}

const ONE_WRITER: &str = "no two writers under one fencing number";
const ONE_PROMISE: &str = "the books never promise more than there is";
const ONE_CHARGE: &str = "no double charge";

type Condition = fn(&Protocol, &World) -> bool;

fn always(name: &'static str, condition: Condition) -> Property<Protocol> {
    Property::always(name, condition)
}

fn sometimes(name: &'static str, condition: Condition) -> Property<Protocol> {
    Property::sometimes(name, condition)
}

fn what_must_hold() -> Vec<Property<Protocol>> {
    vec![
        // rule K5
        always(ONE_WRITER, |_, world| world.payments.iter().all(Payment::has_a_writer_a_number)),
        // rule P4
        always(ONE_PROMISE, |_, world| {
            world.payments.iter().all(|payment| payment.captures.len() <= 1 + payment.count(Status::Failed))
        }),
        // rule P8
        always(ONE_CHARGE, |_, world| world.payments.iter().all(|payment| payment.moves() <= 1)),
        always("what the books say is what the provider did", |_, world| {
            world.payments.iter().all(Payment::has_true_books)
        }),
        // rule P2
        always("no answer contradicts an earlier one", |_, world| {
            world.waiting().all(|(payment, _, sending, sent)| {
                let status = payment.captures[sending.capture].status;
                !status.contradicts(payment.calls[sent.reference].heard())
            })
        }),
        // rule K3
        always("a lock is free once its time is over", |protocol, world| {
            let later = NOW + protocol.ttl;
            let free = |lock: &Lock| lock.0.take(TokenHash(vec![]), None, later, protocol.ttl).is_ok();
            world.payments.iter().all(|payment| free(&payment.lock))
        }),
        // rule R1
        always("one undisturbed worker ends what others left", |_, world| {
            let new = |payment: &Payment| LOOKED_AT.with_borrow_mut(|payments| payments.insert(payment.clone()));
            world.payments.iter().all(|payment| !new(payment) || payment.can_be_ended())
        }),
        Property::eventually("every process comes to rest", |protocol: &Protocol, world: &World| {
            world.workers.iter().zip(protocol.work).all(|(worker, jobs)| worker.jobs_done == jobs.len())
        }),
    ]
}

/// So that a model in which nothing happens doesn't pass.
fn what_must_be_seen() -> Vec<Property<Protocol>> {
    vec![
        sometimes("somebody sends after a takeover", |_, world| {
            world.waiting().any(|(_, _, _, sent)| sent.after_takeover)
        }),
        sometimes("a recovery repeats a call that had been done", |_, world| {
            world.waiting().any(|(_, _, sending, sent)| sending.settling && sent.done_before)
        }),
        // rule P7
        sometimes("an answer comes after the lock was lost", |_, world| {
            world
                .waiting()
                .any(|(payment, held, _, sent)| payment.calls[sent.reference] == Call::Moved && !payment.stands(&held))
        }),
        // rule K5
        sometimes("somebody is refused because the lock is lost", |_, world| world.saw(Refusal::Lost)),
        // rule K2
        sometimes("somebody is refused because another holds it", |_, world| world.saw(Refusal::Busy)),
        // rule K6
        sometimes("an old token unlocks nothing", |_, world| world.saw(Refusal::NotUnlocked)),
        sometimes("a capture succeeds after one that was declined", |_, world| {
            world.payments.iter().any(|payment| payment.count(Status::Failed) * payment.count(Status::Succeeded) > 0)
        }),
    ]
}

thread_local! {
    /// A payment looks the same in many worlds.
    static LOOKED_AT: RefCell<HashSet<Payment>> = RefCell::default();
}

impl Payment {
    fn has_a_writer_a_number(&self) -> bool {
        self.written.windows(2).all(|two| two[0].0 < two[1].0 || two[0] == two[1])
    }

    fn has_true_books(&self) -> bool {
        self.captures.iter().all(|capture| match capture.status {
            Status::Succeeded => self.calls[capture.reference] == Call::Moved,
            Status::Failed => self.calls[capture.reference] == Call::Declined,
            Status::Sent | Status::Pending | Status::Unknown => true,
        })
    }

    /// Whether one more process, when the lock has run out and all others stay dead, brings it to its end.
    fn can_be_ended(&self) -> bool {
        let recovery = Protocol { work: &[&[], &[], &[], &[Job::Capture(0)]], ..SOUND };
        let mut world = recovery.start();
        world.payments[0] = self.clone();
        while world.payments[0].lock.0.holder_at(NOW).is_err() {
            world.payments[0].age();
        }
        let undisturbed = |action: &Action| match action {
            Action::Does(_, deed) => !matches!(deed, Deed::Extends | Deed::RecordsSilence),
            Action::Arrives { outcome, .. } => *outcome == Call::Moved,
            Action::TimePasses => false,
        };
        let mut actions = vec![];
        loop {
            recovery.actions(&world, &mut actions);
            let Some(action) = actions.drain(..).find(undisturbed) else { break };
            let Some(next) = recovery.next_state(&world, action) else { break };
            world = next;
        }
        let payment = &world.payments[0];
        payment.unanswered().is_none() && payment.moves() == 1 && payment.count(Status::Succeeded) == 1
    }
}

impl World {
    fn waiting(&self) -> impl Iterator<Item = (&Payment, Held, Sending, Sent)> {
        self.workers.iter().filter_map(|worker| match worker.at {
            Step::Waiting(held, sending, sent) => Some((&self.payments[held.payment], held, sending, sent)),
            _ => None,
        })
    }

    fn saw(&self, refusal: Refusal) -> bool {
        self.workers.iter().any(|worker| worker.refused == Some(refusal))
    }
}

const CALLERS_LOCK: &[Job] = &[Job::LockAndCapture(0)];
const TWO_CAPTURES: Work = &[&[Job::Capture(0)], &[Job::Capture(0)]];

fn passes(protocol: Protocol) {
    let checker = protocol.checker().spawn_bfs().join();
    checker.assert_properties();
    assert!(checker.is_done());
    let worlds = checker.unique_state_count();
    assert!(worlds >= 5_000, "only {worlds} worlds were seen");
    eprintln!("{worlds}");
}

#[test]
fn three_processes_capture_each_of_two_payments_once() {
    passes(Protocol { work: &[CALLERS_LOCK, &[Job::Capture(0)], &[Job::Capture(1)]], crashes: 1, ..SOUND });
}

#[test]
fn two_requests_within_a_callers_lock_capture_once() {
    let work = &[CALLERS_LOCK, &[Job::CaptureInLockOf(0, 0)], &[Job::Capture(0)]];
    passes(Protocol { work, crashes: 1, ..SOUND });
}

#[test]
fn who_starts_anew_with_nothing_in_memory_captures_once() {
    let work = &[CALLERS_LOCK, &[Job::Capture(0), Job::Capture(0)], &[Job::PassThrough(0)]];
    passes(Protocol { work, crashes: 1, ..SOUND });
}

#[test]
#[ignore = "takes minutes"]
fn a_larger_world_holds_nothing_new() {
    let work: Work = &[
        &[Job::LockAndCapture(0), Job::Capture(1)],
        &[Job::Capture(0), Job::Capture(1)],
        &[Job::CaptureInLockOf(0, 0)],
    ];
    passes(Protocol { work, crashes: 1, ttl: TTL, ..SOUND });
}

/// The shortest way to where the property doesn't hold.
fn counterexample(flaw: Flaw, only: &'static str, work: Work) -> String {
    let flawed = Protocol { work, crashes: 1, flaw: Some(flaw), only: Some(only), ..SOUND };
    let path = flawed.checker().spawn_bfs().join().assert_any_discovery(only);
    path.into_actions().into_iter().map(told).collect()
}

fn told(action: Action) -> String {
    match action {
        Action::Does(process, deed) => format!("process {process}: {deed:?}\n"),
        Action::Arrives { payment, reference, outcome } => {
            format!("provider: {outcome:?}, payment {payment}, reference {reference}\n")
        }
        Action::TimePasses => "time passes\n".into(),
    }
}

// rule K5
#[test]
fn without_the_fence_a_stale_holder_writes() {
    let work = &[CALLERS_LOCK, &[Job::PassThrough(0)]];
    insta::assert_snapshot!(counterexample(Flaw::NoFence, ONE_WRITER, work), @"");
}

// rule K5
#[test]
fn a_check_in_an_earlier_transaction_is_no_fence() {
    insta::assert_snapshot!(counterexample(Flaw::ChecksThenWrites, ONE_PROMISE, TWO_CAPTURES), @"");
}

#[test]
fn a_check_in_an_earlier_transaction_charges_twice() {
    let work: Work = &[&[Job::Capture(0)], &[Job::Capture(0)], &[Job::Capture(0)]];
    insta::assert_snapshot!(counterexample(Flaw::ChecksThenWrites, ONE_CHARGE, work), @"");
}

// rule P8
#[test]
fn a_fresh_reference_for_each_call_charges_twice() {
    insta::assert_snapshot!(counterexample(Flaw::FreshReference, ONE_CHARGE, TWO_CAPTURES), @"");
}

// rules P4, R2
#[test]
fn who_forgets_what_is_unanswered_charges_twice() {
    insta::assert_snapshot!(counterexample(Flaw::ForgetsUnanswered, ONE_CHARGE, TWO_CAPTURES), @"");
}
