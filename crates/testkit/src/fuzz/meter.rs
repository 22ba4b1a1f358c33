//! How much memory a piece of work takes at its worst moment.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    /// What this thread has allocated and not yet freed, in bytes. What it frees for others makes it less.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    /// The highest that it was.
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, counting for each thread. `#[global_allocator] static ALLOCATOR: Counting = Counting;`
#[derive(Debug)]
pub struct Counting;

/// A thread that ends has no counters any more; what it still does then is not measured.
fn count(change: isize) {
    _ = LIVE.try_with(|live| {
        live.set(live.get() + change);
        _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

// SAFETY: every call is passed on as it is to the system's allocator; counting does not allocate, and touches only cells of
// this thread that need no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps what `GlobalAlloc` asks of it.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    /// Old and new may exist side by side for a moment; both are counted.
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.cast_signed());
        count(-layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

/// What this thread holds: allocated and not yet freed, in bytes.
#[must_use]
pub fn held() -> isize {
    LIVE.get()
}

/// Weighs work on this thread.
#[derive(Debug, Default)]
pub struct Scale {
    heaviest: usize,
}

impl Scale {
    /// Does some work and notes the most memory that it had taken at any moment.
    pub fn weigh<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let before = LIVE.get();
        PEAK.set(before);
        let done = work();
        self.heaviest = self.heaviest.max(usize::try_from(PEAK.get() - before).unwrap_or(0));
        done
    }

    /// The heaviest work so far, in bytes.
    #[must_use]
    pub fn heaviest(&self) -> usize {
        self.heaviest
    }
}
