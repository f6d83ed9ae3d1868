//! The event queue: virtual time, and what happens next in it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Events in order of time; at equal times, in order of scheduling.
pub struct Queue<E> {
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    /// Events stay put while the heap moves their keys.
    events: Vec<Option<E>>,
    free: Vec<u32>,
    scheduled: u64,
    now_us: u64,
}

impl<E> Queue<E> {
    /// An empty queue at time zero.
    pub fn new() -> Queue<E> {
        Queue {
            heap: BinaryHeap::new(),
            events: Vec::new(),
            free: Vec::new(),
            scheduled: 0,
            now_us: 0,
        }
    }

    /// Microseconds of virtual time since the start.
    pub fn now_us(&self) -> u64 {
        self.now_us
    }

    /// Lets `event` happen `delay_us` from now.
    pub fn after(&mut self, delay_us: u64, event: E) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.events[slot as usize] = Some(event);
                slot
            }
            None => {
                self.events.push(Some(event));
                self.events.len() as u32 - 1
            }
        };
        self.scheduled += 1;
        self.heap.push(Reverse((self.now_us + delay_us, self.scheduled, slot)));
    }

    /// Moves time on to the next event and takes it out.
    pub fn next(&mut self) -> Option<E> {
        let Reverse((time_us, _, slot)) = self.heap.pop()?;
        self.now_us = time_us;
        self.free.push(slot);
        self.events[slot as usize].take()
    }
}
