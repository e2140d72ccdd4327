//! One run, from the first order to the last look at the books.

use std::{
    fs,
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::spawn_blocking;

use crate::{
    answers,
    audit::audit,
    books::Books,
    clients::Clients,
    healing, made,
    options::Options,
    report::{Recoveries, Report},
    shown,
    stage::{SERVERS, Stage},
    support,
    told::Told,
    weather::Storm,
    wrong::{Kind, Wrong},
};

/// A storm that hits less often than once in so long, or never, proves nothing.
const ONE_HIT_IN: Duration = Duration::from_secs(8);

pub fn play(options: &Options) -> ExitCode {
    println!("a storm of {:?}; again: {}", options.lasts(), options.command());
    let runtime = support::runtime();
    let is_well = runtime.block_on(Box::pin(story(options)));
    if let Some(directory) = &options.logs {
        keep_logs(directory);
    }
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn story(options: &Options) -> bool {
    let Some(stage) = Stage::set(options.broken).await else {
        // Servers that are broken have to be found out.
        let how = if options.broken.is_none() { "passed" } else { "failed" };
        println!("{how} without a look: PostgreSQL was not found");
        return options.broken.is_none();
    };
    let (stage, seed) = (Arc::new(stage), options.seed());
    let starting = Arc::clone(&stage);
    let started = spawn_blocking(move || {
        starting.starts_sandbox();
        (0..SERVERS).for_each(|at| starting.starts_server(at));
    });
    started.await.expect("everybody starts");
    let clients = Clients::come(&stage, seed).await;

    let begun = Instant::now();
    let storm = Storm::begins(&stage, seed);
    let working = clients.begin(seed);
    tokio::time::sleep(options.lasts()).await;
    clients.end();
    let weather = spawn_blocking(move || storm.ends()).await.expect("the storm ends");
    let raged = begun.elapsed();
    working.join_all().await;

    let (settled, mut wrong) = healing::settles(&stage, &clients).await;
    let books = Books::read(&stage).await;
    wrong.extend(audit(&books));
    wrong.extend(shown::look(&stage, &books).await);
    let asked_again = healing::asks_again(&clients, &books).await;
    wrong.extend(compare(&books, &Books::read(&stage).await, &clients.told, &asked_again));
    let checking = Arc::clone(&stage);
    let found = spawn_blocking(move || checking.checks()).await.expect("the check ends");
    wrong.extend(found.into_iter().map(|line| Wrong::new(Kind::Check, line)));
    let told = clients.told.entries();
    let recoveries = Recoveries::count(&books, &told, &stage);
    let words = clients.told.words();
    let report = Report {
        seed,
        command: &options.command(),
        raged,
        weather: &weather,
        words: &words,
        books: &books,
        recoveries,
        settled,
        asked_again: asked_again.len(),
        wrong: &wrong,
    };
    report.print();
    judge(options, &report)
}

/// What clients were told, to the last answer, is compared with the books after it.
fn compare(books: &Books, after: &Books, told: &Told, asked_again: &[String]) -> Vec<Wrong> {
    let entries = told.entries();
    let mut wrong = answers::compare(after, &entries);
    wrong.extend(answers::replays(asked_again, &entries));
    wrong.extend(made::compare(after, &entries, &told.ends()));
    if after.movements != books.movements {
        wrong.push(Wrong::new(Kind::DoubleCharge, "money moved when keys were sent again"));
    }
    wrong
}

/// A storm that hit must find nothing with servers that are whole, and something with broken ones.
fn judge(options: &Options, report: &Report<'_>) -> bool {
    if let Some(broken) = options.broken {
        let found = report.wrong.iter().filter(|wrong| wrong.is_about_money()).count();
        println!("  servers with {} are found out: {found} things are wrong with money", broken.name());
        return found > 0;
    }
    let needed = usize::try_from(options.lasts().as_secs() / ONE_HIT_IN.as_secs()).expect("a number").max(1);
    let hit = report.recoveries.all() >= needed;
    if !hit {
        println!("  the storm hit fewer than {needed} windows: it proves nothing");
    }
    hit && report.wrong.is_empty()
}

/// Keeps the logs that are there.
fn keep_logs(to: &Path) {
    fs::create_dir_all(to).expect("a directory for the logs");
    for file in fs::read_dir(&support::setting::setting().directory).expect("the tests' directory").flatten() {
        let name = file.file_name();
        let is_log = name.to_str().is_some_and(|name| name.starts_with("process-") || name.ends_with(".log"));
        if is_log {
            fs::copy(file.path(), to.join(&name)).expect("a copy");
        }
    }
}
