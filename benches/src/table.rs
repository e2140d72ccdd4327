//! Tables in Markdown, and how numbers look in them.

use std::{fmt::Write, time::Duration};

pub struct Table {
    width: usize,
    text: String,
}

impl Table {
    pub fn new(columns: &[&str]) -> Self {
        let mut table = Self { width: columns.len(), text: String::new() };
        table.row(columns.iter().map(|&column| column.to_owned()).collect());
        table.row(vec!["---".to_owned(); columns.len()]);
        table
    }

    pub fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.width, "{cells:?}");
        writeln!(self.text, "| {} |", cells.join(" | ")).expect("a text takes anything");
    }

    pub fn finish(self) -> String {
        self.text
    }
}

/// In milliseconds, with three digits or more.
pub fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1000.0;
    match ms {
        _ if ms >= 100.0 => format!("{ms:.0} ms"),
        _ if ms >= 10.0 => format!("{ms:.1} ms"),
        _ => format!("{ms:.2} ms"),
    }
}

pub fn percent(part: f64, whole: f64) -> String {
    format!("{:.0} %", 100.0 * part / whole.max(f64::MIN_POSITIVE))
}

pub fn megabytes(kilobytes: u64) -> String {
    format!("{:.1}", kilobytes as f64 / 1024.0)
}

/// With a comma at each thousand.
pub fn count(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap()).collect();
    groups.join(",")
}
