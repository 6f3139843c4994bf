//! Hosts that end while their own user code runs, and destructors that attach: to live hosts, to dying hosts, to the
//! raw object under `detach_object`, and to new hosts in every shard of the table during a sweep.
//!
//! A sweep affects every `Arc` host of the process, so the tests run sequentially.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, Weak};
use std::{mem, ptr, thread};

use shadow_runtime::{Shadow, ShadowFields, Shadowed, raw, registry, shadow};

use support::{Census, Life, alone, fewer, never_hangs};

/// A value whose destructor runs a closure.
struct Does(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Does {
    fn when_dropped(action: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(action)))
    }
}

impl Drop for Does {
    fn drop(&mut self) {
        if let Some(action) = self.0.take() {
            action();
        }
    }
}

#[derive(Shadow, Default)]
#[shadow_field(attach does: Does)]
#[shadow_field(attach life: Life)]
#[shadow_field(get_or_attach number: usize)]
#[shadow_field(get_or_update newest: Arc<Does>)]
struct Task {
    shadow: ShadowFields,
}

shadow! {
    trait NumberFields for Arc<usize> {
        attach does: Does;
        attach life: Life;
        get_or_attach number: usize;
        get_or_update newest: Arc<Does>;
    }
    trait SharedTask for Arc<Task> { attach weak: Does; }
    trait OwnedFields for Shadowed<usize> { get_or_attach number: usize; }
    trait StaticFields for &'static usize { get_or_attach number: usize; }
}

fn key<T>(object: &T) -> *const () {
    ptr::from_ref(object).cast()
}

#[test]
fn all_other_arcs_of_a_host_may_go_inside_its_initialiser() {
    let _alone = alone();
    let (census, host) = (Census::default(), Arc::new(0_usize));
    let others: Vec<_> = (0..10).map(|_| Arc::clone(&host)).collect();
    let number = NumberFields::get_or_attach_number(&host, || {
        assert!(host.attach_life(census.life()).is_ok());
        drop(others);
        registry().sweep()
    });
    assert_eq!((*number, census.dropped()), (0, 0), "the one that is borrowed keeps it");
    drop(host);
    assert_eq!((registry().sweep(), census.dropped()), (1, 1));
}

/// The host of the initialiser is borrowed, and cannot be dropped: see `ui/borrow/fail/initialiser_drops_its_host.rs`.
#[test]
fn other_hosts_may_go_inside_an_initialiser() {
    let _alone = alone();
    let census = Census::default();
    let (task, other, shared) = (Task::default(), Task::default(), Arc::new(1_usize));
    assert!(other.attach_life(census.life()).is_ok() && shared.attach_life(census.life()).is_ok());
    other.number();
    let swept = task.get_or_attach_number(|| {
        drop((other, shared));
        registry().sweep()
    });
    assert_eq!((*swept, census.dropped()), (1, 2));
}

/// The caller of the update drops the replaced value, after the end of the borrow of the host.
#[test]
fn a_host_may_go_inside_the_destructor_of_what_was_its_field() {
    static PLACE: Mutex<Option<Box<Task>>> = Mutex::new(None);
    fn empty() -> Arc<Does> {
        Arc::new(Does::when_dropped(|| {
            let task = PLACE.lock().unwrap().take();
            drop(task);
        }))
    }
    let (_alone, census) = (alone(), Census::default());
    let task = Box::<Task>::default();
    assert!(task.attach_life(census.life()).is_ok());
    task.update_newest(empty());
    *PLACE.lock().unwrap() = Some(task);
    let replaced = PLACE.lock().unwrap().as_ref().unwrap().update_newest(empty());
    assert_eq!(census.dropped(), 0);
    drop(replaced);
    assert!(PLACE.lock().unwrap().is_none());
    assert_eq!(census.dropped(), 1);
}

#[test]
fn all_other_arcs_of_a_host_may_go_inside_the_destructor_of_what_was_its_field() {
    let (_alone, census) = (alone(), Census::default());
    let host = Arc::new(0_usize);
    let other = Arc::clone(&host);
    assert!(host.attach_life(census.life()).is_ok());
    host.update_newest(Arc::new(Does::when_dropped(move || {
        drop(other);
        registry().sweep();
    })));
    drop(host.update_newest(Arc::new(Does(None))));
    assert_eq!((Arc::strong_count(&host), census.dropped()), (1, 0));
    assert!(host.life().is_some());
    drop(host);
    assert_eq!((registry().sweep(), census.dropped()), (1, 1));
}

/// The destructors of embedded fields, and of fields in the side table: a `Weak` of the host does not upgrade.
#[test]
fn the_destructor_of_a_field_does_not_reach_its_own_host() {
    let _alone = alone();
    let task = Arc::new(Task::default());
    let (asked, weak) = (Arc::new(AtomicUsize::new(0)), Arc::downgrade(&task));
    let ask = |asked: &Arc<AtomicUsize>, weak: &Weak<Task>| {
        let (asked, weak) = (Arc::clone(asked), Weak::clone(weak));
        Does::when_dropped(move || {
            assert!(weak.upgrade().is_none());
            asked.fetch_add(1, Ordering::SeqCst);
        })
    };
    assert!(Task::attach_does(&task, ask(&asked, &weak)).is_ok());
    assert!(task.attach_weak(ask(&asked, &weak)).is_ok());
    drop(task);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "what it embeds went with it");
    assert_eq!((registry().sweep(), asked.load(Ordering::SeqCst)), (1, 2));
}

/// Members are dropped after `Drop::drop` of the host, and with the members every value that `Drop::drop` attaches.
#[test]
fn a_host_may_attach_to_itself_while_it_is_dropped() {
    #[derive(Shadow, Default)]
    #[shadow_field(attach last_words: Life)]
    #[shadow_field(get_or_attach made: Life = self.census.life())]
    #[shadow_field(get_or_update newest: Life)]
    struct Mourned {
        census: Census,
        shadow: ShadowFields,
    }
    impl Drop for Mourned {
        fn drop(&mut self) {
            let (one, other) = (self.census.life(), self.census.life());
            assert!(self.attach_last_words(one).is_ok());
            self.made();
            self.update_newest(other);
            assert!(self.last_words().is_some());
            drop(self.detach_made());
            self.made();
        }
    }
    let _alone = alone();
    let census = Census::default();
    let host = || Mourned { census: census.clone(), shadow: ShadowFields::new() };
    drop(host());
    assert_eq!((census.made(), census.dropped()), (4, 4));
    drop(Shadowed::new(host()));
    drop(Arc::new(host()));
    assert_eq!((census.made(), census.dropped()), (12, 12));
}

#[test]
fn a_destructor_may_attach_to_hosts_that_live_in_every_part_of_the_table() {
    const TIMES: usize = fewer(20, 2);
    const EACH: usize = fewer(2000, 20);
    const ALL: usize = TIMES * EACH;
    static CROWD: Mutex<Vec<Arc<usize>>> = Mutex::new(Vec::new());
    let (_alone, census) = (alone(), Census::default());
    never_hangs(|| {
        for _ in 0..TIMES {
            let (host, census) = (Arc::new(0), census.clone());
            let grow = Does::when_dropped(move || {
                // `EACH` new hosts are in all shards of the table, so also in the shard of the swept host.
                let crowd: Vec<_> = (0..EACH).map(Arc::new).collect();
                for host in &crowd {
                    assert!(host.attach_life(census.life()).is_ok());
                }
                CROWD.lock().unwrap().extend(crowd);
            });
            assert!(host.attach_does(grow).is_ok());
        }
        // Attaches inside of destructors may drop dead hosts, too.
        while CROWD.lock().unwrap().len() < ALL {
            registry().sweep();
        }
    });
    assert_eq!((census.made(), census.dropped()), (ALL, 0));
    let crowd = mem::take(&mut *CROWD.lock().unwrap());
    assert!(crowd.iter().all(|host| host.life().is_some()));
    drop(crowd);
    assert_eq!((registry().sweep(), census.dropped()), (ALL, ALL));
}

/// An attach in a destructor of a sweep drops dead hosts. An attach in a destructor two levels deep does not: this
/// bounds the recursion.
#[test]
fn a_destructor_may_make_hosts_that_are_gone_at_once() {
    const LAST: usize = fewer(1000, 4);
    const ALL: usize = LAST + 1;
    thread_local! { static DEPTH: Cell<usize> = const { Cell::new(0) }; }
    fn generation(number: usize, census: &Census) {
        let (host, life) = (Arc::new(number), census.life());
        let census = census.clone();
        let next = Does::when_dropped(move || {
            DEPTH.set(DEPTH.get() + 1);
            // Level 1: a sweep on demand. Level 2: the sweep of an attach in a destructor.
            assert!(DEPTH.get() <= 2);
            if number > 0 {
                generation(number - 1, &census);
                // After 20 attaches, a sweep would have found the host that has just died.
                for _ in 0..20 {
                    Arc::new(number).update_newest(Arc::new(Does(None)));
                }
            }
            DEPTH.set(DEPTH.get() - 1);
        });
        assert!(host.attach_life(life).is_ok() && host.attach_does(next).is_ok());
    }
    let (_alone, census) = (alone(), Census::default());
    never_hangs(|| {
        generation(LAST, &census);
        // A sweep repeats for hosts that die in its destructors, a bounded number of times.
        while registry().sweep() > 0 {}
        assert_eq!((census.made(), census.dropped()), (ALL, ALL));
        // Without a sweep on demand, an attach finds a dead host after a few newer hosts.
        generation(LAST, &census);
        let mut attaches = 0;
        while census.dropped() < 2 * ALL {
            Arc::new(0_usize).number();
            attaches += 1;
            assert!(attaches <= 32 * ALL, "{} are left", 2 * ALL - census.dropped());
        }
    });
}

/// The destructor owns the last `Arc` of the host, so the host lives until the end of the destructor.
#[test]
fn a_destructor_may_attach_to_a_host_that_goes_with_it() {
    let (_alone, census) = (alone(), Census::default());
    let (host, last) = (Arc::new(0_usize), Arc::new(1_usize));
    let lives = [(); 3].map(|()| census.life());
    assert!(last.attach_does(Does(None)).is_ok());
    let ends = Does::when_dropped(move || {
        let task = Task::default();
        let [one, two, three] = lives;
        assert!(last.attach_life(one).is_ok());
        assert!(task.attach_life(two).is_ok());
        assert!(Arc::new(2_usize).attach_life(three).is_ok());
    });
    assert!(host.attach_does(ends).is_ok());
    drop(host);
    assert_eq!(registry().sweep(), 3);
    assert_eq!(census.dropped(), 3);
}

const DOES: raw::Id<Does> = raw::Id::new(900);
const LIFE: raw::Id<Life> = raw::Id::new(901);
const NUMBER: raw::Id<usize> = raw::Id::new(902);

fn attach_raw<V: Send + Sync + 'static>(id: raw::Id<V>, object: *const (), value: V) {
    // SAFETY: each test detaches all fields before the end of the object, and the reference ends with this statement.
    assert!(unsafe { id.attach(object, value) }.is_ok());
}

fn detach_object(object: *const ()) -> usize {
    // SAFETY: no test keeps a reference to a raw value.
    unsafe { raw::detach_object(object) }
}

/// The address of a raw object, `Send` for the closures of destructors.
#[derive(Clone, Copy)]
struct Address(*const ());

// SAFETY: an address of a raw object is a number: no thread dereferences the pointer.
unsafe impl Send for Address {}
// SAFETY: no thread dereferences the pointer.
unsafe impl Sync for Address {}

impl Address {
    /// A method, so that closures capture the whole `Address`, not the pointer.
    fn get(self) -> *const () {
        self.0
    }
}

#[test]
fn all_fields_of_a_raw_object_may_end_inside_its_initialiser() {
    let (_alone, census, object) = (alone(), Census::default(), Box::new(0_u8));
    attach_raw(LIFE, key(&*object), census.life());
    // SAFETY: the test detaches all fields before the end of the object. The initialiser detaches before the attach of
    // `NUMBER`, and so does not detach `NUMBER`.
    let number = unsafe { NUMBER.get_or_attach(key(&*object), || Ok::<_, ()>(detach_object(key(&*object)))) };
    assert_eq!((number.copied().unwrap(), census.dropped()), (1, 1), "the one that is being made has not begun");
    assert_eq!(detach_object(key(&*object)), 1);
}

/// All fields leave the table before the first destructor, and no thread dereferences the address.
#[test]
fn a_raw_object_may_go_inside_a_destructor_of_its_own_fields() {
    let (_alone, census, object) = (alone(), Census::default(), Box::new([1_u64; 8]));
    let object_key = key(&*object);
    attach_raw(LIFE, object_key, census.life());
    attach_raw(DOES, object_key, Does::when_dropped(move || drop(object)));
    attach_raw(NUMBER, object_key, 1);
    assert_eq!(detach_object(object_key), 3);
    assert_eq!(census.dropped(), 1);
}

#[test]
fn a_destructor_may_attach_to_the_raw_object_whose_fields_end() {
    let (_alone, census, object) = (alone(), Census::default(), Box::new(0_u8));
    let address = Address(key(&*object));
    let life = census.life();
    let again = Does::when_dropped(move || attach_raw(LIFE, address.get(), life));
    attach_raw(DOES, address.get(), again);
    assert_eq!((detach_object(address.get()), census.dropped()), (1, 0), "what came after it stays");
    assert_eq!((detach_object(address.get()), census.dropped()), (1, 1));
}

#[test]
fn each_value_of_a_detach_all_may_be_attached_again() {
    let (_alone, census, objects) = (alone(), Census::default(), [0_u8; 20]);
    for object in &objects {
        attach_raw(LIFE, key(object), census.life());
    }
    // SAFETY: no reference to a value exists.
    let ended = unsafe { LIFE.detach_all(|object, life| attach_raw(LIFE, object, life)) }.unwrap();
    assert_eq!((ended, census.dropped()), (20, 0));
    assert_eq!(objects.iter().map(|object| detach_object(key(object))).sum::<usize>(), 20);
    assert_eq!(census.dropped(), 20);
}

/// Three kinds of callers after the panic get a value: waiting threads, later callers, and a thread-local destructor of
/// the dying thread.
#[test]
fn a_thread_may_die_in_an_initialiser() {
    type Ask = Arc<dyn Fn(&mut dyn FnMut() -> usize) -> usize + Send + Sync>;
    /// Uses the field again in the thread-local destructor, after the panic of its thread.
    struct Late(Ask, mpsc::Sender<usize>);
    impl Drop for Late {
        fn drop(&mut self) {
            self.1.send((self.0)(&mut || 2)).unwrap();
        }
    }
    thread_local! { static LATE: RefCell<Option<Late>> = const { RefCell::new(None) }; }
    let _alone = alone();
    let (task, owned, shared) = (Task::default(), Shadowed::new(0_usize), Arc::new(0_usize));
    let fixed: &'static usize = Box::leak(Box::new(0));
    let raw_object = Address(key(fixed));
    let fields: [Ask; 5] = [
        Arc::new(move |init| *task.get_or_attach_number(init)),
        Arc::new(move |init| *OwnedFields::get_or_attach_number(&owned, init)),
        Arc::new(move |init| *NumberFields::get_or_attach_number(&shared, init)),
        Arc::new(move |init| *StaticFields::get_or_attach_number(fixed, init)),
        // SAFETY: the object is leaked, and the copy of the number ends the reference.
        Arc::new(move |init| *unsafe { NUMBER.get_or_attach(raw_object.get(), || Ok::<_, ()>(init())) }.unwrap()),
    ];
    never_hangs(|| {
        for ask in fields {
            let (begun, wait_for_it) = mpsc::channel();
            let (late, answer) = mpsc::channel();
            let of_thread = Arc::clone(&ask);
            let dying = thread::spawn(move || {
                LATE.set(Some(Late(Arc::clone(&of_thread), late)));
                of_thread(&mut || {
                    begun.send(()).unwrap();
                    for _ in 0..fewer(100, 20) {
                        thread::yield_now();
                    }
                    panic!("this thread dies")
                })
            });
            wait_for_it.recv().unwrap();
            let first = ask(&mut || 1);
            assert!(dying.join().is_err());
            // The race of the waiting thread and the destructor is open; the winner has made the value.
            assert!(first == 1 || first == 2);
            assert_eq!((answer.recv().unwrap(), ask(&mut || 3)), (first, first));
        }
    });
    assert_eq!(detach_object(raw_object.get()), 1);
}
