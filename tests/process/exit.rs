//! Hosts at the end of their process: hosts in statics stay, hosts in thread-locals end with their thread, and a
//! running initialiser does not delay the exit. Every case has a process of its own.
#![cfg(all(unix, not(miri)))]

use std::process::{self, Output};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;

use shadow_runtime::{Shadow, ShadowFields, Shadowed, registry, shadow};

use support::{
    child::{part, play},
    say,
};

#[derive(Shadow, Default)]
#[shadow_field(attach loud: Loud)]
#[shadow_field(get_or_attach number: u32)]
#[shadow_field(get_or_update newest: u32)]
#[shadow_field(get_or_update(copy) copied: u32)]
struct Task {
    shadow: ShadowFields,
}

shadow! {
    trait OwnedFields for Shadowed<AtomicU32> { attach loud: Loud; get_or_update newest: u32; }
    trait SharedFields for Arc<AtomicU32> { attach loud: Loud; get_or_update newest: u32; get_or_attach number: u32; }
    trait StaticFields for &'static AtomicU32 { attach loud: Loud; get_or_update newest: u32; }
}

/// A value whose destructor prints a message and uses further hosts.
struct Loud(&'static str);

impl Drop for Loud {
    fn drop(&mut self) {
        say(&format!("{} is dropped", self.0));
        // The thread-local host is inaccessible; hosts in statics and new hosts work.
        assert!(LOCAL.try_with(|_| ()).is_err());
        let (made, shared) = (Task::default(), Arc::new(AtomicU32::new(0)));
        made.number();
        TASK.update_newest(4);
        shared.update_newest(5);
        assert!(TASK.loud().is_some() && shared.newest() == Some(5));
        drop((made, shared));
        registry().sweep();
    }
}

static TASK: Task = Task { shadow: ShadowFields::new() };
static OWNED: Shadowed<AtomicU32> = Shadowed::new(AtomicU32::new(0));
static PLAIN: AtomicU32 = AtomicU32::new(0);
static SHARED: OnceLock<Arc<AtomicU32>> = OnceLock::new();

thread_local! { static LOCAL: Task = Task::default(); }

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Attaches fields to the hosts in statics, and registers `at_exit`.
fn set_up() {
    assert!(TASK.attach_loud(Loud("an embedded field of a static")).is_ok());
    assert!(OwnedFields::attach_loud(&OWNED, Loud("a field of a wrapper in a static")).is_ok());
    assert!(StaticFields::attach_loud(&PLAIN, Loud("a field of a static")).is_ok());
    let shared = SHARED.get_or_init(|| Arc::new(AtomicU32::new(0)));
    assert!(SharedFields::attach_loud(shared, Loud("a field of an arc in a static")).is_ok());
    // SAFETY: `at_exit` has the required signature, and is valid until the end of the process.
    assert_eq!(unsafe { libc::atexit(at_exit) }, 0);
}

/// Runs at exit, after the destructors of the exiting thread's thread-locals.
extern "C" fn at_exit() {
    let shared = SHARED.get().unwrap();
    assert!(TASK.loud().is_some() && OwnedFields::loud(&OWNED).is_some());
    assert!(StaticFields::loud(&PLAIN).is_some() && SharedFields::loud(shared).is_some());
    TASK.update_newest(1);
    TASK.update_copied(2);
    OwnedFields::update_newest(&OWNED, 3);
    StaticFields::update_newest(&PLAIN, 4);
    SharedFields::update_newest(shared, 5);
    let newest = (OwnedFields::newest(&OWNED), StaticFields::newest(&PLAIN), SharedFields::newest(shared));
    assert_eq!((TASK.newest(), TASK.copied(), newest), (Some(1), Some(2), (Some(3), Some(4), Some(5))));
    // New hosts on a thread without thread-locals.
    for _ in 0..200 {
        Arc::new(AtomicU32::new(0)).update_newest(1);
        Task::default().number();
    }
    registry().sweep();
    assert!(registry().report().iter().any(|row| row.field() == "loud"));
    say("all is well at exit");
}

#[test]
fn fields_of_hosts_in_statics_can_be_used_at_exit_and_are_not_dropped() {
    if part().is_some() {
        set_up();
        process::exit(0);
    }
    let output = play("fields_of_hosts_in_statics_can_be_used_at_exit_and_are_not_dropped", "exits");
    let said = said(&output);
    assert!(output.status.success() && said.contains("all is well at exit"), "{said}");
    assert!(!said.contains("is dropped"), "{said}");
}

#[test]
fn fields_of_hosts_in_thread_locals_go_with_their_thread() {
    if part().is_some() {
        set_up();
        thread::spawn(|| LOCAL.with(|local| assert!(local.attach_loud(Loud("a field of a thread that ends")).is_ok())))
            .join()
            .unwrap();
        LOCAL.with(|local| assert!(local.attach_loud(Loud("a field of the thread that exits")).is_ok()));
        process::exit(0);
    }
    let output = play("fields_of_hosts_in_thread_locals_go_with_their_thread", "exits");
    let said = said(&output);
    assert!(output.status.success() && said.contains("all is well at exit"), "{said}");
    assert_eq!(said.matches("a field of a thread that ends is dropped").count(), 1, "{said}");
    // The platform decides whether the exiting thread drops its thread-locals. At most one drop,
    // and exactly one on Linux with glibc.
    let of_last = said.matches("a field of the thread that exits is dropped").count();
    assert!(of_last == 1 || (of_last == 0 && !cfg!(all(target_os = "linux", target_env = "gnu"))), "{said}");
    assert!(!said.contains("of a static is dropped"), "{said}");
}

#[test]
fn an_initialiser_that_never_ends_does_not_keep_the_process() {
    if part().is_some() {
        set_up();
        let (begun, wait_for_it) = mpsc::channel();
        let initialise = move || {
            begun.send(()).unwrap();
            loop {
                thread::park();
            }
        };
        thread::spawn(|| *TASK.get_or_attach_number(initialise));
        wait_for_it.recv().unwrap();
        thread::spawn(|| *TASK.number());
        for _ in 0..100 {
            thread::yield_now();
        }
        assert!(TASK.peek_number().is_none());
        process::exit(0);
    }
    let output = play("an_initialiser_that_never_ends_does_not_keep_the_process", "exits");
    let said = said(&output);
    assert!(output.status.success() && said.contains("all is well at exit"), "{said}");
    assert!(!said.contains("is dropped"), "{said}");
}
