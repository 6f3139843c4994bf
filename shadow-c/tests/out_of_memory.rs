//! Without memory, a call fails with `ENOMEM`, whichever allocation fails: an attach attaches nothing, an update
//! replaces nothing, a description and a report change nothing, and no call leaks memory. A deadlock of constructors is
//! `EDEADLK`, also without memory.
//!
//! The allocator of this file fails from the n-th allocation of a call on, for growing n, until the call succeeds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::Duration;
use std::{io, ptr, thread};

use shadow_fields::{
    shadow_field_alloc, shadow_field_describe, shadow_field_dtor, shadow_field_free, shadow_field_free_all,
    shadow_field_free_object, shadow_field_get, shadow_field_get_or_alloc, shadow_field_get_or_update,
    shadow_field_on_warning, shadow_field_read, shadow_field_report, shadow_field_string_free,
};

struct Failing;

#[global_allocator]
static ALLOCATOR: Failing = Failing;

thread_local! {
    /// The number of allocations of this thread that succeed before all fail; `None`: no failure.
    static SUCCEED: Cell<Option<usize>> = const { Cell::new(None) };

    /// The allocations of this thread, less the frees.
    static ALLOCATED: Cell<isize> = const { Cell::new(0) };

    /// The calls of `construct` on this thread.
    static CONSTRUCTED: Cell<usize> = const { Cell::new(0) };
}

fn fails() -> bool {
    let Some(succeed) = SUCCEED.get() else { return false };
    SUCCEED.set(Some(succeed.saturating_sub(1)));
    succeed == 0
}

// SAFETY: each call is passed on to the system's allocator, or returns null, the sign of a failed allocation. The
// counter is a thread-local without destructor or allocation, and no method unwinds.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails() {
            return ptr::null_mut();
        }
        ALLOCATED.set(ALLOCATED.get() + 1);
        // SAFETY: `GlobalAlloc::alloc` requires a layout with a non-zero size, and so does `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        ALLOCATED.set(ALLOCATED.get() - 1);
        // SAFETY: `System` has allocated the memory with this layout.
        unsafe { System.dealloc(start, layout) };
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if fails() {
            return ptr::null_mut();
        }
        ALLOCATED.set(ALLOCATED.get() + 1);
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if fails() {
            return ptr::null_mut();
        }
        // SAFETY: `System` has allocated the memory with this layout; the caller guarantees the rest.
        unsafe { System.realloc(start, layout, size) }
    }
}

/// Calls `work` with one more allocation each time, until the call succeeds. After each failure, which is `ENOMEM`,
/// calls `check` with memory. Returns the number of failures, and the result.
fn failures<R>(work: impl Fn() -> Option<R>, check: impl Fn()) -> (usize, R) {
    for succeed in 0..100 {
        SUCCEED.set(Some(succeed));
        let result = work();
        let error = last_error();
        SUCCEED.set(None);
        if let Some(result) = result {
            return (succeed, result);
        }
        assert_eq!(error, libc::ENOMEM);
        check();
    }
    panic!("a hundred allocations are not enough");
}

/// As [`failures`], for an attach by [`construct`]. A failed attach attaches nothing, and does not run the constructor.
fn failed_attaches(obj: *mut c_void, id: u64, attach: impl Fn() -> *mut c_void) -> usize {
    // SAFETY: the object outlives the field.
    let there = || unsafe { shadow_field_get(obj, id) };
    let constructed = CONSTRUCTED.get();
    let (failures, data) = failures(
        || NonNull::new(attach()),
        || {
            assert!(there().is_null());
            assert_eq!(CONSTRUCTED.get(), constructed, "all memory is allocated before the constructor");
        },
    );
    assert_eq!(there(), data.as_ptr());
    assert_eq!(CONSTRUCTED.get(), constructed + 1);
    failures
}

fn last_error() -> c_int {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

unsafe extern "C-unwind" fn construct(_obj: *mut c_void, data: *mut c_void, _ctor_data: *mut c_void) -> c_int {
    CONSTRUCTED.set(CONSTRUCTED.get() + 1);
    // SAFETY: the field has eight bytes, aligned for an integer.
    unsafe { data.cast::<u64>().write(7) };
    0
}

unsafe extern "C" fn count(_message: *const c_char, count: *mut c_void) {
    // SAFETY: the test passes a counter.
    let count = unsafe { &mut *count.cast::<u32>() };
    *count += 1;
}

/// Locked by tests with a refused attach, which calls the function for warnings.
static WARNINGS: Mutex<()> = Mutex::new(());

/// The first attach of a thread registers a destructor of a thread-local, for which the system's C library allocates.
fn warm_up() {
    let mut object = 0_u8;
    let obj = (&raw mut object).cast::<c_void>();
    // SAFETY: the object outlives its field.
    let data = unsafe { shadow_field_alloc(obj, 1, 8, None, ptr::null_mut()) };
    assert!(!data.is_null());
    // SAFETY: nobody uses the bytes.
    assert!(unsafe { shadow_field_free(obj, 1, None) });
}

#[test]
fn an_attach_without_memory_is_refused_and_attaches_nothing() {
    warm_up();
    let mut objects = vec![0_u8; 20_000];
    let first = (&raw mut objects[0]).cast::<c_void>();
    // A new number has a table, a registration and a field.
    for id in 2..100 {
        // SAFETY: `objects` outlive their fields.
        let attach = || unsafe { shadow_field_alloc(first, id, 8, Some(construct), ptr::null_mut()) };
        let failures = failed_attaches(first, id, attach);
        // The registration of the third failure stays.
        assert!(failures >= 4, "{failures}");
        // SAFETY: nobody uses the bytes.
        assert!(unsafe { shadow_field_free(first, id, None) });
    }
    // A table grows.
    let mut growths = 0;
    for object in &mut objects {
        let obj = (&raw mut *object).cast::<c_void>();
        // SAFETY: `objects` outlive their fields.
        let attach = || unsafe { shadow_field_get_or_alloc(obj, 2, 8, Some(construct), ptr::null_mut()) };
        let failures = failed_attaches(obj, 2, attach);
        assert!(failures >= 2, "{failures}");
        growths += usize::from(failures > 2);
    }
    assert!(growths > 20, "{growths}");
    // SAFETY: nobody uses the bytes.
    assert_eq!(unsafe { shadow_field_free_all(2, None) }, objects.len());
}

/// The refusal of a second attach, its warning, and the end of a field need no memory.
#[test]
fn a_refusal_and_a_free_need_no_memory() {
    let _alone = WARNINGS.lock();
    warm_up();
    let (mut object, mut warnings) = (0_u8, 0_u32);
    let obj = (&raw mut object).cast::<c_void>();
    // SAFETY: the counter outlives the calls of `count`.
    unsafe { shadow_field_on_warning(Some(count), (&raw mut warnings).cast()) };
    // SAFETY: the object outlives its field.
    let attach = || unsafe { shadow_field_alloc(obj, 1_000, 8, None, ptr::null_mut()) };
    assert!(!attach().is_null());
    SUCCEED.set(Some(0));
    let second = attach();
    let error = last_error();
    // SAFETY: nobody uses the bytes.
    let freed = unsafe { shadow_field_free(obj, 1_000, None) };
    SUCCEED.set(None);
    assert_eq!((second, error, freed), (ptr::null_mut(), libc::EEXIST, true));
    // SAFETY: without a function, no data is used.
    unsafe { shadow_field_on_warning(None, ptr::null_mut()) };
    assert_eq!(warnings, 1);
}

/// The newest value of a field of eight bytes, or `None`.
fn read(obj: *mut c_void, id: u64) -> Option<u64> {
    let mut value = 0_u64;
    // SAFETY: the object outlives the field, and `value` has eight bytes.
    let size = unsafe { shadow_field_read(obj, id, (&raw mut value).cast(), 8) };
    (size == 8).then_some(value)
}

/// Replaces the newest value by `value`, with one more allocation each time, until the update succeeds. Asserts that no
/// failure changes the field. Returns the number of failures.
fn update_until_it_succeeds(obj: *mut c_void, id: u64, value: u64) -> usize {
    let before = read(obj, id);
    for succeed in 0..100 {
        let (mut old, allocated) = (1_u64, ALLOCATED.get());
        SUCCEED.set(Some(succeed));
        // SAFETY: the object outlives the field, and both integers have eight bytes.
        let result =
            unsafe { shadow_field_get_or_update(obj, id, (&raw const value).cast(), 8, (&raw mut old).cast()) };
        let error = io::Error::last_os_error().raw_os_error();
        SUCCEED.set(None);
        if result != -1 {
            assert_eq!((result, old), (c_int::from(before.is_some()), before.unwrap_or(1)));
            assert_eq!(read(obj, id), Some(value));
            return succeed;
        }
        assert_eq!((error, old, read(obj, id)), (Some(libc::ENOMEM), 1, before));
        // A number stays once it has a table.
        assert!(before.is_none() || ALLOCATED.get() <= allocated, "the failure leaks");
    }
    panic!("a hundred allocations are not enough");
}

/// Frees the field of an object, and asserts that the destructor gets `value`.
fn free_value(object: &mut u64, id: u64, value: u64) {
    unsafe extern "C-unwind" fn move_out(obj: *mut c_void, data: *mut c_void) {
        // SAFETY: the object and the field have eight bytes, aligned for an integer.
        unsafe { obj.cast::<u64>().copy_from_nonoverlapping(data.cast(), 1) };
    }
    // SAFETY: no thread uses the bytes.
    assert!(unsafe { shadow_field_free((&raw mut *object).cast(), id, Some(move_out)) });
    assert_eq!(*object, value);
}

#[test]
fn an_update_without_memory_is_refused_and_replaces_nothing() {
    warm_up();
    let mut objects = vec![0_u64; 20_000];
    for id in 2_000..2_100 {
        let obj = (&raw mut objects[0]).cast();
        // A new number has a table, a registration, a value and a field.
        let failures = update_until_it_succeeds(obj, id, id);
        assert!(failures >= 5, "{failures}");
        free_value(&mut objects[0], id, id);
        // Before and after the calls, the process has the number, the memory of the table, and the cached node of the
        // thread.
        let allocated = ALLOCATED.get();
        for value in [7, 8] {
            assert!(update_until_it_succeeds(obj, id, value) >= 1, "the value needs memory");
        }
        free_value(&mut objects[0], id, 8);
        assert_eq!(ALLOCATED.get(), allocated, "no call leaks");
    }
    // A table grows.
    let mut growths = 0;
    for object in &mut objects {
        let failures = update_until_it_succeeds((&raw mut *object).cast(), 2_000, 9);
        assert!(failures >= 2, "{failures}");
        growths += usize::from(failures > 3);
    }
    assert!(growths > 20, "{growths}");
    for object in &mut objects {
        free_value(object, 2_000, 9);
    }
}

/// A thread needs memory for its first read, unless another thread has left memory. So of many threads, some fail.
#[test]
fn a_first_read_without_memory_is_refused() {
    const ID: u64 = 2_200;
    const THREADS: usize = 20;
    warm_up();
    let object = 0_u64;
    let obj = || (&raw const object).cast_mut().cast::<c_void>();
    update_until_it_succeeds(obj(), ID, 7);
    let (all_have_read, failures) = (Barrier::new(THREADS), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let allocated = ALLOCATED.get();
                SUCCEED.set(Some(0));
                let first = read(obj(), ID);
                let error = io::Error::last_os_error().raw_os_error();
                SUCCEED.set(None);
                if first.is_none() {
                    failures.fetch_add(1, Ordering::Relaxed);
                    assert_eq!((error, ALLOCATED.get()), (Some(libc::ENOMEM), allocated));
                }
                // The memory of a thread that has ended is for other threads.
                assert!(first.is_none_or(|value| value == 7) && read(obj(), ID) == Some(7));
                all_have_read.wait();
            });
        }
    });
    assert!(failures.into_inner() > 0);
    // SAFETY: no thread uses the bytes.
    assert!(unsafe { shadow_field_free(obj(), ID, None) });
}

/// The first call of a thread allocates by the C library alone, for a destructor of the thread.
#[cfg(target_env = "gnu")]
#[test]
fn a_refusal_or_a_free_that_is_the_first_call_of_a_thread_needs_no_memory() {
    const ID: u64 = 6_000;
    let _alone = WARNINGS.lock();
    let object = 0_u8;
    let obj = || (&raw const object).cast_mut().cast::<c_void>();
    // SAFETY: the object outlives its field.
    let attach = || unsafe { shadow_field_alloc(obj(), ID, 8, None, ptr::null_mut()) };
    // SAFETY: no thread uses the bytes.
    let free = || usize::from(unsafe { shadow_field_free(obj(), ID, None) });
    // SAFETY: as above.
    let free_all = || unsafe { shadow_field_free_all(ID, None) };
    // SAFETY: as above.
    let free_object = || unsafe { shadow_field_free_object(obj(), None) };
    let refuse = || usize::from(attach().is_null() && last_error() == libc::EEXIST);
    let calls: [&(dyn Fn() -> usize + Sync); 4] = [&refuse, &free, &free_all, &free_object];
    for call in calls {
        attach();
        let result = thread::scope(|scope| {
            let first = scope.spawn(|| {
                SUCCEED.set(Some(0));
                let result = call();
                SUCCEED.set(None);
                result
            });
            first.join().expect("no call panics")
        });
        assert_eq!(result, 1);
    }
}

/// A free beside a reader of the value needs no memory: the free waits for the reader, does not lose the value, and
/// returns `true`.
#[test]
fn a_free_beside_a_reader_needs_no_memory() {
    const ID: u64 = 1_001;
    const SIZE: usize = 1 << 20;
    let (object, stop) = (0_u8, AtomicBool::new(false));
    let obj = || (&raw const object).cast_mut().cast::<c_void>();
    let value = vec![7_u8; SIZE];
    let attach = || {
        // SAFETY: the object outlives its field, and the value has so many bytes.
        let attached = unsafe { shadow_field_get_or_update(obj(), ID, value.as_ptr().cast(), SIZE, ptr::null_mut()) };
        assert_eq!(attached, 0);
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut copy = vec![0_u8; SIZE];
            while !stop.load(Ordering::Relaxed) {
                // SAFETY: the copy has room for so many bytes.
                let is_there = unsafe { shadow_field_read(obj(), ID, copy.as_mut_ptr().cast(), SIZE) } > 0;
                // The first read of a thread allocates. The last reader of a value reclaims the value.
                SUCCEED.set(is_there.then_some(0).or(SUCCEED.get()));
            }
            SUCCEED.set(None);
        });
        let mut freed = 0;
        for round in 0..200 {
            attach();
            if round % 2 == 0 {
                thread::sleep(Duration::from_micros(50));
            }
            SUCCEED.set(Some(0));
            // SAFETY: the reader copies the bytes.
            freed += u32::from(unsafe { shadow_field_free(obj(), ID, Some(check)) });
            SUCCEED.set(None);
        }
        stop.store(true, Ordering::Relaxed);
        assert_eq!(freed, 200);
    });
}

/// Attaches a field of bytes at one address, and a field whose value is replaced.
fn attach_both(obj: *mut c_void, id: u64) {
    let value = 7_u64;
    // SAFETY: the object outlives the field.
    let data = unsafe { shadow_field_alloc(obj, id, size_of::<u64>(), Some(construct), ptr::null_mut()) };
    assert!(!data.is_null());
    // SAFETY: the object outlives the field, and the value has so many bytes.
    let attached = unsafe {
        shadow_field_get_or_update(obj, id + 1, (&raw const value).cast(), size_of::<u64>(), ptr::null_mut())
    };
    assert_eq!(attached, 0);
}

/// Frees both fields of `attach_both` of all objects, without memory. Returns the counts.
fn free_all_without_memory(id: u64, dtor: shadow_field_dtor) -> [usize; 2] {
    SUCCEED.set(Some(0));
    // SAFETY: nobody uses the bytes.
    let freed = [id, id + 1].map(|id| unsafe { shadow_field_free_all(id, dtor) });
    SUCCEED.set(None);
    freed
}

fn address(object: &u8) -> *mut c_void {
    ptr::from_ref(object).cast_mut().cast()
}

#[test]
fn the_end_of_all_fields_needs_no_memory_whatever_their_number() {
    const ID: u64 = 1_010;
    warm_up();
    let objects = vec![0_u8; 3_000];
    for count in [0, 1, 2, 7, 100, 101, 3_000, 5] {
        for object in &objects[..count] {
            attach_both(address(object), ID);
        }
        assert_eq!(free_all_without_memory(ID, Some(is_seven)), [count; 2]);
        assert_eq!(free_all_without_memory(ID, None), [0; 2]);
    }
}

#[test]
fn the_end_of_an_object_needs_no_memory_whatever_the_number_of_its_fields() {
    const FIRST: u64 = 1_100;
    warm_up();
    let (object, other) = (0_u8, 0_u8);
    for count in [0, 1, 2, 40] {
        for index in 0..count {
            attach_both(address(&object), FIRST + 2 * index);
            attach_both(address(&other), FIRST + 2 * index);
        }
        for object in [&object, &other] {
            SUCCEED.set(Some(0));
            // SAFETY: nobody uses the bytes.
            let freed = unsafe { shadow_field_free_object(address(object), Some(is_seven_each)) };
            SUCCEED.set(None);
            assert_eq!(freed as u64, 2 * count);
        }
    }
}

/// The destructor attaches the field to a new object, so the table grows during the call.
#[test]
fn the_end_of_all_fields_ends_while_a_destructor_attaches_others() {
    const COUNT: usize = 100;
    warm_up();
    let objects = vec![0_u8; COUNT];
    for object in &objects {
        attach_both(address(object), ATTACHING);
    }
    SUCCEED.set(Some(0));
    // SAFETY: nobody uses the bytes.
    let freed = unsafe { shadow_field_free_all(ATTACHING, Some(attach_another)) };
    SUCCEED.set(None);
    assert!(objects.iter().all(|object| {
        // SAFETY: the object outlives its field.
        unsafe { shadow_field_get(address(object), ATTACHING) }.is_null()
    }));
    let attached = ATTACHED.load(Ordering::Relaxed);
    assert!(freed >= COUNT && attached == 4 * freed.min(COUNT), "{freed} freed, {attached} attached");
    let rest = free_all_without_memory(ATTACHING, None);
    assert_eq!((freed + rest[0], rest[1]), (COUNT + attached, COUNT));
}

/// Without memory on this thread, beside a thread that attaches to the upper half of the objects.
#[test]
fn the_end_of_all_fields_beside_attaches_needs_no_memory() {
    const ID: u64 = 1_040;
    warm_up();
    let (objects, stop) = (vec![0_u8; 4_000], AtomicBool::new(false));
    let (first, second) = objects.split_at(2_000);
    thread::scope(|scope| {
        let attaching = scope.spawn(|| {
            let mut attached = 0;
            for object in second.iter().cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
                // SAFETY: the object outlives its field.
                let data = unsafe { shadow_field_alloc(address(object), ID, 8, Some(construct), ptr::null_mut()) };
                attached += usize::from(!data.is_null());
            }
            attached
        });
        let mut freed = 0;
        for _ in 0..50 {
            for object in first {
                // SAFETY: the object outlives its field.
                let data = unsafe { shadow_field_alloc(address(object), ID, 8, Some(construct), ptr::null_mut()) };
                assert!(!data.is_null());
            }
            let [count, _] = free_all_without_memory(ID, Some(is_seven));
            assert!(count >= first.len(), "{count}");
            freed += count;
        }
        stop.store(true, Ordering::Relaxed);
        let attached = attaching.join().expect("it does not panic");
        freed += free_all_without_memory(ID, Some(is_seven))[0];
        assert_eq!(freed, 50 * first.len() + attached);
    });
}

const ATTACHING: u64 = 1_030;

/// The number of fields that `attach_another` has attached.
static ATTACHED: AtomicUsize = AtomicUsize::new(0);

/// Attaches the field to four addresses of no object. Only the first hundred calls do so.
unsafe extern "C-unwind" fn attach_another(_obj: *mut c_void, data: *mut c_void) {
    let attached = ATTACHED.load(Ordering::Relaxed);
    if attached < 400 {
        let succeed = SUCCEED.replace(None);
        for index in 0..4 {
            let obj = ptr::without_provenance_mut(64 * (1 + attached + index));
            // SAFETY: no object is at the address.
            let new = unsafe { shadow_field_alloc(obj, ATTACHING, 8, Some(construct), ptr::null_mut()) };
            assert!(!new.is_null());
        }
        ATTACHED.store(attached + 4, Ordering::Relaxed);
        SUCCEED.set(succeed);
    }
    // SAFETY: the field has eight bytes, aligned for an integer.
    assert_eq!(unsafe { data.cast::<u64>().read() }, 7);
}

unsafe extern "C-unwind" fn is_seven(_obj: *mut c_void, data: *mut c_void) {
    // SAFETY: the field has eight bytes, aligned for an integer.
    assert_eq!(unsafe { data.cast::<u64>().read() }, 7);
}

unsafe extern "C-unwind" fn is_seven_each(_obj: *mut c_void, _id: u64, data: *mut c_void) {
    // SAFETY: the field has eight bytes, aligned for an integer.
    assert_eq!(unsafe { data.cast::<u64>().read() }, 7);
}

unsafe extern "C-unwind" fn check(_obj: *mut c_void, data: *mut c_void) {
    // SAFETY: the field has more than four bytes, aligned for an integer.
    assert_eq!(unsafe { data.cast::<u32>().read() }, 0x0707_0707);
}

/// The report, and the number of its failures before.
fn report() -> (usize, String) {
    let (failures, report) = failures(|| NonNull::new(shadow_field_report()), || ());
    // SAFETY: the report is a string.
    let text = unsafe { CStr::from_ptr(report.as_ptr()) }.to_str().expect("the report is UTF-8").to_owned();
    // SAFETY: the string comes from the report, and is freed once.
    unsafe { shadow_field_string_free(report.as_ptr()) };
    (failures, text)
}

#[test]
fn a_description_or_a_report_without_memory_is_refused_and_changes_nothing() {
    warm_up();
    let mut object = 0_u8;
    let obj = (&raw mut object).cast::<c_void>();
    let mut growths = 0;
    for id in 4_000..4_020 {
        // SAFETY: the object outlives its field.
        assert!(!unsafe { shadow_field_alloc(obj, id, 8, None, ptr::null_mut()) }.is_null());
        let texts = ["name", "type", "file"].map(|text| format!("{text} of the number {id}"));
        let strings = texts.each_ref().map(|text| CString::new(&**text).expect("there is no NUL"));
        let [name, type_name, file] = strings.each_ref().map(|text| text.as_ptr());
        // SAFETY: the pointers are strings.
        let describe = || (unsafe { shadow_field_describe(id, name, type_name, file, 7) } == 0).then_some(());
        let (failures, ()) = failures(describe, || {
            let (failures, report) = report();
            assert!(failures >= 4, "{failures}");
            assert!(texts.iter().all(|text| !report.contains(text)), "{report}");
        });
        assert!(failures >= 6, "{failures}");
        growths += usize::from(failures > 6);
        let (_, report) = report();
        assert!(texts.iter().all(|text| report.contains(text)), "{report}");
        // SAFETY: no code uses the bytes.
        assert!(unsafe { shadow_field_free(obj, id, None) });
    }
    assert!((1..20).contains(&growths), "the memory for descriptions grows by more than one: {growths}");
}

/// A field that a constructor asks for with little memory.
struct Asked<'a> {
    obj: *mut c_void,
    id: u64,
    /// The number of allocations that succeed before all fail.
    succeed: usize,
    /// The constructors of the circle.
    barrier: &'a Barrier,
}

/// Asks for a field, and fails with the error of the attach.
unsafe extern "C-unwind" fn ask(_obj: *mut c_void, _data: *mut c_void, asked: *mut c_void) -> c_int {
    // SAFETY: the tests pass an `Asked`, which outlives the call.
    let asked = unsafe { &*asked.cast::<Asked<'_>>() };
    asked.barrier.wait();
    SUCCEED.set(Some(asked.succeed));
    // SAFETY: the object outlives the call, which attaches nothing.
    let data = unsafe { shadow_field_alloc(asked.obj, asked.id, 8, None, ptr::null_mut()) };
    let error = last_error();
    SUCCEED.set(None);
    assert!(data.is_null());
    error
}

/// Attaches a field whose constructor asks for the field `asked`. Returns the error.
fn ask_for(obj: *mut c_void, [id, asked]: [u64; 2], succeed: usize, barrier: &Barrier) -> c_int {
    let mut asked = Asked { obj, id: asked, succeed, barrier };
    // SAFETY: the object outlives the call, which attaches nothing.
    let data = unsafe { shadow_field_alloc(obj, id, 8, Some(ask), (&raw mut asked).cast()) };
    assert!(data.is_null());
    last_error()
}

#[test]
fn a_deadlock_of_constructors_is_an_error_also_without_memory() {
    const IDS: [u64; 2] = [5_000, 5_001];
    let object = 0_u8;
    let obj = || (&raw const object).cast_mut().cast::<c_void>();
    warm_up();
    for succeed in 0..20 {
        assert_eq!(ask_for(obj(), [IDS[0]; 2], succeed, &Barrier::new(1)), libc::EDEADLK);
    }
    // Two threads: one closes the circle. The other thread waits for the first constructor, and then has no memory.
    for _ in 0..100 {
        let barrier = Barrier::new(2);
        let mut errors = thread::scope(|scope| {
            let ask = |id, asked| {
                warm_up();
                ask_for(obj(), [id, asked], 0, &barrier)
            };
            let threads = [scope.spawn(move || ask(IDS[0], IDS[1])), scope.spawn(move || ask(IDS[1], IDS[0]))];
            threads.map(|thread| thread.join().expect("no thread panics"))
        });
        errors.sort_unstable();
        let mut expected = [libc::EDEADLK, libc::ENOMEM];
        expected.sort_unstable();
        assert_eq!(errors, expected);
    }
}
