//! `shadow_field_get` of the library for C, called as a C program calls the function.
//!
//! In: a host and a value. Out: the value, in the bytes of the host's field. A lookup is a call by a pointer that the
//! compiler does not know, as a call into a shared library. So no optimisation across crates inlines the function.
//!
//! - **L1** A number names the fields of one contestant, all of them a `u64`. Only the drop of the contestant frees the
//!   fields, and no code writes to the bytes after the attach.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shadow_fields::{shadow_field_attach, shadow_field_free_all, shadow_field_get};

use crate::contestant::{Get, Table};
use crate::hosts::Object;

/// The fields of one number.
#[derive(Debug)]
pub struct CLibrary {
    number: u64,
    get: unsafe extern "C" fn(*const c_void, u64) -> *mut c_void,
}

impl Table for CLibrary {
    const NAME: &'static str = "shadow_field_get";

    fn empty() -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        // Relaxed: the numbers only have to be distinct.
        Self { number: NUMBERS.fetch_add(1, Ordering::Relaxed), get: black_box(shadow_field_get) }
    }

    fn attach(&self, host: &Arc<Object>, value: u64) {
        let object = Arc::as_ptr(host).cast_mut().cast();
        // SAFETY: the function copies the 8 bytes of `value`. By L1 the number has no fields of another type.
        let bytes = unsafe { shadow_field_attach(object, self.number, (&raw const value).cast(), size_of::<u64>()) };
        assert!(!bytes.is_null(), "attached already");
    }

    #[inline]
    fn read(&self, host: &Arc<Object>) -> Option<u64> {
        // SAFETY: by L1 the bytes are an initialised `u64`, which lives as long as `self`, and which no code writes to.
        unsafe { self.field(host).as_ref() }.copied()
    }
}

impl Get for CLibrary {
    #[inline]
    fn get(&self, host: &Arc<Object>) -> usize {
        self.field(host).addr()
    }
}

impl CLibrary {
    #[inline]
    fn field(&self, host: &Arc<Object>) -> *const u64 {
        // SAFETY: the function accepts any address. By L1 a field stays until the drop of `self`.
        unsafe { (self.get)(Arc::as_ptr(host).cast(), self.number) }.cast()
    }
}

impl Drop for CLibrary {
    fn drop(&mut self) {
        // SAFETY: by L1 the number's fields belong to `self`, and `&mut self` excludes all reads.
        unsafe { shadow_field_free_all(self.number, None) };
    }
}
