//! A program that shares a host with a library of the same source.

use std::{env, process, thread};

use image::{Host, shared};

fn main() {
    let path = env::args_os().nth(1).expect("it is called with a library");
    // SAFETY: the library has no initialisation routine.
    let library = unsafe { libloading::Library::new(path) }.expect("there is a library");
    // SAFETY: `work` of `lib.rs`, from the same source as the program, has exactly the named type.
    let its_work = *unsafe { library.get::<extern "C" fn(&Host, usize, usize) -> usize>(b"work") }.unwrap();
    // SAFETY: `alive` of `lib.rs` has exactly the named type.
    let its_alive = *unsafe { library.get::<extern "C" fn() -> usize>(b"alive") }.unwrap();
    // The library stays loaded, and so do the two functions.
    std::mem::forget(library);

    let host = Host::new();
    let faults: usize = thread::scope(|scope| {
        let threads = [1, 2, 1, 2].map(|tag| {
            let host = &host;
            scope.spawn(move || if tag == 1 { shared::work(host, tag, 5_000) } else { its_work(host, tag, 5_000) })
        });
        threads.map(|thread| thread.join().unwrap()).iter().sum()
    });
    let alive = its_alive();
    drop(host);
    println!("{faults} faults, {alive} of the library's alive, and then {}", its_alive());
    process::exit(i32::from(faults != 0));
}
