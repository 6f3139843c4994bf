//! The memory of one host's field sets: a node for each declaration whose fields were used.
//!
//! In: a field set's type. Out: a reference to the one of this host. This is the only file that owns such memory. A
//! host that embeds its fields has a [`Head`]; a side table keeps what a head would point to, a [`First`], whose node
//! has the `Weak` that the table needs to know about the host, so that one allocation serves both.
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
//!   by `Box`, whose `kind` is `kind::<S, O>` or `list`. The pointer may be used for the whole of it.
//! - **N2** No two nodes of a host are of the same field set.
//! - **N3** A head goes from null to a node, and from that to a list, which has the node; a word of a list goes from
//!   null to a node, or to the next list; the words are filled in order. Apart from that nothing changes, and nothing
//!   is freed, but by exclusive access: `&mut Head`, or [`First::end`]. So a node lives, and stays where it is, for as
//!   long as the head is borrowed (R1, R8).
//!
//! - **N4** The low bit of a head's word, the [`MARK`], says that the head points to a node, and that the first cell
//!   of its set is attached. The mark goes with exclusive access to the set. In a list or a `First` there are no
//!   marks.
//!
//! The mark saves a reader of the first cell a look at its state: what it loads then are the kind and the value, which
//! lie together, and mostly in one cache line, where the state would often be in the next.
//!
//! # Readers and writers
//!
//! *Reader*: load the head; compare what it points to; if it is a list, compare the node of each of its words, up to
//! the first null. *Writer*: make a node; put it at the first word that is null, by one compare-and-exchange; if there
//! is none yet, make a list of what the head points to, and exchange the head. If an exchange fails, somebody else's
//! node or list stands there now: a node of the same set is used, and one's own is dropped (its cells are empty, so no
//! user code runs); a list of one's own is dropped, too; otherwise go on from there. *Marker*: who has attached the
//! first cell exchanges the head's word for the same with the mark, or leaves it, if it is not the node any more.
//!
//! *Who races with whom*: readers with writers, and writers with one another, at the word that is exchanged. Each
//! exchange is a `Release`, and every load of a word is an `Acquire`, also the one of an exchange that fails: whoever
//! sees a node sees it as it was made; and whoever sees a list sees as they were made the nodes that its maker has
//! seen. Nothing else is shared, since nodes are only freed under exclusive access, which excludes both; what threads
//! did before is ordered by however that came about. Two writers of one set cannot both put a node: the later would
//! have to pass the earlier's, since words are filled in order. There is no ABA: by N3 no word has a value twice.
//!
//! # How a node is known
//!
//! `kind` is a function that says what the node is, and its address stands for the answer: it is compared first, which
//! costs one instruction. Equal addresses are one function, which has one answer, so they mean the same set. Different
//! addresses mean nothing yet, since every crate may have a copy of its own; then the functions are asked. It is a
//! function and no table of functions, since of those there may be a copy in every piece that a crate is compiled in.

use std::any::TypeId;
use std::ptr::{self, NonNull};

use crate::field_set::FieldSet;
use crate::panics::Panics;
use crate::registry::Field;
use crate::sync::{AtomicPtr, Ordering, const_fn};

/// All field sets of one host, in 8 bytes of the host.
pub(super) struct Head {
    first: AtomicPtr<Link>,
}

/// See N4. A node is aligned to more than this.
const MARK: usize = 1;

/// What the head of a host points to, and with it all field sets of the host.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct First {
    link: NonNull<Link>,
}

/// What every node and list begins with.
pub(crate) struct Link {
    kind: fn() -> &'static Kind,
}

/// What a node is, and what is done with it when its type is not known. The pointers are to the link of such a node, as
/// N1 says.
struct Kind {
    /// The field set, or that it is a list.
    content: fn() -> TypeId,
    is_gone: unsafe fn(NonNull<Link>) -> bool,
    attached: unsafe fn(NonNull<Link>, &mut dyn FnMut(&'static Field)),
    /// Ends the fields, and frees the node.
    end: unsafe fn(NonNull<Link>, &mut Panics),
}

/// One field set on the heap. `repr(C)` puts the link first, where N1 says it is, and the set where it is whatever the
/// owner.
#[repr(C)]
struct Node<S, O> {
    link: Link,
    set: S,
    owner: O,
}

/// The nodes of a host with several: a cache line of them, and the next such line.
#[repr(C)]
struct List {
    link: Link,
    nodes: [AtomicPtr<Link>; 6],
    next: AtomicPtr<List>,
}

/// What a first node knows of its host.
pub(crate) trait Owner: Send + Sync + 'static {
    /// Whether the host is gone; if so, what its users did has happened before.
    fn is_gone(&self) -> bool;
}

/// Nothing: whoever has the head says when the host is gone.
impl Owner for () {
    fn is_gone(&self) -> bool {
        false
    }
}

#[inline(never)]
fn kind<S: FieldSet + 'static, O: Owner>() -> &'static Kind {
    &Kind { content: TypeId::of::<S>, is_gone: is_gone::<S, O>, attached: attached::<S, O>, end: end::<S, O> }
}

/// # Safety
///
/// As [`Kind`] says.
unsafe fn is_gone<S, O: Owner>(link: NonNull<Link>) -> bool {
    // SAFETY: the caller says that it is the start of such a node.
    let node = unsafe { link.cast::<Node<S, O>>().as_ref() };
    node.owner.is_gone()
}

/// # Safety
///
/// As [`Kind`] says.
unsafe fn attached<S: FieldSet, O>(link: NonNull<Link>, visit: &mut dyn FnMut(&'static Field)) {
    // SAFETY: the caller says that it is the start of such a node.
    let node = unsafe { link.cast::<Node<S, O>>().as_ref() };
    let mut fields = S::fields().iter();
    node.set.each(&mut |cell| {
        if let Some(field) = fields.next().filter(|_| cell.is_attached()) {
            visit(field);
        }
    });
}

/// # Safety
///
/// As [`Kind`] says; and nobody else has the node, now or later.
unsafe fn end<S: FieldSet, O>(link: NonNull<Link>, panics: &mut Panics) {
    // SAFETY: by N1 it was made by `Box`; the caller says that it is nobody else's.
    let mut node = unsafe { Box::from_raw(link.cast::<Node<S, O>>().as_ptr()) };
    let mut fields = S::fields().iter();
    node.set.each_mut(&mut |cell| {
        if let Some(field) = fields.next() {
            cell.end(field, panics);
        }
    });
}

/// A node that is nobody's yet, by N1.
fn make<S: FieldSet + 'static, O: Owner>(owner: O) -> NonNull<Link> {
    let node = Box::new(Node { link: Link { kind: kind::<S, O> }, set: S::empty(), owner });
    NonNull::from(Box::leak(node)).cast()
}

impl Head {
    const_fn! {
        pub(super) const fn new() -> Self {
            Self { first: AtomicPtr::new(ptr::null_mut()) }
        }
    }

    #[inline]
    fn first(&self) -> Option<First> {
        // Acquire: pairs with the Release of `put`; what it points to is seen as it was made.
        NonNull::new(without_mark(self.first.load(Ordering::Acquire))).map(|link| First { link })
    }

    /// Whether there is nothing yet.
    #[inline]
    pub(super) fn is_bare(&self) -> bool {
        // Relaxed: whoever acts upon it finds out by an exchange.
        self.first.load(Ordering::Relaxed).is_null()
    }

    /// Reads from the field set `S`: by `marked`, if the mark says that its first cell is attached, or by `unmarked`.
    #[inline]
    pub(super) fn read<'host, S: FieldSet + 'static, R>(
        &'host self,
        marked: impl FnOnce(&'host S) -> R,
        unmarked: impl FnOnce(&'host S) -> Option<R>,
    ) -> Option<R> {
        // Acquire: pairs with the Release of `mark` and `start`; the cell is seen as it was attached.
        let word = self.first.load(Ordering::Acquire);
        if word.is_null() {
            return None;
        }
        if word.addr() & MARK != 0 {
            // SAFETY: by N4 the word is one more than the address of a live node.
            let link = unsafe { word.byte_sub(MARK) };
            // SAFETY: it is live, by N3 while `self` is borrowed.
            let seen = unsafe { &*link };
            if ptr::fn_addr_eq(seen.kind, kind::<S, ()> as fn() -> &'static Kind) {
                // SAFETY: by N1 it is the start of a node of `S`, since equal addresses are one function.
                let node = unsafe { &*link.cast::<Node<S, ()>>() };
                return Some(marked(&node.set));
            }
        }
        // SAFETY: by N3 the nodes live while `self` is borrowed, as the set is.
        unmarked(unsafe { First { link: NonNull::new(without_mark(word))? }.look::<S, ()>() }?)
    }

    /// Puts `set` where there is nothing yet, with the mark, or gives it back.
    ///
    /// # Safety
    ///
    /// The first cell of `set` is attached.
    #[inline]
    pub(super) unsafe fn start<S: FieldSet + 'static>(&self, set: S) -> Result<&S, S> {
        let new = Box::leak(Box::new(Node { link: Link { kind: kind::<S, ()> }, set, owner: () }));
        let link = NonNull::from(new).cast::<Link>();
        let marked = link.as_ptr().wrapping_byte_add(MARK);
        // Release: pairs with every Acquire load of the word. Relaxed on failure: the caller looks again.
        if self.first.compare_exchange(ptr::null_mut(), marked, Ordering::Release, Ordering::Relaxed).is_err() {
            // SAFETY: it was not put anywhere, so it is nobody else's; it was made by `Box`.
            let node = unsafe { Box::from_raw(link.cast::<Node<S, ()>>().as_ptr()) };
            return Err(node.set);
        }
        // SAFETY: it is the start of a live node of `S`, which lives by N3.
        Ok(unsafe { self::set(link) })
    }

    /// Sets the mark, if the head has the field set `S`.
    ///
    /// # Safety
    ///
    /// The first cell of that set is attached.
    pub(super) unsafe fn mark<S: FieldSet + 'static>(&self) {
        let Some(First { link }) = self.first() else { return };
        // SAFETY: by N1 it is live, by N3 while `self` is borrowed.
        let seen = unsafe { link.as_ref() };
        if ptr::fn_addr_eq(seen.kind, kind::<S, ()> as fn() -> &'static Kind) {
            let marked = link.as_ptr().wrapping_byte_add(MARK);
            // Release: the cell is attached before the mark is seen; pairs with the Acquire of `read`. Relaxed on
            // failure: a list has taken the node's place, and needs no mark, or somebody has set it.
            let _ = self.first.compare_exchange(link.as_ptr(), marked, Ordering::Release, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(super) fn look<S: FieldSet + 'static>(&self) -> Option<&S> {
        // SAFETY: by N3 the nodes live while `self` is borrowed, as the set is.
        unsafe { self.first()?.look::<S, ()>() }
    }

    #[inline]
    pub(super) fn look_mut<S: FieldSet + 'static>(&mut self) -> Option<&mut S> {
        // Relaxed, here and below: nobody races, since `self` is `&mut`. N4: the first cell may be about to be detached.
        self.first.store(without_mark(self.first.load(Ordering::Relaxed)), Ordering::Relaxed);
        // SAFETY: as in `look`.
        let link = unsafe { self.first()?.find::<S, ()>() }?;
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
            let kind = unsafe { link.as_ref() }.kind;
            // SAFETY: by N1 it is of this kind.
            unsafe { (kind().attached)(link, visit) };
        }
    }

    /// Takes all field sets out. By value, so that a host that has none can stay in registers.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Taken> {
        // Relaxed: nobody races, since `self` is `&mut`.
        let link = NonNull::new(without_mark(self.first.load(Ordering::Relaxed)))?;
        self.first.store(ptr::null_mut(), Ordering::Relaxed);
        Some(Taken { first: First { link } })
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
        unsafe { self.first.end(&mut panics) };
        panics.raise();
    }
}

impl First {
    /// A host's first node, for a side table.
    pub(crate) fn make<S: FieldSet + 'static, O: Owner>(owner: O) -> Self {
        Self { link: make::<S, O>(owner) }
    }

    /// What a table keeps. The pointer may be used for the whole of what it points to.
    #[inline]
    pub(crate) fn into_raw(self) -> NonNull<Link> {
        self.link
    }

    /// The same again. What it is asked to do is unsafe, since only the caller knows that `link` comes from
    /// [`into_raw`](Self::into_raw), and was not ended.
    #[inline]
    pub(crate) fn from_raw(link: NonNull<Link>) -> Self {
        Self { link }
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
    /// It is not ended meanwhile.
    pub(crate) unsafe fn is_gone(self) -> bool {
        // SAFETY: by N1 and the caller's promise it is live.
        let kind = unsafe { self.link.as_ref() }.kind;
        // SAFETY: by N1 it is of this kind.
        unsafe { (kind().is_gone)(self.link) }
    }

    /// Ends every field and frees every node. Panics of destructors are contained.
    ///
    /// # Safety
    ///
    /// Nobody else has it, or a reference to what is in it, now or later.
    pub(crate) unsafe fn end(self, panics: &mut Panics) {
        // SAFETY: by N1 it is live.
        let kind = unsafe { self.link.as_ref() }.kind;
        // SAFETY: by N1 it is of this kind; the caller says that nobody else has it.
        unsafe { (kind().end)(self.link, panics) };
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
        if ptr::fn_addr_eq(first.kind, kind::<S, O> as fn() -> &'static Kind) {
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
    unsafe fn search(self, wanted: fn() -> &'static Kind) -> Option<NonNull<Link>> {
        // SAFETY: the caller's promise is the same.
        if let Some(list) = unsafe { self.list() } {
            let by_address = list.nodes().find(|(_, seen)| ptr::fn_addr_eq(*seen, wanted));
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
            return list.nodes().find(|(_, seen)| (seen().content)() == content).map(|(node, _)| node);
        }
        // SAFETY: by N1 and the caller's promise it is live.
        let seen = unsafe { self.link.as_ref() };
        (((seen.kind)().content)() == content).then_some(self.link)
    }

    /// If it is a list, that.
    ///
    /// # Safety
    ///
    /// It is not ended during `'host`.
    unsafe fn list<'host>(self) -> Option<&'host List> {
        // SAFETY: by N1 and the caller's promise it is live.
        let seen = unsafe { self.link.as_ref() };
        if !ptr::fn_addr_eq(seen.kind, list as fn() -> &'static Kind) {
            return None;
        }
        // SAFETY: by N1 it is a list, since equal addresses are one function.
        Some(unsafe { self.link.cast::<List>().as_ref() })
    }
}

/// Puts a node of an empty `S`, or finds the one that is there.
///
/// # Safety
///
/// What `head` points to is not ended meanwhile.
unsafe fn put<S: FieldSet + 'static>(head: &AtomicPtr<Link>) -> NonNull<Link> {
    let new = make::<S, ()>(());
    // SAFETY: `new` is a node by N1, and nobody else's; the caller promises the rest.
    let kept = unsafe { put_node(head, new) };
    if kept != new {
        // SAFETY: it was not put anywhere, so it is still nobody else's; by N1 it was made by `Box`.
        drop(unsafe { Box::from_raw(new.cast::<Node<S, ()>>().as_ptr()) });
    }
    kept
}

/// Puts a node of a field set at the first word that is null. Returns the node of that set that is there then.
///
/// # Safety
///
/// `new` is a node by N1, and nobody else's; what `head` points to is not ended meanwhile.
unsafe fn put_node(head: &AtomicPtr<Link>, new: NonNull<Link>) -> NonNull<Link> {
    // Release: the node is made before it is seen; pairs with every Acquire load of the word. Acquire on failure, to see
    // what others have put as it was made. So with every exchange here.
    let mut put = head.compare_exchange(ptr::null_mut(), new.as_ptr(), Ordering::Release, Ordering::Acquire);
    // SAFETY: the caller says that it is a live node.
    let kind = unsafe { new.as_ref() }.kind;
    loop {
        // By N3 it is not null, if the exchange failed.
        let Some((word, link)) = put.err().and_then(|word| Some((word, NonNull::new(without_mark(word))?))) else {
            return new;
        };
        let first = First { link };
        // SAFETY: the caller's promise is the same.
        if let Some(list) = unsafe { first.list() } {
            // SAFETY: `new` is as the caller promises.
            return unsafe { list.put(new, kind) };
        }
        // SAFETY: the caller's promise is the same.
        if let Some(node) = unsafe { first.ask((kind().content)()) } {
            return node;
        }
        let both = List::starting_with(link);
        // Relaxed: nobody else has it yet.
        // SAFETY: it was just made.
        unsafe { both.as_ref() }.nodes[1].store(new.as_ptr(), Ordering::Relaxed);
        put = head.compare_exchange(word, both.as_ptr().cast(), Ordering::Release, Ordering::Acquire);
        if put.is_err() {
            // SAFETY: it was not put anywhere, so it is nobody else's; it was made by `Box`.
            drop(unsafe { Box::from_raw(both.as_ptr()) });
        }
    }
}

/// The word of a head, without its mark.
#[inline]
fn without_mark(word: *mut Link) -> *mut Link {
    word.map_addr(|address| address & !MARK)
}

fn list() -> &'static Kind {
    &Kind { content: TypeId::of::<List>, is_gone: list_is_gone, attached: list_attached, end: list_end }
}

/// # Safety
///
/// As [`Kind`] says.
unsafe fn list_is_gone(link: NonNull<Link>) -> bool {
    // SAFETY: the caller says that it is a list.
    let list = unsafe { link.cast::<List>().as_ref() };
    // The host is known by its first node. SAFETY: by N1 each node is of its kind.
    list.nodes().next().is_some_and(|(node, kind)| unsafe { (kind().is_gone)(node) })
}

/// # Safety
///
/// As [`Kind`] says.
unsafe fn list_attached(link: NonNull<Link>, visit: &mut dyn FnMut(&'static Field)) {
    // SAFETY: the caller says that it is a list.
    let list = unsafe { link.cast::<List>().as_ref() };
    for (node, kind) in list.nodes() {
        // SAFETY: by N1 each node is of its kind.
        unsafe { (kind().attached)(node, visit) };
    }
}

/// # Safety
///
/// As [`Kind`] says; and nobody else has the list or its nodes, now or later.
unsafe fn list_end(link: NonNull<Link>, panics: &mut Panics) {
    let mut next = Some(link.cast::<List>());
    while let Some(list) = next {
        // SAFETY: by N1 it was made by `Box`; the caller says that it is nobody else's.
        let list = unsafe { Box::from_raw(list.as_ptr()) };
        // Relaxed, here and below: nobody races.
        let nodes = list.nodes.iter().map_while(|word| NonNull::new(word.load(Ordering::Relaxed)));
        for link in nodes {
            // SAFETY: by N1 it is a node, and by the caller's promise nobody else's.
            unsafe { First { link }.end(panics) };
        }
        next = NonNull::new(list.next.load(Ordering::Relaxed));
    }
}

impl List {
    /// A list that is nobody's yet.
    fn starting_with(first: NonNull<Link>) -> NonNull<Self> {
        let nodes = [(); 6].map(|()| AtomicPtr::new(ptr::null_mut()));
        // Relaxed: nobody else has it yet.
        nodes[0].store(first.as_ptr(), Ordering::Relaxed);
        NonNull::from(Box::leak(Box::new(Self {
            link: Link { kind: list },
            nodes,
            next: AtomicPtr::new(ptr::null_mut()),
        })))
    }

    /// The nodes, and the kind of each. They live as long as the list.
    fn nodes(&self) -> impl Iterator<Item = (NonNull<Link>, fn() -> &'static Kind)> {
        let mut lists = Some(self);
        let lists = std::iter::from_fn(move || {
            let list = lists?;
            // Acquire: pairs with the Release of `put`. SAFETY: by N1 it is a live list, by N3 as long as this one.
            lists = NonNull::new(list.next.load(Ordering::Acquire)).map(|next| unsafe { next.as_ref() });
            Some(list)
        });
        // Acquire: as above.
        let words =
            lists.flat_map(|list| list.nodes.iter()).map_while(|word| NonNull::new(word.load(Ordering::Acquire)));
        words.map(|node| {
            // SAFETY: by N1 it is a live node, by N3 as long as the list.
            let seen = unsafe { node.as_ref() };
            (node, seen.kind)
        })
    }

    /// Puts `new` at the first word that is null, unless a node of its set comes first. Returns the one that is there.
    ///
    /// # Safety
    ///
    /// `new` is a node of `kind` by N1, and nobody else's.
    unsafe fn put(&self, new: NonNull<Link>, kind: fn() -> &'static Kind) -> NonNull<Link> {
        let mut list = self;
        loop {
            for word in &list.nodes {
                let put = word.compare_exchange(ptr::null_mut(), new.as_ptr(), Ordering::Release, Ordering::Acquire);
                let Some(node) = put.err().and_then(NonNull::new) else { return new };
                // SAFETY: by N1 it is a live node, by N3 as long as the list.
                if ((unsafe { node.as_ref() }.kind)().content)() == (kind().content)() {
                    return node;
                }
            }
            let longer = Self::starting_with(new);
            let put =
                list.next.compare_exchange(ptr::null_mut(), longer.as_ptr(), Ordering::Release, Ordering::Acquire);
            let Some(next) = put.err().and_then(NonNull::new) else { return new };
            // SAFETY: it was not put anywhere, so it is nobody else's; it was made by `Box`.
            drop(unsafe { Box::from_raw(longer.as_ptr()) });
            // SAFETY: by N1 it is a live list, by N3 as long as this one.
            list = unsafe { next.as_ref() };
        }
    }
}

/// # Safety
///
/// `link` is the start of a node of `S`, whatever its owner, which lives during `'host`.
#[inline]
unsafe fn set<'host, S>(link: NonNull<Link>) -> &'host S {
    // SAFETY: the caller says so; before the owner, all nodes of `S` look alike.
    let node = unsafe { link.cast::<Node<S, ()>>().as_ref() };
    &node.set
}

/// # Safety
///
/// As [`set`]; and nothing else refers to the node during `'host`.
#[inline]
unsafe fn set_mut<'host, S>(link: NonNull<Link>) -> &'host mut S {
    // SAFETY: as in `set`, and the caller's promise.
    let node = unsafe { link.cast::<Node<S, ()>>().as_mut() };
    &mut node.set
}
