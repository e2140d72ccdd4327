//! Reads the outbox while anybody on this server watches, and hands what is new to those who watch.
//!
//! A commit on this server wakes it, one on another server does through PostgreSQL, and where both are lost it looks by itself every second. It also
//! removes what is too old to be asked for.

use std::{
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use sea_orm::DbErr;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    change::{Ended, Ending, UNREADABLE_AFTER},
    change_alarm::{self, Alarm},
    change_tail::Tail,
    outbox::{self, Unseen},
};
use crate::app::App;

/// How long a change may wait for whoever watches when no news of it came.
const NET: Duration = Duration::from_secs(1);
/// Before what failed is tried again.
pub(super) const AGAIN: Duration = Duration::from_millis(200);
/// Between two readings: many commits in a row are read at once.
const PAUSE: Duration = Duration::from_millis(10);
/// How long one reading may take.
const READING: Duration = Duration::from_secs(5);
/// Nobody asks for what is older, in days.
const KEPT_DAYS: i64 = 7;
/// What is older may have been removed by a server whose clock is not quite ours.
const SURELY_KEPT_DAYS: i64 = KEPT_DAYS - 1;
/// How often old changes are looked for.
const PRUNING: Duration = Duration::from_secs(600);
/// Between two steps of removing, so that others get to write.
const PRUNING_PAUSE: Duration = Duration::from_millis(200);

/// Runs beside a server until it stops.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let _ending = Ending(&app.changes);
    stop.run_until_cancelled(async { tokio::join!(tell(&app), change_alarm::ring(&app.db), prune(&app)) }).await;
}

async fn tell(app: &App) {
    loop {
        app.changes.awaited().await;
        tell_while_watched(app).await;
    }
}

/// What a reading came to.
enum Read {
    /// There was nothing more.
    All,
    /// There is more than was read at once.
    Part,
    /// What was told before is gone: a database took over that had not come as far, or one of yesterday was restored. Ids are given out again there, so that
    /// nobody can say what is new; and what is shown of the orders is not true any more.
    Lost,
}

/// Reads until nobody watches any more, or the table can't be read for too long, or is not the one that it was.
async fn tell_while_watched(app: &App) {
    let mut alarm = Alarm::of(&app.db);
    let (mut tail, mut read_at) = (None, Instant::now());
    while let Some(number) = app.changes.begin_reading() {
        let read = timeout(READING, read(app, &mut tail)).await;
        match read.unwrap_or_else(|_| Err(DbErr::Custom("it took too long".into()))) {
            Ok(Read::All) => {
                read_at = Instant::now();
                app.changes.end_reading(number);
            }
            Ok(Read::Part) => continue,
            Ok(Read::Lost) => {
                tracing::error!("changes that were told are gone from the database: whoever watches is told so");
                return app.changes.end(Ended::Unreadable);
            }
            Err(error) if read_at.elapsed() >= UNREADABLE_AFTER => {
                tracing::error!(%error, "changes can't be read: whoever watches is told so");
                return app.changes.end(Ended::Unreadable);
            }
            Err(error) => {
                tracing::warn!(%error, "changes can't be read; trying again");
                sleep(AGAIN).await;
                continue;
            }
        }
        sleep(PAUSE).await;
        tokio::select! {
            () = alarm.rings() => {}
            () = app.changes.awaited() => {}
            () = sleep(NET) => {}
        }
    }
}

/// Reads what is new and hands it on. Whoever comes first is told of what comes after.
async fn read(app: &App, tail: &mut Option<Tail>) -> Result<Read, DbErr> {
    let began = Instant::now();
    let Some(tail) = tail else {
        *tail = Some(outbox::end(&app.db).await?);
        return Ok(Read::All);
    };
    let Unseen { changes, is_all, is_cut } = outbox::unseen(&app.db, tail).await?;
    if is_cut && !tail.is_older_than(app.clock.now() - TimeDelta::days(SURELY_KEPT_DAYS)) {
        return Ok(Read::Lost);
    }
    tail.see(&changes);
    app.changes.tell(&changes);
    if !is_all {
        return Ok(Read::Part);
    }
    tail.forget(began);
    Ok(Read::All)
}

/// Removes old changes in small steps, now and then.
async fn prune(app: &App) {
    loop {
        let Some(before) = app.clock.now().checked_sub_signed(TimeDelta::days(KEPT_DAYS)) else {
            return pending().await;
        };
        let pause = match outbox::prune(&app.db, before).await {
            Ok(0) => PRUNING,
            Ok(_) => PRUNING_PAUSE,
            Err(error) => {
                tracing::warn!(%error, "old changes can't be removed");
                PRUNING
            }
        };
        sleep(pause).await;
    }
}
