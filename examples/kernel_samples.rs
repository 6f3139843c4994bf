//! The kernel's `samples/livepatch/livepatch-shadow-{mod,fix1,fix2}.c`, rewritten with `raw`.
//!
//! `cargo run --release --example kernel_samples`
//!
//! A module makes objects, each with a buffer. The module loses the address of the buffer, so every buffer leaks. Two
//! fixes are loaded while objects are alive. Fix 1 stores the buffer of each new object in a shadow field of the
//! object; objects from before fix 1 have no field, and are tolerated. Fix 2 counts the checks of an object, and
//! attaches the counter to new and old objects. The unload of a fix detaches the fix's own field from every object, and
//! no other field.
//!
//! # The guarantees of this program to `raw`
//!
//! - **X1** The object outlives its fields. While a fix is loaded, the function that frees objects detaches the fix's
//!   field first. The unload of a fix detaches the remaining fields before the module frees another object.
//! - **X2** A detached value is not used. The program has one thread, and no function keeps a reference to a value
//!   beyond its return.
//!
//! A guarantee inside of the program:
//!
//! - **X3** An object in the list is live. The object is a box that `allocate` has turned into a pointer. Only the
//!   list has the pointer, and the removal from the list comes before the free.

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

/// Runs cycles of the module, and prints a line after each cleanup.
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

/// The number of objects with the field `number`.
fn live(number: u64) -> usize {
    let report = registry().report();
    let row = report.iter().find(|row| row.field() == number.to_string());
    row.map_or(0, |row| usize::try_from(row.live()).expect("few objects"))
}

/// Stands for memory that the kernel would leak. A counter has the number of buffers in use.
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

/// The leaking module: makes an object at each tick, and frees the expired objects at every third tick.
mod module {
    use super::{Buffer, mem};

    const TICKS_PER_CLEANUP: u64 = 3;
    const LIFE: u64 = 12;

    /// The object of the module. The frozen layout has no room for the address of the buffer.
    pub(crate) struct Dummy {
        expires: u64,
    }

    /// The functions of the module that a patch may replace.
    pub(crate) struct Patch {
        pub(crate) name: &'static str,
        pub(crate) allocate: Option<fn(u64) -> *mut Dummy>,
        pub(crate) free: Option<unsafe fn(*mut Dummy)>,
        pub(crate) check: Option<unsafe fn(*mut Dummy, u64) -> bool>,
    }

    /// The module, and the patches on the module, the newest last. A call goes to the newest version of a function.
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
        // The bug: this line loses the buffer.
        mem::forget(Buffer::allocate());
        Dummy::bare(now)
    }

    /// # Safety
    ///
    /// The dummy has just left the list (X3), and has no fields (X1).
    pub(crate) unsafe fn free(dummy: *mut Dummy) {
        // SAFETY: by X3 the dummy is a box, and the list had the only pointer. The dummy has left the list, so this
        // function is the only owner.
        drop(unsafe { Box::from_raw(dummy) });
    }

    /// # Safety
    ///
    /// The dummy is in the list (X3).
    pub(crate) unsafe fn check(dummy: *mut Dummy, now: u64) -> bool {
        // SAFETY: by the contract the dummy is in the list, and so by X3 the dummy is live.
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

        /// Makes a few objects, and frees the expired objects.
        pub(crate) fn cycle(&mut self) {
            let allocate = self.newest_of(|patch| patch.allocate);
            for _ in 0..TICKS_PER_CLEANUP {
                self.now += 1;
                self.dummies.push(allocate(self.now));
            }
            let (check, now) = (self.newest_of(|patch| patch.check), self.now);
            // SAFETY: `free_if` calls this closure for each dummy of the list, as `check` requires.
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
                // SAFETY: the dummy has just left the list (X3). By X1 the newest `free` detaches the dummy's fields.
                unsafe { free(dummy) };
            }
        }

        fn newest_of<F>(&self, function: impl Fn(&Patch) -> Option<F>) -> F {
            self.patches.iter().rev().find_map(function).expect("the module itself has all functions")
        }
    }
}

/// Fix 1: a shadow field has the buffer of an object, and the free of the object frees the buffer.
mod fix1 {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use shadow_runtime::raw;

    use super::Buffer;
    use super::module::{self, Dummy, Patch};

    pub(crate) const SV_LEAK: u64 = 1;
    const LEAK: raw::Id<Buffer> = raw::Id::new(SV_LEAK);

    pub(crate) const PATCH: Patch = Patch { name: "fix 1", allocate: Some(allocate), free: Some(free), check: None };

    /// The number of freed objects without a buffer, from before the fix.
    static TOLERATED: AtomicUsize = AtomicUsize::new(0);

    fn allocate(now: u64) -> *mut Dummy {
        let dummy = Dummy::bare(now);
        // SAFETY: by X1 `free` detaches the field before the end of the dummy. By X2 no detach runs during this call,
        // and this function does not use the returned reference.
        let attached = unsafe { LEAK.attach(dummy.cast_const().cast(), Buffer::allocate()) };
        attached.expect("by X1 a new object has no fields");
        dummy
    }

    /// # Safety
    ///
    /// As for [`module::free`]; but the object may have this field.
    pub(crate) unsafe fn free(dummy: *mut Dummy) {
        // SAFETY: by X2 no reference to the detached value is in use.
        let buffer = unsafe { LEAK.detach(dummy.cast_const().cast()) }.expect("the number names buffers");
        if buffer.is_none() {
            TOLERATED.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: by the contract the dummy has just left the list. The field is detached, and fix 1 has no other
        // field.
        unsafe { module::free(dummy) };
    }

    pub(crate) fn tolerated() -> usize {
        TOLERATED.load(Ordering::Relaxed)
    }

    /// Detaches the field from every object, and frees the buffers, as [`free`] does.
    pub(crate) fn unload() -> usize {
        // SAFETY: by X2 no reference to a detached value is in use.
        unsafe { LEAK.detach_all(|_, buffer| drop(buffer)) }.expect("the number names buffers")
    }
}

/// Fix 2: counts the checks of each object. Fix 2 is loaded on top of fix 1, and keeps the `allocate` of fix 1.
mod fix2 {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicU32, Ordering};

    use shadow_runtime::raw;

    use super::fix1;
    use super::module::{self, Dummy, Patch};

    pub(crate) const SV_COUNTER: u64 = 2;
    const COUNTER: raw::Id<AtomicU32> = raw::Id::new(SV_COUNTER);

    pub(crate) const PATCH: Patch = Patch { name: "fix 2", allocate: None, free: Some(free), check: Some(check) };

    /// The sum of the counters of all freed objects.
    static CHECKS_OF_THE_FREED: AtomicU32 = AtomicU32::new(0);

    /// # Safety
    ///
    /// As for [`module::check`].
    unsafe fn check(dummy: *mut Dummy, now: u64) -> bool {
        let init = || Ok::<_, Infallible>(AtomicU32::new(0));
        // SAFETY: by X1 `free` detaches the field before the end of the dummy. By X2 no detach runs before the last use
        // of the reference, in the next statement.
        let count = unsafe { COUNTER.get_or_attach(dummy.cast_const().cast(), init) };
        count.expect("the number names counts").fetch_add(1, Ordering::Relaxed);
        // SAFETY: by the contract the dummy is in the list.
        unsafe { module::check(dummy, now) }
    }

    /// # Safety
    ///
    /// As for [`fix1::free`]; but the object may also have this field.
    unsafe fn free(dummy: *mut Dummy) {
        // SAFETY: by X2 no reference to the detached value is in use.
        let count = unsafe { COUNTER.detach(dummy.cast_const().cast()) }.expect("the number names counts");
        CHECKS_OF_THE_FREED.fetch_add(count.map_or(0, AtomicU32::into_inner), Ordering::Relaxed);
        // SAFETY: by the contract the dummy has just left the list. This field is detached, and `fix1::free` detaches
        // the field of fix 1.
        unsafe { fix1::free(dummy) };
    }

    pub(crate) fn checks_of_the_freed() -> u32 {
        CHECKS_OF_THE_FREED.load(Ordering::Relaxed)
    }

    /// Detaches the field from every object.
    pub(crate) fn unload() -> usize {
        // SAFETY: by X2 no reference to a detached value is in use.
        unsafe { COUNTER.detach_all(|_, _| ()) }.expect("the number names counts")
    }
}
