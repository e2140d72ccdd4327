//! The worker in each server that sees to what nobody has heard the end of (rule R1).
//!
//! What is due is found and claimed by [`reconcile`]; here is only when it looks, and how much it does at once.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use crate::{
    app::App,
    service::reconcile::{self, Due},
};

/// How long it waits after it found nothing.
const TICK: Duration = Duration::from_secs(1);
/// How long it waits after it found something: there may be more.
const BREATH: Duration = Duration::from_millis(50);
/// So many things are seen to at once: a provider that does not answer keeps no more of them waiting.
const AT_ONCE: usize = 4;
/// So many rows of each kind are claimed at once: no more than can be begun while the claim is fresh.
const CLAIMED: u64 = 4;

/// Looks and sees to it until it is stopped. What was begun then runs to its end in `tasks`.
pub async fn run(app: Arc<App>, stop: CancellationToken, tasks: TaskTracker) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let work = async {
        let mut pause = TICK;
        loop {
            tokio::time::sleep(pause).await;
            pause = TICK;
            match reconcile::due(&app, CLAIMED).await {
                Ok(found) => {
                    for due in found {
                        pause = BREATH;
                        begin(&app, due, &places, &tasks).await;
                    }
                }
                Err(error) => tracing::warn!(?error, "what is due can't be looked for"),
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// Begins to see to one thing as soon as there is a place. One that fails, or panics, keeps no other from being seen to.
async fn begin(app: &Arc<App>, due: Due, places: &Arc<Semaphore>, tasks: &TaskTracker) {
    let Ok(place) = Arc::clone(places).acquire_owned().await else { return };
    let (app, span) = (Arc::clone(app), tracing::info_span!("reconcile", ?due));
    let work = async move {
        let _place = place;
        if let Err(error) = reconcile::settle(&app, due).await {
            tracing::warn!(?error, "it is tried again later");
        }
    };
    tasks.spawn(work.instrument(span));
}
