//! The worker in each server that sees to what nobody has heard the end of (rule R1).
//!
//! What is due is found and claimed by [`reconcile`]; here is only when it looks, and how much it does at once.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use crate::{
    app::App,
    service::reconcile::{self, Due},
};

/// How long it waits after it found nothing.
const TICK: Duration = Duration::from_secs(1);
/// How long it leaves alone what it could not see to: what is not claimed would be found again at once.
const REST: Duration = Duration::from_secs(5);
/// How long it waits after it found something: there may be more.
const BREATH: Duration = Duration::from_millis(50);
/// So many things are seen to at once: a provider that does not answer keeps no more of them waiting.
const AT_ONCE: usize = 4;
/// So many rows of each kind are claimed at once: no more than can be begun while the claim is fresh.
const CLAIMED: u64 = 4;

/// What is being seen to now: what is not claimed in the database is found again and again meanwhile.
type AtWork = Arc<Mutex<HashSet<Due>>>;

/// Looks and sees to it until it is stopped. What was begun then runs to its end in `tasks`.
pub async fn run(app: Arc<App>, stop: CancellationToken, tasks: TaskTracker) {
    let (places, at_work) = (Arc::new(Semaphore::new(AT_ONCE)), AtWork::default());
    let work = async {
        let mut pause = TICK;
        loop {
            tokio::time::sleep(pause).await;
            pause = TICK;
            for due in reconcile::due(&app, CLAIMED).await {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                if at_work.lock().unwrap_or_else(PoisonError::into_inner).insert(due.clone()) {
                    pause = BREATH;
                    let done = Done { at_work: Arc::clone(&at_work), due };
                    tasks.spawn(see_to(Arc::clone(&app), done, place, stop.clone()));
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// Sees to one thing. If that fails, or panics, it keeps no other from being seen to.
async fn see_to(app: Arc<App>, done: Done, place: OwnedSemaphorePermit, stop: CancellationToken) {
    let span = tracing::info_span!("reconcile", due = ?done.due);
    if let Err(error) = reconcile::settle(&app, done.due.clone()).instrument(span).await {
        tracing::warn!(?error, "it is tried again later");
        drop(place);
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(REST) => {}
        }
    }
}

/// Takes it out of what is being seen to, however that ends.
struct Done {
    at_work: AtWork,
    due: Due,
}

impl Drop for Done {
    fn drop(&mut self) {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.due);
    }
}
