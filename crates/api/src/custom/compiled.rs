//! Schemas that were compiled lately. A compiled schema takes several times the memory of its text, and most kinds of a large
//! cluster are quiet most of the time: what is in use is kept, the rest is compiled again when somebody needs it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use super::validator::Validator;

/// How many compiled schemas are kept while nobody uses them: those of a busy cluster's kinds.
pub const COMPILED_MAX: usize = 64;

/// The schemas that were used last, the newest at the end. They are only kept alive here: who asks for one knows where it came
/// from, so that no two definitions can be taken for each other.
#[derive(Debug, Default)]
struct Used(VecDeque<Arc<Validator>>);

static USED: Mutex<Used> = Mutex::new(Used(VecDeque::new()));

/// Keeps a schema for a while, since somebody uses it.
pub(super) fn keep(validator: &Arc<Validator>) {
    USED.lock().unwrap_or_else(PoisonError::into_inner).keep(validator);
}

impl Used {
    fn keep(&mut self, validator: &Arc<Validator>) {
        if let Some(place) = self.0.iter().rposition(|other| Arc::ptr_eq(other, validator)) {
            if place + 1 == self.0.len() {
                return;
            }
            self.0.remove(place);
        }
        self.0.push_back(validator.clone());
        if self.0.len() > COMPILED_MAX {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::custom::check;

    #[test]
    fn what_was_not_used_for_long_is_let_go() {
        let mut used = Used::default();
        let all: Vec<Arc<Validator>> = (0..=COMPILED_MAX)
            .map(|_| Arc::new(check(&json!({"type": "object"}), "schema", false).expect("a schema")))
            .collect();
        all[..COMPILED_MAX].iter().for_each(|validator| used.keep(validator));
        used.keep(&all[0]);
        used.keep(&all[COMPILED_MAX]);
        let kept: Vec<bool> = all.iter().map(|validator| Arc::strong_count(validator) > 1).collect();
        assert!(kept[0] && !kept[1] && kept[2..].iter().all(|kept| *kept), "{kept:?}");
    }
}
