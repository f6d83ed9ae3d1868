//! Counts what this thread allocates and holds.
#![allow(unsafe_code, reason = "an allocator can be watched in no other way")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
    static HELD: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// Safety: every call goes to the system's allocator unchanged. The counters are constants of the
// thread without a destructor, so touching them never allocates and never fails.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get().saturating_add(layout.size()));
        HELD.set(HELD.get().wrapping_add(layout.size()));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.set(HELD.get().wrapping_sub(layout.size()));
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Bytes this thread allocated so far, freed ones included.
pub fn allocated() -> usize {
    ALLOCATED.get()
}

/// Bytes this thread allocated and did not free.
pub fn held() -> usize {
    HELD.get()
}
