//! Fields of Rust code in the process of a C program: one number names a field of one of the two.
//!
//! In: the functions of the library, and `raw`. Out: `EPROTOTYPE` to C, and a mismatch to Rust; each ends its own
//! fields alone.

use std::ffi::{c_int, c_void};
use std::ptr;

use shadow_fields::{
    shadow_field_alloc, shadow_field_free, shadow_field_free_all, shadow_field_free_object, shadow_field_get,
    shadow_field_get_or_alloc, shadow_field_get_or_update, shadow_field_read,
};
use shadow_runtime::raw::{Id, PointerId, UpdateId};

fn errno() -> c_int {
    std::io::Error::last_os_error().raw_os_error().unwrap()
}

#[track_caller]
fn assert_refused(results: [bool; 4]) {
    assert_eq!(results, [true; 4]);
    assert_eq!(errno(), libc::EPROTOTYPE);
}

#[test]
fn a_number_of_rust_code_is_refused_and_its_fields_stay() {
    const RUST: u64 = 0x5255_5354;
    const RUST_UPDATE: u64 = RUST + 1;
    const C: u64 = RUST + 2;
    let (object, mut byte) = (0_u8, 0_u8);
    let key: *const () = (&raw const object).cast();
    let (obj, to): (*mut c_void, *mut c_void) = (key.cast_mut().cast(), (&raw mut byte).cast());
    let (value, updated) = (Id::<String>::new(RUST), UpdateId::<String>::new(RUST_UPDATE));
    // SAFETY: the object outlives its fields. One thread uses them, and no reference to a value outlives its detach.
    // Each callback is null, and each buffer has the byte that the call asks for.
    #[expect(clippy::multiple_unsafe_ops_per_block, reason = "one argument for all calls")]
    unsafe {
        value.attach(key, "of Rust".to_owned()).unwrap();
        updated.get_or_update(key, "of Rust, too".to_owned()).unwrap();
        for id in [RUST, RUST_UPDATE] {
            assert_refused([
                shadow_field_get(obj, id).is_null(),
                shadow_field_alloc(obj, id, 1, None, ptr::null_mut()).is_null(),
                shadow_field_get_or_alloc(obj, id, 1, None, ptr::null_mut()).is_null(),
                shadow_field_get_or_update(obj, id, to, 1, ptr::null_mut()) == -1,
            ]);
            assert_eq!((shadow_field_read(obj, id, to, 1), errno()), (-1, libc::EPROTOTYPE));
            assert!(!shadow_field_free(obj, id, None));
            assert_eq!(shadow_field_free_all(id, None), 0);
        }
        assert!(!shadow_field_alloc(obj, C, 1, None, ptr::null_mut()).is_null());
        assert!(Id::<String>::new(C).get(key).is_err());
        assert!(UpdateId::<String>::new(C).get(key).is_err());
        assert!(PointerId::<Box<u8>>::new(C).detach(key).is_err());
        assert_eq!(shadow_field_free_object(obj, None), 1, "the field of C alone");
        assert_eq!(value.get(key).unwrap().map(String::as_str), Some("of Rust"));
        assert_eq!(updated.get(key).unwrap().as_deref(), Some("of Rust, too"));
        assert!(value.detach(key).unwrap().is_some() && updated.detach(key).unwrap().is_some());
    }
}
