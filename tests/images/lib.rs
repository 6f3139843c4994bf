//! A library with a copy of the runtime, and what a program shares with it. `tests/images.rs` writes the
//! module `version` beside this file, and builds both.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt::Write;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shadow_runtime::{Shadow, ShadowFields};

pub mod shared;
mod version;

/// A host that embeds its fields.
#[derive(Shadow)]
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

/// What is attached, or looked at: what an edit changes, and what it leaves.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) enum What {
    Member,
    Policy,
    Order,
    Many,
}

/// How many values there are that this image has made.
static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// A value that is counted.
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

/// The memory of this image: what another has allocated is not freed here.
struct OfThisImage;

/// A layout with room for a header, which is as long as the alignment allows, and its length.
fn with_header(layout: Layout) -> (Layout, usize) {
    let header = layout.align().max(size_of::<usize>());
    (Layout::from_size_align(layout.size() + header, header).unwrap(), header)
}

// SAFETY: it is the system's, a little further on.
unsafe impl GlobalAlloc for OfThisImage {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (layout, header) = with_header(layout);
        // SAFETY: it has a size.
        let start = unsafe { System.alloc(layout) };
        if start.is_null() {
            return start;
        }
        // SAFETY: the header is there.
        unsafe { start.cast::<usize>().write((&raw const ALIVE).addr()) };
        // SAFETY: as above.
        unsafe { start.add(header) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let (layout, header) = with_header(layout);
        // SAFETY: the header is there.
        let start = unsafe { pointer.sub(header) };
        // SAFETY: as above.
        if unsafe { start.cast::<usize>().read() } != (&raw const ALIVE).addr() {
            eprintln!("memory of another image");
            process::abort();
        }
        // SAFETY: it was allocated by `alloc`.
        unsafe { System.dealloc(start, layout) };
    }
}

#[global_allocator]
static ALLOCATOR: OfThisImage = OfThisImage;

/// Text that is handed over in memory of the caller.
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

/// # Safety
///
/// There is so much room.
unsafe fn say(room: *mut u8, size: usize, write: impl FnOnce(&mut Text<'_>) -> std::fmt::Result) -> usize {
    // SAFETY: the caller says so.
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
    // SAFETY: the caller has it from `make_host` of this image.
    drop(unsafe { Box::from_raw(host) });
}

#[unsafe(no_mangle)]
extern "C" fn attach(host: &Host, what: What) {
    version::attach(host, what);
}

/// What this image finds attached.
#[unsafe(no_mangle)]
unsafe extern "C" fn look(host: &Host, what: What, room: *mut u8, size: usize) -> usize {
    // SAFETY: the caller says that there is so much room.
    unsafe { say(room, size, |text| version::look(host, what, text)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn debug(host: &Host, _: What, room: *mut u8, size: usize) -> usize {
    // SAFETY: the caller says that there is so much room.
    unsafe { say(room, size, |text| write!(text, "{:?}", host.shadow)) }
}

/// Attaches to an `Arc` and to a static, once; returns whether it was the first time for each.
#[unsafe(no_mangle)]
extern "C" fn attach_beside(shared: &Arc<u64>, fixed: &'static u64) -> bool {
    version::attach_beside(shared, fixed)
}

#[unsafe(no_mangle)]
extern "C" fn alive() -> usize {
    ALIVE.load(Ordering::Relaxed)
}

#[unsafe(no_mangle)]
extern "C" fn work(host: &Host, tag: usize, rounds: usize) -> usize {
    shared::work(host, tag, rounds)
}
