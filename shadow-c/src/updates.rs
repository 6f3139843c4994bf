//! Fields whose values are replaced, and read by copy.
//!
//! In: the bytes of a value. Out: copies of the newest value, always whole. Neighbours: `block.rs`, the bytes;
//! `shared.rs`, the owners of a value; `fields.rs`, which ends these fields.
//!
//! A reader copies the bytes behind a hazard, without a share. A writer that replaces or detaches the value meanwhile
//! gets a second share, and the reader drops the first.

use std::convert::Infallible;
use std::ffi::{c_int, c_void};

use shadow_runtime::raw::{InitError, UpdateId};

use crate::block::Block;
use crate::border::{errno, set_errno};
use crate::shared::Shared;

fn field(id: u64) -> UpdateId<Shared> {
    UpdateId::new(id)
}

/// Attaches a copy of the `size` bytes at `data`, or replaces the value of the field by the copy. Unless `old` is NULL,
/// copies the previous value to `old`: at most `size` bytes. The bytes of `old` behind a shorter value keep their
/// content. With `data` NULL, the bytes of the new value are zeroed. Values of one field may differ in size.
///
/// Returns 1 if the field had a value, 0 if not, or -1 and errno: ENOMEM; EPROTOTYPE if the number names another sort
/// of field. After a failure, the field has the value that it had before.
///
/// Allocates; takes a lock for a moment; does not wait for readers. Any thread may read, replace or free the field at
/// the same time. `shadow_field_read` reads the value; `shadow_field_get` does not, since an update frees the memory of
/// the previous value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shadow_field_get_or_update(
    obj: *mut c_void,
    id: u64,
    data: *const c_void,
    size: usize,
    old: *mut c_void,
) -> c_int {
    let Some(block) = Block::zeroed(size, 1) else {
        set_errno(libc::ENOMEM);
        return -1;
    };
    if !data.is_null() {
        // SAFETY: the caller guarantees `size` bytes at `data`, and the block has as many.
        unsafe { block.bytes().copy_from_nonoverlapping(data, size) };
    }
    // SAFETY: the caller guarantees that the object outlives the field.
    match unsafe { field(id).try_get_or_update(obj.cast_const().cast(), Shared::new(block)) } {
        Ok(None) => 0,
        Ok(Some(previous)) => {
            if !old.is_null() {
                // SAFETY: the caller guarantees room for `size` bytes at `old`.
                unsafe { copy(&previous, old, size) };
            }
            1
        }
        Err(error) => {
            set_errno(errno_of(&error));
            -1
        }
    }
}

/// Copies the newest value of a field of `shadow_field_get_or_update` to `to`: at most `size` bytes. `to` may be NULL
/// if `size` is 0.
///
/// Returns the size of the whole value, which may be more than `size`, or -1. After -1, errno is unchanged if the
/// object has no such field, EPROTOTYPE if the number names another sort of field, and ENOMEM if there is no memory for
/// the first read of the thread.
///
/// Takes no lock, does not wait for writers, and allocates at most on the first read of a thread, or in a destructor of
/// a `thread_local` object. Any thread may replace or free the field at the same time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shadow_field_read(obj: *const c_void, id: u64, to: *mut c_void, size: usize) -> isize {
    let look = |value: &Shared| {
        // SAFETY: the caller guarantees room for `size` bytes at `to`.
        unsafe { copy(value, to, size) };
        #[expect(clippy::cast_possible_wrap, reason = "an allocation has at most `isize::MAX` bytes")]
        let size = value.size() as isize;
        size
    };
    // A barrier of the kernel that a filter refuses, or a free, may set errno.
    let before = errno();
    // SAFETY: the caller guarantees that the field belongs to the object at this address.
    let (size, error) = match unsafe { field(id).inspect(obj.cast(), look) } {
        Ok(found) => (found.unwrap_or(-1), before),
        Err(error) => (-1, errno_of(&error)),
    };
    set_errno(error);
    size
}

fn errno_of(error: &InitError<Infallible>) -> c_int {
    match error {
        InitError::OutOfMemory(_) => libc::ENOMEM,
        _ => libc::EPROTOTYPE,
    }
}

/// Copies at most `size` bytes of a value.
///
/// # Safety
///
/// `size` bytes at `to` are valid for writes, or `size` is 0.
unsafe fn copy(value: &Block, to: *mut c_void, size: usize) {
    let size = size.min(value.size());
    if size > 0 {
        // SAFETY: by Z1 (`block.rs`) the block has so many bytes, to which no thread writes once the value is attached.
        // By the contract `to` has room.
        unsafe { to.copy_from_nonoverlapping(value.bytes(), size) };
    }
}

/// Detaches the field of an object, and returns the newest value, for a destructor.
///
/// # Safety
///
/// The field belongs to the object at this address.
pub(crate) unsafe fn detach(obj: *const (), id: u64) -> Option<Block> {
    // SAFETY: by the contract.
    unsafe { field(id).detach(obj) }.ok().flatten().map(Shared::into_block)
}

/// Detaches this field of one object after the other; none, if the number names another sort of field.
///
/// # Safety
///
/// The fields belong to the objects at their addresses.
pub(crate) unsafe fn drain(id: u64) -> impl Iterator<Item = (*const (), Block)> {
    // SAFETY: by the contract.
    let fields = unsafe { field(id).drain() }.ok();
    fields.into_iter().flatten().map(|(obj, value)| (obj, value.into_block()))
}

/// Detaches all fields of this sort of an object.
///
/// # Safety
///
/// The fields belong to the object at this address.
pub(crate) unsafe fn drain_object(obj: *const ()) -> impl Iterator<Item = (u64, Block)> {
    // SAFETY: by the contract.
    unsafe { UpdateId::<Shared>::drain_object(obj) }.map(|(id, value)| (id, value.into_block()))
}
