//! Stress test: several threads use hosts of every kind at the same time.
//!
//! In: a seed, and perhaps a duration. Threads attach, read, update, detach, sweep, drop, clone and exchange hosts, and
//! panic in initialisers, closures, clones and destructors. Out: a panic, unless at the end of each round every value
//! is dropped, no value was found broken, no update is lost, and memory usage is back at its old level.
//!
//! The test takes seconds by default. `SHADOW_STRESS_SECONDS=600 cargo test --release --test stress` sets a duration.
//! The test prints its seed, and `SHADOW_STRESS_SEED` replays a seed: each thread then makes the same choices. The
//! interleaving depends on the system.

use std::any::Any;
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::panic::{self, AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};
use std::{array, env, mem, ptr, thread};

use shadow_runtime::{Policy, Row, Shadow, ShadowFields, Shadowed, raw, registry, shadow};

use support::memory::{Counting, bytes_of_all_threads};
use support::{fewer, never_hangs, say};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const THREADS: u64 = 4;
const STEPS: usize = fewer(20_000, 3);
const ROUNDS: usize = fewer(5, 1);
const WARM_UP: u64 = fewer(3, 1);
const CROWD: u64 = fewer(100, 2);
const RUSH: usize = fewer(5000, 5);

static MADE: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// The number of values made by initialisers.
static INITIALISED: AtomicU64 = AtomicU64::new(0);

/// The number of refused values.
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// Faults found in destructors, where the library would contain a panic.
static FAULTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The payload of a planned panic, raised without the panic hook.
struct Planned;

fn panic_as_planned() -> ! {
    resume_unwind(Box::new(Planned))
}

fn fault(what: String) {
    FAULTS.lock().unwrap_or_else(PoisonError::into_inner).push(what);
}

const SALT: u64 = 0x9e37_79b9_7f4a_7c15;

/// A value with a checksum, partly on the heap. The low bits of the number select its behaviour in `Clone` and `Drop`.
#[derive(Debug)]
struct Value {
    number: u64,
    check: u64,
    heap: Box<u64>,
}

impl Value {
    fn new(number: u64) -> Self {
        MADE.fetch_add(1, Ordering::Relaxed);
        Self { number, check: number ^ SALT, heap: Box::new(!number) }
    }

    /// A value without planned panics or attaches.
    fn calm(number: u64) -> Self {
        Self::new(number & !0xff)
    }

    fn panics_when_cloned(&self) -> bool {
        self.number & 0xf0 == 0xf0
    }

    fn panics_when_dropped(&self) -> bool {
        self.number & 0x0f == 0x0f
    }

    /// Whether the destructor attaches to an `Arc`, and so may sweep.
    fn attaches_when_dropped(&self) -> bool {
        self.number & 0x0f == 0x0e
    }

    fn is_whole(&self) -> bool {
        self.check == self.number ^ SALT && *self.heap == !self.number
    }

    fn number(&self) -> u64 {
        assert!(self.is_whole(), "a broken value is read: {self:?}");
        self.number
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        let number = self.number();
        if self.panics_when_cloned() {
            panic_as_planned();
        }
        Self::new(number)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
        if !self.is_whole() {
            fault(format!("a broken value is dropped: {self:?}"));
            return;
        }
        // A use after the drop finds a broken value.
        self.check = 0;
        std::hint::black_box(&mut self.check);
        if self.attaches_when_dropped() {
            let host = Arc::new(Node { _own: Value::calm(self.number) });
            assert!(SharedFields::attach_once(&host, Value::calm(self.number)).is_ok());
        }
        // A second panic during unwinding aborts the process.
        if self.panics_when_dropped() && !thread::panicking() {
            panic_as_planned();
        }
    }
}

/// A value that the library copies word by word: a number, and data derived from the number.
#[derive(Clone, Copy, Debug)]
struct Copied {
    number: u64,
    others: [u64; 14],
    last: u8,
}

impl Copied {
    fn new(number: u64) -> Self {
        Self { number, others: [!number; 14], last: number.to_le_bytes()[0] }
    }

    fn check(&self) {
        let is_whole = self.others == [!self.number; 14] && self.last == self.number.to_le_bytes()[0];
        assert!(is_whole, "a torn value is read: {self:?}");
    }
}

#[derive(Shadow)]
#[shadow_field(attach once: Value)]
#[shadow_field(get_or_attach made: Value = declared())]
#[shadow_field(get_or_update newest: Value)]
#[shadow_field(get_or_update(copy) copied: Copied)]
struct Task {
    own: Value,
    shadow: ShadowFields,
}

struct Node {
    _own: Value,
}

struct Config(#[expect(dead_code, reason = "it is not empty, and so has an address of its own")] u64);

macro_rules! fields {
    ($first:ident, $second:ident for $host:ty) => {
        shadow! {
            trait $first for $host {
                attach once: Value;
                get_or_attach made: Value = declared();
                get_or_update newest: Value;
                get_or_update(copy) copied: Copied;
            }
            trait $second for $host {
                get_or_attach late_made: Value = declared();
                get_or_update late_newest: Value;
            }
        }
    };
}

shadow! {
    impl Task {
        get_or_attach late_made: Value = declared();
        get_or_update late_newest: Value;
    }
    trait Tally for &'static Config {
        get_or_update sum: u64;
        get_or_update(copy) copied_sum: u64;
    }
}
fields!(OwnedFields, OwnedLate for Shadowed<Value>);
fields!(SharedFields, SharedLate for Arc<Node>);
fields!(FixedFields, FixedLate for &'static Config);

/// The one raw id here without an initialiser.
const ONCE: raw::Id<Value> = raw::Id::new(1);
const MADE_RAW: raw::Id<Value> = raw::Id::new(2);
const NEWEST: raw::UpdateId<Value> = raw::UpdateId::new(3);
const OWNED: raw::PointerId<Box<Value>> = raw::PointerId::new(4);

/// A pseudo-random number generator: splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(SALT);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn value(&mut self) -> Value {
        Value::new(self.next())
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let limit = from.len() as u64;
        from.get(usize::try_from(self.below(limit)).unwrap_or(0)).expect("there is one at least")
    }
}

thread_local! {
    /// The number of the next value of the declared initialiser.
    static DECLARED: Cell<u64> = const { Cell::new(0) };
}

/// The result of a successful initialiser.
fn initial(number: u64) -> Value {
    INITIALISED.fetch_add(1, Ordering::Relaxed);
    Value::new(number)
}

/// The declared initialiser of every `get_or_attach` field, which panics in one of eight cases.
fn declared() -> Value {
    let number = DECLARED.get();
    if number % 8 == 0 {
        panic_as_planned();
    }
    initial(number)
}

/// The hosts of a round.
struct Hosts {
    tasks: [RwLock<Task>; 4],
    owned: [RwLock<Shadowed<Value>>; 4],
    nodes: [RwLock<Arc<Node>>; 8],
    /// Without fields at first; all threads use the pairs in this order.
    pairs: Vec<[Arc<Node>; 2]>,
    addresses: Vec<usize>,
    fixed: &'static [Fixed],
    /// Each lock guards an address: a write-once field is detached only under the write lock.
    raw: [RwLock<usize>; 4],
}

/// A static, and the expected sums of its fields.
struct Fixed {
    config: Config,
    sum: AtomicU64,
    copied_sum: AtomicU64,
}

/// The number of values that stay on each static.
const KEPT: u64 = 5;

impl Hosts {
    fn new(fixed: &'static [Fixed]) -> Self {
        Self {
            tasks: array::from_fn(|_| RwLock::new(task())),
            owned: array::from_fn(|_| RwLock::new(Shadowed::new(Value::calm(0)))),
            nodes: array::from_fn(|_| RwLock::new(node())),
            pairs: (0..CROWD).map(|_| [node(), node()]).collect(),
            addresses: (0..10 * CROWD).map(|_| new_address()).collect(),
            fixed,
            raw: array::from_fn(|_| RwLock::new(new_address())),
        }
    }
}

/// A fresh address, which no code dereferences.
fn new_address() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(16);
    NEXT.fetch_add(16, Ordering::Relaxed)
}

fn task() -> Task {
    Task { own: Value::calm(0), shadow: ShadowFields::new() }
}

fn node() -> Arc<Node> {
    Arc::new(Node { _own: Value::calm(0) })
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a step that may panic as planned.
fn attempt<R>(step: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(result) => Some(result),
        Err(payload) if payload.is::<Planned>() || is_refusal(&*payload) => None,
        Err(payload) => resume_unwind(payload),
    }
}

/// Whether the library has refused a deadlock of initialisers, or an update by its own closure.
fn is_refusal(payload: &(dyn Any + Send)) -> bool {
    let refusals = [" is asked for ", " is updated by its own closure"];
    payload.downcast_ref::<String>().is_some_and(|message| refusals.iter().any(|refusal| message.contains(refusal)))
}

fn check(value: &Value) {
    value.number();
}

/// Checks and drops a refused value.
fn check_refused(value: &Value, number: u64) {
    REFUSED.fetch_add(1, Ordering::Relaxed);
    assert_eq!(value.number(), number);
}

/// Checks and drops a value that the library handed out.
fn finish(value: Option<Value>) {
    if let Some(value) = value {
        check(&value);
    }
}

fn check_copied(copied: Option<Copied>) {
    if let Some(copied) = copied {
        copied.check();
    }
}

/// The action of an initialiser or a closure before its result: usually no action, or a use of a second host, or a
/// panic. The function takes no lock of the test, so a thread waits only for the library.
fn meanwhile(hosts: &Hosts, other: &Arc<Node>, random: &mut Random) {
    if random.below(16) == 0 {
        // Gives other threads a chance to intervene.
        thread::yield_now();
    }
    match random.below(16) {
        0 | 1 => panic_as_planned(),
        2 => check(other.get_or_attach_made(|| initial(random.next()))),
        3 => check(other.get_or_attach_late_made(|| initial(random.next()))),
        4 => check((&random.pick(hosts.fixed).config).get_or_attach_made(|| initial(random.next()))),
        5 => finish(SharedFields::update_newest(other, random.value())),
        _ => (),
    }
}

/// Executes one action on the fields of any host, through a shared reference.
macro_rules! access {
    ($host:expr, $hosts:expr, $random:expr) => {{
        let (host, hosts, random) = ($host, $hosts, $random);
        let other = Arc::clone(&read(random.pick(&hosts.nodes)));
        let number = random.next();
        DECLARED.set(number);
        attempt(|| match random.below(12) {
            0 => {
                host.once().map(check);
            }
            1 => match host.attach_once(Value::new(number)) {
                Ok(attached) => assert!(ptr::eq(attached, host.once().expect("it is attached"))),
                Err(refused) => check_refused(&refused.into_value(), number),
            },
            2 => {
                let made = host.made();
                check(made);
                assert!(host.peek_made().is_some_and(|seen| ptr::eq(seen, made)));
            }
            3 => check(host.late_made()),
            4 => check(host.get_or_attach_made(|| {
                meanwhile(hosts, &other, random);
                initial(number)
            })),
            5 => {
                let made = host.get_or_try_attach_late_made(|| {
                    meanwhile(hosts, &other, random);
                    if random.below(2) == 0 { Err(()) } else { Ok(initial(number)) }
                });
                made.map(check).unwrap_or_default();
            }
            6 => finish(host.newest()),
            7 => finish(host.update_newest(Value::new(number))),
            8 => finish(host.update_newest_with(|last| {
                last.map(check);
                meanwhile(hosts, &other, random);
                Value::new(random.next())
            })),
            9 => finish(host.update_late_newest(Value::new(number))),
            10 => {
                check_copied(host.copied());
                check_copied(host.update_copied(Copied::new(number)));
            }
            _ => check_copied(host.update_copied_with(|last| {
                check_copied(last.copied());
                meanwhile(hosts, &other, random);
                Copied::new(random.next())
            })),
        });
        drop(other);
    }};
}

/// Executes one action on the fields of a host, through a mutable borrow.
macro_rules! exclusive {
    ($host:expr, $random:expr) => {{
        let (host, random) = ($host, $random);
        DECLARED.set(random.next());
        attempt(|| match random.below(9) {
            0 => finish(host.detach_once()),
            1 => finish(host.detach_made()),
            2 => finish(host.detach_newest()),
            3 => check_copied(host.detach_copied()),
            4 => drop(host.detach_late_made()),
            5 => finish(host.detach_late_newest()),
            6 => drop(host.once_mut().map(|value| mem::replace(value, random.value()))),
            7 => drop(mem::replace(host.made_mut(), random.value())),
            _ => drop(host.newest_mut().map(|value| mem::replace(value, random.value()))),
        });
    }};
}

fn task_step(hosts: &Hosts, random: &mut Random) {
    let lock = random.pick(&hosts.tasks);
    match random.below(8) {
        0 => exclusive!(&mut *write(lock), random),
        1 => {
            let ended = mem::replace(&mut *write(lock), task());
            check(&ended.own);
            attempt(|| drop(ended));
        }
        2 => {
            // Moves the fields of one host to a second host in two steps, so that no thread holds two locks.
            let mut fields = mem::take(&mut write(lock).shadow);
            mem::swap(&mut write(random.pick(&hosts.tasks)).shadow, &mut fields);
            attempt(|| drop(fields));
        }
        _ => access!(&*read(lock), hosts, random),
    }
}

fn owned_step(hosts: &Hosts, random: &mut Random) {
    let lock = random.pick(&hosts.owned);
    match random.below(8) {
        0 => exclusive!(&mut *write(lock), random),
        1 => {
            let ended = mem::replace(&mut *write(lock), Shadowed::new(random.value()));
            if let Some(value) = attempt(|| Shadowed::into_inner(ended)) {
                attempt(|| drop(value));
            }
        }
        _ => access!(&*read(lock), hosts, random),
    }
}

fn node_step(hosts: &Hosts, random: &mut Random) {
    let lock = random.pick(&hosts.nodes);
    match random.below(8) {
        0 => {
            let ended = mem::replace(&mut *write(lock), node());
            drop(Arc::try_unwrap(ended));
        }
        1 => {
            // A host with a short life, usually at a reused address.
            let node = node();
            access!(&node, hosts, random);
        }
        _ => {
            let node = Arc::clone(&read(lock));
            access!(&node, hosts, random);
        }
    }
}

/// Makes many hosts at once, so that the side table grows, and moves entries.
fn crowd(size: u64) {
    let hosts: Vec<Arc<Node>> = (0..size).map(|_| node()).collect();
    for (number, host) in (0..).zip(&hosts) {
        assert!(SharedFields::attach_once(host, Value::calm(number << 8)).is_ok());
    }
    for (number, host) in (0..).zip(&hosts) {
        assert!(SharedFields::once(host).is_some_and(|value| value.number() == number << 8));
    }
    for (number, host) in (0..).zip(hosts) {
        // The removal of entries moves the remaining entries.
        let is_there = SharedFields::once(&host).is_some_and(|value| value.number() == number << 8);
        assert!(is_there);
    }
}

/// Some threads only update one field, and the rest only read the field, to maximise contention.
fn rush(fixed: &'static [Fixed], thread: u64, random: &mut Random) {
    let config = &fixed[0].config;
    for _ in 0..RUSH {
        if thread % 2 == 0 {
            check_copied(config.update_copied(Copied::new(random.next())));
        } else {
            check_copied(config.copied());
        }
    }
}

/// All threads request the same fields in the same order, to maximise contention.
fn races(addresses: &[usize], random: &mut Random) {
    for address in addresses {
        let number = random.next() & !0xff;
        // SAFETY: only `end` detaches the field, after all threads have ended, and no code dereferences the address.
        let made =
            unsafe { MADE_RAW.get_or_attach(ptr::without_provenance(*address), || Ok::<_, ()>(initial(number))) };
        made.map(check).expect("it does not fail");
    }
}

/// Initialisers of two hosts that request each other's value. Half of the threads begin with the first host, half with
/// the second.
fn circles(pairs: &[[Arc<Node>; 2]], thread: u64, random: &mut Random) {
    for [one, other] in pairs {
        let [first, second] = if thread % 2 == 0 { [one, other] } else { [other, one] };
        let number = random.next();
        attempt(|| {
            check(first.get_or_attach_made(|| {
                thread::yield_now();
                check(second.get_or_attach_made(|| initial(number)));
                initial(number)
            }));
        });
    }
}

/// The result of a sum's closure, after other threads had a chance to intervene.
fn add(sum: Option<&u64>, one: u64) -> u64 {
    if one % 16 == 0 {
        thread::yield_now();
    }
    sum.expect("it is there from the beginning") + one
}

fn fixed_step(hosts: &Hosts, random: &mut Random) {
    let fixed = random.pick(hosts.fixed);
    let config = &fixed.config;
    match random.below(4) {
        0 => {
            let one = random.below(100);
            config.update_sum_with(|sum| add(sum, one));
            fixed.sum.fetch_add(one, Ordering::Relaxed);
        }
        1 => {
            let one = random.below(100);
            config.update_copied_sum_with(|sum| add(sum, one));
            fixed.copied_sum.fetch_add(one, Ordering::Relaxed);
        }
        _ => access!(config, hosts, random),
    }
}

fn raw_step(hosts: &Hosts, random: &mut Random) {
    let lock = random.pick(&hosts.raw);
    let number = random.next();
    let key = |address: &usize| ptr::without_provenance::<()>(*address);
    attempt(|| match random.below(16) {
        0 => {
            let mut address = write(lock);
            let ended = mem::replace(&mut *address, new_address());
            // SAFETY: the write lock excludes all other uses of fields of the address, so no thread holds a reference.
            unsafe { raw::detach_object(key(&ended)) };
        }
        1 => {
            let address = write(lock);
            // SAFETY: the write lock excludes all other uses of fields of the address, so no thread holds a reference.
            finish(unsafe { ONCE.detach(key(&address)) }.unwrap());
        }
        2 => {
            let address = write(lock);
            // SAFETY: the write lock excludes all other uses of fields of the address, so no thread holds a reference.
            finish(unsafe { MADE_RAW.detach(key(&address)) }.unwrap());
        }
        3 => {
            // SAFETY: no code dereferences the address, and `UpdateId` hands out no references.
            finish(unsafe { NEWEST.detach(key(&read(lock))) }.unwrap());
        }
        4 => {
            // SAFETY: no code dereferences the addresses, and `UpdateId` hands out no references.
            unsafe { NEWEST.detach_all(|_, value| check(&value)) }.unwrap();
        }
        5 | 6 => {
            let address = read(lock);
            // SAFETY: a detach needs the write lock, and the reference does not outlive the read lock.
            match unsafe { ONCE.attach(key(&address), Value::new(number)) } {
                Ok(attached) => check(attached),
                Err(refused) => check_refused(&refused.into_value(), number),
            }
        }
        7 | 8 => {
            let address = read(lock);
            let init = || match number & 3 {
                0 => panic_as_planned(),
                1 => Err(()),
                _ => Ok(initial(number)),
            };
            // SAFETY: a detach needs the write lock, and the reference does not outlive the read lock.
            unsafe { MADE_RAW.get_or_attach(key(&address), init) }.map(check).unwrap_or_default();
        }
        9 => {
            let address = read(lock);
            // SAFETY: a detach needs the write lock, and the reference does not outlive the read lock.
            unsafe { ONCE.get(key(&address)) }.unwrap().map(check);
        }
        10 => {
            // SAFETY: no code dereferences the address, and `get` returns a clone.
            finish(unsafe { NEWEST.get(key(&read(lock))) }.unwrap());
        }
        11 => {
            // Detaches all fields of an address, as case 0, but one by one.
            let mut address = write(lock);
            let ended = mem::replace(&mut *address, new_address());
            // SAFETY: the write lock excludes all other uses of fields of the address, so no thread holds a reference.
            let once = unsafe { ONCE.detach(key(&ended)) }.unwrap();
            // SAFETY: the write lock excludes all other uses of fields of the address, so no thread holds a reference.
            let made = unsafe { MADE_RAW.detach(key(&ended)) }.unwrap();
            // SAFETY: no code dereferences the address, and `UpdateId` hands out no references.
            let newest = unsafe { NEWEST.detach(key(&ended)) }.unwrap();
            // SAFETY: the write lock excludes a detach by other threads during the call.
            assert!(unsafe { MADE_RAW.get(key(&ended)) }.unwrap().is_none(), "it was there twice");
            // SAFETY: no code dereferences the address, and no thread dereferences a pointer of the field.
            let owned = unsafe { OWNED.detach(key(&ended)) }.unwrap().map(|owned| *owned);
            for value in [once, made, newest, owned] {
                attempt(|| finish(value));
            }
        }
        12 | 13 => {
            let address = read(lock);
            let init = || match number & 7 {
                0 => panic_as_planned(),
                1 => Err(()),
                _ => Ok(Value::new(number)),
            };
            let made = if number & 8 == 0 {
                // SAFETY: no code dereferences the address, so the object outlives the field.
                unsafe { NEWEST.get_or_attach(key(&address), init) }
            } else {
                // SAFETY: no code dereferences the address, so the object outlives the field.
                let attached = unsafe { NEWEST.attach_with(key(&address), init) };
                assert!(attached.as_ref().map_or(true, |value| value.number() == number), "it is another's");
                if matches!(attached, Err(raw::InitError::AlreadyAttached(_))) {
                    REFUSED.fetch_add(1, Ordering::Relaxed);
                }
                attached
            };
            finish(made.ok());
        }
        14 => {
            // SAFETY: no code dereferences the addresses, and `UpdateId` hands out no references.
            let first = unsafe { NEWEST.drain() }.unwrap().next();
            finish(first.map(|(_, value)| value));
            // SAFETY: no code dereferences the address, and `UpdateId` hands out no references.
            unsafe { raw::UpdateId::<Value>::drain_object(key(&read(lock))) }.for_each(|(_, value)| check(&value));
            assert!(MADE_RAW.objects().unwrap().all(|object| object.addr() != 0));
        }
        _ => {
            // SAFETY: no code dereferences the address, so the object outlives the field.
            finish(unsafe { NEWEST.get_or_update(key(&read(lock)), Value::new(number)) }.unwrap());
        }
    });
}

/// A step of the id whose lookups may run beside detaches. `inspect` alone dereferences a pointer.
fn raw_pointer_step(hosts: &Hosts, random: &mut Random) {
    let lock = random.pick(&hosts.raw);
    let number = random.next();
    let key = |address: usize| ptr::without_provenance::<()>(address);
    let init = || match number & 7 {
        0 => panic_as_planned(),
        1 => Err(()),
        _ => Ok(Box::new(initial(number))),
    };
    attempt(|| match random.below(8) {
        0 | 1 => {
            // SAFETY: no code dereferences the address, so the object outlives the field.
            let _ = unsafe { OWNED.get_or_attach(key(*read(lock)), init) };
        }
        2 | 3 => {
            // SAFETY: no code dereferences the address, so the object outlives the field.
            let attached = unsafe { OWNED.attach_with(key(*read(lock)), init) };
            if matches!(attached, Err(raw::InitError::AlreadyAttached(_))) {
                REFUSED.fetch_add(1, Ordering::Relaxed);
            }
        }
        4 => {
            // SAFETY: no code dereferences the address.
            let _ = unsafe { OWNED.get(key(*read(lock))) }.unwrap();
        }
        5 => {
            let is_whole = |value: NonNull<Value>| {
                // SAFETY: the value stays during the call of `inspect`, and no thread writes to the value.
                unsafe { value.as_ref() }.is_whole()
            };
            // SAFETY: no code dereferences the address. The closure compares integers.
            let is_whole = unsafe { OWNED.inspect(key(*read(lock)), is_whole) }.unwrap();
            assert_ne!(is_whole, Some(false), "a broken value is inspected");
        }
        6 => {
            // SAFETY: no code dereferences the addresses, and no thread dereferences a pointer outside of `inspect`.
            unsafe { OWNED.detach_all(|_, value| check(&value)) }.unwrap();
        }
        _ => {
            // SAFETY: no code dereferences the address, and no thread dereferences a pointer outside of `inspect`.
            finish(unsafe { OWNED.detach(key(*read(lock))) }.unwrap().map(|value| *value));
        }
    });
}

fn step(hosts: &Hosts, random: &mut Random) {
    match random.below(128) {
        0 => match random.below(8) {
            0 => crowd(CROWD),
            1 => assert!(registry().report().iter().all(|row| row.attached() >= row.live())),
            _ => {
                attempt(|| registry().sweep());
            }
        },
        1..40 => task_step(hosts, random),
        40..60 => owned_step(hosts, random),
        60..90 => node_step(hosts, random),
        90..108 => fixed_step(hosts, random),
        108..123 => raw_step(hosts, random),
        _ => raw_pointer_step(hosts, random),
    }
}

/// Ends the hosts of a round with all their fields.
fn end(hosts: Hosts) {
    let Hosts { tasks, owned, nodes, pairs, addresses, raw, .. } = hosts;
    for task in tasks {
        attempt(|| drop(task));
    }
    for owned in owned {
        attempt(|| drop(owned));
    }
    drop((nodes, pairs));
    for address in addresses {
        // SAFETY: all threads have ended, so no thread holds a reference to a field of the address.
        assert_eq!(unsafe { raw::detach_object(ptr::without_provenance(address)) }, 1);
    }
    for address in raw {
        let address = address.into_inner().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: all threads have ended, so no thread holds a reference to a field of the address.
        attempt(|| unsafe { raw::detach_object(ptr::without_provenance(address)) });
    }
    // Destructors attach to new hosts, which die at once and need a further sweep.
    while attempt(|| registry().sweep()) != Some(0) {}
}

fn round(fixed: &'static [Fixed], seed: u64) {
    let hosts = Hosts::new(fixed);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let hosts = &hosts;
            scope.spawn(move || {
                let mut random = Random(seed.wrapping_add(thread));
                rush(hosts.fixed, thread, &mut random);
                circles(&hosts.pairs, thread, &mut random);
                races(&hosts.addresses, &mut random);
                for _ in 0..STEPS {
                    step(hosts, &mut random);
                }
            });
        }
    });
    end(hosts);
    let faults = FAULTS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(faults.is_empty(), "SHADOW_STRESS_SEED={seed}: {faults:?}");
    let [made, dropped] = [&MADE, &DROPPED].map(|count| count.load(Ordering::Relaxed));
    assert_eq!(made - dropped, KEPT * fixed.len() as u64, "SHADOW_STRESS_SEED={seed}: {made} were made");
    let report = registry().report();
    let refused: u64 = report.iter().map(Row::refused).sum();
    assert_eq!(refused, REFUSED.load(Ordering::Relaxed), "SHADOW_STRESS_SEED={seed}: {report}");
    let is_initialised = |row: &&Row| row.policy() == Policy::GetOrAttach && row.field() != "1";
    let attached: u64 = report.iter().filter(is_initialised).map(Row::attached).sum();
    assert_eq!(attached, INITIALISED.load(Ordering::Relaxed), "SHADOW_STRESS_SEED={seed}: {report}");
    let is_over = |row: &Row| row.live() == if row.host() == "&'static Config" { fixed.len() as u64 } else { 0 };
    assert!(report.iter().all(is_over), "SHADOW_STRESS_SEED={seed}: {report}");
    for Fixed { config, sum, copied_sum } in fixed {
        let right = [sum, copied_sum].map(|sum| sum.load(Ordering::Relaxed));
        assert_eq!([config.sum().unwrap_or(0), config.copied_sum().unwrap_or(0)], right, "SHADOW_STRESS_SEED={seed}");
    }
}

/// Makes statics with all their fields attached. Fields of statics stay, so later rounds must not attach new ones.
fn fixed() -> &'static [Fixed] {
    let fixed = |_| Fixed { config: Config(0), sum: AtomicU64::new(0), copied_sum: AtomicU64::new(0) };
    let fixed: &'static [Fixed; 3] = Box::leak(Box::new(array::from_fn(fixed)));
    for Fixed { config, .. } in fixed {
        assert!(config.attach_once(Value::calm(1)).is_ok());
        config.get_or_attach_made(|| initial(0));
        config.get_or_attach_late_made(|| initial(0));
        config.update_newest(Value::calm(4));
        config.update_late_newest(Value::calm(5));
        config.update_copied(Copied::new(6));
        config.update_sum(0);
        config.update_copied_sum(0);
    }
    fixed
}

/// The number in a variable of the environment.
fn variable(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

#[test]
fn whatever_threads_do_at_once_everything_is_dropped_once_and_memory_comes_back() {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !is_refusal(info.payload()) {
            hook(info);
        }
    }));
    let mut seed = variable("SHADOW_STRESS_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    let until = variable("SHADOW_STRESS_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let fixed = fixed();
    // Executes lazy initialisation, and makes the tables larger than later rounds need.
    crowd(2 * THREADS * CROWD);
    for seed in 0..WARM_UP {
        never_hangs(|| round(fixed, seed));
    }
    let before = bytes_of_all_threads();
    let mut rounds = 0;
    while until.map_or(rounds < ROUNDS, |until| Instant::now() < until) {
        say(&format!("round {rounds}: SHADOW_STRESS_SEED={seed}"));
        never_hangs(|| round(fixed, seed));
        // A table may still grow a little, when more hosts are alive at the same time than ever before.
        let kept = bytes_of_all_threads() - before;
        assert!(kept < 16 * 1024, "SHADOW_STRESS_SEED={seed}: {kept} bytes are kept after round {rounds}");
        seed = Random(seed).next();
        rounds += 1;
    }
}
