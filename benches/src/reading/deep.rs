//! Pages deep in the list of a user with very many orders: by cursor and by number, with the count of all orders and without.

use std::time::Duration;

use super::{
    Extent,
    peer::Peer,
    question::{PER_PAGE, Question, Start},
    round::{Round, Rounds},
    same::{end_cursor, numbers, total},
    stand::{Stand, to_postgraphile},
};
use crate::{
    latency::Latencies,
    say,
    table::{Table, count},
};

const WHALE: &str = "whale";
/// Few, because there are servers that take seconds for a page.
const CLIENTS: usize = 2;
const WARMING_UP: Duration = Duration::from_millis(500);
/// The pages that are asked for of a list of so many.
const DEPTHS: [u32; 3] = [1, 100, 4000];
const OF: u32 = 5000;

/// A page of a server's, asked for in one way.
struct Case {
    peer: Peer,
    way: &'static str,
    page: u32,
    total: bool,
    /// The place of the server's first page among all cases.
    base: usize,
}

pub async fn measure(stand: &Stand, extent: &Extent) -> String {
    let depths = depths(stand.seeded.of_whale);
    let mut cases = vec![];
    let ask = |question: &Question<'_>| stand.by_service(question);
    add(&mut cases, stand, &stand.orderpay(), &[false, true], depths, ["cursor", "number"], &ask).await;
    if let Some(postgraphile) = stand.postgraphile() {
        let ways = ["cursor", "offset"];
        add(&mut cases, stand, &postgraphile, &[false], depths, ways, &to_postgraphile).await;
    }
    let mut rounds: Vec<Rounds> = cases.iter().map(|_| Rounds::default()).collect();
    for number in 1..=extent.rounds {
        say(&format!("round {number}: deep pages"));
        for (case, rounds) in cases.iter().zip(&mut rounds) {
            case.peer.closed(CLIENTS, WARMING_UP).await;
            let asked = case.peer.closed(CLIENTS, extent.each_page_lasts());
            rounds.0.push(Round::of(&case.peer, &stand.postgres, asked).await);
        }
    }
    format!(
        "### Deep pages\n\nPages of {PER_PAGE} of `{WHALE}`, who has {} orders, asked for by a service: {CLIENTS} clients for {} s each, in turns. Ratios \
         are to the same server's first page, without the count of all orders, in the same round.\n\n{}",
        count(stand.seeded.of_whale as usize),
        extent.deep_seconds,
        table(&cases, &rounds)
    )
}

/// As deep in a shorter list as those are in a list of a hundred thousand.
fn depths(orders: u32) -> [u32; 3] {
    let pages = (orders / PER_PAGE).min(OF);
    let mut least = 0;
    DEPTHS.map(|depth| {
        least = (depth * pages / OF).max(least + 1);
        least
    })
}

/// Asks for each page once, too: it is the same one, whichever way it is asked for.
async fn add(
    cases: &mut Vec<Case>,
    stand: &Stand,
    peer: &Peer,
    totals: &[bool],
    depths: [u32; 3],
    ways: [&'static str; 2],
    ask: &impl Fn(&Question<'_>) -> Vec<u8>,
) {
    let base = cases.len();
    for (&total_wanted, page) in totals.iter().flat_map(|total| depths.map(|page| (total, page))) {
        let cursor = match page {
            1 => Start::Newest,
            page => {
                let before = Question { start: Start::Page(page - 1), ..Question::newest_of(WHALE) };
                Start::Behind(end_cursor(&peer.with(vec![ask(&before)]).answer(0).await))
            }
        };
        let mut seen: Option<Vec<String>> = None;
        for (way, start) in ways.into_iter().zip([cursor, Start::Page(page)]) {
            let peer = peer.with(vec![ask(&Question { user: WHALE, start, total: total_wanted })]);
            let answer = peer.answer(0).await;
            assert_eq!(total(&answer), total_wanted.then_some(stand.seeded.of_whale.into()), "the count");
            let numbers = numbers(&answer);
            assert_eq!(numbers.len(), PER_PAGE as usize, "page {page} by {way} is full");
            assert!(seen.is_none_or(|seen| seen == numbers), "page {page} is the same by either way");
            seen = Some(numbers);
            cases.push(Case { peer, way, page, total: total_wanted, base });
        }
    }
}

fn table(cases: &[Case], rounds: &[Rounds]) -> String {
    let mut table = Table::new(&[
        "server",
        "page",
        "by",
        "with count",
        "CPU for each: server + database",
        "in all",
        "to its first page",
        "p50",
        "p99",
    ]);
    for (case, own) in cases.iter().zip(rounds) {
        table.row(vec![
            case.peer.name.to_owned(),
            count(case.page as usize),
            case.way.to_owned(),
            if case.total { "yes" } else { "no" }.to_owned(),
            own.shares(),
            own.spread(Round::each).tell(0, " µs"),
            own.ratio_to(&rounds[case.base]).tell(2, ""),
            own.latency(Latencies::p50),
            own.latency(Latencies::p99),
        ]);
    }
    table.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_as_deep_as_the_list_is_long() {
        assert_eq!(depths(100_000), [1, 100, 4000]);
        assert_eq!(depths(1_000_000), [1, 100, 4000]);
        assert_eq!(depths(2_000), [1, 2, 80]);
    }
}
