//! The memory of one host's field sets: a node for each declaration whose fields were used.
//!
//! In: a field set's type. Out: a reference to the one of this host. A host that embeds its fields has a [`Head`]; a
//! side table keeps what a head would point to, a [`First`], whose node has what the table needs to know about the
//! host, so that one allocation serves both. Neighbours: `node.rs`, one node; `list.rs`, several.
//!
//! # Memory
//!
//! Mostly a host has fields of one declaration, and the head points to its node. A host with more has a [`List`]
//! instead, which points to the nodes. Both begin with a [`Link`], which says what it is, so a reader compares one
//! word of what the head points to, and is there, or has to search. A node has no word for what comes after it: with
//! it, the nodes of small values would fill one and a half times as much of the caches.
//!
//! # Invariants
//!
//! - **N1** Every link that a head, a list or a `First` points to is the start of a live `Node<S, O>` or `List`, made
//!   by `Box`, whose kind is `kind::<S, O>` or `list`. The pointer may be used for the whole of it.
//! - **N2** No two nodes of a host are of the same field set.
//! - **N3** A head goes from null to a node, and from that to a list, which has the node; a word of a list goes from
//!   null to a node, or to the next list; the words are filled in order. Apart from that and the mark nothing changes,
//!   and nothing is freed, but by exclusive access: `&mut Head`, or [`First::end`]. So a node lives, and stays where it
//!   is, for as long as the head is borrowed (R1, R8).
//! - **N4** The low bit of a head's word, or of what a side table keeps, is the [`MARK`]. It says that this points to a
//!   node, and that the first cell of its set is ready: there is a value that can be read without a look at the cell's
//!   state, in the way that the cell of its policy says. The mark goes with exclusive access to the set. Lists have no
//!   marks, neither on them nor in them.
//!
//! The mark saves a reader of the first cell a look at its state: what it loads then are the kind and the value, which
//! lie together, and mostly in one cache line, where the state would often be in the next.
//!
//! # Readers and writers
//!
//! *Reader*: load the head; compare the kind of what it points to; if it is a list, compare the node of each of its
//! words, up to the first null. *Writer*: make a node; put it at the first word that is null, by one
//! compare-and-exchange; if there is none yet, make a list of what the head points to, and exchange the head. If an
//! exchange fails, somebody else's node or list stands there now: a node of the same set is used, and one's own is
//! dropped (its cells are empty, so no user code runs); a list of one's own is dropped, too; otherwise go on from there.
//! *Marker*: who has made the first cell ready exchanges the head's word for the same with the mark, or leaves it, if it
//! is not the node any more.
//!
//! *Who races with whom*: readers with writers, and writers with one another, at the word that is exchanged. Each
//! exchange is a `Release`, and every load of a word is an `Acquire`, also the one of an exchange that fails: whoever
//! sees a node sees it as it was made; and whoever sees a list sees as they were made the nodes that its maker has
//! seen; and whoever sees a mark sees the cell as it was made ready. Nothing else is shared, since nodes are only freed under exclusive access, which excludes both; what threads
//! did before is ordered by however that came about. Two writers of one set cannot both put a node: the later would
//! have to pass the earlier's, since words are filled in order. There is no ABA: by N3 no word has a value twice.

use std::any::TypeId;
use std::ptr::{self, NonNull};

use crate::field_set::FieldSet;
use crate::fields::list::{List, list};
use crate::fields::node::{KindOf, Link, Node, Owner, kind, set, set_mut};
use crate::panics::Panics;
use crate::registry::Field;
use crate::sync::{AtomicPtr, Ordering, const_fn};

/// All field sets of one host, in 8 bytes of the host.
pub(super) struct Head {
    first: AtomicPtr<Link>,
}

/// What the head of a host points to, and with it all field sets of the host.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct First {
    link: NonNull<Link>,
}

/// The key of a host that is in no side table, which its nodes do not look at.
const NO_KEY: usize = 0;

/// See N4. A node is aligned to more than this.
const MARK: usize = 1;

impl Head {
    const_fn! {
        pub(super) const fn new() -> Self {
            Self { first: AtomicPtr::new(ptr::null_mut()) }
        }
    }

    #[inline]
    fn first(&self) -> Option<First> {
        // Acquire: pairs with the Release of `put` and `start`; what it points to is seen as it was made.
        let word = NonNull::new(self.first.load(Ordering::Acquire))?;
        // SAFETY: by N1 and N4 it is a link, with the mark or without.
        Some(unsafe { First::from_raw(word) })
    }

    /// Whether there is nothing yet.
    #[inline]
    pub(super) fn is_bare(&self) -> bool {
        // Relaxed: whoever acts upon it finds out by an exchange.
        self.first.load(Ordering::Relaxed).is_null()
    }

    /// As [`read`].
    #[inline]
    pub(super) fn read<'host, S: FieldSet + 'static, R>(
        &'host self,
        when_ready: impl FnOnce(&'host S) -> R,
        otherwise: impl FnOnce(&'host S) -> Option<R>,
    ) -> Option<R> {
        // Acquire: pairs with the Release of `put`, `start` and `mark`.
        let word = self.first.load(Ordering::Acquire);
        // SAFETY: by N3 the nodes live while `self` is borrowed, as the set is.
        unsafe { read::<S, (), R>(word, when_ready, otherwise) }
    }

    /// Puts `set` where there is nothing yet, or gives it back.
    ///
    /// # Safety
    ///
    /// The first cell of `set` is ready.
    #[inline]
    pub(super) unsafe fn start<S: FieldSet + 'static>(&self, set: S) -> Result<&S, S> {
        let link = Node::make(set, ());
        let marked = with_mark(link);
        // Release: pairs with every Acquire load of the word. Relaxed on failure: the caller looks again.
        if self.first.compare_exchange(ptr::null_mut(), marked, Ordering::Release, Ordering::Relaxed).is_err() {
            // SAFETY: it was not put anywhere, so it is nobody else's.
            return Err(unsafe { Node::<S, ()>::unmake(link, NO_KEY) });
        }
        // SAFETY: it is the start of a live node of `S`, which lives by N3.
        Ok(unsafe { self::set(link) })
    }

    /// Notes that the first cell of the field set `S` is ready.
    ///
    /// # Safety
    ///
    /// It is.
    #[inline]
    pub(super) unsafe fn mark<S: FieldSet + 'static>(&self) {
        // Acquire: what it points to is seen as it was made.
        let word = self.first.load(Ordering::Acquire);
        let Some(marked) = NonNull::new(word).and_then(|raw| {
            // SAFETY: by N3 the nodes live while `self` is borrowed; the caller promises the rest.
            unsafe { First::marked::<S, ()>(raw) }
        }) else {
            return;
        };
        // Release: the cell was made ready before the mark is seen; pairs with the Acquire of `read`. Relaxed on failure:
        // a list has taken the node's place, and needs no mark, or somebody has set it.
        let _ = self.first.compare_exchange(word, marked.as_ptr(), Ordering::Release, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn look<S: FieldSet + 'static>(&self) -> Option<&S> {
        // SAFETY: by N3 the nodes live while `self` is borrowed, as the set is.
        unsafe { self.first()?.look::<S, ()>() }
    }

    #[inline]
    pub(super) fn look_mut<S: FieldSet + 'static>(&mut self) -> Option<&mut S> {
        let first = self.first()?;
        // Relaxed: nobody races, since `self` is `&mut`. N4: the first cell may be about to be detached.
        self.first.store(first.link.as_ptr(), Ordering::Relaxed);
        // SAFETY: as in `look`.
        let link = unsafe { first.find::<S, ()>() }?;
        // SAFETY: by N1 it is the start of a live node of `S`; and since `self` is borrowed exclusively, as the set is,
        // nothing else refers to it.
        Some(unsafe { set_mut(link) })
    }

    /// Puts an empty `S`, or finds the one that another thread has just put.
    #[cold]
    pub(super) fn put<S: FieldSet + 'static>(&self) -> &S {
        // SAFETY: what the head points to lives while it is borrowed.
        let node = unsafe { put::<S>(&self.first) };
        // SAFETY: by N1 it is the start of a live node of `S`, which lives by N3.
        unsafe { set(node) }
    }

    /// Shows every field that is attached.
    pub(super) fn attached(&self, visit: &mut dyn FnMut(&'static Field)) {
        if let Some(First { link }) = self.first() {
            // SAFETY: by N1 it is live, by N3 while `self` is borrowed.
            let kind = unsafe { link.as_ref() }.kind();
            // SAFETY: by N1 it is of this kind.
            unsafe { (kind.attached)(link, visit) };
        }
    }

    /// Takes all field sets out. By value, so that a host that has none can stay in registers.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Taken> {
        // Relaxed: nobody races, since `self` is `&mut`.
        let word = NonNull::new(self.first.load(Ordering::Relaxed))?;
        // SAFETY: by N1 and N4 it is a link, with the mark or without.
        let first = unsafe { First::from_raw(word) };
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

impl First {
    /// A host's first node, for a side table.
    pub(crate) fn make<S: FieldSet + 'static, O: Owner>(set: S, owner: O) -> Self {
        Self { link: Node::make(set, owner) }
    }

    /// Frees what was just made, and gives its set back.
    ///
    /// # Safety
    ///
    /// It was made of these types, for the host with this key, and was put nowhere.
    pub(crate) unsafe fn unmake<S: FieldSet + 'static, O: Owner>(self, key: usize) -> S {
        // SAFETY: the caller's promise is the same.
        unsafe { Node::<S, O>::unmake(self.link, key) }
    }

    /// What a table keeps. The pointer may be used for the whole of what it points to.
    #[inline]
    pub(crate) fn into_raw(self) -> NonNull<Link> {
        self.link
    }

    /// The same with the mark. By N4, the first cell of the node is ready.
    pub(crate) fn into_marked(self) -> NonNull<Link> {
        NonNull::new(with_mark(self.link)).unwrap_or(self.link)
    }

    /// The same again. It may have been ended meanwhile: what it is asked to do is unsafe for that.
    ///
    /// # Safety
    ///
    /// `raw` comes from [`into_raw`](Self::into_raw) or [`into_marked`](Self::into_marked).
    #[inline]
    pub(crate) unsafe fn from_raw(raw: NonNull<Link>) -> Self {
        let link = without_mark(raw.as_ptr());
        // SAFETY: what is not null has more than a mark: by N4 that is on a link, which is aligned to more than it.
        Self { link: unsafe { NonNull::new_unchecked(link) } }
    }

    /// What `raw` is with the mark, if it has none, and is a node of `S`.
    ///
    /// # Safety
    ///
    /// `raw` is what [`from_raw`](Self::from_raw) takes, and is not ended meanwhile.
    pub(crate) unsafe fn marked<S: FieldSet + 'static, O: Owner>(raw: NonNull<Link>) -> Option<NonNull<Link>> {
        // SAFETY: the caller says so.
        let first = unsafe { Self::from_raw(raw) };
        // SAFETY: by N1 and the caller's promise it is live.
        let is_node = unsafe { first.link.as_ref() }.is(kind::<S, O>);
        (is_node && first.link == raw).then(|| first.into_marked())
    }

    /// The field set `S`. `O` is the owner that the first node most likely has.
    ///
    /// # Safety
    ///
    /// It is not ended during `'host`.
    #[inline]
    pub(crate) unsafe fn look<'host, S: FieldSet + 'static, O: Owner>(self) -> Option<&'host S> {
        // SAFETY: the caller's promise is the same.
        let link = unsafe { self.find::<S, O>() }?;
        // SAFETY: by N1 it is the start of a live node of `S`, which lives until this is ended.
        Some(unsafe { set(link) })
    }

    /// The same with the field set `S`, which is made if it is not there: what the table has to keep from now on.
    ///
    /// # Safety
    ///
    /// It is not ended meanwhile, and nobody else calls this meanwhile.
    pub(crate) unsafe fn with<S: FieldSet + 'static>(self) -> Self {
        let head = AtomicPtr::new(self.link.as_ptr());
        // SAFETY: the caller's promise is the same.
        unsafe { put::<S>(&head) };
        // Relaxed: nobody else has this head. By N3 it is not null any more.
        Self { link: NonNull::new(head.load(Ordering::Relaxed)).unwrap_or(self.link) }
    }

    /// Whether the owner of the first node says that the host is gone.
    ///
    /// # Safety
    ///
    /// It is not ended meanwhile, and `key` is that of the host.
    pub(crate) unsafe fn is_gone(self, key: usize) -> bool {
        // SAFETY: by N1 and the caller's promise it is live.
        let kind = unsafe { self.link.as_ref() }.kind();
        // SAFETY: by N1 it is of this kind.
        unsafe { (kind.is_gone)(self.link, key) }
    }

    /// Ends every field and frees every node. Panics of destructors are contained.
    ///
    /// # Safety
    ///
    /// Nobody else has it, or a reference to what is in it, now or later; and `key` is that of the host.
    pub(crate) unsafe fn end(self, key: usize, panics: &mut Panics) {
        // SAFETY: by N1 it is live.
        let kind = unsafe { self.link.as_ref() }.kind();
        // SAFETY: by N1 it is of this kind; the caller says that nobody else has it.
        unsafe { (kind.end)(self.link, key, panics) };
    }

    /// The node of the field set `S`.
    ///
    /// # Safety
    ///
    /// It is not ended meanwhile.
    #[inline]
    unsafe fn find<S: FieldSet + 'static, O: Owner>(self) -> Option<NonNull<Link>> {
        // SAFETY: by N1 and the caller's promise it is live.
        let first = unsafe { self.link.as_ref() };
        if first.is(kind::<S, O>) {
            return Some(self.link);
        }
        // SAFETY: the caller's promise is the same.
        unsafe { self.search(kind::<S, ()>) }
    }

    /// The node of the field set that `wanted` is a kind of, in a list by addresses first, then by asking.
    ///
    /// # Safety
    ///
    /// It is not ended meanwhile.
    #[inline(never)]
    unsafe fn search(self, wanted: KindOf) -> Option<NonNull<Link>> {
        // SAFETY: the caller's promise is the same.
        if let Some(list) = unsafe { self.list() } {
            let by_address = list.nodes().find(|(_, link)| link.is(wanted));
            if let Some((node, _)) = by_address {
                return Some(node);
            }
        }
        // SAFETY: the caller's promise is the same.
        unsafe { self.ask((wanted().content)()) }
    }

    /// The node with this content, whatever its kind's address.
    ///
    /// # Safety
    ///
    /// It is not ended meanwhile.
    unsafe fn ask(self, content: TypeId) -> Option<NonNull<Link>> {
        // SAFETY: the caller's promise is the same.
        if let Some(list) = unsafe { self.list() } {
            return list.nodes().find(|(_, link)| link.has(content)).map(|(node, _)| node);
        }
        // SAFETY: by N1 and the caller's promise it is live.
        unsafe { self.link.as_ref() }.has(content).then_some(self.link)
    }

    /// If it is a list, that.
    ///
    /// # Safety
    ///
    /// It is not ended during `'host`.
    unsafe fn list<'host>(self) -> Option<&'host List> {
        // SAFETY: by N1 and the caller's promise it is live.
        let link = unsafe { self.link.as_ref() };
        // Who has another address for `list` than who made it must not take it for a node: so it is asked, too.
        if !link.is(list) && !link.has(TypeId::of::<List>()) {
            return None;
        }
        // SAFETY: by N1 it is a list, since it is of that kind.
        Some(unsafe { self.link.cast::<List>().as_ref() })
    }
}

/// Puts a node of an empty `S`, or finds the one that is there.
///
/// # Safety
///
/// What `head` points to is not ended meanwhile.
unsafe fn put<S: FieldSet + 'static>(head: &AtomicPtr<Link>) -> NonNull<Link> {
    let new = Node::make(S::empty(), ());
    // SAFETY: `new` is a node by N1, and nobody else's; the caller promises the rest.
    let kept = unsafe { put_node(head, new, TypeId::of::<S>()) };
    if kept != new {
        // SAFETY: it was not put anywhere, so it is still nobody else's.
        drop(unsafe { Node::<S, ()>::unmake(new, NO_KEY) });
    }
    kept
}

/// Puts a node of a field set at the first word that is null. Returns the node of that set that is there then.
///
/// # Safety
///
/// `new` is a node of `content` by N1, and nobody else's; what `head` points to is not ended meanwhile.
unsafe fn put_node(head: &AtomicPtr<Link>, new: NonNull<Link>, content: TypeId) -> NonNull<Link> {
    // Release: the node is made before it is seen; pairs with every Acquire load of the word. Acquire on failure, to see
    // what others have put as it was made. So with every exchange here.
    let mut put = head.compare_exchange(ptr::null_mut(), new.as_ptr(), Ordering::Release, Ordering::Acquire);
    loop {
        // By N3 it is not null, if the exchange failed.
        let Some(word) = put.err().and_then(NonNull::new) else { return new };
        // SAFETY: by N1 and N4 it is a link, with the mark or without.
        let first = unsafe { First::from_raw(word) };
        // SAFETY: the caller's promise is the same.
        if let Some(list) = unsafe { first.list() } {
            // SAFETY: `new` is as the caller promises.
            return unsafe { list.put(new, content) };
        }
        // SAFETY: the caller's promise is the same.
        if let Some(node) = unsafe { first.ask(content) } {
            return node;
        }
        let both = List::of(first.link, new);
        put = head.compare_exchange(word.as_ptr(), both.as_ptr().cast(), Ordering::Release, Ordering::Acquire);
        if put.is_err() {
            // SAFETY: it was not put anywhere, so it is nobody else's.
            let _ = unsafe { List::unmake(both) };
        }
    }
}

/// Reads from the field set `S` of what a word points to: by `when_ready`, if it is known that its first cell is, or by
/// `otherwise`. `O` is the owner that the first node most likely has.
///
/// The mark is looked at first: a word that has it is not null, so the way of a hit has no branch for that.
///
/// # Safety
///
/// The word is null, or a link by N1, with a mark by N4 or without; what it points to is not ended during `'host`.
#[inline]
pub(crate) unsafe fn read<'host, S: FieldSet + 'static, O: Owner, R>(
    word: *mut Link,
    when_ready: impl FnOnce(&'host S) -> R,
    otherwise: impl FnOnce(&'host S) -> Option<R>,
) -> Option<R> {
    if word.addr() & MARK != 0 {
        // SAFETY: by N4 the word is one more than the address of a node.
        let link = unsafe { word.byte_sub(MARK) };
        // SAFETY: as above, so it is not null.
        let link = unsafe { NonNull::new_unchecked(link) };
        // SAFETY: the caller says that it is live.
        if unsafe { link.as_ref() }.is(kind::<S, O>) {
            // SAFETY: by N1 it is the start of a node of `S`, since equal addresses are one function.
            return Some(when_ready(unsafe { set(link) }));
        }
    } else if word.is_null() {
        return None;
    }
    // SAFETY: the caller's promise is the same.
    otherwise(unsafe { look_further::<S, O>(word) }?)
}

/// The field set `S` of what a word points to, where the mark was not enough.
///
/// # Safety
///
/// As [`read`].
#[cold]
#[inline(never)]
unsafe fn look_further<'host, S: FieldSet + 'static, O: Owner>(word: *mut Link) -> Option<&'host S> {
    let word = NonNull::new(word)?;
    // SAFETY: the caller says so.
    let first = unsafe { First::from_raw(word) };
    // SAFETY: the caller's promise is the same.
    unsafe { first.look::<S, O>() }
}

/// The word of a head that points to a node whose first cell is ready.
#[inline]
fn with_mark(link: NonNull<Link>) -> *mut Link {
    link.as_ptr().map_addr(|address| address | MARK)
}

/// The word of a head, without its mark.
#[inline]
fn without_mark(word: *mut Link) -> *mut Link {
    word.map_addr(|address| address & !MARK)
}
