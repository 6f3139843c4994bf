//! The cell of a `get_or_attach` field: the initialiser of the first request writes the value, once.
//!
//! In: the value that an initialiser has made. Out: `&V`, the same for all threads. Neighbours: `write_once.rs`, the
//! storage; `accessor/get_or_attach.rs`.
//!
//! `accessor/get_or_attach.rs` runs the initialiser, under the init lock of the field (`init_lock/mod.rs`), on which
//! other threads wait. The cell need not exist before the initialiser returns (R6). By the lock, no thread finds the
//! state [`BUSY`]; but the soundness of the cell does not rely on the lock.

use crate::cell::write_once::{State, WriteOnce};
use crate::registry::Field;
use crate::sync::{AtomicU8, Ordering};
use crate::value::Value;

/// One `get_or_attach` field of one host.
pub type GetOrAttach<V> = WriteOnce<V, StateByte>;

/// The state word: [`EMPTY`], [`BUSY`] or [`ATTACHED`].
#[expect(missing_debug_implementations, reason = "hidden from users")]
pub struct StateByte(AtomicU8);

const EMPTY: u8 = 0;
const BUSY: u8 = 1;
const ATTACHED: u8 = 2;

// SAFETY: one atomic word. The three states have different values, and each method has the documented ordering.
unsafe impl State for StateByte {
    type Mark = ();

    #[inline]
    fn empty() -> Self {
        Self(AtomicU8::new(EMPTY))
    }

    fn begin(&self) -> bool {
        // Relaxed: see *Writer* in the header of `write_once.rs`.
        self.0.compare_exchange(EMPTY, BUSY, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    #[inline]
    fn publish(&self, (): ()) {
        // Release: publishes the value; pairs with the Acquire of `is_attached`.
        self.0.store(ATTACHED, Ordering::Release);
    }

    #[inline]
    fn is_attached(&self) -> bool {
        // Acquire: pairs with the Release of `publish`.
        self.0.load(Ordering::Acquire) == ATTACHED
    }

    fn mark(&self) -> Option<()> {
        self.is_attached().then_some(())
    }
}

impl<V: Value> GetOrAttach<V> {
    /// Attaches `value`. The caller has locked the field and found the field empty. If the cell is attached in spite of
    /// the lock, drops `value` and returns the attached value.
    pub(crate) fn attach(&self, field: &'static Field, value: V) -> &V {
        self.write(field, value, ()).unwrap_or_else(|_| self.wait())
    }
}
