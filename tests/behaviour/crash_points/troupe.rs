//! Many plays side by side, each on a stage of its own.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// So many at once: most of the time one waits for a process, or for a disk.
const WIDTH: usize = 4;

/// Plays each of these, and gives what came of them in their order. Fails once all were played, with the names of those that failed.
pub fn each<J: Sync, T: Send>(
    jobs: Vec<J>,
    name: impl Fn(&J) -> String + Sync,
    play: impl Fn(&J) -> T + Sync,
) -> Vec<T> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(vec![]));
    let done: Mutex<Vec<Option<T>>> = Mutex::new(jobs.iter().map(|_| None).collect());
    thread::scope(|scope| {
        for _ in 0..WIDTH.min(jobs.len()) {
            scope.spawn(|| {
                while let Some((at, job)) = take(&next, &jobs) {
                    match catch_unwind(AssertUnwindSafe(|| play(job))) {
                        Ok(played) => done.lock().unwrap()[at] = Some(played),
                        Err(panic) => failed.lock().unwrap().push(format!("{}\n{}", name(job), words(&*panic))),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} failed:\n\n{}", failed.len(), jobs.len(), failed.join("\n\n"));
    done.into_inner().unwrap().into_iter().flatten().collect()
}

fn take<'a, J>(next: &AtomicUsize, jobs: &'a [J]) -> Option<(usize, &'a J)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    jobs.get(at).map(|job| (at, job))
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
