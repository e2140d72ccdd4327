//! A server dies before and after each of its commits and of its calls to a provider, on both databases; whoever comes after it brings everything to
//! the end that it would have come to, and money moves once (rules P6, I3, R1; test P1).
//!
//! Where a server can die is found out, and not written down: each story is played once by a server that notes the points that it passes. Then it is
//! played again by one that dies at a point, and what is there in the end must be the same. `cargo test` sees each point once, with one of the stories
//! that pass it. `ORDERPAY_TEST_CRASH=all` sees each point of each story, with each of those who may come after it, and
//! `ORDERPAY_TEST_CRASH_SEEDS=25` each point of the stories in which money moves, 25 times. `ORDERPAY_TEST_SEED` repeats a choice.

mod moment;
mod picture;
mod scene;
pub mod sources;
mod stage;
mod story;
mod troupe;
mod victim;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use self::{
    moment::Moment,
    sources::{calls, commits},
    stage::{After, Rehearsal, crash, rehearse},
    story::{Story, moves_money, stories},
    troupe::each,
};
use crate::support::{
    Engine,
    dice::{Dice, seed},
    environment, say,
};

/// What no story is looked at for, and why.
const NOT_VISITED: [(&str, &str); 1] =
    [("outbox.rs, prune", "each server does it by itself as it begins; the tests of servers see to it")];

/// A story that was played once.
#[derive(Clone)]
struct Played {
    story: Story,
    rehearsal: Rehearsal,
}

/// All stories, played once on a database of this kind; none where there is no such database.
fn rehearsed(engine: Engine) -> &'static [Played] {
    static SQLITE: OnceLock<Vec<Played>> = OnceLock::new();
    static POSTGRES: OnceLock<Vec<Played>> = OnceLock::new();
    let once = match engine {
        Engine::Sqlite => &SQLITE,
        Engine::Postgres => &POSTGRES,
    };
    once.get_or_init(|| {
        let only = environment("ORDERPAY_TEST_CRASH_STORY");
        let stories = stories().into_iter().filter(|story| only.as_deref().is_none_or(|name| story.name == name));
        let played = each(
            stories.collect(),
            |story: &Story| story.name.to_owned(),
            |story| rehearse(engine, story).map(|rehearsal| Played { story: *story, rehearsal }),
        );
        played.into_iter().flatten().collect()
    })
}

fn each_commit_and_each_call_is_passed(engine: Engine) {
    let played = rehearsed(engine);
    let points: BTreeSet<&str> = played.iter().flat_map(|played| points_of(&played.rehearsal)).collect();
    if points.is_empty() {
        return;
    }
    let passed = |name: &str| {
        ["before", "after"].iter().all(|side| {
            let point = format!("{side} {name}");
            points
                .iter()
                .any(|passed| *passed == point || passed.strip_prefix(&point).is_some_and(|rest| rest.starts_with(':')))
        })
    };
    let is_excused = |function: &str| NOT_VISITED.iter().any(|(excused, _)| *excused == function);
    let mut missed: BTreeSet<String> = calls().into_iter().filter(|call| !passed(call)).collect();
    let unseen = commits().into_iter().filter(|commit| !passed(&format!("the commit at {}", commit.line)));
    missed.extend(unseen.map(|commit| commit.function).filter(|function| !is_excused(function)));
    assert_eq!(missed, BTreeSet::new());
}

fn points_of(rehearsal: &Rehearsal) -> impl Iterator<Item = &str> {
    rehearsal.moments.iter().map(|moment| moment.point.as_str())
}

/// One server that dies.
#[derive(Clone, Debug)]
struct Death {
    /// Which of those that were played.
    at: usize,
    moment: Moment,
    after: After,
}

/// Each point once: in which of the stories that pass it, and who comes then, is chosen by chance.
fn each_point(played: &[Played], dice: &mut Dice) -> Vec<Death> {
    let mut of_point: BTreeMap<&str, Vec<(usize, Moment)>> = BTreeMap::new();
    for (at, Played { rehearsal, .. }) in played.iter().enumerate() {
        for moment in &rehearsal.moments {
            of_point.entry(&moment.point).or_default().push((at, moment.clone()));
        }
    }
    of_point
        .into_values()
        .map(|passed| {
            let (at, moment) = dice.pick(&passed);
            Death { at, moment, after: any_after(dice) }
        })
        .collect()
}

/// Each moment of each story, and each of those who may come.
fn all_of_them(played: &[Played]) -> Vec<Death> {
    let mut deaths = vec![];
    for (at, Played { rehearsal, .. }) in played.iter().enumerate() {
        for moment in &rehearsal.moments {
            deaths.extend([After::Retries(1), After::Reconciler].map(|after| Death {
                at,
                moment: moment.clone(),
                after,
            }));
        }
    }
    deaths
}

/// Each moment of the stories in which money moves, so many times (test P1).
fn matrix(played: &[Played], times: usize, dice: &mut Dice) -> Vec<Death> {
    let mut deaths = vec![];
    for (at, Played { rehearsal, .. }) in played.iter().enumerate().filter(|(_, played)| moves_money(&played.story)) {
        for moment in &rehearsal.moments {
            deaths.extend((0..times).map(|_| Death { at, moment: moment.clone(), after: any_after(dice) }));
        }
    }
    deaths
}

fn any_after(dice: &mut Dice) -> After {
    dice.pick(&[After::Retries(1), After::Retries(3), After::Reconciler, After::Reconciler, After::Both])
}

fn whoever_dies_where_it_hurts_is_survived(engine: Engine) {
    let seed = environment("ORDERPAY_TEST_SEED").and_then(|seed| seed.parse().ok()).unwrap_or_else(seed);
    let played = rehearsed(engine);
    let mut dice = Dice(seed);
    let deaths = match (environment("ORDERPAY_TEST_CRASH"), environment("ORDERPAY_TEST_CRASH_SEEDS")) {
        (Some(_), _) => all_of_them(played),
        (None, Some(times)) => matrix(played, times.parse().expect("a number"), &mut dice),
        (None, None) => each_point(played, &mut dice),
    };
    let died = each(
        deaths.clone(),
        |death| {
            format!("ORDERPAY_TEST_SEED={seed}: {}, {}, {:?}", played[death.at].story.name, death.moment, death.after)
        },
        |death| {
            let Played { story, rehearsal } = &played[death.at];
            crash(engine, story, &death.moment, death.after, rehearsal)
        },
    );
    let missed: Vec<String> = deaths
        .iter()
        .zip(&died)
        .filter(|(_, died)| !**died)
        .map(|(death, _)| format!("{}: {}", played[death.at].story.name, death.moment))
        .collect();
    say(&format!(
        "crash points on {engine:?}, seed {seed}: {} deaths, {} lived",
        died.len() - missed.len(),
        missed.len()
    ));
    // Where a clock decides, such as that of a lock's renewal, a moment may not come again.
    assert!(missed.len() * 20 <= deaths.len(), "{missed:#?}");
}

mod each_commit_and_each_call_is_passed_by_some_story {
    use super::{Engine, each_commit_and_each_call_is_passed};

    #[test]
    fn sqlite() {
        each_commit_and_each_call_is_passed(Engine::Sqlite);
    }

    #[test]
    fn postgres() {
        each_commit_and_each_call_is_passed(Engine::Postgres);
    }
}

mod whoever_comes_after_a_dead_server_ends_what_it_began {
    use super::{Engine, whoever_dies_where_it_hurts_is_survived};

    #[test]
    fn sqlite() {
        whoever_dies_where_it_hurts_is_survived(Engine::Sqlite);
    }

    #[test]
    fn postgres() {
        whoever_dies_where_it_hurts_is_survived(Engine::Postgres);
    }
}
