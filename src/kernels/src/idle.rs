//! Memory that is used again and again.
//!
//! What a system hands out for the first time it has to clear, page by page, which costs as much as the work
//! on it. Invariant: nothing that is computed depends on which room a task gets.

use std::sync::Mutex;

/// Room that nobody uses at the moment: at most one for each task that ran at a time.
#[derive(Debug)]
pub(crate) struct Idle<T>(Mutex<Vec<T>>);

impl<T> Idle<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Room that was given back, if there is any.
    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().ok()?.pop()
    }

    /// Leaves room to the next who wants some.
    pub(crate) fn give(&self, room: T) {
        if let Ok(mut idle) = self.0.lock() {
            idle.push(room);
        }
    }
}
