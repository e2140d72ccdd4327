//! Where the server commits and what it asks a provider for, read from its sources.

use std::{collections::BTreeSet, fs, path::Path};

/// A place in `src/service` that commits.
#[derive(Clone, Debug)]
pub struct Commit {
    /// `src/service/work.rs:168`
    pub line: String,
    /// `work.rs, begin`: what stays when lines are moved.
    pub function: String,
}

/// Each place in `src/service` that commits.
pub fn commits() -> Vec<Commit> {
    let mut commits = vec![];
    for (file, text) in sources("src/service") {
        let mut function = "";
        for (at, line) in (1..).zip(text.lines()) {
            function = name_of_function(line).unwrap_or(function);
            if line.contains(".commit()") {
                let short = file.strip_prefix("src/service/").expect("a verb's file");
                commits.push(Commit { line: format!("{file}:{at}"), function: format!("{short}, {function}") });
            }
        }
    }
    commits
}

/// What a provider is asked for, each by the name that the call has.
pub fn calls() -> BTreeSet<String> {
    let mut calls = BTreeSet::new();
    for (_, text) in sources("src/provider") {
        for called in text.split("http::call(\"").skip(1) {
            calls.extend(called.split('"').next().map(str::to_owned));
        }
    }
    calls
}

/// The name of the function that begins on this line.
pub fn name_of_function(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let begins = ["fn ", "pub", "async fn "].iter().any(|word| line.starts_with(word));
    let (_, name) = line.split_once("fn ").filter(|_| begins)?;
    name.split(['(', '<']).next()
}

/// The files under a directory of the package, each by its path from there.
pub fn sources(directory: &str) -> Vec<(String, String)> {
    let mut found = vec![];
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    for entry in fs::read_dir(&place).expect("the sources").flatten() {
        let name = format!("{directory}/{}", entry.file_name().to_str().expect("a name"));
        if entry.path().is_dir() {
            found.extend(sources(&name));
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(entry.path()).expect("a source");
            found.push((name, text));
        }
    }
    found.sort();
    found
}
