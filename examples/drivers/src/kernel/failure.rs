//! Why a step failed.

use core::error::Error;
use core::fmt::{self, Write};
use heapless::String;

/// The text of an error, as far as it fits.
pub(super) struct Failure(String<112>);

impl Failure {
    pub(super) fn new(text: &str) -> Self {
        let mut failure = Self(String::new());
        failure.push(text);
        failure
    }

    fn push(&mut self, text: &str) {
        for letter in text.chars() {
            if self.0.push(letter).is_err() {
                return;
            }
        }
    }
}

impl Write for Failure {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut failure = Self(String::new());
        _ = write!(failure, "{error}");
        failure
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
