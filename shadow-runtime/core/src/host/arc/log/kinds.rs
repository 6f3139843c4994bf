//! The types of hosts in the log, numbered, so that an old host costs nine bytes.
//!
//! In: a [`Kind`]. Out: its number, and the kind of a number. All kinds of a process share one table of 255; a host of a
//! further type is looked at through the side table, which is slower.
#![forbid(unsafe_code)]

use std::ptr;

use once_cell::race::OnceRef;

use crate::host::arc::is_dead_by_table;

/// What the log has to know of a type of hosts.
#[derive(Debug)]
pub(in crate::host::arc) struct Kind {
    /// Whether the host of this key is dead; the table has the host.
    pub(in crate::host::arc) is_dead: unsafe fn(usize) -> bool,
    /// The type, for messages.
    pub(in crate::host::arc) name: fn() -> &'static str,
}

/// How many kinds have a number.
const KINDS: usize = 255;

/// The number of all others.
#[expect(clippy::cast_possible_truncation, reason = "255")]
const OTHER: u8 = KINDS as u8;

static NUMBERED: [OnceRef<'static, Kind>; KINDS] = [const { OnceRef::new() }; KINDS];

static OTHERS: Kind = Kind { is_dead: is_dead_by_table, name: || "Arc<_>" };

impl Kind {
    /// The number of the kind. Open addressing by the address; a kind whose probe finds no room has no number of its own.
    pub(super) fn number(&'static self) -> u8 {
        const PROBES: usize = 16;
        let home = ptr::from_ref(self).addr() / align_of::<Self>();
        for probe in 0..PROBES {
            let index = (home + probe) % KINDS;
            let place = &NUMBERED[index];
            // `set` fails if another thread was first: then its kind is there.
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
