//! Committed changes, handed to whoever watches their order, from whichever server they were committed on.
//!
//! The table `outbox` is the truth; `change_hub` reads it while anybody watches, and `change_alarm` wakes it. Who watches an order is told of each of
//! its changes once, in the order in which they were committed. Who does not keep up is cut off, and so is everybody when the table can't be read: a
//! watcher that hears nothing can rely on that nothing happened.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use entity::{
    id::{AttemptId, OrderId, PaymentId},
    outbox::{self, Topic},
};
use tokio::sync::{
    Notify, broadcast,
    broadcast::error::RecvError,
    watch::{self, Ref},
};
use uuid::Uuid;

use super::{attempt, order, payment};
use crate::{app::App, auth::Caller, error::Error};

/// How long changes may not be readable before all who wait for them are told so.
pub const UNREADABLE_AFTER: Duration = Duration::from_secs(30);
/// How many changes of an order may wait for one who watches it.
const MOST_WAITING: usize = 128;

/// What is watched. An order changes with its payments and attempts too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Order(OrderId),
    Payment(PaymentId),
    Attempt(AttemptId),
}

/// Why there is nothing more to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// More changes were waiting than there is room for.
    TooSlow,
    /// The changes could not be read any more.
    Unreadable,
    /// The server stops.
    Stopping,
}

impl From<Ended> for Error {
    fn from(ended: Ended) -> Self {
        Self::Fault(format!("changes can't be watched: {ended:?}"))
    }
}

/// Watches something that the caller may see; `None` where it is missing or somebody else's (rule A2). Whatever is committed after this returns is
/// told, so that whoever reads it then misses nothing. Whether the caller still may see it is to be asked anew with each change.
pub async fn watch(app: &App, caller: &Caller, subject: Subject) -> Result<Option<Watch>, Error> {
    let order = match subject {
        Subject::Order(id) => order::find(app, caller, id).await?.map(|order| order.id),
        Subject::Payment(id) => payment::find(app, caller, id).await?.map(|booked| booked.payment.order_id),
        Subject::Attempt(id) => {
            attempt::find(app, caller, attempt::Named::Id(id)).await?.map(|attempt| attempt.order_id)
        }
    };
    match order {
        Some(order) => Ok(Some(app.changes.watch(order, subject).await?)),
        None => Ok(None),
    }
}

/// Who watches what on this server; its clones are the same.
#[derive(Clone)]
pub struct Changes(Arc<Shared>);

struct Shared {
    watched: Mutex<Watched>,
    /// Somebody begins to watch, and waits for the table to be read.
    awaited: Notify,
    /// The number of the last reading of the table that came to its end.
    read: watch::Sender<u64>,
}

struct Watched {
    orders: HashMap<OrderId, broadcast::Sender<(Topic, Uuid)>>,
    /// The number of the last reading of the table that began.
    readings: u64,
    /// Why those who watched until now were told nothing more.
    ended: Ended,
}

impl Default for Changes {
    fn default() -> Self {
        let watched = Watched { orders: HashMap::new(), readings: 0, ended: Ended::Unreadable };
        Self(Arc::new(Shared { watched: Mutex::new(watched), awaited: Notify::new(), read: watch::Sender::new(0) }))
    }
}

impl Changes {
    async fn watch(&self, order: OrderId, subject: Subject) -> Result<Watch, Ended> {
        let mut read = self.0.read.subscribe();
        let (mut watch, begun) = self.join(order, subject);
        self.0.awaited.notify_one();
        // What was committed before is not news to whoever reads from now on.
        let is_read = tokio::time::timeout(UNREADABLE_AFTER, read.wait_for(|read| *read > begun)).await;
        let is_read = is_read.ok().and_then(Result::ok).map(|_: Ref<'_, u64>| ());
        is_read.ok_or(Ended::Unreadable)?;
        watch.told = watch.told.as_ref().map(broadcast::Receiver::resubscribe);
        Ok(watch)
    }

    fn join(&self, order: OrderId, subject: Subject) -> (Watch, u64) {
        let mut watched = self.watched();
        let told = match watched.orders.entry(order) {
            Entry::Occupied(known) => known.get().subscribe(),
            Entry::Vacant(vacant) => vacant.insert(broadcast::Sender::new(MOST_WAITING)).subscribe(),
        };
        (Watch { changes: self.clone(), order, subject, told: Some(told) }, watched.readings)
    }

    /// Waits until somebody begins to watch.
    pub(super) async fn awaited(&self) {
        self.0.awaited.notified().await;
    }

    /// The number of a reading of the table that begins now; `None` while nobody watches.
    pub(super) fn begin_reading(&self) -> Option<u64> {
        let mut watched = self.watched();
        if watched.orders.is_empty() {
            return None;
        }
        watched.readings += 1;
        Some(watched.readings)
    }

    /// Hands each change to those who watch its order. It waits for nobody.
    pub(super) fn tell(&self, changes: &[outbox::Model]) {
        let watched = self.watched();
        for change in changes {
            if let Some(told) = watched.orders.get(&change.order_id) {
                // Nobody hears it who is about to go.
                let _ = told.send((change.topic, change.subject_id));
            }
        }
    }

    /// Whoever waited for this reading has heard all that was committed before it began.
    pub(super) fn end_reading(&self, number: u64) {
        self.0.read.send_replace(number);
    }

    /// Tells everybody that there is nothing more.
    pub(super) fn end(&self, why: Ended) {
        let mut watched = self.watched();
        watched.ended = why;
        watched.orders.clear();
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.0.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What somebody watches. It takes no room any more once it is dropped.
pub struct Watch {
    changes: Changes,
    order: OrderId,
    subject: Subject,
    /// There until it is dropped.
    told: Option<broadcast::Receiver<(Topic, Uuid)>>,
}

impl Watch {
    /// Waits for the next change of what is watched.
    pub async fn next(&mut self) -> Result<(), Ended> {
        loop {
            let told = match &mut self.told {
                Some(told) => told.recv().await,
                None => Err(RecvError::Closed),
            };
            match told {
                Ok(change) if self.subject.changes_with(change) => return Ok(()),
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return Err(Ended::TooSlow),
                Err(RecvError::Closed) => return Err(self.changes.watched().ended),
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self.changes.watched();
        // After an end there may be another channel for this order, which is not ours to remove. Ours is left while nobody else counts who is left.
        let was_open = self.told.take().is_some_and(|told| !told.is_closed());
        if was_open
            && let Entry::Occupied(known) = watched.orders.entry(self.order)
            && known.get().receiver_count() == 0
        {
            known.remove();
        }
    }
}

impl Subject {
    fn changes_with(self, (topic, id): (Topic, Uuid)) -> bool {
        match self {
            Self::Order(_) => true,
            Self::Payment(payment) => topic == Topic::Payment && id == payment.uuid(),
            Self::Attempt(attempt) => topic == Topic::PaymentAttempt && id == attempt.uuid(),
        }
    }
}

/// Watching ends with whoever holds this.
pub(super) struct Ending<'a>(pub &'a Changes);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.end(Ended::Stopping);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    #[test]
    fn nothing_is_watched_any_more_however_many_leave_at_once() {
        const LEAVING: usize = 4;
        let (changes, order) = (Changes::default(), OrderId::from(Uuid::nil()));
        for round in 0..2000 {
            let together = Barrier::new(LEAVING);
            let watches = [(); LEAVING].map(|()| changes.join(order, Subject::Order(order)).0);
            thread::scope(|scope| {
                for watch in watches {
                    let together = &together;
                    scope.spawn(move || {
                        together.wait();
                        drop(watch);
                    });
                }
            });
            assert!(changes.watched().orders.is_empty(), "round {round}");
        }
    }

    #[test]
    fn whoever_leaves_late_leaves_those_alone_who_came_after_the_end() {
        let (changes, order) = (Changes::default(), OrderId::from(Uuid::nil()));
        let watch = || changes.join(order, Subject::Order(order)).0;
        let before = watch();
        changes.end(Ended::Unreadable);
        let after = watch();

        drop(before);

        assert_eq!(changes.watched().orders.len(), 1);
        drop(after);
        assert!(changes.watched().orders.is_empty());
    }
}
