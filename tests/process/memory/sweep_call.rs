//! `registry().sweep()`: the call ends the hosts dead at the start of the call, and the hosts that die as a result. The
//! time is linear in the size of the table, and the call returns regardless of other threads.
//!
//! No test measures time: quadratic time would take minutes here, and a test beyond [`support::limit`] counts as
//! hanging. The table of `Arc` hosts is process-wide, so the tests run sequentially.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use shadow_runtime::{registry, shadow};

use support::tally::{Body, Held, Tally};
use support::{AtEnd, Random, alone, fewer, never_hangs, sized};

/// A host of a graph.
type Vertex = u64;

/// The outgoing edges of a host: owns the targets.
struct Edges(
    #[expect(dead_code, reason = "they are held")] Vec<Arc<Vertex>>,
    #[expect(dead_code, reason = "it counts")] Body,
);

/// Calls a function on drop.
struct Calls(Box<dyn Fn() + Send + Sync>, #[expect(dead_code, reason = "it counts")] Body);

impl Drop for Calls {
    fn drop(&mut self) {
        (self.0)();
    }
}

shadow! {
    trait VertexFields for Arc<Vertex> { attach edges: Edges; }
    trait ByteFields for Arc<u8> { attach calls: Calls; attach body: Body; }
}

fn signed(count: usize) -> isize {
    isize::try_from(count).unwrap()
}

/// Attaches edges to a host, and counts the host as alive.
fn vertex(tally: &Tally, host: &Arc<Vertex>, edges: Vec<Arc<Vertex>>) {
    tally.take_on(1);
    assert!(host.attach_edges(Edges(edges, tally.body(0))).is_ok());
}

fn attach(tally: &Tally) -> Held<u8> {
    let held = tally.hold(Arc::new(0));
    assert!(held.host.attach_body(tally.body(0)).is_ok());
    held
}

/// Leaves a dead host behind, with a destructor that calls `call`.
fn leave(tally: &Tally, call: impl Fn() + Send + Sync + 'static) {
    let host = tally.hold(Arc::new(0));
    assert!(host.host.attach_calls(Calls(Box::new(call), tally.body(0))).is_ok());
}

/// Drops `roots`, the last `Arc`s of a graph that the test holds, and sweeps. One sweep must end all hosts of the
/// graph.
fn all_go<R>(tally: &Tally, hosts: usize, roots: R) {
    assert_eq!(tally.live(), signed(hosts));
    assert_eq!(registry().sweep(), 0, "all are alive");
    tally.let_go(signed(hosts));
    drop(roots);
    never_hangs(|| {
        assert_eq!(registry().sweep(), hosts);
        assert_eq!(tally.dead(), 0);
        assert_eq!(registry().sweep(), 0);
    });
}

#[test]
fn it_drops_a_long_chain_that_was_built_back_to_front() {
    let _alone = alone();
    let (tally, length) = (Tally::new(), sized(fewer(40_000, 20_000)));
    let mut first = None;
    for _ in 0..length {
        let host = Arc::new(0);
        vertex(&tally, &host, first.into_iter().collect());
        first = Some(host);
    }
    all_go(&tally, length, first);
}

#[test]
fn it_drops_a_long_chain_that_was_built_front_to_back() {
    let _alone = alone();
    let (tally, length) = (Tally::new(), sized(fewer(40_000, 20_000)));
    let first = Arc::new(0);
    let mut last = first.clone();
    for _ in 1..length {
        let next = Arc::new(0);
        vertex(&tally, &last, vec![next.clone()]);
        last = next;
    }
    vertex(&tally, &last, Vec::new());
    drop(last);
    all_go(&tally, length, first);
}

/// Two threads extend the chain in turn, by `at_a_time` hosts.
#[test]
fn it_drops_a_long_chain_that_two_threads_built_in_turn() {
    let _alone = alone();
    let (tally, length) = (Tally::new(), 2 * sized(fewer(20_000, 8000)));
    // Lengths of runs. 3 and 100 do not divide the number of looks that a sweep makes under one lock.
    let at_a_time = [1, 3, 100];
    for at_a_time in at_a_time {
        let tally = tally.clone();
        let extend = |first: Option<Arc<Vertex>>, count: usize| {
            let mut first = first;
            for _ in 0..count {
                let host = Arc::new(0);
                vertex(&tally, &host, first.take().into_iter().collect());
                first = Some(host);
            }
            first
        };
        let mut first = None;
        thread::scope(|scope| {
            let (sender, receiver) = mpsc::channel();
            let (back, again) = mpsc::channel();
            scope.spawn(move || {
                for (first, count) in receiver {
                    back.send(extend(first, count)).unwrap();
                }
            });
            let mut left = length;
            while left > 0 {
                let here = at_a_time.min(left);
                first = extend(first.take(), here);
                left -= here;
                let there = at_a_time.min(left);
                sender.send((first.take(), there)).unwrap();
                first = again.recv().unwrap();
                left -= there;
            }
            drop(sender);
        });
        all_go(&tally, length, first);
    }
}

#[test]
fn it_drops_trees() {
    let _alone = alone();
    for (arity, hosts) in [(2, 32_767), (3, 29_524), (100, 10_101)] {
        let (tally, hosts) = (Tally::new(), fewer(hosts, 8));
        // Attaches from the leaves to the root.
        let mut roots: VecDeque<Arc<Vertex>> = VecDeque::new();
        let all: Vec<Arc<Vertex>> = (0..hosts).map(|_| Arc::new(0)).collect();
        for number in (0..hosts).rev() {
            let children = (arity * number + 1..=arity * (number + 1)).filter(|child| *child < hosts);
            vertex(&tally, &all[number], children.map(|child| all[child].clone()).collect());
        }
        roots.push_back(all[0].clone());
        drop(all);
        all_go(&tally, hosts, roots);

        // Attaches from the root to the leaves.
        let tally = Tally::new();
        let all: Vec<Arc<Vertex>> = (0..hosts).map(|_| Arc::new(0)).collect();
        for number in 0..hosts {
            let children = (arity * number + 1..=arity * (number + 1)).filter(|child| *child < hosts);
            vertex(&tally, &all[number], children.map(|child| all[child].clone()).collect());
        }
        let root = all[0].clone();
        drop(all);
        all_go(&tally, hosts, root);
    }
}

/// The order of the attaches is independent of the edges. The graph contains a chain of all hosts.
#[test]
fn it_drops_random_graphs() {
    let _alone = alone();
    for seed in 1..=fewer(5, 2) {
        let (tally, hosts, mut random) = (Tally::new(), fewer(sized(1000), 10), Random(seed));
        let mut order: Vec<usize> = (0..hosts).collect();
        for last in (1..hosts).rev() {
            order.swap(last, random.below(last + 1));
        }
        let all: Vec<Arc<Vertex>> = (0..hosts).map(|_| Arc::new(0)).collect();
        for number in 0..hosts {
            // A host owns the next host of `order`, and some later hosts. So the graph has no cycle.
            let place = order.iter().position(|other| *other == number).unwrap();
            let mut edges: Vec<_> = order.get(place + 1).map(|next| all[*next].clone()).into_iter().collect();
            for _ in 0..random.below(3) {
                edges.extend(order.get(place + 1 + random.below(hosts)).map(|other| all[*other].clone()));
            }
            vertex(&tally, &all[number], edges);
        }
        let root = all[order[0]].clone();
        drop(all);
        all_go(&tally, hosts, root);
    }
}

/// A pass drops about two hosts of a chain in random order, so a sweep needs many looks. The documentation of `sweep`
/// promises the end of a chain of this length.
#[test]
fn it_drops_a_chain_in_random_order() {
    let _alone = alone();
    let (tally, length, mut random) = (Tally::new(), sized(12_000), Random(11));
    let hosts: Vec<Arc<Vertex>> = (0..).take(length).map(Arc::new).collect();
    let mut order: Vec<usize> = (0..length).collect();
    for last in (1..length).rev() {
        order.swap(last, random.below(last + 1));
    }
    let mut targets: Vec<Vec<Arc<Vertex>>> = vec![Vec::new(); length];
    for edge in order.windows(2) {
        targets[edge[0]].push(Arc::clone(&hosts[edge[1]]));
    }
    for (host, targets) in hosts.iter().zip(targets) {
        vertex(&tally, host, targets);
    }
    all_go(&tally, length, hosts);
}

/// Many short lists beside a live crowd: no list costs a pass over the crowd.
#[test]
fn it_drops_lists_beside_a_crowd() {
    let _alone = alone();
    let tally = Tally::new();
    let crowd: Vec<_> = (0..sized(fewer(50_000, 20_000))).map(|_| attach(&Tally::new())).collect();
    let (length, count) = (fewer(64, 8), fewer(sized(100), 3));
    let mut lists: Vec<Option<Arc<Vertex>>> = vec![None; count];
    for _ in 0..length {
        for list in &mut lists {
            let host = Arc::new(0);
            vertex(&tally, &host, list.take().into_iter().collect());
            *list = Some(host);
        }
    }
    all_go(&tally, length * count, lists);
    drop(crowd);
}

/// Two threads serve requests of eight hosts. Each thread has a hundred open requests, and serves `rate` requests a
/// second, or as many as possible. Returns whether `sweep` has returned before `most` requests were served.
fn sweep_beside_requests(rate: Option<u32>, most: usize) -> bool {
    const BEFORE: usize = fewer(200, 3);
    let _crowd: Vec<_> = (0..sized(fewer(200_000, 8000))).map(|_| attach(&Tally::new())).collect();
    let (end, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let began = Barrier::new(3);
    let serve = || {
        let tally = Tally::new();
        let mut open = VecDeque::new();
        let mut number = 0;
        while !end.load(Ordering::Relaxed) && served.fetch_add(1, Ordering::Relaxed) < most {
            open.push_back((0..fewer(8, 2)).map(|_| attach(&tally)).collect::<Vec<_>>());
            if open.len() > fewer(100, 1) {
                open.pop_front();
            }
            number += 1;
            if number == BEFORE {
                began.wait();
            }
            if let (Some(rate), true) = (rate, number > BEFORE) {
                thread::sleep(Duration::from_secs(1) / rate);
            }
        }
    };
    thread::scope(|scope| {
        let end = AtEnd(|| end.store(true, Ordering::Relaxed));
        scope.spawn(serve);
        scope.spawn(serve);
        began.wait();
        registry().sweep();
        let served = served.load(Ordering::Relaxed);
        println!("{served} requests were served meanwhile");
        drop(end);
        served < most
    })
}

#[test]
fn it_returns_beside_threads_that_attach_now_and_then() {
    let _alone = alone();
    let returned = never_hangs(|| sweep_beside_requests(Some(fewer(1000, 5)), 10_000));
    assert!(returned, "`sweep` did not return while requests were served");
}

#[test]
fn it_returns_beside_threads_that_attach_all_the_time() {
    let _alone = alone();
    // Three threads on two processors: some 9,000 requests are served meanwhile, and 45,000 in one run of 60.
    let returned = never_hangs(|| sweep_beside_requests(None, fewer(sized(200_000), 14)));
    assert!(cfg!(miri) || returned, "`sweep` did not return while requests were served");
}

/// On drop, attaches a further `Anew` to a host that dies at once, `attaches` times, as long as `left` is not zero.
struct Anew {
    left: Arc<AtomicUsize>,
    attaches: usize,
}

impl Drop for Anew {
    fn drop(&mut self) {
        for _ in 0..self.attaches {
            if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                let anew = Self { left: self.left.clone(), attaches: self.attaches };
                assert!(Arc::new(0_u16).attach_anew(anew).is_ok());
            }
        }
    }
}

shadow! { trait AnewFields for Arc<u16> { attach anew: Anew; } }

#[test]
fn it_returns_if_a_destructor_attaches_itself_anew() {
    const MOST: usize = fewer(200_000, 12_000);
    let _alone = alone();
    for hosts in fewer([1, 100], [1, 3]) {
        let left = Arc::new(AtomicUsize::new(sized(MOST)));
        for _ in 0..hosts {
            assert!(Arc::new(0_u16).attach_anew(Anew { left: left.clone(), attaches: 1 }).is_ok());
        }
        let swept = never_hangs(|| registry().sweep());
        let again = sized(MOST) - left.load(Ordering::SeqCst);
        println!("{hosts} hosts: {swept} were swept, {again} attached anew");
        assert!(cfg!(miri) || again < MOST, "it ends only as no destructor attaches any more");
        assert!(swept >= 1);
        // Stops the destructors, so that the hosts end in any sweep.
        left.store(0, Ordering::SeqCst);
        while registry().sweep() > 0 {}
    }
}

/// A door, shut until a test opens the door or unwinds.
#[derive(Clone, Default)]
struct Door(Arc<(Mutex<[bool; 2]>, Condvar)>);

impl Door {
    /// Waits in front of the door until the door is open.
    fn pass(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state[0] = true;
        changed.notify_all();
        drop(changed.wait_while(state, |state| !state[1]).unwrap());
    }

    /// Waits until a thread is in front of the door.
    fn wait_for_somebody(&self) {
        let (state, changed) = &*self.0;
        drop(changed.wait_while(state.lock().unwrap(), |state| !state[0]).unwrap());
    }

    fn is_open(&self) -> bool {
        self.0.0.lock().unwrap()[1]
    }

    fn open(&self) {
        let (state, changed) = &*self.0;
        state.lock().unwrap()[1] = true;
        changed.notify_all();
    }
}

/// The most dead hosts that a blocked `sweep` may have in hand.
const IN_HAND: isize = 1000;

/// Blocks a `sweep` on a second thread in the destructor of host number `at`, and calls `work` with the tally of the
/// hosts during the block.
fn while_a_sweep_is_held_up(hosts: usize, at: usize, work: impl FnOnce(&Tally)) {
    let (tally, door) = (Tally::new(), Door::default());
    let mut all = Vec::new();
    for number in 0..hosts {
        if number == at {
            let (host, door) = (tally.hold(Arc::new(0_u8)), door.clone());
            assert!(host.host.attach_calls(Calls(Box::new(move || door.pass()), tally.body(0))).is_ok());
            all.push(host);
        } else {
            all.push(attach(&tally));
        }
    }
    drop(all);
    never_hangs(|| {
        thread::scope(|scope| {
            let open = AtEnd(|| door.open());
            scope.spawn(|| registry().sweep());
            door.wait_for_somebody();
            work(&tally);
            drop(open);
        });
    });
    registry().sweep();
    assert_eq!(tally.dead(), 0);
}

#[test]
fn a_destructor_that_blocks_in_it_holds_up_no_other_sweep() {
    let _alone = alone();
    let hosts = sized(fewer(20_000, 10_000));
    for at in [0, hosts / 2, hosts - 1] {
        while_a_sweep_is_held_up(hosts, at, |tally| {
            registry().sweep();
            println!("held up at {at}: {} are left", tally.dead());
            assert!(tally.dead() <= IN_HAND, "{} are left", tally.dead());
            // The blocked sweep began before these attaches, so this sweep must end the hosts.
            let (later, live) = (Tally::new(), attach(&Tally::new()));
            drop((0..sized(5000)).map(|_| attach(&later)).collect::<Vec<_>>());
            registry().sweep();
            assert_eq!(later.dead(), 0);
            drop(live);
        });
        registry().sweep();
    }
}

#[test]
fn a_destructor_that_blocks_in_it_does_not_keep_attaches_from_dropping() {
    let _alone = alone();
    let hosts = sized(fewer(20_000, 8000));
    for at in [0, hosts / 2, hosts - 1] {
        while_a_sweep_is_held_up(hosts, at, |tally| {
            let (later, live, mut random) = (Tally::new(), sized(2000), Random(3));
            let mut alive: Vec<_> = (0..live).map(|_| attach(&later)).collect();
            for number in 0..2 * hosts {
                alive[random.below(live)] = attach(&later);
                if number == hosts / 2 {
                    // The attaches so far must have ended most hosts that the blocked sweep has left.
                    println!("held up at {at}: {} are left", tally.dead());
                    assert!(tally.dead() <= (signed(hosts) / 10).max(IN_HAND), "{} are left", tally.dead());
                    later.begin();
                }
            }
            println!("held up at {at}: {} of later ones", later.most_dead());
            // The bound for two threads.
            let bound = later.most_live() + 2000;
            assert!(later.most_dead() <= bound, "{} of the later ones were dead", later.most_dead());
        });
    }
}

#[test]
fn a_destructor_that_blocks_in_an_attach_holds_up_no_sweep_and_no_attach() {
    let _alone = alone();
    let (tally, door) = (Tally::new(), Door::default());
    let behind = door.clone();
    leave(&tally, move || behind.pass());
    never_hangs(|| {
        thread::scope(|scope| {
            let open = AtEnd(|| door.open());
            scope.spawn(|| {
                let mine = Tally::new();
                for _ in 0..20_000 {
                    attach(&mine);
                    // Under Miri, ends the attaches after the block.
                    if cfg!(miri) && door.is_open() {
                        break;
                    }
                }
            });
            door.wait_for_somebody();
            let later = Tally::new();
            for _ in 0..sized(fewer(20_000, 10_000)) {
                attach(&later);
            }
            assert!(later.most_dead() <= 2001, "{}", later.most_dead());
            registry().sweep();
            assert_eq!(later.dead(), 0);
            drop(open);
        });
    });
    registry().sweep();
    assert_eq!(tally.dead(), 0);
}

#[test]
fn a_destructor_may_call_it() {
    let _alone = alone();
    for by_attaches in [false, true] {
        let (tally, calls) = (Tally::new(), Arc::new(AtomicUsize::new(0)));
        let counted = calls.clone();
        let others: Vec<_> = (0..fewer(100, 5)).map(|_| attach(&tally)).collect();
        leave(&tally, move || {
            registry().sweep();
            counted.fetch_add(1, Ordering::SeqCst);
        });
        never_hangs(|| {
            if by_attaches {
                for _ in 0..20_000 {
                    if calls.load(Ordering::SeqCst) == 1 {
                        break;
                    }
                    attach(&Tally::new());
                }
            }
            drop(others);
            registry().sweep();
        });
        assert_eq!((calls.load(Ordering::SeqCst), tally.dead()), (1, 0));
    }
}

/// The destructor of every dead host calls `sweep`. A nested call ends the remaining hosts, except hosts that an outer
/// call has in hand.
#[test]
fn many_destructors_may_call_it() {
    let _alone = alone();
    let (tally, swept) = (Tally::new(), Arc::new(AtomicUsize::new(0)));
    let hosts = fewer(sized(300), 4);
    let all: Vec<_> = (0..hosts)
        .map(|_| {
            let (host, swept) = (tally.hold(Arc::new(0)), swept.clone());
            let call = move || {
                swept.fetch_add(registry().sweep(), Ordering::SeqCst);
            };
            assert!(host.host.attach_calls(Calls(Box::new(call), tally.body(0))).is_ok());
            host
        })
        .collect();
    drop(all);
    never_hangs(|| swept.fetch_add(registry().sweep(), Ordering::SeqCst));
    assert_eq!((swept.load(Ordering::SeqCst), tally.dead()), (hosts, 0));
}

/// Calls `sweep` on four threads at once, and returns the sum of the results.
fn sweep_four_times_at_once() -> usize {
    let barrier = Barrier::new(4);
    let sweep = || {
        barrier.wait();
        registry().sweep()
    };
    never_hangs(|| {
        thread::scope(|scope| {
            let sweeps: Vec<_> = (0..4).map(|_| scope.spawn(sweep)).collect();
            sweeps.into_iter().map(|sweep| sweep.join().unwrap()).sum()
        })
    })
}

#[test]
fn several_threads_that_call_it_at_once_count_each_host_once() {
    let _alone = alone();
    for _ in 0..fewer(10, 1) {
        let (tally, hosts) = (Tally::new(), sized(10_000));
        drop((0..hosts).map(|_| attach(&tally)).collect::<Vec<_>>());
        let dead = tally.dead();
        assert_eq!((signed(sweep_four_times_at_once()), tally.dead()), (dead, 0));
    }
}

/// A host that dies by a call is ended by this call, or by a concurrent call before the concurrent call returns.
#[test]
fn several_threads_that_call_it_at_once_leave_nothing_of_a_chain() {
    let _alone = alone();
    for length in fewer([100, 1000, 1001], [1, 8, 9]) {
        let tally = Tally::new();
        let mut chain: Option<Arc<Vertex>> = None;
        for _ in 0..length {
            let host = Arc::new(0);
            vertex(&tally, &host, chain.take().into_iter().collect());
            chain = Some(host);
        }
        tally.let_go(signed(length));
        drop(chain);
        assert_eq!((sweep_four_times_at_once(), tally.dead()), (length, 0));
    }
}

#[test]
fn what_attaches_drop_it_does_not_count() {
    let _alone = alone();
    let (tally, hosts) = (Tally::new(), fewer(sized(2000), 10));
    drop((0..hosts).map(|_| attach(&tally)).collect::<Vec<_>>());
    let before = tally.dead();
    let later = attach(&Tally::new());
    let by_attach = before - tally.dead();
    assert_eq!(signed(registry().sweep()) + by_attach, before);
    drop(later);
}
