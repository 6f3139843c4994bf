//! The types of hosts in the log, numbered: an old host costs nine bytes.
//!
//! In: a [`Kind`]. Out: a number, and the kind of a number. All kinds of a process share a hash table of 255 slots,
//! with open addressing. A kind without a free slot among `PROBES` shares the number of all such kinds; a look at a
//! host of such a kind goes through the side table, and is slower.
#![forbid(unsafe_code)]

use std::ptr;

use once_cell::race::OnceRef;

use crate::host::arc::is_dead_by_table;

/// The log's knowledge of a type of hosts.
#[derive(Debug)]
pub(in crate::host::arc) struct Kind {
    /// Whether the host of a key is dead. The caller guarantees that the table has the host.
    pub(in crate::host::arc) is_dead: unsafe fn(usize) -> bool,
    /// The name of the type, for messages.
    pub(in crate::host::arc) name: fn() -> &'static str,
}

/// The number of slots.
const KINDS: usize = 255;

/// The number of a kind without a slot.
#[expect(clippy::cast_possible_truncation, reason = "255")]
const OTHER: u8 = KINDS as u8;

static NUMBERED: [OnceRef<'static, Kind>; KINDS] = [const { OnceRef::new() }; KINDS];

static OTHERS: Kind = Kind { is_dead: is_dead_by_table, name: || "Arc<_>" };

impl Kind {
    /// The number of the kind: the index of its slot, or [`OTHER`]. The hash is the kind's address.
    pub(super) fn number(&'static self) -> u8 {
        const PROBES: usize = 16;
        let home = ptr::from_ref(self).addr() / align_of::<Self>();
        for probe in 0..PROBES {
            let index = (home + probe) % KINDS;
            let place = &NUMBERED[index];
            // `set` fails if another thread has filled the slot; then the slot has that thread's kind.
            if place
                .get()
                .or_else(|| place.set(self).map_or_else(|()| place.get(), |()| Some(self)))
                .is_some_and(|kind| ptr::eq(kind, self))
            {
                return u8::try_from(index).unwrap_or(OTHER);
            }
        }
        OTHER
    }

    /// The kind of a number.
    #[inline]
    pub(super) fn of(number: u8) -> &'static Self {
        NUMBERED.get(usize::from(number)).and_then(OnceRef::get).unwrap_or(&OTHERS)
    }
}
