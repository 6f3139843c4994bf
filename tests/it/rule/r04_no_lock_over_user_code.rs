//! Rule R4: user code (initialisers, `Clone`, `Drop`, closures) never runs while the thread holds a lock of the
//! library.
//!
//! In these tests, user code calls every locking function of the library, from every place at which the library calls
//! user code. If the library held a lock at such a place, the thread would deadlock, and the test would hang.

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use shadow_runtime::raw::{self, InitError};
use shadow_runtime::{Shadow, ShadowFields, Shadowed, registry, shadow};

use support::{Census, Life, capture, elsewhere, fewer, never_hangs};

/// Uses the library in every way that takes a lock: of init locks, lists, logs, tables and shards. Under Miri, each
/// call uses the library in one of these ways.
fn use_everything() {
    static FRESH: AtomicU64 = AtomicU64::new(10_000);
    thread_local! { static INSIDE: Cell<bool> = const { Cell::new(false) }; }
    if INSIDE.replace(true) {
        return;
    }
    let fresh = FRESH.fetch_add(1, Ordering::Relaxed);
    let ways: [fn(u64); 4] = [use_the_registry, use_a_number, use_statics, use_init_locks_and_the_log];
    if cfg!(miri) {
        ways[(fresh % 4) as usize](fresh);
    } else {
        for way in ways {
            way(fresh);
        }
    }
    INSIDE.set(false);
}

/// The report takes the lock of the registry's list. Each test adds rows, and under Miri a report takes long. The sweep
/// takes the locks of all logs and groups of `Arc` hosts.
fn use_the_registry(fresh: u64) {
    assert!(fresh % fewer(1, 16) != 0 || registry().report().iter().next().is_some());
    registry().sweep();
}

/// A new number takes the locks of the table of numbers, of a shard and of the registry. `detach_all` takes the locks
/// of all shards of the number's table.
fn use_a_number(fresh: u64) {
    let (id, object) = (raw::Id::<u64>::new(fresh), Box::new(fresh));
    let key = ptr::from_ref(&*object).cast();
    // SAFETY: the object outlives the field, and no reference to the value is kept.
    assert_eq!(unsafe { id.get_or_attach(key, || Ok::<_, ()>(fresh)) }.copied().unwrap(), fresh);
    // SAFETY: no reference to a value is kept.
    assert_eq!(unsafe { id.detach_all(|_, _| ()) }.unwrap(), 1);
}

/// New statics, so many that all shards get an entry. Under Miri, the shards get entries over several calls.
fn use_statics(fresh: u64) {
    const CROWD: usize = fewer(300, 4);
    let crowd: &'static [AtomicU8; CROWD] = Box::leak(Box::new([const { AtomicU8::new(0) }; CROWD]));
    for host in crowd {
        host.update_version(fresh);
    }
}

/// An initialiser takes an init lock. A new `Arc` host takes the lock of a shard. A refused attach calls the logger.
fn use_init_locks_and_the_log(fresh: u64) {
    let task = Task::default();
    task.counter().fetch_add(1, Ordering::Relaxed);
    let host = Arc::new(fresh);
    host.update_version(fresh);
    host.update_version_with(|before| before.unwrap() + 1);
    assert_eq!(host.version(), Some(fresh + 1));
    task.attach_once(()).unwrap();
    assert!(task.attach_once(()).is_err());
}

#[derive(Shadow, Default)]
#[shadow_field(attach once: ())]
#[shadow_field(get_or_attach counter: AtomicU32)]
#[shadow_field(get_or_update using: Using)]
#[shadow_field(attach kept: Using)]
struct Task {
    shadow: ShadowFields,
}

/// A host whose clone carries its fields.
#[derive(Shadow, Clone, Default)]
#[shadow_field(#[shadow(clone)] attach kept: Using)]
#[shadow_field(#[shadow(clone)] get_or_update using: Using)]
struct Carrier {
    shadow: ShadowFields,
}

shadow! {
    impl Carrier { #[shadow(clone)] get_or_attach made: Using = Using::new(&Census::default()); }
    trait CrowdFields for &'static AtomicU8 { get_or_update version: u64; }
    trait NumberFields for Arc<u64> { get_or_update version: u64; }

    // Every kind of host has two declarations: while the first initialises, the second has no node yet.
    trait TaskFields for Task { get_or_attach made: Life = Census::default().life(); }
    trait TaskLater for Task { get_or_update later: u32; }
    trait OwnedFields for Shadowed<u8> { get_or_attach made: Life = Census::default().life(); get_or_update using: Using; attach kept: Using; }
    trait OwnedLater for Shadowed<u8> { get_or_update later: u32; }
    trait SharedFields for Arc<u8> { get_or_attach made: Life = Census::default().life(); get_or_update using: Using; attach kept: Using; }
    trait SharedLater for Arc<u8> { get_or_update later: u32; }
    trait StaticFields for &'static u8 { get_or_attach made: Life = Census::default().life(); get_or_update using: Using; }
    trait StaticLater for &'static u8 { get_or_update later: u32; }
}

const MADE: raw::Id<Life> = raw::Id::new(600);
const USING: raw::UpdateId<Using> = raw::UpdateId::new(601);
const KEPT: raw::Id<Using> = raw::Id::new(602);
const LATER: raw::UpdateId<u32> = raw::UpdateId::new(603);
const OWNED: raw::PointerId<Owned> = raw::PointerId::new(605);

/// A value that uses the library on clone and on drop.
struct Using(Life);

impl Using {
    fn new(census: &Census) -> Self {
        Self(census.life())
    }
}

impl Clone for Using {
    fn clone(&self) -> Self {
        use_everything();
        Self(self.0.clone())
    }
}

impl Drop for Using {
    fn drop(&mut self) {
        use_everything();
    }
}

/// A pointer whose two functions use the library, and count the locks of the thread.
struct Owned(Box<Using>);

fn use_everything_under_no_lock() {
    #[cfg(debug_assertions)]
    assert_eq!(shadow_runtime::__private::locks_held(), 0);
    use_everything();
}

// SAFETY: passes the ownership on as `Box` does.
unsafe impl raw::Pointer for Owned {
    type Target = Using;

    fn into_raw(self) -> NonNull<Using> {
        use_everything_under_no_lock();
        self.0.into_raw()
    }

    unsafe fn from_raw(pointer: NonNull<Using>) -> Self {
        use_everything_under_no_lock();
        // SAFETY: by the contract the pointer comes from `into_raw`, so from a box, and this call gets the ownership.
        Self(unsafe { Box::from_raw(pointer.as_ptr()) })
    }
}

fn leaked() -> &'static u8 {
    Box::leak(Box::new(0))
}

/// The address of an object, for closures on other threads.
fn key(object: &u64) -> *const () {
    ptr::from_ref(object).cast()
}

#[test]
fn initialisers_run_under_no_lock() {
    never_hangs(|| {
        let census = Census::default();
        let (task, owned, shared, fixed) = (Task::default(), Shadowed::new(0_u8), Arc::new(0_u8), leaked());
        let object = Box::new(0_u64);
        task.get_or_attach_made(|| {
            use_everything();
            task.update_later(1);
            census.life()
        });
        owned.get_or_attach_made(|| {
            use_everything();
            owned.update_later(1);
            census.life()
        });
        shared.get_or_attach_made(|| {
            use_everything();
            shared.update_later(1);
            census.life()
        });
        fixed.get_or_attach_made(|| {
            use_everything();
            fixed.update_later(1);
            census.life()
        });
        let init = || {
            use_everything();
            // SAFETY: the object outlives the field.
            unsafe { LATER.get_or_update(key(&object), 1) }.unwrap();
            Ok::<_, ()>(census.life())
        };
        // SAFETY: the object outlives the field, and the reference to the value is not kept.
        assert!(unsafe { MADE.get_or_attach(key(&object), init) }.is_ok());
        assert_eq!(census.made(), 5);
        // SAFETY: no reference to a value is kept.
        assert_eq!(unsafe { raw::detach_object(key(&object)) }, 2);
    });
}

#[test]
fn the_values_of_a_clone_are_cloned_under_no_lock() {
    never_hangs(|| {
        let (census, carrier) = (Census::default(), Carrier::default());
        assert!(carrier.attach_kept(Using::new(&census)).is_ok());
        carrier.update_using(Using::new(&census));
        carrier.get_or_attach_made(|| Using::new(&census));
        drop((carrier.clone(), carrier));
        assert_eq!((census.made(), census.dropped()), (6, 6));
    });
}

/// An initialiser of every other method of `raw`; and the clone, and the drop, of a result that comes too late.
#[test]
fn initialisers_of_raw_run_under_no_lock() {
    never_hangs(|| {
        let (census, object) = (Census::default(), Box::new(0_u64));
        let init = || {
            use_everything();
            Ok::<_, ()>(Using::new(&census))
        };
        let late = || {
            // SAFETY: the object outlives the field.
            assert!(unsafe { USING.get_or_update(key(&object), Using::new(&census)) }.unwrap().is_none());
            init()
        };
        // SAFETY: the object outlives the field, and the reference to the value is not kept.
        assert!(unsafe { KEPT.attach_with(key(&object), init) }.is_ok());
        // SAFETY: the object outlives the field.
        assert!(unsafe { USING.get_or_attach(key(&object), init) }.is_ok());
        // SAFETY: the fields at this address are fields of the object.
        assert!(unsafe { USING.detach(key(&object)) }.unwrap().is_some());
        // SAFETY: the object outlives the field.
        assert!(unsafe { USING.attach_with(key(&object), init) }.is_ok());
        // SAFETY: the fields at this address are fields of the object.
        assert!(unsafe { USING.detach(key(&object)) }.unwrap().is_some());
        // SAFETY: the object outlives the field.
        assert!(unsafe { USING.get_or_attach(key(&object), late) }.is_ok());
        // SAFETY: the fields at this address are fields of the object.
        assert!(unsafe { USING.detach(key(&object)) }.unwrap().is_some());
        // SAFETY: the object outlives the field.
        let refused = unsafe { USING.attach_with(key(&object), late) };
        assert!(matches!(refused, Err(InitError::AlreadyAttached(_))));
        // SAFETY: no thread holds a reference to a value.
        assert_eq!(unsafe { raw::detach_object(key(&object)) }, 2);
        assert_eq!(census.made(), census.dropped());
    });
}

/// The initialisers of a `PointerId`, the two functions of its pointer type, and the ends of a pointer.
#[test]
fn pointers_are_made_and_taken_back_under_no_lock() {
    never_hangs(|| {
        let (census, object) = (Census::default(), Box::new(0_u64));
        let init = || {
            use_everything();
            Ok::<_, ()>(Owned(Box::new(Using::new(&census))))
        };
        let detach = || {
            // SAFETY: the field at this address is a field of the object.
            assert!(unsafe { OWNED.detach(key(&object)) }.unwrap().is_some());
        };
        let detach_all = || {
            // SAFETY: the field at this address is a field of the object.
            assert_eq!(unsafe { OWNED.detach_all(|_, _| use_everything()) }.unwrap(), 1);
        };
        let detach_object = || {
            // SAFETY: the fields at this address are fields of the object.
            assert_eq!(unsafe { raw::detach_object(key(&object)) }, 1);
        };
        let drain = || {
            // SAFETY: the field at this address is a field of the object.
            unsafe { OWNED.drain() }.unwrap().for_each(|_| use_everything());
        };
        let drop_a_drain = || {
            // SAFETY: the field at this address is a field of the object.
            drop(unsafe { OWNED.drain() }.unwrap());
        };
        let drain_object = || {
            // SAFETY: the field at this address is a field of the object.
            unsafe { raw::PointerId::<Owned>::drain_object(key(&object)) }.for_each(|_| use_everything());
        };
        let drop_fields = || {
            // SAFETY: the field at this address is a field of the object.
            drop(unsafe { raw::PointerId::<Owned>::drain_object(key(&object)) });
        };
        let ways_out: [&dyn Fn(); 7] =
            [&detach, &detach_all, &detach_object, &drain, &drop_a_drain, &drain_object, &drop_fields];
        for way_out in ways_out {
            // SAFETY: the object outlives the field.
            assert!(unsafe { OWNED.get_or_attach(key(&object), init) }.is_ok());
            way_out();
            // SAFETY: the object outlives the field.
            assert!(unsafe { OWNED.attach_with(key(&object), init) }.is_ok());
            way_out();
        }
        assert_eq!((census.made(), census.dropped()), (14, 14));
    });
}

#[test]
fn clones_are_made_under_no_lock() {
    never_hangs(|| {
        let census = Census::default();
        let (task, owned, shared, fixed) = (Task::default(), Shadowed::new(0_u8), Arc::new(0_u8), leaked());
        let object = Box::new(0_u64);
        task.update_using(Using::new(&census));
        OwnedFields::update_using(&owned, Using::new(&census));
        SharedFields::update_using(&shared, Using::new(&census));
        StaticFields::update_using(fixed, Using::new(&census));
        // SAFETY: the object outlives the field.
        assert!(unsafe { USING.get_or_update(key(&object), Using::new(&census)) }.is_ok());
        assert_eq!(census.made(), 5);
        assert!(task.using().is_some() && OwnedFields::using(&owned).is_some());
        assert!(SharedFields::using(&shared).is_some() && StaticFields::using(fixed).is_some());
        // SAFETY: the fields at this address are fields of the object.
        assert!(unsafe { USING.get(key(&object)) }.unwrap().is_some());
        assert_eq!(census.made(), 10, "five were cloned");
        // SAFETY: no thread holds a reference to a value.
        assert_eq!(unsafe { raw::detach_object(key(&object)) }, 1);
    });
}

#[test]
fn closures_of_updates_run_under_no_lock() {
    /// Runs an update with a closure that uses the library, and above all the closure's own field.
    fn update(host: &(impl Updating + Sync), census: &Census) {
        let mut runs = 0;
        host.update(&mut || {
            runs += 1;
            use_everything();
            host.attach_later();
            if runs == 1 {
                assert!(host.read().is_none());
                elsewhere(|| host.update(&mut || Using::new(census)));
                assert!(host.read().is_some());
            }
            Using::new(census)
        });
        assert_eq!(runs, 2, "the update in the closure came between");
    }
    never_hangs(|| {
        let census = Census::default();
        update(&Task::default(), &census);
        update(&Shadowed::new(0_u8), &census);
        update(&Arc::new(0_u8), &census);
        update(&leaked(), &census);
    });
}

/// The operations of closures of updates, for every kind of host.
trait Updating {
    fn update(&self, next: &mut dyn FnMut() -> Using);
    fn read(&self) -> Option<Using>;
    fn attach_later(&self);
}

macro_rules! updating {
    ($($host:ty: $fields:ident, $later:ident;)*) => {
        $(
            impl Updating for $host {
                fn update(&self, next: &mut dyn FnMut() -> Using) {
                    $fields::update_using_with(self, |_| next());
                }
                fn read(&self) -> Option<Using> {
                    $fields::using(self)
                }
                fn attach_later(&self) {
                    $later::update_later(self, 1);
                }
            }
        )*
    };
}

updating! {
    Task: Task, TaskLater;
    Shadowed<u8>: OwnedFields, OwnedLater;
    Arc<u8>: SharedFields, SharedLater;
}

impl Updating for &'static u8 {
    fn update(&self, next: &mut dyn FnMut() -> Using) {
        StaticFields::update_using_with(*self, |_| next());
    }
    fn read(&self) -> Option<Using> {
        StaticFields::using(*self)
    }
    fn attach_later(&self) {
        StaticLater::update_later(*self, 1);
    }
}

#[test]
fn what_an_update_made_in_vain_is_dropped_under_no_lock() {
    never_hangs(|| {
        let census = Census::default();
        let shared = Arc::new(0_u8);
        let mut runs = 0;
        SharedFields::update_using_with(&shared, |_| {
            runs += 1;
            if runs == 1 {
                elsewhere(|| SharedFields::update_using(&shared, Using::new(&census)));
            }
            Using::new(&census)
        });
        assert_eq!((runs, census.made(), census.dropped()), (2, 3, 2));
    });
}

/// The value is replaced while a reader clones the value. So the reader drops the value.
#[test]
fn a_value_that_was_replaced_while_it_was_read_is_dropped_under_no_lock() {
    struct Slow {
        using: Using,
        cloning: mpsc::SyncSender<()>,
        go_on: Option<Arc<std::sync::Barrier>>,
    }
    impl Clone for Slow {
        fn clone(&self) -> Self {
            // The update clones the value, too, and must not wait for its own end.
            if let Some(go_on) = self.go_on.as_ref().filter(|_| thread::current().name() == Some("reader")) {
                self.cloning.send(()).unwrap();
                go_on.wait();
            }
            Self { using: self.using.clone(), cloning: self.cloning.clone(), go_on: None }
        }
    }
    shadow! { trait SlowFields for Arc<i8> { get_or_update slow: Slow; } }
    never_hangs(|| {
        let census = Census::default();
        let (cloning, is_cloning) = mpsc::sync_channel(1);
        let go_on = Arc::new(std::sync::Barrier::new(2));
        let slow = |go_on| Slow { using: Using::new(&census), cloning: cloning.clone(), go_on };
        let host = Arc::new(0_i8);
        host.update_slow(slow(Some(Arc::clone(&go_on))));
        thread::scope(|scope| {
            let read = || host.slow().is_some();
            let reader = thread::Builder::new().name("reader".to_owned()).spawn_scoped(scope, read).unwrap();
            is_cloning.recv().unwrap();
            assert!(host.update_slow(slow(None)).is_some());
            go_on.wait();
            assert!(reader.join().unwrap());
        });
        assert_eq!(census.made() - census.dropped(), 1, "only the newest is left");
    });
}

#[test]
fn values_are_dropped_with_their_host_under_no_lock() {
    never_hangs(|| {
        let census = Census::default();
        let (task, owned) = (Task::default(), Shadowed::new(0_u8));
        assert!(task.attach_kept(Using::new(&census)).is_ok());
        task.update_using(Using::new(&census));
        assert!(OwnedFields::attach_kept(&owned, Using::new(&census)).is_ok());
        OwnedFields::update_using(&owned, Using::new(&census));
        drop((task, owned));
        assert_eq!(census.dropped(), 4);
    });
}

#[test]
fn a_sweep_drops_values_under_no_lock() {
    never_hangs(|| {
        let census = Census::default();
        let hosts: Vec<Arc<u8>> = (0..fewer(100, 3)).map(Arc::new).collect();
        for host in &hosts {
            assert!(SharedFields::attach_kept(host, Using::new(&census)).is_ok());
            SharedFields::update_using(host, Using::new(&census));
        }
        drop(hosts);
        // A concurrent test may sweep some of the hosts.
        while census.dropped() < 2 * fewer(100, 3) {
            registry().sweep();
        }
        assert_eq!(census.made(), 2 * fewer(100, 3));
    });
}

#[test]
fn an_attach_that_sweeps_drops_values_under_no_lock() {
    never_hangs(|| {
        let census = Census::default();
        let hosts: Vec<Arc<u8>> = (0..fewer(100, 3)).map(Arc::new).collect();
        for host in &hosts {
            assert!(SharedFields::attach_kept(host, Using::new(&census)).is_ok());
        }
        drop(hosts);
        let mut attaches = 0;
        while census.dropped() < fewer(100, 3) {
            Arc::new(0_u64).update_version(1);
            attaches += 1;
            assert!(attaches < 10_000, "it does not sweep");
        }
    });
}

#[test]
fn detaching_raw_fields_runs_user_code_under_no_lock() {
    const COUNT: usize = fewer(40, 3);
    // `detach_all` takes the fields of every object, so no other test may use this number.
    const OF_ALL: raw::Id<Using> = raw::Id::new(606);
    never_hangs(|| {
        let census = Census::default();
        let objects: Vec<Box<u64>> = (0..).take(COUNT).map(Box::new).collect();
        for object in &objects {
            // SAFETY: the objects outlive their fields, and no reference to a value is kept.
            assert!(unsafe { OF_ALL.attach(key(object), Using::new(&census)) }.is_ok());
            // SAFETY: the objects outlive their fields.
            assert!(unsafe { USING.get_or_update(key(object), Using::new(&census)) }.is_ok());
        }
        let mut seen = 0;
        let each = |object, value| {
            use_everything();
            seen += 1;
            // The attach takes the lock of the object that has just lost the value. SAFETY: the object outlives the
            // field.
            assert_eq!(unsafe { LATER.get_or_update(object, seen) }.unwrap(), None);
            drop(value);
        };
        // SAFETY: no thread holds a reference to a value.
        let count = unsafe { OF_ALL.detach_all(each) };
        assert_eq!((count.unwrap(), seen as usize, census.dropped()), (COUNT, COUNT, COUNT));
        for object in &objects {
            // SAFETY: no thread holds a reference to a value.
            assert_eq!(unsafe { raw::detach_object(key(object)) }, 2);
        }
        assert_eq!((census.made(), census.dropped()), (2 * COUNT, 2 * COUNT));
    });
}

#[test]
fn a_value_that_is_refused_in_the_end_is_dropped_under_no_lock() {
    const TAKEN: raw::Id<Using> = raw::Id::new(604);
    const TAKER: raw::Id<u8> = raw::Id::new(604);
    never_hangs(|| {
        let (census, object) = (Census::default(), Box::new(0_u64));
        let init = || {
            // SAFETY: no object exists at this address, and no reference to the value is kept.
            assert!(unsafe { TAKER.attach(ptr::null(), 1) }.is_ok());
            Ok::<_, ()>(Using::new(&census))
        };
        // SAFETY: the object outlives the field, and no reference to the value is kept.
        let refused = unsafe { TAKEN.get_or_attach(key(&object), init) };
        assert!(matches!(refused, Err(InitError::TypeMismatch(_))));
        assert_eq!((census.made(), census.dropped()), (1, 1));
        // SAFETY: no thread holds a reference to the value.
        assert_eq!(unsafe { TAKER.detach(ptr::null()) }.unwrap(), Some(1));
    });
}

#[test]
fn what_an_initialiser_holds_is_dropped_under_no_lock_when_it_does_not_run() {
    never_hangs(|| {
        let census = Census::default();
        let (task, shared) = (Task::default(), Arc::new(0_u8));
        for _ in 0..2 {
            let (of_task, of_shared) = (Using::new(&census), Using::new(&census));
            task.get_or_attach_made(move || of_task.0.clone());
            shared.get_or_attach_made(move || of_shared.0.clone());
        }
        assert_eq!((census.made(), census.dropped()), (6, 4));
    });
}

#[test]
fn a_refusal_is_logged_under_no_lock() {
    static LOGGED: AtomicU32 = AtomicU32::new(0);
    shadow! {
        trait LoggedShared for Arc<u16> { attach logged: (); }
        trait LoggedStatic for &'static u16 { attach logged: (); }
    }
    never_hangs(|| {
        capture::start();
        capture::then(|line| {
            if line.message.contains("`logged`") {
                LOGGED.fetch_add(1, Ordering::Relaxed);
                use_everything();
            }
        });
        let (shared, fixed): (_, &'static u16) = (Arc::new(0_u16), Box::leak(Box::default()));
        LoggedShared::attach_logged(&shared, ()).unwrap();
        assert!(LoggedShared::attach_logged(&shared, ()).is_err());
        LoggedStatic::attach_logged(fixed, ()).unwrap();
        assert!(LoggedStatic::attach_logged(fixed, ()).is_err());
        assert_eq!(LOGGED.load(Ordering::Relaxed), 2);
    });
}
