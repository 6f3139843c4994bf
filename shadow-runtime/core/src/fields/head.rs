//! The memory of one host's field sets: a node for each declaration whose fields were used.
//!
//! In: a field set's type. Out: a reference to the one of this host. A host that embeds its fields has a [`Head`]; a
//! side table keeps what a head would point to, a [`First`], whose node has what the table needs to know about the
//! host, so that one allocation serves both. Neighbours: `first.rs`, what a head points to; `node.rs`, one node;
//! `list.rs`, several.
//!
//! # Memory
//!
//! Mostly a host has fields of one declaration, and the head points to its node. A host with more has a list instead,
//! which points to the nodes, and says of each what it is of. Both begin with a [`Link`], which says what it is, so a
//! reader compares one word before where the head points to, and is there, or has to search. A node has no word for
//! what comes after it: with it, the nodes of small values would fill one and a half times as much of the caches.
//!
//! # Invariants
//!
//! - **N1** Every link that a list points to, or that lies right before where a head or a `First` points, is the start
//!   of a live `Node<S, O>` or `List`, made by `Box`, whose kind is `kind::<S, O>`, `marked::<S, O>` or `list`. The
//!   pointer may be used for the whole of that, the link included.
//! - **N2** No two nodes of a host are of the same field set, of the same image (`node.rs`).
//! - **N3** A head goes from null to a node, and from that to a list, which has the node; an entry of a list goes from
//!   vacant to a node, and its word for the next list from null to that; they are filled in order. Apart from that, and
//!   from N5, nothing changes, and nothing is freed, but by exclusive access: `&mut Head`, or [`First::end`]. So a node
//!   lives, and stays where it is, for as long as the head is borrowed (R1, R8).
//! - **N4** A node whose kind is `marked` has the *mark*. It says that the first cell of its set is ready: there is a
//!   value that can be read without a look at the cell's state, in the way that the cell of its policy says. A node is
//!   made with the mark or without, and loses it to whoever has the set exclusively and may change that.
//! - **N5** An entry of a list has, beside the node, the function that says what that is of, or null. It is *noted*
//!   once, with the node or after it was put there; where it is not, there may be nodes nevertheless, there and further
//!   on.
//!
//! The mark saves a reader of the first cell a look at its state: what it loads are the kind, which it has to look at
//! anyway, and the value, which lie together, and mostly in one cache line, where the state would often be in the
//! next. So a hit takes two comparisons, with null and with the kind, and a look where there is nothing takes one.
//! What has no mark is read like any other field: a first cell that was filled after another one of its set; or any,
//! once somebody has had its set exclusively to detach a field of it, or to change one that is replaced.
//!
//! # Readers and writers
//!
//! *Reader*: load the head; compare the kind of what it points to; if it is a list, compare what is noted in each of
//! its entries, up to the first where nothing is. So of several nodes it touches the one that it wants. If none was
//! that, by its address, ask: what is noted, or the node itself, up to the first entry without a node. *Writer*: make a
//! node; put it into the first entry that is vacant, by one compare-and-exchange, and note what it is of; if there is
//! no list yet, make one of what the head points to, and exchange the head. If an exchange fails, somebody else's node
//! or list stands there now: a node of the same set is used, and one's own is dropped (its cells are empty, so no user
//! code runs); a list of one's own is dropped, too; otherwise go on from there. Nobody waits for what is not noted yet.
//!
//! *Who races with whom*: readers with writers, and writers with one another, at the word that is exchanged. Each
//! exchange is a `Release`, and every load of a word is an `Acquire`, but where an earlier load of what is noted was
//! one, also the one of an exchange that fails: whoever sees a node sees it as it was made, a marked one with its first
//! cell ready; and whoever sees a list sees as they were made the nodes that its maker has seen. Nothing else is
//! shared, since nodes are only freed, or lose their marks, under exclusive access, which excludes both; what threads
//! did before is ordered by however that came about. Two writers of one set cannot both put a node: the later would
//! have to pass the earlier's, since words are filled in order. What is noted is stored by a `Release` and loaded by an
//! `Acquire`, so whoever finds a node by it sees that node there, and as it was made. There is no ABA: by N3 and N5 no
//! word has a value twice.

use std::ptr::{self, NonNull};

use crate::field_set::FieldSet;
use crate::fields::first::{First, Found, Unpublished};
use crate::fields::node::{AfterLink, Link, set_mut};
use crate::panics::Panics;
use crate::sync::{AtomicPtr, Ordering, const_fn};

/// All field sets of one host, in 8 bytes of the host.
pub(super) struct Head {
    first: AtomicPtr<AfterLink>,
}

/// The key of a host that is in no side table, which its nodes do not look at.
pub(super) const NO_KEY: usize = 0;

impl Head {
    const_fn! {
        pub(super) const fn new() -> Self {
            Self { first: AtomicPtr::new(ptr::null_mut()) }
        }
    }

    #[inline]
    fn first(&self) -> Option<First> {
        // Acquire: pairs with the Release of `insert` and `insert_first`; what it points to is seen as it was made.
        NonNull::new(self.first.load(Ordering::Acquire)).map(First::from_raw)
    }

    /// Whether there is nothing yet.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        // Relaxed: whoever acts upon it finds out by an exchange.
        self.first.load(Ordering::Relaxed).is_null()
    }

    /// The field set `S`, if it is there.
    #[inline]
    pub(super) fn find<S: FieldSet + 'static>(&self) -> Option<Found<'_, S>> {
        // SAFETY: by N3 the nodes live, and keep their marks, while `self` is borrowed, as the set is; and it was
        // loaded by an Acquire.
        unsafe { self.first()?.find::<S, ()>() }
    }

    /// A set to be filled, and then to be the first here, if there is nothing yet.
    #[inline]
    pub(super) fn new_first<S: FieldSet + 'static>(&self) -> Option<Unpublished<S>> {
        // SAFETY: nodes of a head have the owner `()` and this key.
        self.is_empty().then(|| unsafe { Unpublished::make_marked((), NO_KEY) })
    }

    /// Publishes a set as the first here, or gives it back.
    ///
    /// # Safety
    ///
    /// `new` comes from a head's [`new_first`](Self::new_first), and its first cell is ready.
    #[inline]
    pub(super) unsafe fn insert_first<S: FieldSet + 'static>(&self, new: Unpublished<S>) -> Result<&S, Unpublished<S>> {
        let first = new.first().into_raw().as_ptr();
        // Release: pairs with every Acquire load of the word. Relaxed on failure: the caller looks again.
        if self.first.compare_exchange(ptr::null_mut(), first, Ordering::Release, Ordering::Relaxed).is_err() {
            return Err(new);
        }
        // SAFETY: by N3 it lives while `self` is borrowed.
        Ok(unsafe { new.published() })
    }

    /// The field set `S`, which loses the mark: the first cell may be about to be emptied.
    #[inline]
    pub(super) fn find_mut<S: FieldSet + 'static>(&mut self) -> Option<&mut S> {
        let mut link = self.find_link::<S>()?;
        // SAFETY: by N1 it is live, and nothing else refers to it, since `self` is borrowed exclusively.
        unsafe { link.as_mut() }.unmark();
        // SAFETY: by N1 it is the start of a live node of `S`, and `self` is borrowed exclusively, as the set is.
        Some(unsafe { set_mut(link) })
    }

    /// The same, but for the mark.
    ///
    /// # Safety
    ///
    /// If the first cell is ready, it still is when the borrow ends.
    #[inline]
    pub(super) unsafe fn find_mut_marked<S: FieldSet + 'static>(&mut self) -> Option<&mut S> {
        let link = self.find_link::<S>()?;
        // SAFETY: as in `find_mut`. By the caller's promise the mark stays right.
        Some(unsafe { set_mut(link) })
    }

    #[inline]
    fn find_link<S: FieldSet + 'static>(&mut self) -> Option<NonNull<Link>> {
        // SAFETY: by N3 the nodes live while `self` is borrowed.
        unsafe { self.first()?.find_link::<S, ()>() }
    }

    /// Publishes an empty `S`, or finds the one that another thread has just published.
    #[cold]
    pub(super) fn insert<S: FieldSet + 'static>(&self) -> &S {
        // SAFETY: nodes of a head have the owner `()` and this key.
        let new = unsafe { Unpublished::make((), NO_KEY) };
        let exchange = |there: Option<First>, new: First| {
            let there = there.map_or(ptr::null_mut(), |first| first.into_raw().as_ptr());
            // Release: what is published is made before it is seen; pairs with every Acquire load of the word. Acquire
            // on failure, to see what others have published as it was made.
            let put = self.first.compare_exchange(there, new.into_raw().as_ptr(), Ordering::Release, Ordering::Acquire);
            // By N3 it is not null if the exchange failed.
            put.map(|_| ()).map_err(|now| First::from_raw(NonNull::new(now).expect("it is never null again")))
        };
        // SAFETY: what is in a head is not ended while that is borrowed (N3); the orders are as above.
        unsafe { new.put(None, exchange) }
    }

    /// Shows the name of every field that is attached.
    pub(super) fn attached(&self, visit: &mut dyn FnMut(&'static str)) {
        if let Some(first) = self.first() {
            // SAFETY: by N1 it is live, by N3 while `self` is borrowed.
            let link = unsafe { first.link() };
            // SAFETY: as above.
            let kind = unsafe { link.as_ref() }.kind();
            // SAFETY: by N1 it is of this kind.
            unsafe { (kind.attached)(link, visit) };
        }
    }

    /// Takes all field sets out. By value, so that a host that has none can stay in registers.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Taken> {
        // Relaxed: nobody races, since `self` is `&mut`.
        let first = First::from_raw(NonNull::new(self.first.load(Ordering::Relaxed))?);
        self.first.store(ptr::null_mut(), Ordering::Relaxed);
        Some(Taken { first })
    }
}

/// What was taken out of a head: nobody else has it.
#[must_use]
pub(super) struct Taken {
    first: First,
}

impl Taken {
    /// Ends every field and frees every node.
    ///
    /// # Panics
    ///
    /// If destructors do: the first panic is raised again after all of them have run.
    #[cold]
    pub(super) fn end_all(self) {
        let mut panics = Panics::none();
        // SAFETY: no head points to it, and the head was borrowed exclusively, so nobody else has it.
        unsafe { self.first.end(NO_KEY, &mut panics) };
        panics.raise();
    }
}
