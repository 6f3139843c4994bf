//! Several linked images, each with a copy of the runtime, and one host: an image never reads the fields of a different
//! image.
//!
//! The tests build a crate from `image/`, edit the crate and build again, like a developer of a plugin. Names and
//! `TypeId`s stay the same. Every image has an allocator that aborts on a free of foreign memory.
#![cfg(all(unix, not(miri)))]

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX, EXE_SUFFIX};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::{env, fs, mem};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use support::{alone, never_hangs};

/// The libraries before and after the edit, and a program of the former source.
struct Built {
    old: PathBuf,
    new: PathBuf,
    program: PathBuf,
}

const MANIFEST: &str = r#"
[package]
name = "image"
version = "0.1.0"
edition = "2024"

[lib]
crate-type = ["rlib", "cdylib"]
path = "src/lib.rs"

[[bin]]
name = "program"
path = "src/program.rs"

[dependencies]
libloading = "0.8"
shadow-runtime = { path = "RUNTIME", default-features = false }

[profile.dev]
debug = false

[workspace]
"#;

/// Builds everything, once per process.
fn built() -> &'static Built {
    static BUILT: OnceLock<Built> = OnceLock::new();
    BUILT.get_or_init(|| {
        let (here, place) = (Path::new(env!("CARGO_MANIFEST_DIR")), Path::new(env!("CARGO_TARGET_TMPDIR")));
        let folder = place.join("images");
        let (from, source) = (here.join("process/images/image"), folder.join("src"));
        fs::create_dir_all(&source).unwrap();
        let root = here.parent().unwrap();
        let runtime = root.join("shadow-runtime");
        fs::write(folder.join("Cargo.toml"), MANIFEST.replace("RUNTIME", runtime.to_str().unwrap())).unwrap();
        // The versions of the workspace, which are downloaded already.
        fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        for file in ["lib.rs", "shared.rs", "program.rs"] {
            fs::copy(from.join(file), source.join(file)).unwrap();
        }
        let build = |version: &str, what: &[&str]| {
            let text = fs::read_to_string(from.join(version).with_extension("rs")).unwrap();
            fs::write(source.join("version.rs"), text).unwrap();
            let target = folder.join("target");
            let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            cargo.arg("build").arg("--offline").args(what).arg("--target-dir").arg(&target).current_dir(&folder);
            // Settings of the outer cargo: a target with another name, or a sanitizer.
            for variable in
                ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_PROFILE_DEV_OPT_LEVEL"]
            {
                cargo.env_remove(variable);
            }
            let output = cargo.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let library = folder.join(format!("{DLL_PREFIX}{version}{DLL_SUFFIX}"));
            // A new file: another process may have loaded the old one.
            let _ = fs::remove_file(&library);
            fs::copy(target.join(format!("debug/{DLL_PREFIX}image{DLL_SUFFIX}")), &library).unwrap();
            library
        };
        let old = build("old", &["--lib", "--bins"]);
        let program = folder.join(format!("program{EXE_SUFFIX}"));
        let _ = fs::remove_file(&program);
        fs::copy(folder.join(format!("target/debug/program{EXE_SUFFIX}")), &program).unwrap();
        Built { old, new: build("new", &["--lib"]), program }
    })
}

/// A host with embedded fields, passed between images.
type Host = *mut ();
type Saying = unsafe extern "C" fn(Host, What, *mut u8, usize) -> usize;

/// The case of an attach or a read, as in `image/lib.rs`.
#[derive(Clone, Copy)]
#[repr(C)]
enum What {
    Member,
    Policy,
    Order,
    Many,
}

/// The functions of a loaded library. The library stays mapped, as the documentation requires.
struct Image {
    make_host: extern "C" fn() -> Host,
    drop_host: unsafe extern "C" fn(Host),
    attach: unsafe extern "C" fn(Host, What),
    look: Saying,
    debug: Saying,
    attach_beside: extern "C" fn(&Arc<u64>, &'static u64) -> bool,
    attach_carried: unsafe extern "C" fn(Host, u32),
    carried: unsafe extern "C" fn(Host) -> u32,
    clone_host: unsafe extern "C" fn(Host) -> Host,
    alive: extern "C" fn() -> usize,
}

impl Image {
    fn load(path: &Path) -> Self {
        // SAFETY: the library has no initialisation routine of its own.
        let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL | libc::RTLD_NODELETE) }.unwrap();
        let image = Self {
            make_host: function(&library, "make_host"),
            drop_host: function(&library, "drop_host"),
            attach: function(&library, "attach"),
            look: function(&library, "look"),
            debug: function(&library, "debug"),
            attach_beside: function(&library, "attach_beside"),
            attach_carried: function(&library, "attach_carried"),
            carried: function(&library, "carried"),
            clone_host: function(&library, "clone_host"),
            alive: function(&library, "alive"),
        };
        // "Unloaded": the handle is closed, and by `RTLD_NODELETE` the code stays.
        library.close().unwrap();
        image
    }

    /// Two images of a crate: built before an edit, and after the edit.
    fn old_and_new() -> [Self; 2] {
        [Self::load(&built().old), Self::load(&built().new)]
    }

    fn attach(&self, host: Host, what: What) {
        // SAFETY: `host` comes from `make_host`, and is not dropped yet.
        unsafe { (self.attach)(host, what) };
    }

    fn look(&self, host: Host, what: What) -> String {
        said(self.look, host, what)
    }

    /// The names in `{:?}` of a host's fields, sorted.
    fn debug(&self, host: Host) -> Vec<String> {
        let text = said(self.debug, host, What::Many);
        let names = text.strip_prefix("ShadowFields {").and_then(|names| names.strip_suffix('}')).unwrap();
        let mut names: Vec<_> = names.split(", ").map(|name| name.trim_matches('"').to_owned()).collect();
        names.sort_unstable();
        names
    }
}

fn function<F: Copy>(library: &Library, name: &str) -> F {
    // SAFETY: `image/lib.rs` defines the function, with the signature of the member of `Image` that the caller fills.
    *unsafe { library.get(name.as_bytes()) }.unwrap()
}

fn said(say: Saying, host: Host, what: What) -> String {
    let mut room = [0; 1000];
    // SAFETY: `host` comes from `make_host`, and is not dropped yet. `room` is valid for writes of its length.
    let length = unsafe { say(host, what, room.as_mut_ptr(), room.len()) };
    String::from_utf8(room[..length].to_vec()).expect("what was read is text")
}

/// Attaches fields by both images, to a host of either, and reads by both. `none` and `all` are the expected texts of
/// the old and the new image, before and after the attach.
fn each_sees_its_own(what: What, none: [&str; 2], all: [&str; 2]) {
    let _alone = alone();
    let images = Image::old_and_new();
    for [first, second] in [[0, 1], [1, 0]] {
        let host = (images[first].make_host)();
        let looks = || [first, second].map(|image| images[image].look(host, what));
        assert_eq!(looks(), [none[first], none[second]]);
        images[first].attach(host, what);
        assert_eq!(looks(), [all[first], none[second]]);
        images[second].attach(host, what);
        assert_eq!(looks(), [all[first], all[second]]);
        // SAFETY: the host comes from `make_host` of this image, and is not used afterwards.
        unsafe { (images[first].drop_host)(host) };
        assert_eq!(images.each_ref().map(|image| (image.alive)()), [0; 2]);
    }
}

#[test]
fn a_member_of_a_value_whose_type_was_edited_is_not_read_as_the_other() {
    each_sees_its_own(What::Member, ["None"; 2], ["Some([1, 2, 3])", r#"Some("three")"#]);
}

#[test]
fn a_field_whose_policy_was_edited_is_another() {
    each_sees_its_own(What::Policy, ["None"; 2], ["Some(7)", "Some(8)"]);
}

/// The hidden items of declarations are numbered in source order.
#[test]
fn a_declaration_before_another_does_not_take_what_that_has() {
    let all = [r#"second Some("second of old")"#, r#"first Some("first of new"), second Some("second of new")"#];
    each_sees_its_own(What::Order, ["second None", "first None, second None"], all);
}

#[test]
fn a_declaration_that_was_not_edited_has_fields_of_each_image() {
    each_sees_its_own(What::Many, ["0"; 2], ["2"; 2]);
}

/// Every case.
const EVERYTHING: [What; 4] = [What::Member, What::Policy, What::Order, What::Many];
/// The counted values of all cases, per image.
const LIVES: usize = 5;

/// Debug and drop go through the nodes and lists of both images; each image frees its own memory.
#[test]
fn each_image_shows_and_ends_what_it_has_attached_whichever_has_the_host() {
    let _alone = alone();
    let [old, new] = Image::old_and_new();
    for (first, second) in [(&old, &new), (&new, &old)] {
        let host = (first.make_host)();
        for what in EVERYTHING {
            first.attach(host, what);
        }
        let own = first.debug(host);
        assert!(own.len() >= 7 && own.contains(&"value".to_owned()));
        assert_eq!(own, second.debug(host));
        for what in EVERYTHING {
            second.attach(host, what);
        }
        let both = second.debug(host);
        assert_eq!((both.len(), first.debug(host)), (15, both.clone()));
        assert_eq!([(first.alive)(), (second.alive)()], [LIVES; 2]);
        // SAFETY: the host comes from `make_host` of this image, and is not used afterwards.
        unsafe { (first.drop_host)(host) };
        assert_eq!([(first.alive)(), (second.alive)()], [0; 2]);
    }
}

/// Whichever image clones a host, each image clones its own values, by its own code and in its own memory.
#[test]
fn a_clone_of_a_host_carries_the_values_of_each_image() {
    let _alone = alone();
    let images = Image::old_and_new();
    for [first, second] in [[0, 1], [1, 0]] {
        let [first, second] = [&images[first], &images[second]];
        let host = (first.make_host)();
        // SAFETY: the host is not dropped yet, here and below.
        let carried = |image: &Image, host| unsafe { (image.carried)(host) };
        // SAFETY: as above.
        let clone = |image: &Image, host| unsafe { (image.clone_host)(host) };
        // SAFETY: as above.
        unsafe { (first.attach_carried)(host, 10) };
        // SAFETY: as above.
        unsafe { (second.attach_carried)(host, 20) };
        for cloner in [first, second] {
            let copy = clone(cloner, host);
            assert_eq!([carried(first, copy), carried(second, copy)], [11, 21]);
            assert_eq!([(first.alive)(), (second.alive)()], [2; 2]);
            // SAFETY: the host comes from this image, and is not used afterwards.
            unsafe { (cloner.drop_host)(copy) };
        }
        // SAFETY: the host comes from this image, and is not used afterwards.
        unsafe { (first.drop_host)(host) };
        assert_eq!(images.each_ref().map(|image| (image.alive)()), [0; 2]);
    }
}

/// Side tables are statics of an image.
#[test]
fn an_arc_and_a_static_have_fields_of_each_image() {
    static FIXED: u64 = 5;
    let [old, new] = Image::old_and_new();
    let shared = Arc::new(4);
    for image in [&old, &new] {
        assert!((image.attach_beside)(&shared, &FIXED), "nothing is attached");
        assert!(!(image.attach_beside)(&shared, &FIXED), "something is");
    }
    assert_eq!(Arc::weak_count(&shared), 2, "each table keeps the allocation");
    // This leak keeps the images from the drop of the last `Weak`: the memory belongs to this program's allocator.
    mem::forget(shared);
}

/// A program and a library of one source, each with its own hazard slots, locks and init locks.
#[test]
fn two_copies_of_one_source_update_and_read_one_host_at_the_same_time() {
    let Built { old, program, .. } = built();
    let output = never_hangs(|| Command::new(program).arg(old).output().unwrap());
    let said = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said} {why}", output.status);
    assert_eq!(said.trim_end(), "0 faults, 1 of the library's alive, and then 0");
}
