//! Rule R7 for `Arc` hosts: the dead hosts are at most as many as the live hosts, plus 1,000 for each attaching thread,
//! regardless of the threads' actions and ends, and of the places of attaches. The bytes are bounded by the same number
//! of hosts.
//!
//! "Live hosts" means the peak of live hosts: after the death of many hosts at once, the dead outnumber the living
//! until later attaches have ended the dead hosts (`sweep_peak.rs`). The table of `Arc` hosts is process-wide, so the
//! tests run sequentially.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::{array, thread};

use shadow_runtime::{Shadow, ShadowFields, registry, shadow};

use support::tally::{Body, Held, Tally};
use support::{Random, alone, fewer, never_hangs, sized};

/// A host of a list.
type Element = u64;

/// Owns the next host of a list.
struct Next(
    #[expect(dead_code, reason = "it is held")] Option<Arc<Element>>,
    #[expect(dead_code, reason = "it counts")] Body,
);

/// On drop, works off `items` items. An item attaches to hosts that die at once.
struct Work {
    items: usize,
    tally: Tally,
    item: fn(&Tally),
    runs: Arc<AtomicUsize>,
}

impl Drop for Work {
    fn drop(&mut self) {
        for _ in 0..self.items {
            (self.item)(&self.tally);
        }
        self.runs.fetch_add(1, Ordering::SeqCst);
    }
}

/// Attaches to three hosts on clone.
struct Cloned(Tally);

impl Clone for Cloned {
    fn clone(&self) -> Self {
        pass_by(&self.0, 3);
        Self(self.0.clone())
    }
}

shadow! {
    trait BodyFields<T: ?Sized + Send + Sync + 'static> for Arc<T> { attach body: Body; }
    trait ElementFields for Arc<Element> { attach next: Next; }
    trait OuterFields for Arc<u32> {
        attach work: Work;
        get_or_attach slot: Body = unreachable!();
        get_or_update newest: u32;
        get_or_update cloned: Cloned;
    }
    trait DeeperFields for Arc<u16> { attach deeper: (Work, Body); }
}

/// Has fields as `OuterFields`, embedded in the host.
#[derive(Shadow, Default)]
#[shadow_field(get_or_attach slot: u32)]
#[shadow_field(get_or_update newest: u32)]
#[shadow_field(get_or_update cloned: Cloned)]
struct Embedding {
    shadow: ShadowFields,
}

fn attach<T: ?Sized + Send + Sync + 'static>(tally: &Tally, host: Arc<T>, bytes: usize) -> Held<T> {
    let held = tally.hold(host);
    assert!(held.host.attach_body(tally.body(bytes)).is_ok());
    held
}

/// Attaches to `hosts` hosts. Every host dies before the next attach.
fn pass_by(tally: &Tally, hosts: usize) {
    for _ in 0..hosts {
        attach(tally, Arc::new(0_u64), 0);
    }
}

fn small(tally: &Tally) {
    pass_by(tally, 1);
}

#[test]
fn random_churn() {
    let _alone = alone();
    for live in [10_000, 100_000].map(sized).into_iter().take(fewer(2, 1)) {
        let (tally, mut random) = (Tally::new(), Random(9));
        let mut hosts: Vec<_> = (0..live).map(|number| attach(&tally, Arc::new(number), 0)).collect();
        for number in 0..3 * live {
            hosts[random.below(live)] = attach(&tally, Arc::new(number), 0);
        }
        tally.assert_bounded(&format!("churn over {live}"), 1, 0);
    }
}

#[test]
fn hosts_that_die_in_the_order_of_their_attaches() {
    let _alone = alone();
    for beside in [0, fewer(100_000, 70_000)].map(sized) {
        let crowd: Vec<_> = (0..beside).map(|number| attach(&Tally::new(), Arc::new(number), 0)).collect();
        for life in [1, 10, 100, 1000, 10_000, 100_000].map(sized).into_iter().step_by(fewer(1, 4)) {
            registry().sweep();
            let (tally, mut alive) = (Tally::new(), VecDeque::new());
            tally.take_on(isize::try_from(beside).unwrap());
            for number in 0..(2 * life).max(sized(20_000)) {
                alive.push_back(attach(&tally, Arc::new(number), 0));
                if alive.len() > life {
                    alive.pop_front();
                }
            }
            tally.assert_bounded(&format!("lives of {life} attaches beside {beside}"), 1, 0);
        }
        drop(crowd);
    }
}

/// Builds `lists` lists, one host of each list in turn, and drops the lists. With `front_to_back`, the attach to a host
/// comes before the attach to the next host of the list.
fn build_lists(tally: &Tally, lists: usize, length: usize, front_to_back: bool) {
    let mut first: Vec<Option<Arc<Element>>> = vec![None; lists];
    let step = |list: &mut Option<Arc<Element>>, host: Arc<Element>, next: Option<Arc<Element>>| {
        tally.take_on(1);
        assert!(host.attach_next(Next(next, tally.body(0))).is_ok());
        *list = Some(host);
    };
    if front_to_back {
        let hosts: Vec<Vec<Arc<Element>>> = (0..lists).map(|_| (0..length).map(|_| Arc::new(0)).collect()).collect();
        for place in 0..length {
            for (list, hosts) in first.iter_mut().zip(&hosts) {
                step(list, hosts[place].clone(), hosts.get(place + 1).cloned());
            }
        }
        first = hosts.into_iter().map(|hosts| hosts.into_iter().next()).collect();
    } else {
        for _ in 0..length {
            for list in &mut first {
                let next = list.take();
                step(list, Arc::new(0), next);
            }
        }
    }
    for first in first {
        tally.let_go(isize::try_from(length).unwrap());
        drop(first);
    }
}

#[test]
fn lists_that_are_built_and_dropped_again_and_again() {
    let _alone = alone();
    for front_to_back in [false, true] {
        for length in [4, 16, 32, 64, 1000].into_iter().take(fewer(5, 2)) {
            registry().sweep();
            let tally = Tally::new();
            for _ in 0..sized(fewer(50_000, 16_000)).div_ceil(length) {
                build_lists(&tally, 1, length, front_to_back);
            }
            tally.assert_bounded(&format!("lists of {length}, front to back: {front_to_back}"), 1, 0);
        }
    }
}

#[test]
fn a_hundred_lists_that_are_built_at_a_time() {
    const LISTS: usize = fewer(100, 4);
    let _alone = alone();
    for front_to_back in [false, true] {
        for length in fewer([4, 32], [2, 4]) {
            registry().sweep();
            let tally = Tally::new();
            for _ in 0..sized(1000).div_ceil(length) {
                build_lists(&tally, LISTS, length, front_to_back);
            }
            tally.assert_bounded(&format!("{LISTS} lists of {length}, front to back: {front_to_back}"), 1, 0);
        }
    }
}

/// Every version owns the next version. A slow reader keeps one version, and so the later versions, alive for `slow`
/// updates. Then the kept versions die at once.
#[test]
fn a_chain_of_versions_with_one_slow_reader() {
    const READ: usize = fewer(100, 4);
    let _alone = alone();
    for slow in fewer([10, 500], [3, 12]) {
        registry().sweep();
        let (tally, mut reader) = (Tally::new(), None);
        let mut newest = Arc::new(0);
        for version in 0..sized(fewer(50_000, 25_000)) {
            let next = Arc::new(0);
            tally.take_on(1);
            assert!(newest.attach_next(Next(Some(next.clone()), tally.body(0))).is_ok());
            if version == READ {
                reader = Some(newest.clone());
            }
            if reader.is_none() {
                tally.let_go(1);
            }
            newest = next;
            if version == READ + slow {
                tally.let_go(isize::try_from(slow).unwrap() + 1);
                reader = None;
            }
        }
        tally.assert_bounded(&format!("versions, of which one was read for {slow}"), 1, 0);
    }
}

#[test]
fn chains_that_two_threads_build_in_turn() {
    let _alone = alone();
    let (tally, length, chains) = (Tally::new(), fewer(sized(1000), 4), fewer(20, 5));
    let state: Mutex<(usize, Option<Arc<Element>>)> = Mutex::new((0, None));
    let turn = Condvar::new();
    let build = |me: usize| {
        loop {
            let mut state = turn.wait_while(state.lock().unwrap(), |state| state.0 % 2 != me).unwrap();
            if state.0 >= chains * length {
                state.0 += 1;
                turn.notify_one();
                return;
            }
            let host = Arc::new(0);
            tally.take_on(1);
            assert!(host.attach_next(Next(state.1.take(), tally.body(0))).is_ok());
            state.0 += 1;
            if state.0 % length == 0 {
                tally.let_go(isize::try_from(length).unwrap());
            } else {
                state.1 = Some(host);
            }
            turn.notify_one();
        }
    };
    never_hangs(|| {
        thread::scope(|scope| {
            scope.spawn(|| build(0));
            scope.spawn(|| build(1));
        });
    });
    tally.assert_bounded("chains by two threads", 2, 0);
}

/// How an initialiser ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Panics,
    Fails,
    Succeeds,
}

/// Runs an initialiser on a new thread. The initialiser attaches three bodies of 10 kB.
fn request(tally: &Tally, end: End) {
    let initialise = || {
        let three: [_; 3] = array::from_fn(|_| attach(tally, Arc::new(0_u64), 10_000));
        match end {
            // `panic!` would print a message for every request.
            End::Panics => resume_unwind(Box::new(())),
            End::Fails => Err(()),
            End::Succeeds => {
                drop(three);
                Ok(tally.body(0))
            }
        }
    };
    thread::scope(|scope| {
        let request = scope.spawn(|| {
            let host = Arc::new(0_u32);
            if host.get_or_try_attach_slot(initialise).is_ok() {
                drop(tally.hold(host));
            }
        });
        assert_eq!(request.join().is_err(), matches!(end, End::Panics));
    });
}

#[test]
fn a_thread_for_each_request_however_its_initialiser_ends() {
    let _alone = alone();
    for end in [End::Panics, End::Fails, End::Succeeds] {
        registry().sweep();
        let tally = Tally::new();
        for _ in 0..sized(2000) {
            request(&tally, end);
        }
        tally.assert_bounded(&format!("a thread for each request: {end:?}"), 1, 10_000);
    }
}

/// All attaches of the thread are inside of initialisers.
#[test]
fn attaches_in_initialisers_only() {
    let _alone = alone();
    for inside in fewer([1, 3, 40], [1, 3, 6]) {
        let tally = Tally::new();
        for number in 0..sized(fewer(30_000, 6000)) / inside {
            let embedding = Embedding::default();
            let initialised = catch_unwind(AssertUnwindSafe(|| {
                embedding
                    .get_or_try_attach_slot(|| {
                        pass_by(&tally, inside);
                        match number % 3 {
                            0 => Ok(0),
                            1 => Err(()),
                            _ => resume_unwind(Box::new(())),
                        }
                    })
                    .is_ok()
            }));
            assert_eq!(initialised.ok(), [Some(true), Some(false), None][number % 3]);
        }
        tally.assert_bounded(&format!("{inside} attaches in each initialiser of an embedded host"), 1, 0);

        registry().sweep();
        let tally = Tally::new();
        for _ in 0..sized(fewer(30_000, 6000)) / inside {
            let host = tally.hold(Arc::new(0_u32));
            host.host.get_or_attach_slot(|| {
                pass_by(&tally, inside);
                tally.body(0)
            });
        }
        tally.assert_bounded(&format!("{inside} attaches in each initialiser of an `Arc`"), 1, 0);
        registry().sweep();
    }
}

#[test]
fn attaches_in_closures_of_updates_only() {
    let _alone = alone();
    let (embedding, host) = (Embedding::default(), Arc::new(0_u32));
    for inside in fewer([1, 3, 40], [1, 3, 6]) {
        let tally = Tally::new();
        for _ in 0..sized(fewer(30_000, 6000)) / inside {
            embedding.update_newest_with(|_| {
                pass_by(&tally, inside);
                1
            });
        }
        tally.assert_bounded(&format!("{inside} attaches in each closure of an embedded host"), 1, 0);

        registry().sweep();
        let tally = Tally::new();
        for _ in 0..sized(fewer(30_000, 6000)) / inside {
            host.update_newest_with(|_| {
                pass_by(&tally, inside);
                1
            });
        }
        tally.assert_bounded(&format!("{inside} attaches in each closure of an `Arc`"), 1, 0);
        registry().sweep();
    }
}

#[test]
fn attaches_in_clones_only() {
    let _alone = alone();
    let (embedding, host) = (Embedding::default(), Arc::new(0_u32));
    let tally = Tally::new();
    embedding.update_cloned(Cloned(tally.clone()));
    for _ in 0..sized(fewer(10_000, 3000)) {
        assert!(embedding.cloned().is_some());
    }
    tally.assert_bounded("attaches in clones of an embedded host's value", 1, 0);

    registry().sweep();
    let tally = Tally::new();
    host.update_cloned(Cloned(tally.clone()));
    for _ in 0..sized(fewer(10_000, 3000)) {
        assert!(host.cloned().is_some());
    }
    tally.assert_bounded("attaches in clones of an `Arc`'s value", 1, 0);
}

/// Leaves a dead host behind, with a destructor that attaches. Returns the number of runs of the destructor.
fn leave_work(items: usize, tally: &Tally, item: fn(&Tally)) -> Arc<AtomicUsize> {
    let runs = Arc::new(AtomicUsize::new(0));
    let host = Arc::new(0_u32);
    assert!(host.attach_work(Work { items, tally: tally.clone(), item, runs: runs.clone() }).is_ok());
    runs
}

/// Attaches until the destructor of [`leave_work`] has run, or sweeps.
fn have_it_run(runs: &AtomicUsize, by_attaches: bool) {
    if by_attaches {
        let tally = Tally::new();
        for _ in 0..20_000 {
            if runs.load(Ordering::SeqCst) > 0 {
                break;
            }
            pass_by(&tally, 1);
        }
    } else {
        registry().sweep();
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1, "the destructor runs once");
}

#[test]
fn attaches_in_a_destructor_that_an_attach_runs() {
    let _alone = alone();
    let tally = Tally::new();
    have_it_run(&leave_work(sized(fewer(100_000, 30_000)), &tally, small), true);
    tally.assert_bounded("a queue that a destructor works off in an attach", 1, 0);
}

#[test]
fn attaches_in_a_destructor_that_sweep_runs() {
    let _alone = alone();
    let tally = Tally::new();
    have_it_run(&leave_work(sized(fewer(100_000, 30_000)), &tally, small), false);
    tally.assert_bounded("a queue that a destructor works off in `sweep`", 1, 0);
}

/// Leaves a dead host behind, with a destructor that attaches to two hosts.
fn item_that_attaches(tally: &Tally) {
    let host = tally.hold(Arc::new(0_u16));
    let work = Work { items: 2, tally: tally.clone(), item: small, runs: Arc::default() };
    assert!(host.host.attach_deeper((work, tally.body(0))).is_ok());
}

#[test]
fn attaches_in_destructors_of_hosts_that_a_destructor_attached() {
    let _alone = alone();
    for by_attaches in [true, false] {
        registry().sweep();
        let tally = Tally::new();
        have_it_run(&leave_work(sized(fewer(30_000, 8000)), &tally, item_that_attaches), by_attaches);
        tally.assert_bounded(&format!("a queue of items that attach, in attaches: {by_attaches}"), 1, 0);
    }
}

/// Attaches inside of an initialiser.
fn item_in_an_initialiser(tally: &Tally) {
    Embedding::default().get_or_attach_slot(|| {
        pass_by(tally, 1);
        0
    });
}

#[test]
fn attaches_in_initialisers_of_a_destructor() {
    let _alone = alone();
    for by_attaches in [true, false] {
        registry().sweep();
        let tally = Tally::new();
        have_it_run(&leave_work(sized(fewer(30_000, 10_000)), &tally, item_in_an_initialiser), by_attaches);
        tally.assert_bounded(&format!("initialisers in a destructor, in attaches: {by_attaches}"), 1, 0);
    }
}

/// The fastest thread makes a thousand attaches while the slowest thread makes one.
#[test]
fn threads_of_different_rates() {
    let _alone = alone();
    let (tally, total) = (Tally::new(), sized(fewer(200_000, 20_000)));
    let done = AtomicUsize::new(0);
    let worker = |every: usize, live: usize| {
        let (tally, done) = (&tally, &done);
        move || {
            let (mut alive, mut random) = (VecDeque::new(), Random(7));
            let mut next = 0;
            loop {
                let all = done.load(Ordering::Relaxed);
                if all >= total {
                    return;
                }
                if all < next {
                    thread::yield_now();
                    continue;
                }
                next = all + every;
                alive.push_back(attach(tally, Arc::new(0_u64), 0));
                if alive.len() > live {
                    alive.swap_remove_back(random.below(live));
                }
                if every == 0 {
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    };
    never_hangs(|| {
        thread::scope(|scope| {
            for (every, live) in [(0, 3), (10, 1000), (100, 1), (1000, 20)] {
                scope.spawn(worker(every, live));
            }
        });
    });
    tally.assert_bounded("threads of different rates", 4, 0);
}

/// Two threads at a time make 1 to 300 attaches. Some hosts die on their thread; the main thread drops the rest later.
#[test]
fn threads_that_end_in_the_middle() {
    const LEFT: usize = fewer(200, 3);
    let _alone = alone();
    let (tally, mut random) = (Tally::new(), Random(5));
    let mut left: Vec<Held<usize>> = Vec::new();
    let (sender, receiver) = mpsc::channel();
    for _ in 0..fewer(sized(300), 2) {
        thread::scope(|scope| {
            for _ in 0..2 {
                let (attaches, sender, tally) = (1 + random.below(fewer(300, 15)), sender.clone(), &tally);
                scope.spawn(move || {
                    for number in 0..attaches {
                        let host = attach(tally, Arc::new(number), 0);
                        if number % 3 == 0 {
                            sender.send(host).unwrap();
                        }
                    }
                });
            }
        });
        left.extend(receiver.try_iter());
        while left.len() > LEFT {
            left.swap_remove(random.below(LEFT));
        }
    }
    tally.assert_bounded("threads that end in the middle", 2, 0);
}

thread_local! {
    static LAST: RefCell<Option<Work>> = const { RefCell::new(None) };
}

/// The destructor runs after the destructors of the library's thread-locals, which a thread makes later than `LAST`.
#[test]
fn attaches_in_destructors_of_thread_locals() {
    let _alone = alone();
    let tally = Tally::new();
    let (runs, threads) = (Arc::new(AtomicUsize::new(0)), fewer(sized(1000), 3));
    for _ in 0..threads {
        thread::scope(|scope| {
            let work = Work { items: 5, tally: tally.clone(), item: small, runs: runs.clone() };
            let ends = scope.spawn(|| {
                LAST.set(Some(work));
                pass_by(&tally, 1);
            });
            // A scope does not wait for the destructors of thread-locals; `join` does.
            ends.join().unwrap();
        });
    }
    assert_eq!(runs.load(Ordering::SeqCst), threads);
    tally.assert_bounded("attaches in destructors of thread-locals", 1, 0);
}

#[test]
fn unsized_hosts() {
    let _alone = alone();
    let (tally, mut random) = (Tally::new(), Random(3));
    let live = fewer(sized(5000), 3);
    let mut objects: Vec<Held<dyn Debug + Send + Sync>> = Vec::new();
    let mut texts: Vec<Held<str>> = Vec::new();
    let mut slices: Vec<Held<[u16]>> = Vec::new();
    for number in 0..5 * live {
        let object: Arc<dyn Debug + Send + Sync> = if number % 2 == 0 { Arc::new(number) } else { Arc::new("object") };
        objects.push(attach(&tally, object, 0));
        texts.push(attach(&tally, Arc::from("text"), 0));
        slices.push(attach(&tally, Arc::from([1, 2, 3]), 0));
        if objects.len() > live {
            objects.swap_remove(random.below(live));
            texts.swap_remove(random.below(live));
            slices.swap_remove(random.below(live));
        }
    }
    tally.assert_bounded("unsized hosts", 1, 0);
}

/// Lists as in [`build_lists`], of hosts of two unsized types in turn.
#[test]
fn lists_of_unsized_hosts() {
    #[expect(dead_code, reason = "they are held")]
    enum Link {
        Text(Arc<str>, Body),
        Object(Arc<dyn Debug + Send + Sync>, Body),
        End(Body),
    }
    shadow! { trait LinkFields<T: ?Sized + Send + Sync + 'static> for Arc<T> { attach link: Link; } }
    let _alone = alone();
    let tally = Tally::new();
    for _ in 0..sized(1000) {
        let mut link = Link::End(tally.body(0));
        for _ in 0..16 {
            let text: Arc<str> = Arc::from("text");
            let object: Arc<dyn Debug + Send + Sync> = Arc::new(5);
            tally.take_on(2);
            assert!(text.attach_link(link).is_ok());
            assert!(object.attach_link(Link::Text(text, tally.body(0))).is_ok());
            link = Link::Object(object, tally.body(0));
        }
        tally.let_go(33);
        tally.take_on(1);
        drop(link);
    }
    tally.assert_bounded("lists of unsized hosts", 1, 0);
}

/// A held host of any type. The attach sees the exact type.
type Any = Held<dyn Send + Sync>;

fn any<T: Send + Sync + 'static>(tally: &Tally, value: T) -> Any {
    let host = Arc::new(value);
    tally.take_on(1);
    assert!(host.attach_body(tally.body(0)).is_ok());
    tally.held(host)
}

#[repr(align(64))]
struct Align64(#[expect(dead_code, reason = "of some size")] u8);

#[repr(align(4096))]
struct Align4096(#[expect(dead_code, reason = "of some size")] u8);

#[repr(align(128))]
struct AlignedNothing;

fn array<const N: usize>(tally: &Tally) -> Any {
    any(tally, [0_u8; N])
}

/// Functions that attach to arrays, of ten consecutive lengths from every `$from`.
macro_rules! arrays_of {
    ($($from:literal)*) => {
        [$(
            array::<{ $from }>, array::<{ $from + 1 }>, array::<{ $from + 2 }>, array::<{ $from + 3 }>,
            array::<{ $from + 4 }>, array::<{ $from + 5 }>, array::<{ $from + 6 }>, array::<{ $from + 7 }>,
            array::<{ $from + 8 }>, array::<{ $from + 9 }>,
        )*]
    };
}

/// Attaches to hosts of different types in turn, and keeps `live` hosts alive. The hosts die in random order, and then
/// in the order of their attaches.
fn mix(what: &str, kinds: &[fn(&Tally) -> Any]) {
    let live = fewer(sized(5000), 3);
    for in_order in [false, true] {
        registry().sweep();
        let (tally, mut random) = (Tally::new(), Random(1));
        let mut alive = VecDeque::new();
        for number in 0..6 * live {
            alive.push_back(kinds[number % kinds.len()](&tally));
            if alive.len() > live {
                alive.swap(0, if in_order { 0 } else { random.below(live) });
                alive.pop_front();
            }
        }
        tally.assert_bounded(&format!("{what}, in order: {in_order}"), 1, 4096);
    }
}

#[test]
fn hosts_of_a_dozen_types() {
    let _alone = alone();
    mix(
        "a dozen types",
        &[
            |tally| any(tally, 0_u8),
            |tally| any(tally, 0_u16),
            |tally| any(tally, 0_u32),
            |tally| any(tally, 0_u64),
            |tally| any(tally, 0_u128),
            |tally| any(tally, ()),
            |tally| any(tally, String::new()),
            |tally| any(tally, 'a'),
            |tally| any(tally, AtomicBool::new(false)),
            |tally| any(tally, Mutex::new(0_u8)),
            |tally| any(tally, [0_u64; 9]),
            |tally| any(tally, "text"),
        ],
    );
}

#[test]
fn hosts_of_more_types_than_a_byte_can_number() {
    let _alone = alone();
    let kinds: [fn(&Tally) -> Any; 320] = arrays_of!(0 10 20 30 40 50 60 70 80 90 100 110 120 130 140 150 160 170 180 190 200 210 220 230 240 250
        260 270 280 290 300 310);
    mix("320 types", &kinds);
}

#[test]
fn hosts_whose_types_ask_for_large_alignments() {
    let _alone = alone();
    mix(
        "aligned types",
        &[
            |tally| any(tally, Align64(0)),
            |tally| any(tally, Align4096(0)),
            |tally| any(tally, AlignedNothing),
            |tally| any(tally, 0_u8),
        ],
    );
}
