//! The library as C, C++ and Python programs see it.
//!
//! In: the programs in `programs`, the README's program and the examples of this crate. Out: each program is compiled,
//! linked with the static and with the shared library, and run: by itself, with the address sanitizer, and under
//! valgrind. Modules: `toolchain.rs`, compilers and tools; `program.rs`, a program and its runs; `rust_fields.rs`,
//! fields of Rust code beside those of C.
//!
//! A missing tool leaves its tests out. A line "left out: ..." on standard error says so.
//!
//! What the tools see: the C code alone is compiled with the address sanitizer. The sanitizer also sees each allocation
//! of the library: so accesses of the program to freed bytes, and leaks. Accesses of the library itself are seen by
//! valgrind, and by `.ci/sanitize`, which compiles the library with a sanitizer, too. The thread sanitizer would not
//! see the atomics of a library that was compiled without it, so the thread sanitizer runs in `.ci/sanitize` alone.
#![cfg(not(miri))]

mod program;
mod rust_fields;
mod toolchain;

use std::fs;
use std::process::Command;

use program::{Program, run, shared_library};
use toolchain::{Language, has, in_crate, left_out, scratch};

#[test]
fn the_sequence_of_the_kernels_own_test_passes_by_both_sets_of_names() {
    let expected = "first field: 6 constructed, 1 refused\n\
                    second field: 7 constructed\n\
                    first field: 6 destroyed, one by one\n\
                    second field: 7 freed at once\n";
    Program::new("sequence.c").prints(expected).everywhere();
    Program::new("sequence.c").flags(&["-DKERNEL_NAMES"]).prints(expected).everywhere();
}

#[test]
fn every_errno_of_the_header_is_that_of_its_cause() {
    Program::new("errors.c").everywhere();
}

#[test]
fn values_that_are_replaced_are_read_whole() {
    Program::new("updates.c").everywhere();
}

#[test]
fn on_many_threads_each_field_has_one_constructor_and_one_destructor() {
    Program::new("threads.c").everywhere();
}

#[test]
fn exceptions_leave_callbacks_and_the_library() {
    Program::new("throws.cpp").everywhere();
}

#[test]
fn the_report_and_the_warnings_say_what_the_program_has_described() {
    Program::new("report.c").warns("shadow_fields: duplicate shadow field <0x").everywhere();
}

#[test]
fn the_readmes_program_prints_8() {
    let readme = fs::read_to_string(in_crate("README.md")).unwrap();
    let (_, rest) = readme.split_once("```c\n").expect("the README has a program");
    let (text, _) = rest.split_once("```").expect("the program ends");
    assert!(readme.contains("This program prints 8."));
    let path = scratch("readme.c");
    fs::write(&path, text).unwrap();
    Program::of(vec![path.clone()]).prints("8\n").everywhere();
    fs::remove_file(path).unwrap();
}

/// The story in Rust, of the repository's examples, has the same numbers.
#[test]
fn the_kernels_samples_keep_fields_beside_objects_in_flight() {
    let expected = "\
tick  newest  dummies  buffers  leaked  checks of the freed
   3  module        3        3       0                    0
   6  module        6        6       0                    0
   9  module        9        9       0                    0
  12   fix 1       12       12       0                    0
  15   fix 1       13       15       2                    0
  18   fix 1       13       18       5                    0
  21   fix 2       13       21       8                    3
  24   fix 2       13       22       9                    9
  27   fix 2       13       22       9                   18
fix 2 is unloaded: 13 counts end, and no buffer
  30   fix 1       13       22       9                   18
fix 1 is unloaded: 13 buffers are given back
the module is unloaded: 9 buffers have leaked before fix 1, and 0 since
";
    let folder = in_crate("examples/kernel_samples");
    let sources = ["main.c", "module.c", "fix1.c", "fix2.c"].map(|name| folder.join(name));
    Program::of(sources.to_vec()).prints(expected).everywhere();
}

#[test]
fn a_python_program_keeps_counters_beside_streams() {
    let expected = "\
a counter starts at 0 lines
a counter starts at 0 lines
a counter ends at 3 lines, 14 bytes
closed, with a counter: True
closed, with a counter: False
standard error has no counter
the report names the field: True
a counter ends at 1 lines, 5 bytes
the rest: 1
found afterwards: None
";
    if cfg!(not(target_os = "linux")) {
        left_out("the Python program, which names symbols of the C library of Linux");
        return;
    }
    let Some(library) = shared_library().filter(|_| has("python3", "the Python program")) else { return };
    let outcome = run(Command::new("python3").arg(in_crate("examples/counters.py")).arg(library));
    assert!(outcome.status.success(), "{}", outcome.stderr);
    assert_eq!(outcome.stdout, expected);
}

#[test]
fn both_headers_compile_alone_and_without_warnings() {
    const WARNINGS: [&str; 7] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-c", "-o", "/dev/null"];
    for (language, standards, ending) in
        [(Language::C, ["-std=c99", "-std=c11"], "c"), (Language::Cpp, ["-std=c++11", "-std=c++17"], "cpp")]
    {
        let Some(compiler) = language.compiler() else { continue };
        for (header, standard) in ["shadow_fields.h", "klp_shadow.h"].iter().flat_map(|h| standards.map(|s| (h, s))) {
            // Twice: a header has a guard.
            let path = scratch(&format!("header.{ending}"));
            fs::write(&path, format!("#include <{header}>\n#include <{header}>\nint main(void) {{ return 0; }}\n"))
                .unwrap();
            let mut command = compiler.command();
            let outcome = run(command.arg(standard).args(WARNINGS).arg(&path));
            assert!(outcome.status.success(), "{header} {standard}: {}", outcome.stderr);
            fs::remove_file(path).unwrap();
        }
    }
}
