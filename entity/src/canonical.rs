//! A form in which a row of texts has one spelling, so that two rows have the same digest exactly if they are the same.
//!
//! Each text is written as its length in bytes in decimal, a colon, and its bytes (`3:EUR`), one after the other without anything between.

use sha2::{Digest, Sha256};

/// SHA-256 over texts in their canonical form.
pub(crate) struct Canonical(Sha256);

impl Canonical {
    /// `form` is the name and version of what follows: one form is never taken for another.
    pub fn new(form: &str) -> Self {
        let mut canonical = Self(Sha256::new());
        canonical.text(form);
        canonical
    }

    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// A text that may be missing: `=` before it, or an empty text where there is none.
    pub fn optional(&mut self, text: Option<&str>) {
        let text = text.map(|text| format!("={text}"));
        self.text(text.as_deref().unwrap_or_default());
    }

    /// Decimal, without leading zeros.
    pub fn number(&mut self, number: impl ToString) {
        self.text(&number.to_string());
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(format!("{}:", bytes.len()));
        self.0.update(bytes);
    }

    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}
