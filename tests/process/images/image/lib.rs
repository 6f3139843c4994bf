//! A library with a copy of the runtime, and the host that a program shares with the library.
//! `tests/process/images/main.rs` writes the module `version` beside this file, and builds the library and the program.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt::Write;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shadow_runtime::{Shadow, ShadowFields, shadow};

pub mod shared;
mod version;

/// A host that embeds its fields.
#[derive(Shadow, Clone)]
#[repr(C)]
pub struct Host {
    shadow: ShadowFields,
}

impl Host {
    #[must_use]
    pub fn new() -> Self {
        Self { shadow: ShadowFields::new() }
    }
}

/// A declaration to attach or to read, named by the part that the edit of the source changes.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) enum What {
    Member,
    Policy,
    Order,
    Many,
}

/// The number of live values of the image.
static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// A counted value.
pub struct Life;

impl Life {
    pub(crate) fn new() -> Self {
        ALIVE.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

shadow! {
    trait Carried for Host {
        #[shadow(clone)]
        attach carried: Copied;
    }
}

/// A value whose clone has the next number.
struct Copied {
    number: u32,
    _life: Life,
}

impl Clone for Copied {
    fn clone(&self) -> Self {
        Self { number: self.number + 1, _life: Life::new() }
    }
}

/// The allocator of the image. The free of an allocation of another image aborts the process.
struct OfThisImage;

/// The layout of an allocation with a header in front, and the length of the header: a multiple of the alignment.
fn with_header(layout: Layout) -> (Layout, usize) {
    let header = layout.align().max(size_of::<usize>());
    (Layout::from_size_align(layout.size() + header, header).unwrap(), header)
}

// SAFETY: an allocation is one of the system allocator, minus the header. `with_header` aligns the header, so the rest
// is aligned, too.
unsafe impl GlobalAlloc for OfThisImage {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (layout, header) = with_header(layout);
        // SAFETY: the layout includes the header, so its size is not 0.
        let start = unsafe { System.alloc(layout) };
        if start.is_null() {
            return start;
        }
        // SAFETY: the allocation begins with a header of at least a `usize`, aligned for a `usize`.
        unsafe { start.cast::<usize>().write((&raw const ALIVE).addr()) };
        // SAFETY: the header is a part of the allocation.
        unsafe { start.add(header) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let (layout, header) = with_header(layout);
        // SAFETY: `alloc` of this or another image returned the pointer, and both put a header of this length in front.
        let start = unsafe { pointer.sub(header) };
        // SAFETY: `alloc` initialised the header.
        if unsafe { start.cast::<usize>().read() } != (&raw const ALIVE).addr() {
            eprintln!("memory of another image");
            process::abort();
        }
        // SAFETY: the header names the image, so `alloc` of the image allocated `start`, with this layout.
        unsafe { System.dealloc(start, layout) };
    }
}

#[global_allocator]
static ALLOCATOR: OfThisImage = OfThisImage;

/// Text in memory of the caller.
struct Text<'a> {
    room: &'a mut [u8],
    length: usize,
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.room[self.length..][..text.len()].copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}

/// Writes text into memory of the caller, and returns the length of the text.
///
/// # Safety
///
/// `room` is valid for reads and writes of `size` initialised bytes, which no other code accesses during the call.
unsafe fn say(room: *mut u8, size: usize, write: impl FnOnce(&mut Text<'_>) -> std::fmt::Result) -> usize {
    // SAFETY: the caller guarantees `size` initialised bytes, for this call alone.
    let mut text = Text { room: unsafe { std::slice::from_raw_parts_mut(room, size) }, length: 0 };
    write(&mut text).unwrap();
    text.length
}

#[unsafe(no_mangle)]
extern "C" fn make_host() -> *mut Host {
    Box::into_raw(Box::new(Host::new()))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn drop_host(host: *mut Host) {
    // SAFETY: `host` comes from `make_host` of the image, and the caller drops each host once.
    drop(unsafe { Box::from_raw(host) });
}

#[unsafe(no_mangle)]
extern "C" fn attach(host: &Host, what: What) {
    version::attach(host, what);
}

/// Writes the values that the image finds.
#[unsafe(no_mangle)]
unsafe extern "C" fn look(host: &Host, what: What, room: *mut u8, size: usize) -> usize {
    // SAFETY: `tests/process/images/main.rs` passes an array of `size` bytes, borrowed for this call.
    unsafe { say(room, size, |text| version::look(host, what, text)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn debug(host: &Host, _: What, room: *mut u8, size: usize) -> usize {
    // SAFETY: `tests/process/images/main.rs` passes an array of `size` bytes, borrowed for this call.
    unsafe { say(room, size, |text| write!(text, "{:?}", host.shadow)) }
}

/// Attaches to an `Arc` and to a static. Returns whether both attaches were the first of the image.
#[unsafe(no_mangle)]
extern "C" fn attach_beside(shared: &Arc<u64>, fixed: &'static u64) -> bool {
    version::attach_beside(shared, fixed)
}

#[unsafe(no_mangle)]
extern "C" fn attach_carried(host: &Host, number: u32) {
    assert!(host.attach_carried(Copied { number, _life: Life::new() }).is_ok());
}

/// The number of the carried value of the image, or `u32::MAX`.
#[unsafe(no_mangle)]
extern "C" fn carried(host: &Host) -> u32 {
    host.carried().map_or(u32::MAX, |carried| carried.number)
}

#[unsafe(no_mangle)]
extern "C" fn clone_host(host: &Host) -> *mut Host {
    Box::into_raw(Box::new(host.clone()))
}

#[unsafe(no_mangle)]
extern "C" fn alive() -> usize {
    ALIVE.load(Ordering::Relaxed)
}

#[unsafe(no_mangle)]
extern "C" fn work(host: &Host, tag: usize, rounds: usize) -> usize {
    shared::work(host, tag, rounds)
}
