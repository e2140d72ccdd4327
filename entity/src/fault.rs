//! What is wrong with an input: which field, and what would be right.
//!
//! Faults are gathered, not thrown one at a time: whoever sent five mistakes is told of five.

use crate::card::{address_holds_card_number, holds_card_number};

/// What is said of a text that holds a card number, which is not repeated.
pub const CARD_NUMBER: &str =
    "holds what looks like a card number: none is taken in here; send the provider's token instead";

/// One field that can't be accepted. The path leads to it from the input's root, as a client wrote it
/// (`["cart", "lines", "3", "quantity"]`); the message says what would be right.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fault {
    pub path: Vec<String>,
    pub message: String,
}

/// A list of faults that grows while an input is read.
#[derive(Clone, Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Notes a fault at a path given with dots: `lines.3.quantity`.
    pub fn add(&mut self, path: &str, message: impl std::fmt::Display) {
        self.0.push(Fault { path: path.split('.').map(str::to_owned).collect(), message: message.to_string() });
    }

    /// Takes the value, or notes what is wrong with it.
    pub fn take<T, E: std::fmt::Display>(&mut self, path: &str, value: Result<T, E>) -> Option<T> {
        value.map_err(|error| self.add(path, error)).ok()
    }

    /// Notes faults that were found further down, under where they were found: a path given with dots.
    pub fn nest(&mut self, path: &str, faults: Vec<Fault>) {
        for mut fault in faults {
            fault.path.splice(0..0, path.split('.').map(str::to_owned));
            self.0.push(fault);
        }
    }

    /// Notes faults that were found under a key of a caller's own, which may hold dots. One that holds a card number is not repeated.
    pub fn nest_key(&mut self, key: &str, faults: Vec<Fault>) {
        for mut fault in faults {
            if !holds_card_number(key) {
                fault.path.insert(0, key.to_owned());
            }
            self.0.push(fault);
        }
    }

    /// Notes a fault where a text can't be kept: it is shorter or longer than it may be, counted in characters, or holds a card number. Each text
    /// of a caller's is read by this.
    pub fn text(&mut self, path: &str, text: &str, allowed: std::ops::RangeInclusive<usize>) {
        let length = text.chars().count();
        if !allowed.contains(&length) {
            let (least, most) = (allowed.start(), allowed.end());
            self.add(path, format!("has {length} characters; {least} to {most} are allowed"));
        }
        if text.contains('\0') {
            // PostgreSQL's text can't hold it.
            self.add(path, "holds a NUL character");
        }
        if holds_card_number(text) {
            self.add(path, CARD_NUMBER);
        }
    }

    /// The same of an address, whose characters may be written otherwise than they are read.
    pub fn address(&mut self, path: &str, address: &str, allowed: std::ops::RangeInclusive<usize>) {
        self.text(path, address, allowed);
        if !holds_card_number(address) && address_holds_card_number(address) {
            self.add(path, CARD_NUMBER);
        }
    }

    /// Notes faults that were found at the same level.
    pub fn extend(&mut self, faults: Vec<Fault>) {
        self.0.extend(faults);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All faults, or the value if there are none. A value that is missing without a fault can't be: who
    /// returns `None` has noted why.
    pub fn or<T>(self, value: Option<T>) -> Result<T, Vec<Fault>> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self.0),
        }
    }
}
