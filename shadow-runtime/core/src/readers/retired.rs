//! Who drops a value that was still in use when it was replaced.
//!
//! In: nodes that a writer has replaced. Out: the value of one that nobody has announced; of others their end, by
//! whoever is the last to have one. Neighbours: `node.rs`, one node; `cell/get_or_update.rs` and `raw/newest.rs`, whose
//! headers say how announcements are seen; what is called a cell here is a table of the latter, too.
//!
//! A writer that finds its node announced clones the value, puts the node into the cell's list, and looks again. A
//! reader that finds, after its withdrawal, that its node was replaced, looks into the list; it drops what nobody
//! announces any more, and puts the rest back.
//!
//! - **E1** A node in the list was replaced, and belongs to the list alone. Who takes the list takes all of it.
//! - **E2** No reader announces it anew and keeps it; so once it was seen not to be announced, nobody uses it.
//! - **E3** Whoever leaves it in the list has put it there, and has seen it announced after that. So the reader that
//!   had announced it has yet to withdraw, and will look into the list.
//!
//! For E3, whoever puts a node there and then looks at the slots, and a reader that withdraws and then looks at the
//! word and into the list, must not miss one another. Every read withdraws, and a node is put there seldom; so a reader
//! has no fence between the two, and who puts a node there has every thread pass one (`barrier.rs`), about a
//! microsecond. A reader whose withdrawal comes before that is seen to have withdrawn; one whose withdrawal comes after
//! looks after it, too. Where the system has no such fence, all four are `SeqCst`. So what is retired stays for as long
//! as a reader uses it, and no longer, whether the field is updated again or not; the list is as long as there are such
//! readers at the most.
//!
//! The system may cease to have the fence for all, by a sandbox that is closed too late. What was replaced in a cell
//! that was cold then is never known not to be in use. It stays in the list for as long as the field is attached to its
//! host, and its link says so; there is one such node for each cell, since none becomes cold any more. And what is put
//! into a list just then may be missed by its last reader; it stays until somebody else looks into that list.

use std::any::type_name;
use std::fmt::Display;
use std::hint;
use std::ptr::{self, NonNull};

use crate::panics::Panics;
use crate::readers::node::Node;
use crate::readers::{self, Unshown, barrier};
use crate::sync::{AtomicPtr, Ordering, const_fn, full_fence};

/// How many steps a writer waits whose node is announced, before it looks again: about three microseconds, more where a
/// step takes longer. To clone something small takes less; the rest is for the other to get on, which finds its cache
/// lines where they are as long as this one keeps away. With an eighth of it, two threads that read and write the same
/// field take nearly twice as long.
const PATIENCE: usize = 512;

/// Nodes that were replaced while they were announced.
pub(crate) struct Retired<V> {
    first: AtomicPtr<Node<V>>,
}

/// A node that is retired when this is dropped.
pub(crate) struct Retiring<'cell, V, F: Fn(&V) -> bool> {
    retired: &'cell Retired<V>,
    cell: usize,
    node: NonNull<Node<V>>,
    is_seen: bool,
    is_own: F,
}

impl<V> Retired<V> {
    const_fn! {
        pub(crate) const fn new() -> Self {
            Self { first: AtomicPtr::new(ptr::null_mut()) }
        }
    }

    /// Whether there is nothing in the list.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        // SeqCst: after the withdrawal, E3. Who goes on to use what is there takes it, which is an Acquire.
        self.first.load(Ordering::SeqCst).is_null()
    }

    /// A node of `cell`, which is where this list is, once it is the caller's alone. If somebody has announced it, it
    /// is retired when the error is dropped; `is_own` is as in [`collect`](Self::collect).
    ///
    /// # Safety
    ///
    /// It was replaced, and is the caller's to retire. If `is_seen`, whoever has it announced, or will and keeps it, is
    /// seen from now on.
    pub(crate) unsafe fn reclaim<F: Fn(&V) -> bool>(
        &self,
        cell: usize,
        node: NonNull<Node<V>>,
        is_seen: bool,
        is_own: F,
    ) -> Result<NonNull<Node<V>>, Retiring<'_, V, F>> {
        let is_free = || !is_announced(cell, node);
        // A model need not run a second look, which is the same again.
        if is_seen && (is_free() || (!cfg!(loom) && wait_and(is_free))) {
            // By O5 no reader has it.
            return Ok(node);
        }
        Err(Retiring { retired: self, cell, node, is_seen, is_own })
    }

    /// Puts nodes into the list, and returns whether one of them can be dropped now (E3).
    ///
    /// # Safety
    ///
    /// They are the caller's, by E1.
    unsafe fn put(&self, cell: usize, nodes: &[(NonNull<Node<V>>, bool)]) -> bool {
        if nodes.is_empty() {
            return false;
        }
        for &(node, is_seen) in nodes {
            // The one that is put after it may have seen, as the first, another node in the same memory that has gone
            // meanwhile: its exchange succeeds, and its link has the address of this one, but is no pointer to it.
            let _ = node.as_ptr().expose_provenance();
            // Relaxed: the exchange that succeeds says what the first is.
            let mut first = self.first.load(Ordering::Relaxed);
            loop {
                // SAFETY: the caller says that it is the caller's until it is in the list.
                unsafe { node.as_ref() }.set_link(first, is_seen);
                // SeqCst: before the look at the slots, E3; and a Release of the link.
                match self.first.compare_exchange(first, node.as_ptr(), Ordering::SeqCst, Ordering::Relaxed) {
                    Ok(_) => break,
                    Err(newer) => first = newer,
                }
            }
        }
        if barrier::is_available() {
            // E3. What follows if it fails is in the header.
            let _ = barrier::heavy();
        }
        full_fence();
        // The nodes are not touched any more: they may be gone.
        nodes.iter().any(|&(node, is_seen)| is_seen && !is_announced(cell, node))
    }

    /// Drops the nodes that nobody uses any more.
    ///
    /// # Panics
    ///
    /// If destructors of values that are the caller's own do: the first panic is raised again after all of them have
    /// run. Panics of others' destructors are discarded (R5).
    #[cold]
    pub(crate) fn collect(&self, cell: usize, is_own: impl Fn(&V) -> bool) {
        if self.is_empty() {
            return;
        }
        let (mut own, mut others) = (Panics::none(), Panics::of("of another object"));
        let whose = &format_args!("a replaced value of type `{}`", type_name::<V>());
        loop {
            let (kept, gone): (Vec<_>, Vec<_>) =
                self.take().partition(|(node, is_seen)| !is_seen || is_announced(cell, *node));
            // SAFETY: they were in the list, and were taken, by E1.
            let again = unsafe { self.put(cell, &kept) };
            for (node, _) in gone {
                // SAFETY: they were taken, by E1, and by E2 nobody uses them.
                let is_own = is_own(unsafe { node.as_ref() }.value());
                let panics = if is_own { &mut own } else { &mut others };
                // SAFETY: as above.
                panics.contain(whose, || unsafe { Node::end(node) });
            }
            if !again {
                break;
            }
        }
        others.discard();
        own.raise();
    }

    /// Takes all nodes out, which are the caller's then.
    fn take(&self) -> impl Iterator<Item = (NonNull<Node<V>>, bool)> {
        // SeqCst: as in `collect`; and an Acquire of the links.
        let mut next = self.first.swap(ptr::null_mut(), Ordering::SeqCst);
        std::iter::from_fn(move || {
            let node = NonNull::new(next)?;
            // SAFETY: by E1 it is there, and is now the caller's.
            let (following, is_seen) = unsafe { node.as_ref() }.link();
            next = following;
            Some((node, is_seen))
        })
    }

    /// Drops all nodes. Nobody else has the cell, so nobody uses them.
    pub(crate) fn end(&mut self, whose: &dyn Display, panics: &mut Panics) {
        for (node, _) in self.take() {
            // SAFETY: they were taken, by E1, and a reader would borrow the cell.
            panics.contain(whose, || unsafe { Node::end(node) });
        }
    }
}

/// Waits for [`PATIENCE`], and then looks again.
#[cold]
fn wait_and(is_free: impl Fn() -> bool) -> bool {
    (0..PATIENCE).for_each(|_| hint::spin_loop());
    is_free()
}

fn is_announced<V>(cell: usize, node: NonNull<Node<V>>) -> bool {
    readers::is_announced(cell, node.as_ptr().cast())
}

impl<V, F: Fn(&V) -> bool> Retiring<'_, V, F> {
    /// Lets `look` have the value, and then retires the node, also if that panics.
    pub(crate) fn leave<R>(self, look: impl FnOnce(&V) -> R) -> R {
        let unshown = Unshown::begin();
        // SAFETY: it is this one's until it is dropped.
        let seen = look(unsafe { self.node.as_ref() }.value());
        drop(unshown);
        // While that is a local, since this may run destructors.
        drop(self);
        seen
    }
}

impl<V, F: Fn(&V) -> bool> Drop for Retiring<'_, V, F> {
    fn drop(&mut self) {
        // SAFETY: who made this says that the node was replaced, and may be retired.
        if unsafe { self.retired.put(self.cell, &[(self.node, self.is_seen)]) } {
            self.retired.collect(self.cell, &self.is_own);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::readers::Taken;

    const CELL: usize = 8;

    /// A value that is counted as long as it is there.
    type Counted = Arc<()>;

    fn there_are(count: &Counted) -> usize {
        Arc::strong_count(count) - 1
    }

    fn announced(count: &Counted) -> (NonNull<Node<Counted>>, Taken) {
        let node = Node::make(Arc::clone(count));
        let taken = readers::take();
        taken.slot().announce(CELL, node.as_ptr().cast());
        (node, taken)
    }

    /// Retires a node that is announced, and returns by whom.
    fn retire(retired: &Retired<Counted>, count: &Counted, is_seen: bool) -> Taken {
        let (node, taken) = announced(count);
        // SAFETY: it is no cell's, and nobody reads its value.
        match unsafe { retired.reclaim(CELL, node, is_seen, |_| true) } {
            Ok(_) => panic!("it is announced"),
            Err(retiring) => retiring.leave(|value| assert!(Arc::ptr_eq(value, count))),
        }
        taken
    }

    #[test]
    fn what_nobody_has_announced_is_given_back_at_once() {
        let (retired, count) = (Retired::new(), Counted::default());
        let node = Node::make(Arc::clone(&count));
        // SAFETY: it is no cell's.
        let Ok(node) = (unsafe { retired.reclaim(CELL, node, true, |_| true) }) else { panic!("it is free") };
        // SAFETY: nobody else has it.
        drop(unsafe { Node::unmake(node) });
        assert_eq!(there_are(&count), 0);
        assert!(retired.is_empty());
    }

    #[test]
    fn what_is_announced_is_dropped_when_that_is_withdrawn() {
        let (retired, count) = (Retired::new(), Counted::default());
        let readers = [(); 4].map(|()| retire(&retired, &count, true));
        assert!(!retired.is_empty());
        for (number, reader) in [2, 0, 3, 1].into_iter().enumerate() {
            retired.collect(CELL, |_| true);
            assert_eq!(there_are(&count), 4 - number);
            readers[reader].slot().withdraw();
        }
        retired.collect(CELL, |_| true);
        assert_eq!(there_are(&count), 0);
        assert!(retired.is_empty());
    }

    #[test]
    fn what_is_withdrawn_before_it_is_in_the_list_is_dropped_by_who_puts_it_there() {
        let (retired, count) = (Retired::new(), Counted::default());
        let (node, taken) = announced(&count);
        // SAFETY: it is no cell's, and nobody reads its value.
        let retiring = unsafe { retired.reclaim(CELL, node, true, |_| true) };
        taken.slot().withdraw();
        assert_eq!(there_are(&count), 1);
        match retiring {
            Ok(_) => panic!("it was announced"),
            Err(retiring) => drop(retiring),
        }
        assert_eq!(there_are(&count), 0);
    }

    #[test]
    fn whether_the_readers_of_a_node_are_seen_stays_with_it() {
        let (mut retired, count) = (Retired::new(), Counted::default());
        let readers = [false, true, true, false, true, true].map(|is_seen| retire(&retired, &count, is_seen));
        retired.collect(CELL, |_| true);
        assert_eq!(there_are(&count), 6);
        let kept: Vec<_> = retired.take().collect();
        assert_eq!(kept.iter().filter(|(_, is_seen)| *is_seen).count(), 4);
        // SAFETY: they were just taken out.
        unsafe { retired.put(CELL, &kept) };
        for reader in &readers {
            reader.slot().withdraw();
        }
        retired.collect(CELL, |_| true);
        assert_eq!(there_are(&count), 2, "those whose readers are never seen");
        let mut panics = Panics::none();
        retired.end(&"a value", &mut panics);
        panics.raise();
        assert_eq!(there_are(&count), 0);
    }
}
