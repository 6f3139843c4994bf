//! The memory of one field: zeroed bytes, behind a header with their size.
//!
//! In: a size and an alignment. Out: the address of the bytes. Neighbours: `fields.rs`, whose table owns the blocks;
//! `shared.rs`, blocks with several owners.
//!
//! ```text
//!   start of the allocation      header                      bytes, aligned
//!   | room for the alignment …   | size, owners, alignment | size bytes …
//! ```
//!
//! The distance from the header to the bytes is constant. So the address of the bytes follows from the address of the
//! header, without a read of the header.
//!
//! - **Z1** The pointer of a `Block` comes from `Block::zeroed`, points to an initialised `Header`, and has the
//!   provenance of the allocation. The `size` bytes of the field begin `HEADER` bytes behind the start of the header.
//!   Once a field of `fields.rs` is attached, only the C program accesses the bytes. Once a value of `updates.rs` is
//!   attached, no thread writes to its bytes. Only the drop of the `Block` frees the allocation. `shared.rs` alone uses
//!   the count of owners (Z3).

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

use shadow_runtime::raw::Pointer;

/// The distance from the header to the bytes, and the least alignment of the bytes: that of `max_align_t`.
const HEADER: usize = 16;

/// The header. No thread writes to an initialised header, but for the atomic count. So every thread may read the header
/// while the block lives.
pub(crate) struct Header {
    pub(crate) size: usize,
    /// The number of shares (Z3), or 1.
    owners: AtomicU32,
    /// The binary logarithm of the alignment.
    align_log2: u8,
}

const _: () = assert!(size_of::<Header>() <= HEADER && align_of::<Header>() <= HEADER);

/// Owns the memory of one field.
pub(crate) struct Block(NonNull<Header>);

// SAFETY: by Z1 the header is immutable, and the library does not touch the bytes. The C program orders its accesses to
// the bytes, as `shadow_fields.h` requires.
unsafe impl Send for Block {}
// SAFETY: as for `Send`.
unsafe impl Sync for Block {}

// SAFETY: `into_raw` forgets the owner, so by Z1 the header stays valid until `from_raw` makes the owner again.
unsafe impl Pointer for Block {
    type Target = Header;

    fn into_raw(self) -> NonNull<Header> {
        let header = self.0;
        std::mem::forget(self);
        header
    }

    unsafe fn from_raw(header: NonNull<Header>) -> Self {
        Self(header)
    }
}

/// The address of the bytes of a block.
#[inline]
pub(crate) fn bytes_of(header: NonNull<Header>) -> *mut c_void {
    header.as_ptr().wrapping_byte_add(HEADER).cast()
}

impl Block {
    /// Allocates `size` zeroed bytes, aligned to `align`, a power of two. Returns `None` if the system has no memory.
    pub(crate) fn zeroed(size: usize, align: usize) -> Option<Self> {
        let (layout, offset) = Self::layout(size, align)?;
        #[expect(clippy::cast_possible_truncation, reason = "less than 64")]
        let align_log2 = align.trailing_zeros() as u8;
        let start = if align <= HEADER {
            // SAFETY: the layout has the header's size at least.
            NonNull::new(unsafe { alloc_zeroed(layout) })?
        } else {
            // The room for the alignment is not touched: it may be much larger than the bytes.
            // SAFETY: as above.
            let start = NonNull::new(unsafe { alloc(layout) })?;
            // SAFETY: `offset` is at most the size of the layout.
            let bytes = unsafe { start.add(offset) };
            // SAFETY: the allocation ends `size` bytes behind `offset`.
            unsafe { bytes.write_bytes(0, size) };
            start
        };
        // SAFETY: `offset` is at least `HEADER`, and at most the size of the layout.
        let header = unsafe { start.add(offset - HEADER) }.cast::<Header>();
        // SAFETY: the header is within the allocation, in front of the bytes. `start` and `offset` are multiples of
        // `HEADER`, so the header is aligned.
        unsafe { header.write(Header { size, owners: AtomicU32::new(1), align_log2 }) };
        Some(Self(header))
    }

    /// The address of the bytes.
    pub(crate) fn bytes(&self) -> *mut c_void {
        bytes_of(self.0)
    }

    /// The number of bytes.
    pub(crate) fn size(&self) -> usize {
        self.header().size
    }

    /// The count of owners.
    pub(crate) fn owners(&self) -> &AtomicU32 {
        &self.header().owners
    }

    /// The same block, for a second owner.
    ///
    /// # Safety
    ///
    /// The owners of the block agree which of them drops the block, after the last use by the others.
    pub(crate) unsafe fn share(&self) -> ManuallyDrop<Self> {
        ManuallyDrop::new(Self(self.0))
    }

    fn header(&self) -> &Header {
        // SAFETY: by Z1 the header is initialised, is not written to but by atomics, and lives as long as the block.
        unsafe { self.0.as_ref() }
    }

    /// The layout of the allocation, and the offset of the bytes.
    fn layout(size: usize, align: usize) -> Option<(Layout, usize)> {
        let align = align.max(HEADER);
        let header = Layout::from_size_align(HEADER, HEADER).ok()?;
        header.extend(Layout::from_size_align(size, align).ok()?).ok()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let Header { size, align_log2, .. } = *self.header();
        let (layout, offset) = Self::layout(size, 1 << align_log2).expect("the allocation had this layout");
        // SAFETY: by Z1 the header has the provenance of the allocation, which starts so many bytes before the header.
        let start = unsafe { self.0.cast::<u8>().sub(offset - HEADER) };
        // SAFETY: by Z1 `zeroed` has allocated the block with this layout, and this drop alone frees the block.
        unsafe { dealloc(start.as_ptr(), layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_zeroed_and_aligned_and_of_the_size() {
        for size in [0, 1, 15, 16, 17, 1_000, 100_000] {
            for align in [1, 2, 8, 16, 32, 64, 4096] {
                let block = Block::zeroed(size, align).expect("there is memory");
                assert_eq!(block.bytes().addr() % align.max(HEADER), 0);
                assert_eq!(block.size(), size);
                // SAFETY: by Z1 so many bytes are there.
                let bytes = unsafe { std::slice::from_raw_parts_mut(block.bytes().cast::<u8>(), size) };
                assert!(bytes.iter().all(|byte| *byte == 0));
                bytes.fill(1);
                let header = block.into_raw();
                assert_eq!(bytes_of(header).addr(), header.addr().get() + HEADER);
                // SAFETY: the line above has made the pointer by `into_raw`.
                drop(unsafe { Block::from_raw(header) });
            }
        }
    }

    #[test]
    #[cfg(all(target_os = "linux", not(miri)))]
    fn the_room_for_an_alignment_takes_addresses_and_no_memory() {
        const ALIGN: usize = 1 << 27;
        let resident = || {
            let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
            let pages: usize = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number of pages");
            4096 * pages
        };
        let before = resident();
        let block = Block::zeroed(100, ALIGN).expect("there is memory");
        assert_eq!(block.bytes().addr() % ALIGN, 0);
        assert!(resident() < before + ALIGN / 4);
    }

    #[test]
    fn what_cannot_be_allocated_is_none() {
        for size in [usize::MAX, isize::MAX as usize, isize::MAX as usize - 100] {
            assert!(Block::zeroed(size, 16).is_none(), "{size}");
        }
    }
}
