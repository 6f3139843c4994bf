//! Fields whose bytes stay at one address: attach, lookup and end.
//!
//! In: an object's address and a number. Out: the address of the field's bytes. Neighbours: `block.rs`, the bytes;
//! `sizes.rs`; `updates.rs`, the other sort of fields. The functions for the end of fields end both sorts.
//!
//! # A lookup beside a free
//!
//! As in the kernel, a lookup of a field may run while another thread frees the field. `shadow_field_get` does not
//! dereference the block. `shadow_field_get_or_alloc` needs the size of a field that is there. Usually `sizes.rs` knows
//! that the size suffices. Otherwise the function reads the size from the block, under the lock that keeps the block
//! (`PointerId::inspect`).
//!
//! # Callbacks
//!
//! A constructor runs under one lock, the init lock of its field. Other threads that attach the same field wait for
//! this lock. A destructor runs after its field is gone, under no lock. If a callback throws, the block is freed during
//! unwinding. The library calls no callback inside of `catch_unwind`, which would abort on a foreign exception.
//! `shadow_field_free_all` and `shadow_field_free_object` iterate over a `Drain` and a `DrainObject`, whose drops end
//! the remaining fields: after an exception, no field is left, and unwinding frees the blocks.
#![allow(non_camel_case_types, reason = "the names of C")]

use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};

use shadow_runtime::raw::{InitError, PointerId};

use crate::block::{Block, Header, bytes_of};
use crate::border::{Border, fail};
use crate::{report, sizes, updates};

/// Fills the zeroed bytes of a new field: `obj`, `data` and `ctor_data` are the object, the bytes, and the argument of
/// the call that attaches the field. The result 0 attaches the field. Another result refuses the field: nothing is
/// attached, and the call fails with the absolute value in errno, as ENOMEM for the kernel's -ENOMEM.
///
/// The library allocates all memory before the constructor runs. So the result 0 always attaches the field.
///
/// Runs under no lock of the library, and may call every function of this header. Of threads that attach the same field
/// of the same object, one runs its constructor, and the others wait. If the constructor fails, a waiting thread runs
/// its own. A thread must not attach a field while the thread holds a lock that a constructor of the field acquires:
/// two such threads may deadlock.
///
/// A constructor may throw a C++ exception: nothing is attached, and the exception leaves the call.
pub type shadow_field_ctor =
    Option<unsafe extern "C-unwind" fn(obj: *mut c_void, data: *mut c_void, ctor_data: *mut c_void) -> c_int>;

/// Ends what the bytes of a field refer to. The library frees the bytes after the return. The field is gone already:
/// `shadow_field_get` returns NULL for it.
///
/// Runs under no lock, and may call every function of this header. A destructor should not throw. If a destructor
/// throws, the exception leaves the function that has called the destructor. The function first frees the bytes of the
/// field, and detaches and frees the other fields that the call was to free, without more calls of destructors. A value
/// that a thread is copying is freed after the copy.
pub type shadow_field_dtor = Option<unsafe extern "C-unwind" fn(obj: *mut c_void, data: *mut c_void)>;

/// As `shadow_field_dtor`, for all fields of an object: `id` tells the field.
pub type shadow_field_each = Option<unsafe extern "C-unwind" fn(obj: *mut c_void, id: u64, data: *mut c_void)>;

/// The alignment of `max_align_t`.
const DEFAULT_ALIGN: usize = 16;

#[inline]
fn field(id: u64) -> PointerId<Block> {
    PointerId::new(id)
}

fn key(obj: *const c_void) -> *const () {
    obj.cast()
}

/// Finds a field.
///
/// Returns the address of the field's bytes, or NULL if the object has no such field. Sets errno only if the number
/// names a field of `shadow_field_get_or_update`, or a field of Rust code: EPROTOTYPE.
///
/// Takes no lock, does not block, and does not allocate. The call is always safe: another thread may call any function
/// for the same field at the same time, also `shadow_field_free`. The use of the bytes is safe until the field is
/// freed: the caller makes sure that no thread frees the field before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shadow_field_get(obj: *const c_void, id: u64) -> *mut c_void {
    // SAFETY: the caller guarantees that the field belongs to the object at this address.
    match unsafe { field(id).get(key(obj)) } {
        Ok(Some(header)) => bytes_of(header),
        Ok(None) => ptr::null_mut(),
        Err(_) => fail(libc::EPROTOTYPE),
    }
}

/// Attaches a field of `size` bytes to an object that does not have the field. The bytes are zeroed, and aligned like
/// `max_align_t`. Their address stays the same until the field is freed. `ctor`, unless NULL, gets the bytes and
/// `ctor_data`, and fills the bytes.
///
/// Returns the address of the bytes, or NULL and errno: EEXIST if the object has the field, with a warning
/// (`shadow_field_on_warning`); ENOMEM; EDEADLK if the call would wait for itself, as a call for a field in the field's
/// own constructor, or in a circle of constructors that wait for each other; EPROTOTYPE if the number names another
/// sort of field; or what `ctor` has returned. Without memory, nothing is attached; EEXIST and EDEADLK need no memory.
///
/// Allocates; takes a lock for a moment; waits for a running constructor of the same field. Of racing threads, one
/// attaches. The object has to outlive the field: free the field before the object. Otherwise the next object at the
/// same address inherits the field.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn shadow_field_alloc(
    obj: *mut c_void,
    id: u64,
    size: usize,
    ctor: shadow_field_ctor,
    ctor_data: *mut c_void,
) -> *mut c_void {
    // SAFETY: the caller's obligations are the same.
    unsafe { shadow_field_alloc_aligned(obj, id, size, DEFAULT_ALIGN, ctor, ctor_data) }
}

/// As `shadow_field_alloc`, with bytes aligned to `align`, a power of two. Returns NULL and EINVAL for another `align`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn shadow_field_alloc_aligned(
    obj: *mut c_void,
    id: u64,
    size: usize,
    align: usize,
    ctor: shadow_field_ctor,
    ctor_data: *mut c_void,
) -> *mut c_void {
    // SAFETY: the caller's obligations are the same.
    let construct = |data| ctor.map_or(0, |ctor| unsafe { ctor(obj, data, ctor_data) });
    // SAFETY: the caller's obligations are the same.
    unsafe { attach(obj, id, size, align, construct) }
}

/// Finds a field, or attaches it as `shadow_field_alloc` does.
///
/// Returns the address of the bytes, or NULL and errno: EMSGSIZE if the object has the field with fewer than `size`
/// bytes; ENOMEM, EDEADLK, EPROTOTYPE, or what `ctor` has returned, as `shadow_field_alloc`.
///
/// If the field is there, the call allocates nothing, and usually takes no lock. The call takes a lock for a moment if
/// the number has fields of several sizes, and may do so if the program has many numbers. If the field is not there,
/// the call allocates and waits as `shadow_field_alloc` does. Of racing threads, one runs its constructor, and all get
/// its field.
///
/// As with `shadow_field_get`, the caller makes sure that no thread frees the field while the bytes are in use.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn shadow_field_get_or_alloc(
    obj: *mut c_void,
    id: u64,
    size: usize,
    ctor: shadow_field_ctor,
    ctor_data: *mut c_void,
) -> *mut c_void {
    // SAFETY: the caller's obligations are the same.
    unsafe { shadow_field_get_or_alloc_aligned(obj, id, size, DEFAULT_ALIGN, ctor, ctor_data) }
}

/// As `shadow_field_get_or_alloc`, with bytes aligned to `align`, a power of two. Returns NULL and EINVAL for another
/// `align`. A field that is there keeps the alignment of its attach, which may be less than `align`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn shadow_field_get_or_alloc_aligned(
    obj: *mut c_void,
    id: u64,
    size: usize,
    align: usize,
    ctor: shadow_field_ctor,
    ctor_data: *mut c_void,
) -> *mut c_void {
    // SAFETY: the caller's obligations are the same.
    let construct = |data| ctor.map_or(0, |ctor| unsafe { ctor(obj, data, ctor_data) });
    // SAFETY: the caller's obligations are the same.
    unsafe { get_or_attach(obj, id, size, align, construct) }
}

/// Attaches a copy of the `size` bytes at `data`, as `shadow_field_alloc`. With `data` NULL, the bytes are zeroed.
///
/// Returns and blocks as `shadow_field_alloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shadow_field_attach(
    obj: *mut c_void,
    id: u64,
    data: *const c_void,
    size: usize,
) -> *mut c_void {
    // SAFETY: the caller guarantees `size` bytes at `data`.
    let copy = unsafe { copy(data, size) };
    // SAFETY: the caller guarantees that the object outlives the field.
    unsafe { attach(obj, id, size, DEFAULT_ALIGN, copy) }
}

/// Finds a field, or attaches a copy of the `size` bytes at `data`, as `shadow_field_get_or_alloc`. With `data` NULL,
/// the bytes are zeroed.
///
/// Returns and blocks as `shadow_field_get_or_alloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shadow_field_get_or_attach(
    obj: *mut c_void,
    id: u64,
    data: *const c_void,
    size: usize,
) -> *mut c_void {
    // SAFETY: the caller guarantees `size` bytes at `data`.
    let copy = unsafe { copy(data, size) };
    // SAFETY: the caller guarantees that the object outlives the field.
    unsafe { get_or_attach(obj, id, size, DEFAULT_ALIGN, copy) }
}

/// Detaches a field, calls `dtor`, unless NULL, and frees the bytes.
///
/// Returns whether the object had the field. Sets no errno: the result for a field of Rust code is false.
///
/// Takes a lock for a moment. May allocate a counter of the report, but needs no memory. Of racing threads, one
/// detaches the field and calls its `dtor`. The caller makes sure that no thread uses the bytes any more. A lookup of
/// the field at the same time is safe.
///
/// For a field of `shadow_field_get_or_update`, `dtor` gets the newest value, at any address. The call waits for
/// threads that are copying this value by `shadow_field_read`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn shadow_field_free(obj: *mut c_void, id: u64, dtor: shadow_field_dtor) -> bool {
    let _border = Border::enter();
    // SAFETY: the caller guarantees that no thread uses the bytes.
    let Some(block) = (unsafe { detach(obj, id) }) else { return false };
    if let Some(dtor) = dtor {
        // SAFETY: the caller guarantees that `dtor` accepts the object and the bytes.
        unsafe { dtor(obj, block.bytes()) };
    }
    true
}

/// Detaches and frees this field of every object, with a call of `dtor`, unless NULL, for each.
///
/// Returns the number of fields. Sets no errno: the result for fields of Rust code is 0.
///
/// May allocate a counter of the report, but needs no memory; takes locks for a moment each.
/// Detaches one field after the other: during a call of `dtor`, later objects still have their fields. The call may
/// miss an object that gets the field during the call. The caller makes sure that no thread uses the bytes of any of
/// these fields.
///
/// For fields of `shadow_field_get_or_update`, the call waits for threads that are copying the values by
/// `shadow_field_read`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn shadow_field_free_all(id: u64, dtor: shadow_field_dtor) -> usize {
    let _border = Border::enter();
    // SAFETY: the caller guarantees that no thread uses the bytes.
    let (blocks, updates) = match unsafe { field(id).drain() } {
        Ok(blocks) => (Some(blocks), None),
        // SAFETY: as above.
        Err(_) => (None, Some(unsafe { updates::drain(id) })),
    };
    let mut count = 0;
    for (obj, block) in blocks.into_iter().flatten().chain(updates.into_iter().flatten()) {
        count += 1;
        if let Some(dtor) = dtor {
            // SAFETY: the caller guarantees that `dtor` accepts the object and the bytes.
            unsafe { dtor(obj.cast_mut().cast(), block.bytes()) };
        }
    }
    count
}

/// Detaches and frees every field of an object that is about to go, with a call of `dtor`, unless NULL, for each.
/// Fields of Rust code stay.
///
/// Returns the number of fields. Sets no errno.
///
/// May allocate a counter of the report, but needs no memory; takes locks for a moment each.
/// The call may miss a field that a thread attaches during the call. All fields are detached before the first call of
/// `dtor`. The caller makes sure that no thread uses the bytes any more.
///
/// For fields of `shadow_field_get_or_update`, the call waits for threads that are copying the values by
/// `shadow_field_read`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn shadow_field_free_object(obj: *mut c_void, dtor: shadow_field_each) -> usize {
    let _border = Border::enter();
    // SAFETY: the caller guarantees that no thread uses the bytes.
    let blocks = unsafe { PointerId::<Block>::drain_object(key(obj)) };
    // SAFETY: as above.
    let updates = unsafe { updates::drain_object(key(obj)) };
    let mut count = 0;
    for (id, block) in blocks.chain(updates) {
        count += 1;
        if let Some(dtor) = dtor {
            // SAFETY: the caller guarantees that `dtor` accepts the object, the number and the bytes.
            unsafe { dtor(obj, id, block.bytes()) };
        }
    }
    count
}

/// A constructor that copies `size` bytes from `data`, unless null.
///
/// # Safety
///
/// `data` is null, or `size` bytes at `data` are valid for reads until the constructor has run.
unsafe fn copy(data: *const c_void, size: usize) -> impl FnOnce(*mut c_void) -> c_int {
    move |to| {
        if !data.is_null() {
            // SAFETY: by the contract of `copy`, and since the constructor gets `size` new bytes.
            unsafe { to.cast::<u8>().copy_from_nonoverlapping(data.cast(), size) };
        }
        0
    }
}

/// An initialiser of a field: allocates the bytes, and constructs them.
fn initialiser(
    id: u64,
    size: usize,
    align: usize,
    construct: impl FnOnce(*mut c_void) -> c_int,
) -> impl FnOnce() -> Result<Block, c_int> {
    move || {
        let block = Block::zeroed(size, align).ok_or(libc::ENOMEM)?;
        match construct(block.bytes()) {
            0 => {
                sizes::record(id, size);
                Ok(block)
            }
            error => Err(error.saturating_abs()),
        }
    }
}

/// Attaches a new field.
///
/// # Safety
///
/// The object outlives the field.
unsafe fn attach(
    obj: *mut c_void,
    id: u64,
    size: usize,
    align: usize,
    construct: impl FnOnce(*mut c_void) -> c_int,
) -> *mut c_void {
    let _border = Border::enter();
    if !align.is_power_of_two() {
        return fail(libc::EINVAL);
    }
    // SAFETY: by the contract the object outlives the field.
    match unsafe { field(id).attach_with(key(obj), initialiser(id, size, align, construct)) } {
        Ok(header) => bytes_of(header),
        Err(error) => {
            if let InitError::AlreadyAttached(refused) = &error {
                report::warn_duplicate(obj, id, refused.field());
            }
            fail(errno_of(&error))
        }
    }
}

/// Finds a field of `size` bytes at least, or attaches a new field.
///
/// # Safety
///
/// The object outlives the field.
#[inline]
unsafe fn get_or_attach(
    obj: *mut c_void,
    id: u64,
    size: usize,
    align: usize,
    construct: impl FnOnce(*mut c_void) -> c_int,
) -> *mut c_void {
    // SAFETY: by the contract the object outlives the field.
    if let Ok(Some(header)) = unsafe { field(id).get(key(obj)) } {
        if sizes::all_have(id, size) && align.is_power_of_two() {
            return bytes_of(header);
        }
    }
    // SAFETY: by the contract the object outlives the field.
    unsafe { inspect_or_attach(obj, id, size, align, construct) }
}

/// The slow path of [`get_or_attach`].
///
/// # Safety
///
/// The object outlives the field.
#[cold]
unsafe fn inspect_or_attach(
    obj: *mut c_void,
    id: u64,
    size: usize,
    align: usize,
    construct: impl FnOnce(*mut c_void) -> c_int,
) -> *mut c_void {
    let _border = Border::enter();
    if !align.is_power_of_two() {
        return fail(libc::EINVAL);
    }
    let mut init = Some(initialiser(id, size, align, construct));
    loop {
        // SAFETY: by Z1 (`block.rs`) the header is valid for reads while the block lives, here until the unlock.
        let look = |header: NonNull<Header>| unsafe { (header, header.as_ref().size) };
        // SAFETY: `look` reads an integer. By the contract the object outlives the field.
        match unsafe { field(id).inspect(key(obj), look) } {
            Ok(Some((header, there))) if there >= size => return bytes_of(header),
            Ok(Some(_)) => return fail(libc::EMSGSIZE),
            Ok(None) => {}
            Err(_) => return fail(libc::EPROTOTYPE),
        }
        let once = || init.take().expect("an initialiser that ran ends the loop")();
        // SAFETY: by the contract the object outlives the field.
        match unsafe { field(id).get_or_attach(key(obj), once) } {
            Ok(header) if init.is_none() => return bytes_of(header),
            // The field of another thread, after a wait for its constructor: the loop looks at the size.
            Ok(_) => {}
            Err(error) => return fail(errno_of(&error)),
        }
    }
}

/// Detaches a field of either sort.
///
/// # Safety
///
/// No thread uses the bytes.
unsafe fn detach(obj: *mut c_void, id: u64) -> Option<Block> {
    // SAFETY: by the contract.
    match unsafe { field(id).detach(key(obj)) } {
        Ok(block) => block,
        // SAFETY: by the contract.
        Err(_) => unsafe { updates::detach(key(obj), id) },
    }
}

fn errno_of(error: &InitError<c_int>) -> c_int {
    match error {
        InitError::Init(error) => *error,
        InitError::Circle(_) => libc::EDEADLK,
        InitError::AlreadyAttached(_) => libc::EEXIST,
        InitError::OutOfMemory(_) => libc::ENOMEM,
        _ => libc::EPROTOTYPE,
    }
}
