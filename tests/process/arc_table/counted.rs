//! Counted pointers of other crates as hosts, by `Counted`: a `Pin<Arc<_>>`, and a pointer without a weak count, such
//! as the handle of an object system.

use std::cell::Cell;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Weak};
use std::{ptr, thread};

use shadow_runtime::{Counted, ExclusiveHost, Host, counted_host, registry, shadow};

use support::{Census, Diary, Life, Noted, alone, alone_with_panics, fewer, never_hangs};

/// A pinned object. Several types of objects share the implementation.
struct Pinned<T>(Pin<Arc<T>>);

impl<T> Clone for Pinned<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

// SAFETY: A4: the tests have no zero-sized object, so the address of the object belongs to the object. A5: a `Weak`
// keeps the allocation. A6: no `Weak` leaves this `impl`, so no pointer is made of a `Weak`, and a strong count of 0 is
// final. A7: the drop of an `Arc` is a Release, and the fence an Acquire. A8: both functions load a word.
unsafe impl<T: Send + Sync + 'static> Counted for Pinned<T> {
    type Weak = Weak<T>;

    fn address(&self) -> usize {
        ptr::from_ref(&*self.0).addr()
    }

    fn downgrade(&self) -> Weak<T> {
        // SAFETY: the object is not moved.
        Arc::downgrade(&unsafe { Pin::into_inner_unchecked(self.0.clone()) })
    }

    fn is_gone(weak: &Weak<T>) -> bool {
        let is_gone = weak.strong_count() == 0;
        fence(Ordering::Acquire);
        is_gone
    }
}
// The name of the parameter is also one that the library uses.
counted_host!(for [S: Send + Sync + 'static] Pinned<S>);

/// The handle of an object with one count, which the table's reference takes part in.
#[derive(Clone)]
struct Handle(Arc<Object>);

struct Object {
    number: usize,
    _noted: Option<Noted>,
}

// SAFETY: A4 and A5: the table's reference keeps the object. A6: if the count is 1, the table's reference is the only
// one, and no pointer is made of the reference: it leaves this `impl` only to be dropped. A7 and A8: as above.
unsafe impl Counted for Handle {
    type Weak = Arc<Object>;

    fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    fn downgrade(&self) -> Arc<Object> {
        if let Some(between) = BETWEEN.take() {
            between(self);
        }
        Arc::clone(&self.0)
    }

    fn is_gone(weak: &Arc<Object>) -> bool {
        let is_gone = Arc::strong_count(weak) == 1;
        fence(Ordering::Acquire);
        is_gone
    }
}
counted_host!(Handle);

thread_local! {
    /// Runs in the next `downgrade`: after the lookup of an attach, and before the publication.
    static BETWEEN: Cell<Option<fn(&Handle)>> = const { Cell::new(None) };
}

impl Deref for Handle {
    type Target = Object;

    fn deref(&self) -> &Object {
        &self.0
    }
}

impl Handle {
    fn new(number: usize) -> Self {
        Self(Arc::new(Object { number, _noted: None }))
    }
}

shadow! {
    trait PinnedFields for Pinned<u64> {
        attach once: Life;
        get_or_attach made: usize = usize::try_from(*self.0).unwrap();
        get_or_update newest: Life;
        get_or_update(copy) copied: [u64; 2];
    }
    trait PinnedLater for Pinned<u64> { attach later: Life; }
    trait TextFields for Pinned<String> { get_or_attach length: usize = self.0.len(); }
    trait HandleFields for Handle { get_or_update(copy) seen: usize; attach once: Life; get_or_attach made: usize = self.number; }
    trait HandleNotes for Handle { attach noted: Noted; }
    trait HandleMore for Handle { attach rest: Vec<u8>; get_or_attach more: usize; }
}

fn pinned(number: u64) -> Pinned<u64> {
    Pinned(Arc::pin(number))
}

#[test]
fn all_pointers_to_an_object_have_its_fields_until_the_last_is_gone() {
    let _alone = alone();
    let (census, first, other) = (Census::default(), pinned(7), pinned(7));
    let second = first.clone();
    assert!(first.once().is_none() && first.attach_once(census.life()).is_ok());
    assert!(second.attach_once(census.life()).is_err(), "it is attached already");
    assert!(second.update_newest(census.life()).is_none() && first.take_newest().is_some());
    assert_eq!((second.made(), first.update_copied([1; 2]), second.copied()), (&7, None, Some([1; 2])));
    assert!(second.attach_later(census.life()).is_ok() && first.later().is_some());
    assert!(ptr::eq(first.made(), second.made()));
    assert!(other.once().is_none() && other.peek_made().is_none() && other.later().is_none());
    assert_eq!(Pinned(Arc::pin("text".to_owned())).length(), &4);
    drop(first);
    assert_eq!(registry().sweep(), 1, "the text");
    assert!(second.once().is_some());
    drop(second);
    assert_eq!(registry().sweep(), 1);
    assert_eq!((census.made(), census.dropped()), (4, 4));
}

#[test]
fn an_object_without_a_weak_count_lives_until_a_sweep() {
    let _alone = alone();
    let (census, diary) = (Census::default(), Diary::default());
    let handle = Handle(Arc::new(Object { number: 3, _noted: Some(Noted::quiet("object", &diary)) }));
    assert!(handle.attach_once(census.life()).is_ok());
    assert!(handle.attach_noted(Noted::quiet("field", &diary)).is_ok());
    assert_eq!((handle.made(), registry().sweep()), (&3, 0));
    let second = handle.clone();
    drop(handle);
    assert_eq!((registry().sweep(), second.made()), (0, &3));
    drop(second);
    assert_eq!(diary.read(), [""; 0], "the table has a reference");
    assert_eq!(registry().sweep(), 1);
    let mut dropped = diary.read();
    dropped.sort_unstable();
    assert_eq!((dropped, census.dropped()), (vec!["field", "object"], 1));
}

/// An attach of another field comes between the lookup and the publication of an attach, by each way of publication. If
/// the second node kept a reference, too, the object would have two references of the table, and would never be gone.
#[test]
fn a_host_has_one_reference_whichever_attach_comes_between() {
    type Attach = fn(&Handle);
    let by_first: Attach = |handle| assert!(handle.attach_rest(vec![1]).is_ok());
    let by_other: Attach = |handle| assert_eq!(*handle.more(), 0);
    let by_own: Attach = |handle| _ = handle.update_seen(2);
    let outer: [Attach; 3] = [
        |handle| _ = handle.update_seen(1),
        |handle| assert_eq!(*handle.made(), handle.number),
        |handle| assert!(handle.attach_once(Census::default().life()).is_ok()),
    ];
    let _alone = alone();
    for between in [by_first, by_other, by_own] {
        for attach in outer {
            let handle = Handle::new(9);
            BETWEEN.set(Some(between));
            attach(&handle);
            assert!(BETWEEN.take().is_none(), "the attach makes a reference");
            assert_eq!(Arc::strong_count(&handle.0), 2, "the handle, and the table");
            drop(handle);
            assert_eq!(registry().sweep(), 1);
        }
    }
}

#[test]
fn a_panic_of_the_destructor_of_an_object_stays_in_the_sweep() {
    let _alone = alone_with_panics();
    let diary = Diary::default();
    let handle = Handle(Arc::new(Object { number: 1, _noted: Some(Noted::panicking("object", &diary)) }));
    assert!(handle.attach_noted(Noted::quiet("field", &diary)).is_ok());
    drop(handle);
    assert_eq!(registry().sweep(), 1);
    assert_eq!(diary.read(), ["field", "object"]);
}

#[test]
fn attaches_sweep_dead_objects_and_addresses_are_used_again() {
    const ROUNDS: usize = fewer(20_000, 100);
    let _alone = alone();
    let census = Census::default();
    let mut most = 0;
    for number in 0..ROUNDS {
        let handle = Handle::new(number);
        assert!(handle.once().is_none() && handle.seen().is_none(), "a field of an object that is gone");
        handle.update_seen(number);
        assert!(handle.attach_once(census.life()).is_ok());
        assert_eq!((handle.seen(), handle.made()), (Some(number), &number));
        most = most.max(census.made() - census.dropped());
    }
    // Rule R7: at most as many dead hosts as living hosts, plus 1,000 for this thread.
    assert!(most <= 1_002, "{most}");
    registry().sweep();
    assert_eq!(census.made(), census.dropped());
}

#[test]
fn threads_share_a_counted_host() {
    const ROUNDS: usize = fewer(2_000, 10);
    let _alone = alone();
    let (census, inits) = (Census::default(), AtomicUsize::new(0));
    never_hangs(|| {
        for number in 0..ROUNDS {
            let host = pinned(number as u64);
            thread::scope(|scope| {
                for _ in 0..2 {
                    let (host, census, inits) = (host.clone(), &census, &inits);
                    scope.spawn(move || {
                        let _ = host.attach_once(census.life());
                        host.get_or_attach_made(|| inits.fetch_add(1, Ordering::Relaxed));
                        assert!(host.once().is_some());
                        host.update_newest(census.life());
                    });
                }
            });
        }
    });
    assert_eq!(inits.into_inner(), ROUNDS);
    registry().sweep();
    assert_eq!(census.made(), census.dropped());
}

#[test]
fn a_counted_host_is_a_shared_host() {
    fn is_host<H: Host>(_: &H) {}
    trait Otherwise {
        const IS_EXCLUSIVE: bool = false;
    }
    impl<T> Otherwise for T {}
    struct Asked<T>(T);
    #[expect(dead_code, reason = "the bound is not met")]
    impl<T: ExclusiveHost> Asked<T> {
        const IS_EXCLUSIVE: bool = true;
    }
    let _alone = alone();
    is_host(&pinned(1));
    const { assert!(!Asked::<Handle>::IS_EXCLUSIVE) };
    let _ = Asked(1).0;
}
