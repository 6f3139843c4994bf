//! The story of the kernel's `samples/livepatch/livepatch-shadow-{mod,fix1,fix2}.c`, told by `raw`.
//!
//! `cargo run --release --example kernel_samples`
//!
//! A module makes objects, each with a buffer whose address it forgets, so that no buffer is ever given back. Two fixes
//! are loaded while objects are in flight. Fix 1 hands the buffer of each new object to a shadow field of that object;
//! objects from before it have no field, and are tolerated. Fix 2 counts how often an object is checked, and attaches
//! the count to whatever object it meets. When a fix is unloaded, its own field ends on every object, and no other.
//!
//! # What this program promises to `raw`
//!
//! - **P1, the object outlives its fields.** While a fix is loaded, the function that frees objects ends the fix's
//!   field first; and when a fix is unloaded, what is left of its field ends before the next object is freed.
//! - **P2, nobody uses what is detached.** There is one thread, and it keeps no reference to a value beyond the
//!   function that got it.
//!
//! And to itself:
//!
//! - **P3, an object in the list is there.** It is a box that an `allocate` has given up; nobody else knows it, and it
//!   is taken out of the list when it is freed.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};

use shadow_runtime::registry;

use module::Module;

fn main() {
    let mut module = Module::load();
    println!("tick  newest  objects  buffers  SV_LEAK  SV_COUNTER  leaked  checks of the freed");
    run(&mut module, 3);
    let forgotten = Buffer::in_use();

    module.patch(fix1::PATCH);
    run(&mut module, 3);
    module.patch(fix2::PATCH);
    run(&mut module, 3);
    assert_eq!(Buffer::in_use(), forgotten + module.objects(), "since fix 1, only objects in flight have a buffer");
    assert_eq!(live(fix2::SV_COUNTER), module.objects(), "fix 2 counts on all objects, also on older ones");

    module.unpatch();
    println!("fix 2 is unloaded: {} counts end, and no buffer", fix2::unload());
    assert_eq!((live(fix1::SV_LEAK), live(fix2::SV_COUNTER)), (module.objects(), 0));
    run(&mut module, 1);

    module.unpatch();
    println!("fix 1 is unloaded: {} buffers are given back", fix1::unload());
    assert_eq!(live(fix1::SV_LEAK), 0);

    module.unload();
    println!("the module is unloaded: {forgotten} buffers have leaked before fix 1, and none since\n");
    println!("{}", registry().report());
    assert_eq!(Buffer::in_use(), forgotten);
    assert_eq!(fix1::tolerated(), forgotten, "every object from before fix 1 was met, and freed");
}

/// Lets the module work, and prints a line whenever it has cleaned up.
fn run(module: &mut Module, cycles: usize) {
    for _ in 0..cycles {
        module.cycle();
        println!(
            "{:>4}  {:6}  {:>7}  {:>7}  {:>7}  {:>10}  {:>6}  {:>19}",
            module.now(),
            module.newest(),
            module.objects(),
            Buffer::in_use(),
            live(fix1::SV_LEAK),
            live(fix2::SV_COUNTER),
            fix1::tolerated(),
            fix2::checks_of_the_freed(),
        );
    }
}

/// On how many objects a field is attached, by its number.
fn live(number: u64) -> usize {
    let report = registry().report();
    let row = report.iter().find(|row| row.field() == number.to_string());
    row.map_or(0, |row| usize::try_from(row.live()).expect("few objects"))
}

/// Stands for memory that the kernel would lose: it counts what is not given back.
struct Buffer {
    _memory: (),
}

static BUFFERS: AtomicUsize = AtomicUsize::new(0);

impl Buffer {
    fn allocate() -> Self {
        BUFFERS.fetch_add(1, Ordering::Relaxed);
        Self { _memory: () }
    }

    fn in_use() -> usize {
        BUFFERS.load(Ordering::Relaxed)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        BUFFERS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The module that leaks. It makes an object at each tick, and frees those that have expired at every third.
mod module {
    use super::{Buffer, mem};

    const TICKS_PER_CLEANUP: u64 = 3;
    const LIFE: u64 = 12;

    /// What the module makes. It has no room for the address of its buffer, and its layout is frozen.
    pub(crate) struct Dummy {
        expires: u64,
    }

    /// The functions of the module that a patch replaces, if it does.
    pub(crate) struct Patch {
        pub(crate) name: &'static str,
        pub(crate) allocate: Option<fn(u64) -> *mut Dummy>,
        pub(crate) free: Option<unsafe fn(*mut Dummy)>,
        pub(crate) check: Option<unsafe fn(*mut Dummy, u64) -> bool>,
    }

    /// The module, and the patches on it, the newest last. Of each function the newest is called.
    pub(crate) struct Module {
        now: u64,
        dummies: Vec<*mut Dummy>,
        patches: Vec<Patch>,
    }

    impl Dummy {
        /// An object without a buffer.
        pub(crate) fn bare(now: u64) -> *mut Self {
            Box::into_raw(Box::new(Self { expires: now + LIFE }))
        }
    }

    fn allocate(now: u64) -> *mut Dummy {
        // The bug: nobody knows this buffer from here on.
        mem::forget(Buffer::allocate());
        Dummy::bare(now)
    }

    /// # Safety
    ///
    /// The dummy has just left the list (P3), and has no fields (P1).
    pub(crate) unsafe fn free(dummy: *mut Dummy) {
        // SAFETY: by P3 it is a box that was given up, and this is its only owner.
        drop(unsafe { Box::from_raw(dummy) });
    }

    /// # Safety
    ///
    /// The dummy is in the list (P3).
    pub(crate) unsafe fn check(dummy: *mut Dummy, now: u64) -> bool {
        // SAFETY: by P3 it is there.
        let expires = unsafe { (*dummy).expires };
        now > expires
    }

    impl Module {
        pub(crate) fn load() -> Self {
            let original = Patch { name: "module", allocate: Some(allocate), free: Some(free), check: Some(check) };
            Self { now: 0, dummies: Vec::new(), patches: vec![original] }
        }

        pub(crate) fn patch(&mut self, patch: Patch) {
            self.patches.push(patch);
        }

        pub(crate) fn unpatch(&mut self) {
            self.patches.pop();
        }

        pub(crate) fn now(&self) -> u64 {
            self.now
        }

        pub(crate) fn objects(&self) -> usize {
            self.dummies.len()
        }

        pub(crate) fn newest(&self) -> &'static str {
            self.patches.last().map_or("", |patch| patch.name)
        }

        /// Makes a few objects, and frees those that have expired.
        pub(crate) fn cycle(&mut self) {
            let allocate = self.newest_of(|patch| patch.allocate);
            for _ in 0..TICKS_PER_CLEANUP {
                self.now += 1;
                self.dummies.push(allocate(self.now));
            }
            let (check, now) = (self.newest_of(|patch| patch.check), self.now);
            // SAFETY: the dummy is in the list.
            self.free_if(|dummy| unsafe { check(dummy, now) });
        }

        /// Frees all objects.
        pub(crate) fn unload(mut self) {
            self.free_if(|_| true);
        }

        fn free_if(&mut self, goes: impl Fn(*mut Dummy) -> bool) {
            let free = self.newest_of(|patch| patch.free);
            let (gone, kept) = mem::take(&mut self.dummies).into_iter().partition(|dummy| goes(*dummy));
            self.dummies = kept;
            let gone: Vec<*mut Dummy> = gone;
            for dummy in gone {
                // SAFETY: the dummy has just left the list; by P1 the newest `free` ends the fields that it has.
                unsafe { free(dummy) };
            }
        }

        fn newest_of<F>(&self, function: impl Fn(&Patch) -> Option<F>) -> F {
            self.patches.iter().rev().find_map(function).expect("the module itself has all functions")
        }
    }
}

/// Fix 1: the buffer of an object is kept in a shadow field, and given back when the object is freed.
mod fix1 {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use shadow_runtime::raw;

    use super::Buffer;
    use super::module::{self, Dummy, Patch};

    pub(crate) const SV_LEAK: u64 = 1;
    const LEAK: raw::Id<Buffer> = raw::Id::new(SV_LEAK);

    pub(crate) const PATCH: Patch = Patch { name: "fix 1", allocate: Some(allocate), free: Some(free), check: None };

    /// Objects that had no buffer to give back, since they were made before the fix.
    static TOLERATED: AtomicUsize = AtomicUsize::new(0);

    fn allocate(now: u64) -> *mut Dummy {
        let dummy = Dummy::bare(now);
        // SAFETY: by P1 and P2; the reference that comes back is dropped at once.
        let attached = unsafe { LEAK.attach(dummy.cast_const().cast(), Buffer::allocate()) };
        attached.expect("by P1 a new object has no fields");
        dummy
    }

    /// # Safety
    ///
    /// As for [`module::free`], but that the object may have this field.
    pub(crate) unsafe fn free(dummy: *mut Dummy) {
        // SAFETY: by P2.
        let buffer = unsafe { LEAK.detach(dummy.cast_const().cast()) }.expect("the number names buffers");
        if buffer.is_none() {
            TOLERATED.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the caller's promise, and the field has ended.
        unsafe { module::free(dummy) };
    }

    pub(crate) fn tolerated() -> usize {
        TOLERATED.load(Ordering::Relaxed)
    }

    /// Ends the field on every object. The buffers are given back, as they are by [`free`].
    pub(crate) fn unload() -> usize {
        // SAFETY: by P2.
        unsafe { LEAK.detach_all(|_, buffer| drop(buffer)) }.expect("the number names buffers")
    }
}

/// Fix 2: counts how often each object is checked. It is loaded on top of fix 1, whose `allocate` stays.
mod fix2 {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicU32, Ordering};

    use shadow_runtime::raw;

    use super::fix1;
    use super::module::{self, Dummy, Patch};

    pub(crate) const SV_COUNTER: u64 = 2;
    const COUNTER: raw::Id<AtomicU32> = raw::Id::new(SV_COUNTER);

    pub(crate) const PATCH: Patch = Patch { name: "fix 2", allocate: None, free: Some(free), check: Some(check) };

    /// What the objects that were freed had counted.
    static CHECKS_OF_THE_FREED: AtomicU32 = AtomicU32::new(0);

    /// # Safety
    ///
    /// As for [`module::check`].
    unsafe fn check(dummy: *mut Dummy, now: u64) -> bool {
        let init = || Ok::<_, Infallible>(AtomicU32::new(0));
        // SAFETY: by P1 and P2; the reference is used in the next statement for the last time.
        let count = unsafe { COUNTER.get_or_attach(dummy.cast_const().cast(), init) };
        count.expect("the number names counts").fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { module::check(dummy, now) }
    }

    /// # Safety
    ///
    /// As for [`fix1::free`], but that the object may have this field, too.
    unsafe fn free(dummy: *mut Dummy) {
        // SAFETY: by P2.
        let count = unsafe { COUNTER.detach(dummy.cast_const().cast()) }.expect("the number names counts");
        CHECKS_OF_THE_FREED.fetch_add(count.map_or(0, AtomicU32::into_inner), Ordering::Relaxed);
        // SAFETY: the caller's promise, and this field has ended.
        unsafe { fix1::free(dummy) };
    }

    pub(crate) fn checks_of_the_freed() -> u32 {
        CHECKS_OF_THE_FREED.load(Ordering::Relaxed)
    }

    /// Ends the field on every object.
    pub(crate) fn unload() -> usize {
        // SAFETY: by P2.
        unsafe { COUNTER.detach_all(|_, _| ()) }.expect("the number names counts")
    }
}
