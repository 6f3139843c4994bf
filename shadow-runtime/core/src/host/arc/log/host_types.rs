//! The types of hosts in the log, numbered: an old host costs nine bytes.
//!
//! In: a [`HostType`]. Out: a number, and the type of a number. Neighbours: `stack.rs`, which stores the numbers;
//! `../weak.rs`, with the `HostType` of each `Arc`. All types of a process share a hash table of 255 slots,
//! with open addressing. A type without a free slot among `PROBES` shares the number of all such types; a look at a
//! host of such a type goes through the side table, and is slower.
#![forbid(unsafe_code)]

use std::ptr;

use once_cell::race::OnceRef;

use crate::host::arc::is_dead_by_table;

/// The log's knowledge of a type of hosts.
#[derive(Debug)]
pub(in crate::host::arc) struct HostType {
    /// Whether the host of a key is dead. The caller guarantees that the table has the host.
    pub(in crate::host::arc) is_dead: unsafe fn(usize) -> bool,
    /// The name of the type, for messages.
    pub(in crate::host::arc) name: fn() -> &'static str,
}

/// The number of slots.
const TYPES: usize = 255;

/// The number of a type without a slot.
#[expect(clippy::cast_possible_truncation, reason = "255")]
const OTHER: u8 = TYPES as u8;

static NUMBERED: [OnceRef<'static, HostType>; TYPES] = [const { OnceRef::new() }; TYPES];

static OTHER_TYPES: HostType = HostType { is_dead: is_dead_by_table, name: || "Arc<_>" };

impl HostType {
    /// The number of the type: the index of its slot, or [`OTHER`]. The hash is the address of the `HostType`.
    pub(super) fn number(&'static self) -> u8 {
        const PROBES: usize = 16;
        let home = ptr::from_ref(self).addr() / align_of::<Self>();
        for probe in 0..PROBES {
            let index = (home + probe) % TYPES;
            let place = &NUMBERED[index];
            // `set` fails if another thread has filled the slot; then the slot has that thread's type.
            if place
                .get()
                .or_else(|| place.set(self).map_or_else(|()| place.get(), |()| Some(self)))
                .is_some_and(|found| ptr::eq(found, self))
            {
                return u8::try_from(index).unwrap_or(OTHER);
            }
        }
        OTHER
    }

    /// The type of a number.
    #[inline]
    pub(super) fn of(number: u8) -> &'static Self {
        NUMBERED.get(usize::from(number)).and_then(OnceRef::get).unwrap_or(&OTHER_TYPES)
    }
}
