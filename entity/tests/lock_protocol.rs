//! The lock-and-charge protocol, walked through whole: every order of events, every crash and every expiry of a small world.
//!
//! Three processes, each a server, want to capture all of a payment's one authorization; there are two payments. Their steps are those of
//! `service/lock.rs` and `service/transaction.rs` (rules P6, R2, K1, K5, K7): in one database transaction take the lock or check it, settle first what
//! is unanswered, check the bounds and write the transaction as SENT; look whether the lock still stands; send; record what was heard, and give the
//! lock back. Locks and statuses change by `entity::lock::Model` and `entity::transaction::Status` themselves: whoever changes those, changes this model.
//!
//! Modelled: own locks, a caller's lock with several requests inside it, work done within one database transaction; crashes between any two
//! database transactions or calls, and the same request again by a process that remembers nothing; locks that run out at any instant, a sleep
//! between the look and the call included; calls that arrive late or never, answers that are lost, declines; a provider that is idempotent by reference.
//!
//! Not modelled: a database transaction is one step (its row lock, isolation and lost tails at failover are the database's), a provider that
//! forgets a reference, PENDING and webhooks, parts of an authorization, refunds (`tests/share.rs` has the amounts). Time is a distance: a tick
//! brings every expiry nearer, so that clocks need no bound. A process that stays dead is one that is never its turn again.

#![expect(clippy::indexing_slicing, reason = "processes, payments and rows are numbered; a wrong number fails the test")]

use std::hash::{Hash, Hasher};

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
const TTL: TimeDelta = TimeDelta::seconds(1);

/// One world: who wants what, how often somebody may crash, and what is wrong with the protocol.
#[derive(Clone)]
struct Protocol {
    work: [&'static [Job]; 3],
    crashes: u8,
    flaw: Option<Flaw>,
    /// Only this property is checked: the search ends at its first, and so shortest, counterexample.
    only: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// The transaction that writes doesn't check the lock.
    NoFence,
    /// It does, and the bounds too, but commits before it writes.
    ChecksThenWrites,
    /// Each call to the provider gets a reference of its own.
    FreshReference,
    /// What is unanswered is neither settled nor reserved.
    ForgetsUnanswered,
}

#[derive(Clone, Copy, Debug)]
enum Job {
    /// A capture without a token: under a lock of its own.
    Capture(usize),
    /// A caller locks the payment, captures with that token, and unlocks.
    LockAndCapture(usize),
    /// Another request of the caller whose first lock that process took.
    CaptureInLockOf(usize, usize),
    /// Any verb that is done within one database transaction.
    PassThrough(usize),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    payments: [Payment; 2],
    workers: [Worker; 3],
    crashes: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Payment {
    lock: Lock,
    rows: Vec<Row>,
    /// The numbers and tokens that were written under, in this order.
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

/// A capture in the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Row {
    status: Status,
    reference: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Call {
    NotMade,
    /// On its way: it arrives at any later time, or never.
    Underway,
    Moved,
    Declined,
}

/// Whose it is, and how many they had before.
type Token = [usize; 2];

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Worker {
    jobs_done: usize,
    at: Step,
    refused: Option<Refusal>,
}

/// All that a process has in memory; a crash takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Rest,
    Deciding(Held),
    /// Only where the protocol is flawed.
    Writing(Held),
    Looking(Held, Sending),
    /// It has looked; the window that nobody can close.
    Sending(Held, Sending),
    Waiting(Held, Sending, usize, Remark),
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
    Another,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Sending {
    row: usize,
    /// It is an earlier one that is settled before the process's own (rule R2).
    settling: bool,
}

/// What the model notes of a call, to see that it got there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Remark {
    InTime,
    AfterTakeover,
    Repeated,
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
    Arrives { payment: usize, reference: usize, answer: Call },
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
    Crashes,
}

fn hash(token: Token) -> TokenHash {
    TokenHash(token.iter().flat_map(|part| part.to_be_bytes()).collect())
}

impl Payment {
    fn new(number: u128) -> Self {
        let lock = Lock(lock::Model::new(PaymentId::from(Uuid::from_u128(number))));
        Self { lock, rows: vec![], written: vec![], calls: vec![] }
    }

    fn stands(&self, held: &Held) -> bool {
        self.lock.0.check(&hash(held.token), held.number, NOW).is_ok()
    }

    fn unanswered(&self) -> Option<usize> {
        self.rows.iter().position(|row| row.status.is_unanswered())
    }

    fn moves(&self) -> usize {
        self.calls.iter().filter(|call| **call == Call::Moved).count()
    }

    fn count(&self, status: Status) -> usize {
        self.rows.iter().filter(|row| row.status == status).count()
    }

    fn age(&mut self) {
        let lock = &mut self.lock.0;
        lock.expires_at = lock.expires_at.map(|at| NOW.max(at - TICK));
    }

    fn give_back(&mut self, held: &Held) -> bool {
        let freed = self.lock.0.give_back(&hash(held.token));
        freed.map(|lock| self.lock = Lock(lock)).is_some()
    }

    /// The transaction as SENT, with a reference of its own and the lock's number.
    fn write(&mut self, held: Held) -> Step {
        self.written.push((held.number, held.token));
        self.rows.push(Row { status: Status::Sent, reference: self.calls.len() });
        self.calls.push(Call::NotMade);
        Step::Looking(held, Sending { row: self.rows.len() - 1, settling: false })
    }
}

impl Worker {
    fn new() -> Self {
        Self { jobs_done: 0, at: Step::Rest, refused: None }
    }

    /// A way out of the verb: a lock of its own is given back in the same database transaction (rule K1).
    fn ends(&mut self, payment: &mut Payment, held: Held) {
        self.at = match held.whose {
            Whose::Own => {
                payment.give_back(&held);
                self.rest()
            }
            Whose::Callers => Step::Unlocking(held),
            Whose::Another => self.rest(),
        };
    }

    fn rest(&mut self) -> Step {
        self.jobs_done += 1;
        Step::Rest
    }
}

impl Protocol {
    fn all_work_is_done(&self, world: &World) -> bool {
        world.workers.iter().zip(self.work).all(|(worker, jobs)| worker.jobs_done == jobs.len())
    }

    fn begins(&self, process: usize, worker: &mut Worker, payments: &mut [Payment; 2]) {
        worker.refused = None;
        let token = [process, worker.jobs_done];
        let hash = hash(token);
        let job = self.work[process][worker.jobs_done];
        let (Job::Capture(at) | Job::LockAndCapture(at) | Job::CaptureInLockOf(_, at) | Job::PassThrough(at)) = job;
        let payment = &mut payments[at];
        let lock = match job {
            Job::CaptureInLockOf(..) => Ok(payment.lock.0.clone()),
            Job::PassThrough(_) => payment.lock.0.take_and_give_back(NOW),
            Job::Capture(_) | Job::LockAndCapture(_) => payment.lock.0.take(hash, None, NOW, TTL),
        };
        let Ok(lock) = lock else {
            worker.refused = Some(Refusal::Busy);
            worker.at = worker.rest();
            return;
        };
        let number = lock.fencing_number;
        payment.lock = Lock(lock);
        match job {
            Job::Capture(_) => self.decides(worker, payment, Held { payment: at, token, number, whose: Whose::Own }),
            Job::LockAndCapture(_) => {
                worker.at = Step::Deciding(Held { payment: at, token, number, whose: Whose::Callers });
            }
            Job::CaptureInLockOf(other, _) => {
                let token = [other, 0];
                self.decides(worker, payment, Held { payment: at, token, number, whose: Whose::Another });
            }
            Job::PassThrough(_) => {
                payment.written.push((number, token));
                worker.at = worker.rest();
            }
        }
    }

    /// The transaction that commits to something: its own row, or an earlier one that is to be settled first.
    fn decides(&self, worker: &mut Worker, payment: &mut Payment, held: Held) {
        if !payment.stands(&held) && self.flaw != Some(Flaw::NoFence) {
            worker.refused = Some(Refusal::Lost);
            return worker.ends(payment, held);
        }
        let unanswered = payment.unanswered().filter(|_| self.flaw != Some(Flaw::ForgetsUnanswered));
        if let Some(row) = unanswered {
            worker.at = Step::Looking(held, Sending { row, settling: true });
        } else if payment.count(Status::Succeeded) > 0 {
            worker.ends(payment, held);
        } else if self.flaw == Some(Flaw::ChecksThenWrites) {
            worker.at = Step::Writing(held);
        } else {
            worker.at = payment.write(held);
        }
    }

    fn sends(&self, payment: &mut Payment, held: Held, sending: Sending) -> Step {
        let mut reference = payment.rows[sending.row].reference;
        if self.flaw == Some(Flaw::FreshReference) {
            reference = payment.calls.len();
            payment.calls.push(Call::NotMade);
        }
        let taken = payment.lock.0.fencing_number > held.number;
        let call = &mut payment.calls[reference];
        let remark = match call {
            Call::Moved => Remark::Repeated,
            _ if taken => Remark::AfterTakeover,
            _ => Remark::InTime,
        };
        if *call == Call::NotMade {
            *call = Call::Underway;
        }
        Step::Waiting(held, sending, reference, remark)
    }

    /// Whatever became of the lock (rule P7).
    fn records(worker: &mut Worker, payment: &mut Payment, held: Held, sending: Sending, heard: Heard) {
        let row = &mut payment.rows[sending.row];
        row.status = row.status.on(heard).unwrap_or(row.status);
        if sending.settling && !row.status.is_unanswered() {
            worker.at = Step::Deciding(held);
        } else {
            worker.ends(payment, held);
        }
    }

    fn does(&self, world: &mut World, process: usize, deed: Deed) {
        let World { payments, workers, crashes } = world;
        let worker = &mut workers[process];
        match (worker.at, deed) {
            (Step::Rest, _) => self.begins(process, worker, payments),
            (_, Deed::Crashes) => {
                *crashes -= 1;
                worker.at = worker.rest();
            }
            (Step::Deciding(held), _) => self.decides(worker, &mut payments[held.payment], held),
            (Step::Writing(held), _) => worker.at = payments[held.payment].write(held),
            (Step::Looking(held, sending), _) if payments[held.payment].stands(&held) => {
                worker.at = Step::Sending(held, sending);
            }
            (Step::Looking(held, _), _) => {
                worker.refused = Some(Refusal::Lost);
                worker.ends(&mut payments[held.payment], held);
            }
            (Step::Sending(held, sending), _) => {
                worker.at = self.sends(&mut payments[held.payment], held, sending);
            }
            (Step::Waiting(held, ..), Deed::Extends) => {
                let lock = &mut payments[held.payment].lock.0;
                *lock = lock.extend(&hash(held.token), NOW, TTL).unwrap_or_else(|_| lock.clone());
            }
            (Step::Waiting(held, sending, reference, _), _) => {
                let payment = &mut payments[held.payment];
                let heard = if deed == Deed::RecordsSilence { Heard::Nothing } else { payment.calls[reference].heard() };
                Self::records(worker, payment, held, sending, heard);
            }
            (Step::Unlocking(held), _) => {
                // rule K6
                if !payments[held.payment].give_back(&held) {
                    worker.refused = Some(Refusal::NotUnlocked);
                }
                worker.at = worker.rest();
            }
        }
    }

    /// What this process may do next, besides sleeping.
    fn deeds(&self, world: &World, process: usize) -> Vec<Deed> {
        let worker = &world.workers[process];
        let mut deeds = match worker.at {
            Step::Rest if worker.jobs_done < self.work[process].len() => return vec![Deed::Begins],
            Step::Rest => return vec![],
            Step::Deciding(_) => vec![Deed::Decides],
            Step::Writing(_) => vec![Deed::Writes],
            Step::Looking(..) => vec![Deed::Looks],
            Step::Sending(..) => vec![Deed::Sends],
            Step::Waiting(held, _, reference, _) => {
                let payment = &world.payments[held.payment];
                let mut deeds = vec![Deed::RecordsSilence];
                if payment.calls[reference].heard() != Heard::Nothing {
                    deeds.push(Deed::RecordsTheAnswer);
                }
                if payment.lock.0.extend(&hash(held.token), NOW, TTL).is_ok_and(|lock| lock != payment.lock.0) {
                    deeds.push(Deed::Extends);
                }
                deeds
            }
            Step::Unlocking(_) => vec![Deed::Unlocks],
        };
        if world.crashes > 0 {
            deeds.push(Deed::Crashes);
        }
        deeds
    }
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

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let payments = [Payment::new(0), Payment::new(1)];
        vec![World { payments, workers: [(); 3].map(|()| Worker::new()), crashes: self.crashes }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for process in 0..world.workers.len() {
            actions.extend(self.deeds(world, process).into_iter().map(|deed| Action::Does(process, deed)));
        }
        for (payment, Payment { calls, .. }) in world.payments.iter().enumerate() {
            for reference in (0..calls.len()).filter(|reference| calls[*reference] == Call::Underway) {
                let outcome = |answer| Action::Arrives { payment, reference, answer };
                actions.extend([Call::Moved, Call::Declined].map(outcome));
            }
        }
        if world.payments.iter().any(|payment| payment.lock.0.expires_at > Some(NOW)) {
            actions.push(Action::TimePasses);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut world = world.clone();
        match action {
            Action::Does(process, deed) => self.does(&mut world, process, deed),
            Action::Arrives { payment, reference, answer } => world.payments[payment].calls[reference] = answer,
            Action::TimePasses => world.payments.iter_mut().for_each(Payment::age),
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = never_otherwise();
        properties.push(Property::eventually("every process comes to rest", Self::all_work_is_done));
        properties.extend(seen_at_least_once());
        properties.retain(|property| self.only.is_none_or(|only| only == property.name));
        properties
    }
}

const ONE_WRITER: &str = "no two writers under one fencing number";
const ONE_PROMISE: &str = "the books never promise more than there is";
const ONE_CHARGE: &str = "no double charge";

fn never_otherwise() -> Vec<Property<Protocol>> {
    vec![
        // rule K5
        Property::always(ONE_WRITER, |_, world: &World| world.payments.iter().all(Payment::has_one_writer_a_number)),
        // rule P4
        Property::always(ONE_PROMISE, |_, world: &World| {
            world.payments.iter().all(|payment| payment.promises() <= 1)
        }),
        // rule P8
        Property::always(ONE_CHARGE, |_, world: &World| world.payments.iter().all(|payment| payment.moves() <= 1)),
        Property::always("what the books call succeeded moved, once", |_, world: &World| {
            world.payments.iter().all(Payment::books_are_true)
        }),
        // rule P2
        Property::always("no answer contradicts an earlier one", |_, world: &World| {
            world.workers.iter().all(|worker| match worker.at {
                Step::Waiting(held, sending, reference, _) => {
                    let payment = &world.payments[held.payment];
                    !payment.rows[sending.row].status.contradicts(payment.calls[reference].heard())
                }
                _ => true,
            })
        }),
        // rule K3
        Property::always("a lock whose time is over is free", |_, world: &World| {
            let token = TokenHash(vec![]);
            world.payments.iter().all(|payment| payment.lock.0.take(token.clone(), None, NOW + TTL, TTL).is_ok())
        }),
        // rule R1
        Property::always("one undisturbed worker ends all work", |_, world: &World| {
            world.payments.iter().all(|payment| {
                let new = LOOKED_AT.with_borrow_mut(|payments| payments.insert(payment.clone()));
                !new || payment.can_be_finished()
            })
        }),
    ]
}

/// So that a model in which nothing happens doesn't pass.
fn seen_at_least_once() -> Vec<Property<Protocol>> {
    vec![
        Property::sometimes("somebody sends after a takeover", |_, world: &World| world.remarks(Remark::AfterTakeover)),
        Property::sometimes("a recovery repeats a call that had been done", |_, world: &World| world.remarks(Remark::Repeated)),
        Property::sometimes("somebody is refused because the lock is lost", |_, world: &World| world.saw(Refusal::Lost)),
        Property::sometimes("somebody is refused because another holds the lock", |_, world: &World| world.saw(Refusal::Busy)),
        Property::sometimes("an old token unlocks nothing", |_, world: &World| world.saw(Refusal::NotUnlocked)),
        Property::sometimes("a declined capture is followed by one that succeeds", |_, world: &World| {
            world.payments.iter().any(|payment| payment.count(Status::Failed) * payment.count(Status::Succeeded) > 0)
        }),
        // rule P7
        Property::sometimes("an answer is recorded although the lock is lost", |_, world: &World| {
            world.workers.iter().any(|worker| match worker.at {
                Step::Waiting(held, _, reference, _) => {
                    let payment = &world.payments[held.payment];
                    payment.calls[reference].heard() != Heard::Nothing && !payment.stands(&held)
                }
                _ => false,
            })
        }),
    ]
}

impl Payment {
    fn has_one_writer_a_number(&self) -> bool {
        self.written.is_sorted_by_key(|(number, _)| number)
            && self.written.windows(2).all(|two| two[0].0 != two[1].0 || two[0].1 == two[1].1)
    }

    fn promises(&self) -> usize {
        self.rows.iter().filter(|row| row.status != Status::Failed).count()
    }

    fn books_are_true(&self) -> bool {
        self.rows.iter().all(|row| match row.status {
            Status::Succeeded => self.calls[row.reference] == Call::Moved,
            Status::Failed => self.calls[row.reference] == Call::Declined,
            Status::Sent | Status::Pending | Status::Unknown => true,
        })
    }
}

impl World {
    fn remarks(&self, wanted: Remark) -> bool {
        self.workers.iter().any(|worker| matches!(worker.at, Step::Waiting(.., remark) if remark == wanted))
    }

    fn saw(&self, refusal: Refusal) -> bool {
        self.workers.iter().any(|worker| worker.refused == Some(refusal))
    }
}

thread_local! {
    /// A payment is the same in many worlds.
    static LOOKED_AT: RefCell<HashSet<Payment>> = RefCell::default();
}

impl Payment {
    /// Whether one more process, started when the lock has run out and every other one is dead, brings everything to its end.
    fn can_be_finished(&self) -> bool {
        let recovery = Protocol { work: [&[], &[], &[Job::Capture(0), Job::Capture(0)]], crashes: 0, ..SOUND };
        let mut world = recovery.start();
        world.payments[0] = self.clone();
        world.workers[2].jobs_done = RECOVERY;
        while self.0.payments.iter().any(|payment| payment.lock.0.holder_at(NOW).is_err()) {
            world.payments.iter_mut().for_each(Payment::age);
        }
        let mut actions = vec![];
        loop {
            actions.clear();
            recovery.actions(&world, &mut actions);
            actions.retain(|action| match action {
                Action::Does(_, deed) => !matches!(deed, Deed::Extends | Deed::RecordsSilence),
                Action::Arrives { answer, .. } => *answer == Call::Moved,
                Action::TimePasses => false,
            });
            match actions.pop().and_then(|action| recovery.next_state(&world, action)) {
                Some(next) => world = next,
                None => break,
            }
        }
        let payment = &world.payments[0];
        payment.unanswered().is_none() && payment.moves() == 1 && payment.count(Status::Succeeded) == 1
    }
}

const SOUND: Protocol = Protocol { work: [&[], &[], &[]], crashes: 1, flaw: None, only: None };

fn measure(protocol: Protocol) {
    let start = std::time::Instant::now();
    let checker = protocol.checker().spawn_bfs().join();
    eprintln!("{} unique, {} states, depth {}, {:?}", checker.unique_state_count(), checker.state_count(), checker.max_depth(), start.elapsed());
    for (name, path) in checker.discoveries() { eprintln!("  {name}: {}", path.into_actions().len()); }
}



#[test]
fn m1() { measure(Protocol { work: [&[Job::LockAndCapture(0)], &[Job::Capture(0)], &[Job::Capture(1)]], crashes: 1, ..SOUND }); }
#[test]
fn m2() { measure(Protocol { work: [&[Job::LockAndCapture(0)], &[Job::CaptureInLockOf(0, 0)], &[Job::Capture(0)]], crashes: 0, ..SOUND }); }
#[test]
fn m3() { measure(Protocol { work: [&[Job::Capture(0)], &[Job::Capture(0)], &[Job::Capture(1)]], crashes: 1, ..SOUND }); }
#[test]
fn m5() { measure(Protocol { work: [&[Job::Capture(0)], &[Job::Capture(0)], &[Job::Capture(0)]], crashes: 1, ..SOUND }); }
