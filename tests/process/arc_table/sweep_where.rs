//! Rules R4 and R5, the default sweep mode: destructors of dead `Arc` hosts run in attaches, a few in each, outside of
//! any initialiser, closure and clone; and at a nesting depth of 1 inside a sweep's destructor.
//!
//! `sweep_background.rs` and `sweep_by_hand.rs` test the other modes. The table of `Arc` hosts is process-wide, so the
//! tests run sequentially.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use shadow_runtime::{Shadow, ShadowFields, Shadowed, raw, registry, shadow};

use support::spy::{Notes, SpyFields as _, inside, pass_by, runs_of, spied};
use support::{Random, alone, fewer, forever, never_hangs, sized};

/// The most destructors that one attach may run.
const HANDFUL: usize = 8;

/// Attaches to many hosts on clone.
struct Cloned(Notes);

impl Clone for Cloned {
    fn clone(&self) -> Self {
        inside(|| pass_by(&self.0, MANY));
        Self(self.0.clone())
    }
}

/// On drop, requests a field of a host, and records whether the request panics.
struct Asks {
    host: Weak<u32>,
    asked: Arc<[AtomicUsize; 2]>,
}

impl Drop for Asks {
    fn drop(&mut self) {
        if let Some(host) = self.host.upgrade() {
            let panics = catch_unwind(AssertUnwindSafe(|| host.slot())).is_err();
            self.asked[usize::from(panics)].fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Updates a field on drop.
struct Updates {
    host: Weak<u32>,
    /// The updates that have begun, and the updates that the library has not refused.
    updates: Arc<[AtomicUsize; 2]>,
}

impl Drop for Updates {
    fn drop(&mut self) {
        if let Some(host) = self.host.upgrade() {
            self.updates[0].fetch_add(1, Ordering::SeqCst);
            host.update_newest(1);
            self.updates[1].fetch_add(1, Ordering::SeqCst);
        }
    }
}

shadow! {
    trait OuterFields for Arc<u32> {
        get_or_attach slot: usize;
        get_or_update newest: usize;
        get_or_update(copy) copied: usize;
        get_or_update cloned: Cloned;
        attach asks: Asks;
        attach updates: Updates;
    }
    trait StaticFields for &'static u64 { get_or_attach slot: usize; get_or_update newest: usize; }
    trait OwnedFields for Shadowed<u8> { get_or_attach slot: usize; get_or_update newest: usize; }
}

#[derive(Shadow, Default)]
#[shadow_field(get_or_attach slot: usize)]
#[shadow_field(get_or_update newest: usize)]
#[shadow_field(get_or_update(copy) copied: usize)]
#[shadow_field(get_or_update cloned: Cloned)]
struct Embedding {
    shadow: ShadowFields,
}

#[derive(Shadow, Clone, Default)]
#[shadow_field(#[shadow(clone)] get_or_update cloned: Cloned)]
#[shadow_field(#[shadow(clone)] attach once: Cloned)]
#[shadow_field(#[shadow(clone)] get_or_attach made: Cloned = unreachable!("the value is given"))]
struct Carrier {
    shadow: ShadowFields,
}

const SLOT: raw::Id<usize> = raw::Id::new(1500);
const NEWEST: raw::UpdateId<usize> = raw::UpdateId::new(1501);
const OWNED: raw::PointerId<Box<usize>> = raw::PointerId::new(1502);

/// Attaches a field of an address by an initialiser. The object outlives the field, and no reference is kept.
type OfAnAddress = fn(*const (), &dyn Fn() -> Result<usize, ()>) -> bool;

const OF_AN_ADDRESS: [OfAnAddress; 6] = [
    // SAFETY: by the type's contract the object outlives the value, and no reference to the value is kept.
    |key, init| unsafe { SLOT.get_or_attach(key, init) }.is_ok(),
    // SAFETY: as above.
    |key, init| unsafe { SLOT.attach_with(key, init) }.is_ok(),
    // SAFETY: as above.
    |key, init| unsafe { NEWEST.get_or_attach(key, init) }.is_ok(),
    // SAFETY: as above.
    |key, init| unsafe { NEWEST.attach_with(key, init) }.is_ok(),
    // SAFETY: as above.
    |key, init| unsafe { OWNED.get_or_attach(key, || init().map(Box::new)) }.is_ok(),
    // SAFETY: as above.
    |key, init| unsafe { OWNED.attach_with(key, || init().map(Box::new)) }.is_ok(),
];

/// So many attaches that a sweep would find the dead hosts.
const MANY: usize = fewer(5000, 6);

/// Passes a function that attaches often to `place`. Checks that no destructor has run inside of the function, and that
/// every destructor runs later.
fn none_inside(what: &str, place: impl FnOnce(&dyn Fn())) {
    registry().sweep();
    let notes = Notes::default();
    // Dead before the call of `place`, so that attaches inside may find the hosts.
    drop((0..MANY).map(|_| spied(&notes)).collect::<Vec<_>>());
    let before = notes.made();
    place(&|| inside(|| pass_by(&notes, MANY)));
    assert_eq!(notes.made(), before + MANY, "{what}: it attaches once");
    assert_eq!(notes.inside(), 0, "{what}: destructors ran inside");
    registry().sweep();
    assert_eq!(notes.runs(), notes.made(), "{what}: all have run");
}

#[test]
fn none_runs_in_an_initialiser() {
    let _alone = alone();
    none_inside("embedded", |attaches| {
        Embedding::default().get_or_attach_slot(|| {
            attaches();
            1
        });
    });
    none_inside("embedded, which fails", |attaches| {
        let fails = || {
            attaches();
            Err(())
        };
        assert!(Embedding::default().get_or_try_attach_slot(fails).is_err());
    });
    none_inside("embedded, which panics", |attaches| {
        let embedding = Embedding::default();
        let panics = || {
            attaches();
            resume_unwind(Box::new(()))
        };
        assert!(catch_unwind(AssertUnwindSafe(|| embedding.get_or_attach_slot(panics))).is_err());
    });
    none_inside("`Arc`", |attaches| {
        Arc::new(0_u32).get_or_attach_slot(|| {
            attaches();
            1
        });
    });
    none_inside("`Arc`, which panics", |attaches| {
        let host = Arc::new(0_u32);
        let panics = || {
            attaches();
            resume_unwind(Box::new(()))
        };
        assert!(catch_unwind(AssertUnwindSafe(|| host.get_or_attach_slot(panics))).is_err());
    });
    none_inside("`Shadowed`", |attaches| {
        Shadowed::new(0_u8).get_or_attach_slot(|| {
            attaches();
            1
        });
    });
    none_inside("static", |attaches| {
        forever(0_u64).get_or_attach_slot(|| {
            attaches();
            1
        });
    });
    for attach in OF_AN_ADDRESS {
        none_inside("an address", |attaches| {
            let object = Box::new(0_u8);
            let key = (&raw const *object).cast();
            let init = || {
                attaches();
                Ok(1)
            };
            assert!(attach(key, &init));
            // SAFETY: no thread holds a reference to the value.
            assert_eq!(unsafe { raw::detach_object(key) }, 1);
        });
    }
    none_inside("the inner one of two", |attaches| {
        Embedding::default().get_or_attach_slot(|| {
            *Arc::new(0_u32).get_or_attach_slot(|| {
                attaches();
                1
            })
        });
    });
}

/// The outer initialiser goes on after an inner initialiser has returned or panicked.
#[test]
fn none_runs_in_an_initialiser_after_an_inner_one() {
    let _alone = alone();
    none_inside("after an inner one", |attaches| {
        Embedding::default().get_or_attach_slot(|| {
            Arc::new(0_u32).get_or_attach_slot(|| 1);
            let inner = Embedding::default();
            assert!(
                catch_unwind(AssertUnwindSafe(|| inner.get_or_attach_slot(|| resume_unwind(Box::new(()))))).is_err()
            );
            inner.update_newest_with(|_| 1);
            attaches();
            1
        });
    });
}

#[test]
fn none_runs_in_a_closure_of_an_update() {
    let _alone = alone();
    none_inside("embedded", |attaches| {
        Embedding::default().update_newest_with(|_| {
            attaches();
            1
        });
    });
    none_inside("embedded, when there is a value", |attaches| {
        let embedding = Embedding::default();
        embedding.update_newest(1);
        embedding.update_newest_with(|_| {
            attaches();
            1
        });
    });
    none_inside("embedded, copied", |attaches| {
        Embedding::default().update_copied_with(|_| {
            attaches();
            1
        });
    });
    none_inside("embedded, which panics", |attaches| {
        let embedding = Embedding::default();
        let panics = || {
            embedding.update_newest_with(|_| {
                attaches();
                resume_unwind(Box::new(()))
            })
        };
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    });
    none_inside("`Arc`", |attaches| {
        Arc::new(0_u32).update_newest_with(|_| {
            attaches();
            1
        });
    });
    none_inside("`Arc`, copied", |attaches| {
        Arc::new(0_u32).update_copied_with(|_| {
            attaches();
            1
        });
    });
    none_inside("`Shadowed`", |attaches| {
        Shadowed::new(0_u8).update_newest_with(|_| {
            attaches();
            1
        });
    });
    none_inside("static", |attaches| {
        forever(0_u64).update_newest_with(|_| {
            attaches();
            1
        });
    });
}

#[test]
fn none_runs_in_a_clone() {
    type Clones = fn(Cloned);
    let _alone = alone();
    let clones: [Clones; 5] = [
        |value| {
            let host = Arc::new(0_u32);
            host.update_cloned(value);
            assert!(host.cloned().is_some());
        },
        |value| {
            let host = Embedding::default();
            host.update_cloned(value);
            assert!(host.cloned().is_some());
        },
        |value| {
            let host = Carrier::default();
            host.update_cloned(value);
            assert!(host.clone().detach_cloned().is_some());
        },
        |value| {
            let host = Carrier::default();
            assert!(host.attach_once(value).is_ok());
            assert!(host.clone().once().is_some());
        },
        |value| {
            let host = Carrier::default();
            host.get_or_attach_made(|| value);
            assert!(host.clone().peek_made().is_some());
        },
    ];
    for (index, clone) in clones.into_iter().enumerate() {
        let notes = Notes::default();
        drop((0..MANY).map(|_| spied(&notes)).collect::<Vec<_>>());
        clone(Cloned(notes.clone()));
        assert!(notes.made() >= 2 * MANY, "it has cloned");
        assert_eq!(notes.inside(), 0, "destructors ran in clone {index}");
        registry().sweep();
        assert_eq!(notes.runs(), notes.made());
    }
}

/// The end of the read makes up for the sweeps that the clone has deferred, without a further attach.
#[test]
fn the_end_of_a_clone_runs_deferred_sweeps() {
    const CLONED: raw::UpdateId<Cloned> = raw::UpdateId::new(1100);
    let _alone = alone();
    let embedding = Embedding::default();
    embedding.update_cloned(Cloned(Notes::default()));
    let object = 0_u8;
    let key = (&raw const object).cast();
    // SAFETY: the field is detached before `object` ends.
    assert!(unsafe { CLONED.get_or_update(key, Cloned(Notes::default())) }.is_ok_and(|previous| previous.is_none()));
    let carrier = Carrier::default();
    carrier.update_cloned(Cloned(Notes::default()));
    let of_a_field = || embedding.cloned();
    let of_a_host = || carrier.clone().detach_cloned();
    // SAFETY: the field is one of `object`.
    let of_an_id = || unsafe { CLONED.get(key) }.expect("the type is the same");
    // SAFETY: the field is one of `object`.
    let by_a_look = || unsafe { CLONED.inspect(key, Cloned::clone) }.expect("the type is the same");
    let reads: [&dyn Fn() -> Option<Cloned>; 4] = [&of_a_field, &of_a_host, &of_an_id, &by_a_look];
    for (index, read) in reads.iter().enumerate() {
        registry().sweep();
        let (runs, clone) = runs_of(read);
        assert!(runs > 0, "no deferred sweep has run after read {index}");
        assert_eq!(clone.expect("it is attached").0.inside(), 0, "destructors ran in a clone");
    }
    // SAFETY: the field is one of `object`.
    assert!(unsafe { CLONED.detach(key) }.is_ok_and(|value| value.is_some()));
}

/// As above, for the initialisers of ids: an attach to an address sweeps nothing itself.
#[test]
fn the_end_of_an_initialiser_of_an_id_runs_deferred_sweeps() {
    let _alone = alone();
    for (index, attach) in OF_AN_ADDRESS.into_iter().enumerate() {
        registry().sweep();
        let (notes, object) = (Notes::default(), 0_u8);
        let key = (&raw const object).cast();
        let init = || {
            inside(|| pass_by(&notes, MANY));
            Ok(1)
        };
        let (runs, attached) = runs_of(|| attach(key, &init));
        assert!(attached && runs > 0, "no deferred sweep has run after method {index}");
        assert_eq!(notes.inside(), 0, "destructors ran in the initialiser");
        // SAFETY: no thread holds a reference to the value.
        assert_eq!(unsafe { raw::detach_object(key) }, 1);
    }
}

/// A destructor that requests the field during the initialisation would panic, and the panic would only be logged.
#[test]
fn one_that_asks_for_the_field_that_is_being_initialised_runs_when_that_is_there() {
    const STRANGERS: usize = fewer(100, 8);
    let _alone = alone();
    let (host, asked) = (Arc::new(0_u32), Arc::new([const { AtomicUsize::new(0) }; 2]));
    let strangers: Vec<_> = (0..STRANGERS).map(|_| Arc::new(0_u32)).collect();
    for stranger in &strangers {
        assert!(stranger.attach_asks(Asks { host: Arc::downgrade(&host), asked: asked.clone() }).is_ok());
    }
    // The strangers die at once, so no destructor has run, and requested the field, before.
    drop(strangers);
    let slot = host.get_or_attach_slot(|| {
        pass_by(&Notes::default(), MANY);
        7
    });
    assert_eq!(*slot, 7);
    registry().sweep();
    let asked = [&asked[0], &asked[1]].map(|count| count.load(Ordering::SeqCst));
    assert_eq!(asked, [STRANGERS, 0], "that asked, and that panicked");
}

/// Inside of the closure, the destructor's update would be refused, by a panic that would only be logged.
#[test]
fn one_that_updates_a_field_does_not_run_in_the_closure_that_updates_it() {
    const STRANGERS: usize = fewer(1000, 8);
    let _alone = alone();
    let (host, updates) = (Arc::new(0_u32), Arc::new([const { AtomicUsize::new(0) }; 2]));
    let counts = || [&updates[0], &updates[1]].map(|count| count.load(Ordering::SeqCst));
    host.update_newest(0);
    let strangers: Vec<_> = (0..STRANGERS).map(|_| Arc::new(0_u32)).collect();
    for stranger in &strangers {
        let value = Updates { host: Arc::downgrade(&host), updates: updates.clone() };
        assert!(stranger.attach_updates(value).is_ok());
    }
    drop(strangers);
    let mut calls = 0;
    never_hangs(|| {
        host.update_newest_with(|_| {
            calls += 1;
            pass_by(&Notes::default(), fewer(sized(1000), 5));
            assert_eq!(counts(), [0, 0], "a destructor has run in the closure");
            calls
        })
    });
    registry().sweep();
    assert_eq!((calls, counts()), (1, [STRANGERS, STRANGERS]));
}

/// Calls `attach` `attaches` times, and returns the largest number of destructors that one call has run.
fn most_in_one(attaches: usize, mut attach: impl FnMut()) -> usize {
    (0..attaches).map(|_| runs_of(&mut attach).0).max().unwrap()
}

#[test]
fn one_attach_runs_a_handful() {
    let _alone = alone();
    for life in [1, 10, 100, 1000].into_iter().take(fewer(4, 2)) {
        let (notes, mut alive) = (Notes::default(), Vec::new());
        let mut random = Random(3);
        let most = most_in_one(sized(20_000), || {
            alive.push(spied(&notes));
            if alive.len() > life {
                alive.swap_remove(random.below(life));
            }
        });
        println!("lives of {life}: {most} in one attach");
        assert!((1..=HANDFUL).contains(&most), "lives of {life}: {most} in one attach");
        drop(alive);
        registry().sweep();
    }
}

#[test]
fn one_attach_runs_a_handful_after_a_peak() {
    let _alone = alone();
    for hosts in fewer([100, 600, 5000, 50_000], [1000, 6000, 12_000, 24_000]).map(sized) {
        let notes = Notes::default();
        drop((0..hosts).map(|_| spied(&notes)).collect::<Vec<_>>());
        let most = most_in_one(hosts.max(fewer(1000, 5)), || drop(spied(&notes)));
        println!("a peak of {hosts}: {most} in one attach");
        assert!((1..=HANDFUL).contains(&most), "a peak of {hosts}: {most} in one attach");
        registry().sweep();
    }
}

/// The end of the initialiser makes up for the deferred sweeps, with the limit of one attach for every attach inside.
#[test]
fn the_end_of_an_initialiser_runs_a_handful_for_each_attach_in_it() {
    let _alone = alone();
    for attaches in fewer([0, 1, 10, 100], [0, 1, 2, 5]) {
        let notes = Notes::default();
        drop((0..sized(5000)).map(|_| spied(&notes)).collect::<Vec<_>>());
        let most = most_in_one(fewer(100, 3), || {
            Embedding::default().get_or_attach_slot(|| {
                inside(|| pass_by(&notes, attaches));
                1
            });
        });
        println!("{attaches} attaches in an initialiser: {most} at its end");
        assert!(most <= HANDFUL * (1 + attaches), "{attaches} attaches in an initialiser: {most} at its end");
        assert_eq!(notes.inside(), 0);
        registry().sweep();
    }
}

#[test]
fn a_read_runs_none() {
    let _alone = alone();
    let (notes, host) = (Notes::default(), Arc::new(0_u32));
    host.slot();
    let seen = spied(&Notes::default());
    drop((0..fewer(sized(1000), 5)).map(|_| spied(&notes)).collect::<Vec<_>>());
    let (runs, ()) = runs_of(|| {
        for _ in 0..fewer(sized(1000), 5) {
            assert!(host.slot() == &0 && seen.spy().is_some() && host.peek_slot().is_some());
            assert!(host.newest().is_none() && host.asks().is_none());
        }
    });
    assert_eq!(runs, 0);
}

/// The number of hosts to which destructors may still attach.
static LEFT: AtomicUsize = AtomicUsize::new(0);

/// Attaches to three hosts with this destructor.
fn attach_three(notes: &Notes) {
    for _ in 0..3 {
        if LEFT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            assert!(Arc::new(0_u16).attach_spy(notes.spy_that(attach_three)).is_ok());
        }
    }
}

#[test]
fn a_destructor_that_attaches_runs_others_and_these_run_none() {
    let _alone = alone();
    for by_sweep in [false, true] {
        let notes = Notes::default();
        LEFT.store(sized(20_000), Ordering::SeqCst);
        // The roots stay alive until all roots are attached to.
        let roots: Vec<Arc<u16>> = (0..fewer(100, 5))
            .map(|_| {
                let host = Arc::new(0);
                assert!(host.attach_spy(notes.spy_that(attach_three)).is_ok());
                host
            })
            .collect();
        drop(roots);
        if by_sweep {
            registry().sweep();
        } else {
            for _ in 0..sized(20_000) {
                drop(spied(&Notes::default()));
            }
        }
        println!("by `sweep`: {by_sweep}: {} ran, {} deep", notes.runs(), notes.deepest());
        assert_eq!(notes.deepest(), 2, "by `sweep`: {by_sweep}");
        registry().sweep();
        while registry().sweep() > 0 {}
        assert_eq!(notes.runs(), notes.made());
    }
}

/// Attaches inside of an initialiser.
fn attach_in_an_initialiser(notes: &Notes) {
    Embedding::default().get_or_attach_slot(|| {
        inside(|| attach_three(notes));
        1
    });
}

#[test]
fn an_initialiser_in_a_destructor_runs_none_either() {
    let _alone = alone();
    for by_sweep in [false, true] {
        let notes = Notes::default();
        LEFT.store(sized(5000), Ordering::SeqCst);
        for _ in 0..fewer(300, 6) {
            assert!(Arc::new(0_u16).attach_spy(notes.spy_that(attach_in_an_initialiser)).is_ok());
        }
        if by_sweep {
            registry().sweep();
        } else {
            for _ in 0..sized(5000) {
                drop(spied(&Notes::default()));
            }
        }
        assert_eq!(notes.inside(), 0);
        assert!(notes.deepest() <= 2);
        while registry().sweep() > 0 {}
        assert_eq!(notes.runs(), notes.made());
    }
}

#[test]
fn they_run_in_the_thread_that_attaches() {
    let _alone = alone();
    let notes = Notes::default();
    pass_by(&notes, sized(5000));
    assert!(notes.runs() + 1000 >= notes.made());
    assert!(notes.all_here());
}
