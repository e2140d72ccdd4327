//! The lock-and-charge protocol, walked through whole: every order of events, every crash and every expiry of small worlds.
//!
//! Three server processes want to capture all of a payment's one authorization; there are two payments. Their steps are those of `service/lease.rs`
//! (enter, hold, still_stands, keep, leave, pass), `service/work.rs` (begin, send, stop), `service/recovery.rs` (settle, ask_after, repeat) and
//! `service/answer.rs` (record), rules K1, K5, K7, P6 to P8 and R2: in one database transaction take the lock or check it, and write the capture as
//! SENT if the bounds allow it, or else settle first what is unanswered; look whether the lock still stands; send, or withdraw; record what was heard and
//! give the lock back. Locks and statuses change by `entity::lock::Model` and `entity::transaction::Status` themselves, never by a copy.
//!
//! Modelled: locks of one's own, a caller's lock with two requests inside it, verbs that are done within one database transaction; a process that
//! dies between any two database transactions or calls, and starts anew with its next job and nothing in memory; locks that run out at any instant,
//! also between the look and the call; calls that never leave, arrive late or never, lost answers, declines; a provider idempotent by reference.
//!
//! Not modelled: what happens inside a database transaction (it is one step here; row locks, isolation and failover are the database's), a provider
//! that forgets a reference, PENDING and webhooks, idempotency keys, parts of an authorization and refunds (`tests/share.rs` has the amounts). Time is
//! a distance: a tick brings each expiry nearer, so no clock needs a bound. Whoever sleeps, or stays dead, is one whose turn doesn't come.

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
const TWO_TICKS: TimeDelta = TimeDelta::seconds(2);

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

const SOUND: Protocol = Protocol { work: &[], crashes: 0, ttl: TICK, flaw: None, only: None };

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
    /// Who repeats another's call doesn't note it, so that the other still believes to be the only one.
    NotesNoSecondCall,
    /// Who repeated a call and could not send it believes that nobody else will any more.
    BelievesInQuiet,
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
    wrote_late: bool,
    /// What came of each reference at the provider.
    calls: Vec<Call>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Lock(lock::Model);

impl Hash for Lock {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0.token_hash.as_ref().map(|hash| &hash.0), self.0.fencing_number, self.0.expires_at).hash(state);
    }
}

/// A row of the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Capture {
    status: Status,
    reference: usize,
    /// How many set out to send it.
    sends: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Call {
    NotMade,
    /// It arrives at any later time, or never.
    Underway,
    Moved,
    Declined,
}

/// A process, and the number of its job.
type Token = [usize; 2];

fn hash([process, job]: Token) -> TokenHash {
    TokenHash([process.to_be_bytes(), job.to_be_bytes()].concat())
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Worker {
    jobs_done: usize,
    /// All that it has in memory; nothing between two jobs.
    at: Option<(Held, Step)>,
    refused: Option<Refusal>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Deciding {
        settled: bool,
    },
    /// Only with [`Flaw::ChecksThenWrites`].
    Writing,
    /// The provider, by the reference of what it settles.
    Asking(Sending),
    /// The provider does not have it.
    Repeating(Sending),
    Looking(Sending),
    /// The lock was lost before it was sent.
    Withdrawing(Sending),
    /// It has looked and not sent yet: the window that nobody can close.
    Sending(Sending),
    Waiting(Sending, Sent),
    Unlocking,
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
    /// The how-manieth it is to set out.
    sends: usize,
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
    Asks,
    Repeats,
    Looks,
    Withdraws,
    Sends,
    CannotSend,
    Extends,
    RecordsTheAnswer,
    RecordsSilence,
    Unlocks,
    Dies,
}

impl Payment {
    fn new(number: u128) -> Self {
        let lock = Lock(lock::Model::new(PaymentId::from(Uuid::from_u128(number))));
        Self { lock, captures: vec![], written: vec![], wrote_late: false, calls: vec![] }
    }

    /// The look, and the fence.
    fn stands(&self, held: &Held) -> bool {
        self.lock.0.check(&hash(held.token), held.number, NOW).is_ok()
    }

    fn extended(&self, held: &Held, ttl: TimeDelta) -> Option<Lock> {
        self.lock.0.extend(&hash(held.token), NOW, ttl).map(Lock).ok()
    }

    fn give_back(&mut self, held: &Held) -> Option<()> {
        self.lock = Lock(self.lock.0.give_back(&hash(held.token))?);
        Some(())
    }

    /// Told without asking [`lock::Model`].
    fn is_running(&self) -> bool {
        self.lock.0.expires_at > Some(NOW)
    }

    fn age(&mut self) {
        let lock = &mut self.lock.0;
        lock.expires_at = lock.expires_at.map(|at| NOW.max(at - TICK));
    }

    /// As SENT, with a reference of its own and the lock's number.
    fn write(&mut self, held: Held) -> Sending {
        self.written.push((held.number, held.token));
        self.wrote_late |= !self.is_running();
        self.captures.push(Capture { status: Status::Sent, reference: self.calls.len(), sends: 1 });
        self.calls.push(Call::NotMade);
        Sending { capture: self.captures.len() - 1, settling: false, sends: 1 }
    }

    fn unanswered(&self) -> Option<usize> {
        self.captures.iter().position(|capture| capture.status.is_unanswered())
    }

    fn answer(&self, reference: usize) -> Heard {
        match self.calls[reference] {
            Call::NotMade | Call::Underway => Heard::Nothing,
            Call::Moved => Heard::Succeeded,
            Call::Declined => Heard::Failed,
        }
    }

    fn note(&mut self, capture: usize, heard: Heard) {
        let status = &mut self.captures[capture].status;
        *status = status.on(heard).unwrap_or(*status);
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
            Whose::Callers => self.at = Some((held, Step::Unlocking)),
            Whose::Shared => self.rests(),
        }
    }

    fn is_refused(&mut self, payment: &mut Payment, held: Held) {
        self.refused = Some(Refusal::Lost);
        self.ends(payment, held);
    }

    fn rests(&mut self) {
        self.jobs_done += 1;
        self.at = None;
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
        let Some((held, step)) = worker.at else {
            return if worker.jobs_done < self.work[process].len() { vec![Deed::Begins] } else { vec![] };
        };
        let payment = &world.payments[held.payment];
        let mut deeds = match step {
            Step::Deciding { .. } => vec![Deed::Decides],
            Step::Writing => vec![Deed::Writes],
            Step::Asking(_) => vec![Deed::Asks, Deed::RecordsSilence],
            Step::Repeating(_) => vec![Deed::Repeats],
            Step::Looking(_) => vec![Deed::Looks],
            Step::Withdrawing(_) => vec![Deed::Withdraws],
            Step::Sending(_) => vec![Deed::Sends, Deed::CannotSend],
            Step::Waiting(_, sent) if payment.answer(sent.reference) != Heard::Nothing => {
                vec![Deed::RecordsTheAnswer, Deed::RecordsSilence]
            }
            Step::Waiting(..) => vec![Deed::RecordsSilence],
            Step::Unlocking => vec![Deed::Unlocks],
        };
        if self.kept(payment, held, step).is_some_and(|lock| lock != payment.lock) {
            deeds.push(Deed::Extends);
        }
        if world.crashes > 0 {
            deeds.push(Deed::Dies);
        }
        deeds
    }

    /// A caller holds on to its lock whenever it likes, a lock that ran out too; a process does so while it waits, if the lock stands (rules K5, K7).
    fn kept(&self, payment: &Payment, held: Held, step: Step) -> Option<Lock> {
        let may = match held.whose {
            Whose::Callers => true,
            Whose::Own | Whose::Shared => matches!(step, Step::Waiting(..)) && payment.stands(&held),
        };
        may.then(|| payment.extended(&held, self.ttl)).flatten()
    }

    fn does(&self, world: &mut World, process: usize, deed: Deed) {
        let World { payments, workers, crashes } = world;
        let worker = &mut workers[process];
        let Some((held, step)) = worker.at else {
            return self.begins([process, worker.jobs_done], worker, payments);
        };
        if deed == Deed::Dies {
            *crashes -= 1;
            return worker.rests();
        }
        let payment = &mut payments[held.payment];
        if deed == Deed::Extends {
            payment.lock = self.kept(payment, held, step).unwrap_or_else(|| payment.lock.clone());
            return;
        }
        let mut goes_on = |step| worker.at = Some((held, step));
        match step {
            Step::Deciding { settled } => self.decides(worker, payment, held, settled),
            Step::Writing => goes_on(Step::Looking(payment.write(held))),
            Step::Asking(sending) => match payment.answer(payment.captures[sending.capture].reference) {
                Heard::Nothing if deed == Deed::Asks => goes_on(Step::Repeating(sending)),
                answer => {
                    let heard = if deed == Deed::Asks { answer } else { Heard::Nothing };
                    Self::records(worker, payment, held, sending, heard);
                }
            },
            Step::Repeating(sending) => self.repeats(worker, payment, held, sending),
            Step::Looking(sending) if payment.stands(&held) => goes_on(Step::Sending(sending)),
            Step::Looking(sending) if !sending.settling => goes_on(Step::Withdrawing(sending)),
            Step::Looking(_) => worker.is_refused(payment, held),
            Step::Withdrawing(sending) => {
                payment.note(sending.capture, self.when_not_sent(payment, sending));
                worker.is_refused(payment, held);
            }
            Step::Sending(sending) if deed == Deed::CannotSend => {
                let heard = self.when_not_sent(payment, sending);
                Self::records(worker, payment, held, sending, heard);
            }
            Step::Sending(sending) => goes_on(Step::Waiting(sending, self.sends(payment, held, sending))),
            Step::Waiting(sending, sent) => {
                let answer = payment.answer(sent.reference);
                let heard = if deed == Deed::RecordsSilence { Heard::Nothing } else { answer };
                Self::records(worker, payment, held, sending, heard);
            }
            // rule K6
            Step::Unlocking => {
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
            Job::Capture(_) => self.decides(worker, payment, held(token, Whose::Own), false),
            Job::LockAndCapture(_) => {
                worker.at = Some((held(token, Whose::Callers), Step::Deciding { settled: false }));
            }
            Job::CaptureInLockOf(another, _) => {
                self.decides(worker, payment, held([another, 0], Whose::Shared), false);
            }
            Job::PassThrough(_) => {
                payment.written.push((lock.fencing_number, token));
                worker.rests();
            }
        }
    }

    /// The database transaction that commits to something: to settling what is unanswered, and the next time to a capture of its own.
    fn decides(&self, worker: &mut Worker, payment: &mut Payment, held: Held, settled: bool) {
        let flawed_by = |flaw| self.flaw == Some(flaw);
        if !payment.stands(&held) && !flawed_by(Flaw::NoFence) {
            return worker.is_refused(payment, held);
        }
        if held.whose != Whose::Own && !settled {
            payment.lock = payment.extended(&held, self.ttl).unwrap_or_else(|| payment.lock.clone());
        }
        let unanswered = payment.unanswered().filter(|_| !flawed_by(Flaw::ForgetsUnanswered));
        let mut goes_on = |step| worker.at = Some((held, step));
        match unanswered {
            Some(capture) if !settled => {
                goes_on(Step::Asking(Sending { capture, settling: true, sends: 0 }));
            }
            Some(_) => worker.ends(payment, held),
            None if payment.count(Status::Succeeded) > 0 => worker.ends(payment, held),
            None if flawed_by(Flaw::ChecksThenWrites) => goes_on(Step::Writing),
            None => goes_on(Step::Looking(payment.write(held))),
        }
    }

    /// Notes that one more sets out to send it, if it is still unanswered.
    fn repeats(&self, worker: &mut Worker, payment: &mut Payment, held: Held, mut sending: Sending) {
        let stands = payment.stands(&held);
        let capture = &mut payment.captures[sending.capture];
        if !stands {
            worker.is_refused(payment, held);
        } else if capture.status.is_unanswered() || self.flaw == Some(Flaw::NotesNoSecondCall) {
            capture.sends += usize::from(self.flaw != Some(Flaw::NotesNoSecondCall));
            sending.sends = capture.sends;
            worker.at = Some((held, Step::Looking(sending)));
        } else {
            worker.at = Some((held, Step::Deciding { settled: true }));
        }
    }

    /// What was not sent failed, unless another may have sent it (rule P8).
    fn when_not_sent(&self, payment: &Payment, sending: Sending) -> Heard {
        let is_last = payment.captures[sending.capture].sends == sending.sends;
        let is_only = is_last && (!sending.settling || self.flaw == Some(Flaw::BelievesInQuiet));
        if is_only { Heard::Failed } else { Heard::Nothing }
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
        payment.note(sending.capture, heard);
        if sending.settling {
            worker.at = Some((held, Step::Deciding { settled: true }));
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
        if world.payments.iter().any(Payment::is_running) {
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
        // rule K5
        always("nobody writes under a lock that ran out", |_, world| {
            world.payments.iter().all(|payment| !payment.wrote_late)
        }),
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
                !status.contradicts(payment.answer(sent.reference))
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
            Status::Failed => matches!(self.calls[capture.reference], Call::NotMade | Call::Declined),
            Status::Sent | Status::Pending | Status::Unknown => true,
        })
    }

    /// Whether one more process, when the lock has run out and all others stay dead, brings it to its end.
    fn can_be_ended(&self) -> bool {
        let recovery = Protocol { work: &[&[], &[], &[], &[Job::Capture(0)]], ..SOUND };
        let mut world = recovery.start();
        world.payments[0] = self.clone();
        while world.payments[0].is_running() {
            world.payments[0].age();
        }
        let undisturbed = |action: &Action| match action {
            Action::Does(_, deed) => !matches!(deed, Deed::Extends | Deed::CannotSend | Deed::RecordsSilence),
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
            Some((held, Step::Waiting(sending, sent))) => Some((&self.payments[held.payment], held, sending, sent)),
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
}

#[test]
fn three_processes_capture_each_of_two_payments_once() {
    passes(Protocol { work: &[CALLERS_LOCK, &[Job::Capture(0)], &[Job::Capture(1)]], crashes: 1, ..SOUND });
}

#[test]
fn two_requests_within_a_callers_lock_capture_once() {
    let work = &[CALLERS_LOCK, &[Job::CaptureInLockOf(0, 0)], &[Job::PassThrough(0)]];
    passes(Protocol { work, crashes: 1, ttl: TWO_TICKS, ..SOUND });
}

#[test]
fn who_starts_anew_with_nothing_in_memory_captures_once() {
    passes(Protocol { work: &[CALLERS_LOCK, &[Job::Capture(0), Job::Capture(0)]], crashes: 1, ..SOUND });
}

#[test]
fn work_within_one_database_transaction_fences_off_what_was_begun_before() {
    let work = &[CALLERS_LOCK, &[Job::Capture(0)], &[Job::PassThrough(0)]];
    passes(Protocol { work, crashes: 1, ttl: TWO_TICKS, ..SOUND });
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
    insta::assert_snapshot!(counterexample(Flaw::NoFence, ONE_WRITER, work), @r"
    process 0: Begins
    time passes
    process 1: Begins
    process 0: Decides
    ");
}

// rule K5
#[test]
fn a_check_in_an_earlier_transaction_is_no_fence() {
    insta::assert_snapshot!(counterexample(Flaw::ChecksThenWrites, ONE_PROMISE, TWO_CAPTURES), @r"
    process 0: Begins
    time passes
    process 1: Begins
    process 0: Writes
    process 1: Writes
    ");
}

#[test]
fn a_check_in_an_earlier_transaction_charges_twice() {
    let work: Work = &[&[Job::Capture(0)], &[Job::Capture(0)], &[Job::Capture(0)]];
    insta::assert_snapshot!(counterexample(Flaw::ChecksThenWrites, ONE_CHARGE, work), @r"
    process 0: Begins
    time passes
    process 1: Begins
    process 0: Writes
    process 1: Writes
    process 1: Looks
    process 1: Sends
    process 1: RecordsSilence
    process 2: Begins
    process 2: Asks
    process 2: Repeats
    process 2: Looks
    process 2: Sends
    provider: Moved, payment 0, reference 0
    provider: Moved, payment 0, reference 1
    ");
}

// rule P8
#[test]
fn a_fresh_reference_for_each_call_charges_twice() {
    insta::assert_snapshot!(counterexample(Flaw::FreshReference, ONE_CHARGE, TWO_CAPTURES), @r"
    process 0: Begins
    process 0: Looks
    process 0: Sends
    process 0: RecordsSilence
    process 1: Begins
    process 1: Asks
    process 1: Repeats
    process 1: Looks
    process 1: Sends
    provider: Moved, payment 0, reference 1
    provider: Moved, payment 0, reference 2
    ");
}

// rules P4, R2
#[test]
fn who_forgets_what_is_unanswered_charges_twice() {
    insta::assert_snapshot!(counterexample(Flaw::ForgetsUnanswered, ONE_CHARGE, TWO_CAPTURES), @r"
    process 0: Begins
    process 0: Looks
    process 0: Sends
    process 0: RecordsSilence
    process 1: Begins
    process 1: Looks
    process 1: Sends
    provider: Moved, payment 0, reference 0
    provider: Moved, payment 0, reference 1
    ");
}

// rule P8
#[test]
fn a_call_that_never_left_is_no_decline_where_another_made_it() {
    insta::assert_snapshot!(counterexample(Flaw::NotesNoSecondCall, ONE_CHARGE, TWO_CAPTURES), @r"
    process 0: Begins
    process 0: Looks
    time passes
    process 1: Begins
    process 0: CannotSend
    process 1: Asks
    process 1: Repeats
    process 1: Looks
    process 1: Sends
    process 1: RecordsSilence
    process 1: Decides
    process 1: Looks
    process 1: Sends
    provider: Moved, payment 0, reference 0
    provider: Moved, payment 0, reference 1
    ");
}

/// The server believes in quiet once its patience is over: no process may sleep longer between its look and its call, and no call be longer underway.
#[test]
fn a_repeated_call_that_never_left_is_no_decline_while_another_may_still_arrive() {
    insta::assert_snapshot!(counterexample(Flaw::BelievesInQuiet, ONE_CHARGE, TWO_CAPTURES), @r"
    process 0: Begins
    process 0: Looks
    process 0: Sends
    process 0: RecordsSilence
    process 1: Begins
    process 1: Asks
    process 1: Repeats
    process 1: Looks
    process 1: CannotSend
    process 1: Decides
    process 1: Looks
    process 1: Sends
    provider: Moved, payment 0, reference 0
    provider: Moved, payment 0, reference 1
    ");
}
