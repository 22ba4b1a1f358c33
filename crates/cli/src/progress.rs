//! Waiting that shows itself: a spinner on a terminal, plain lines elsewhere.

use std::{
    io::{IsTerminal as _, stderr},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::errln;

/// How often a spinner turns.
const TURN: Duration = Duration::from_millis(100);

/// Something that takes time. Writes to standard error only, so that piped output stays clean.
#[derive(Debug)]
pub struct Progress {
    spinner: Option<ProgressBar>,
    said: String,
}

impl Progress {
    /// Starts to show `what`.
    #[must_use]
    pub fn start(what: &str) -> Self {
        let spinner = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
            let spinner = ProgressBar::new_spinner();
            spinner.enable_steady_tick(TURN);
            if let Ok(style) = style { spinner.with_style(style) } else { spinner }
        });
        let mut progress = Self { spinner, said: String::new() };
        progress.say(what);
        progress
    }

    /// Shows what happens now. Elsewhere than on a terminal, a line each time it changes.
    pub fn say(&mut self, what: &str) {
        if self.said == what {
            return;
        }
        what.clone_into(&mut self.said);
        match &self.spinner {
            Some(spinner) => spinner.set_message(what.to_owned()),
            None => errln!("{what}"),
        }
    }

    /// Ends the wait; a spinner vanishes and leaves `what`, if anything, as a line.
    pub fn done(self, what: &str) {
        if let Some(spinner) = self.spinner {
            spinner.finish_and_clear();
        }
        if !what.is_empty() {
            errln!("{what}");
        }
    }
}
