//! The program that the test `debugger` runs under gdb: hosts of every kind, with fields in every state.
//!
//! In: no input. Out: a stop in `stopped`, inside of an initialiser. Values are of types whose layout and printed form
//! do not change with the standard library.
#![allow(dead_code, reason = "the members are for the debugger")]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use shadow_runtime::{Counted, Shadow, ShadowFields, Shadowed, counted_host, shadow};

#[derive(Clone, Copy, Debug)]
struct Point {
    x: u8,
    y: u8,
}

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Aligned(u8);

#[derive(Shadow, Default)]
#[shadow_field(attach newpid: u32)]
#[shadow_field(get_or_attach point: Point = Point { x: 1, y: 2 })]
#[shadow_field(get_or_update name: &'static str)]
#[shadow_field(get_or_update last: Option<u8>)]
#[shadow_field(get_or_update(copy) seen: u64)]
#[shadow_field(get_or_update(copy) wide: [u64; 3])]
#[shadow_field(get_or_attach slow: u8)]
#[shadow_field(attach never: u16)]
struct Task {
    pid: u32,
    shadow: ShadowFields,
}

// Two sets of one module with equal types.
shadow! {
    impl Task { attach trace: u8; }
    impl Task { attach other: u8; }
}

// With these, the table of a host has been replaced.
shadow! {
    impl Task { get_or_attach aligned: Aligned = Aligned(64); }
    impl Task { attach fourth: bool; }
    impl Task { attach fifth: char; }
    impl Task { attach sixth: (); }
    impl Task { attach seventh: [u8; 2]; }
}

/// A host without a field set, whose first field is being initialised.
#[derive(Shadow, Default)]
#[shadow_field(get_or_attach early: u8)]
struct Fresh {
    shadow: ShadowFields,
}

/// Hosts whose cells the test changes: to a value that another thread is moving in, or is replacing.
#[derive(Shadow, Default)]
#[shadow_field(attach moving: u64)]
#[shadow_field(get_or_attach kept: u8)]
struct Moving {
    shadow: ShadowFields,
}

#[derive(Shadow, Default)]
#[shadow_field(get_or_update(copy) torn: [u64; 3])]
struct Torn {
    shadow: ShadowFields,
}

struct Socket {
    fd: i32,
}

#[repr(align(64))]
struct Wide(u8);

trait Peer: Send + Sync {}
impl Peer for u8 {}

struct Config {
    verbose: bool,
}

/// A counted pointer of another crate.
struct Handle(Arc<u64>);

// SAFETY: A4, A5: the table's reference keeps the object, which is not zero-sized. A6: if the count is 1, the table's
// reference is the only one. A7: the drop of an `Arc` is a Release, and the fence an Acquire. A8: the functions load a
// word.
unsafe impl Counted for Handle {
    type Weak = Arc<u64>;

    fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    fn downgrade(&self) -> Arc<u64> {
        Arc::clone(&self.0)
    }

    fn is_gone(weak: &Arc<u64>) -> bool {
        let is_gone = Arc::strong_count(weak) == 1;
        fence(Ordering::Acquire);
        is_gone
    }
}
counted_host!(Handle);

static CONFIG: Config = Config { verbose: true };

shadow! {
    trait SocketFields for Arc<Socket> { attach sent: u32; attach peer: &'static str; }
    trait WideFields for Arc<Wide> { attach colour: u8; }
    trait PeerFields for Arc<dyn Peer> { attach tag: u8; }
    trait TextFields for Arc<str> { attach words: u8; }
    trait ListFields<T> for Shadowed<Vec<T>> where T: Send + Sync + 'static { attach origin: T; }
    trait HandleFields for Handle { attach held: u8; }
    trait ConfigFields for &'static Config { attach level: u8; }
}

/// An `Arc` of a struct that embeds fields has two sets of fields.
#[derive(Shadow, Default)]
#[shadow_field(attach inside: u8)]
struct Both {
    shadow: ShadowFields,
}

shadow! {
    trait BothFields for Arc<Both> { attach outside: u8; }
}

struct Scene {
    empty: Task,
    task: Task,
    fresh: Fresh,
    moving: Moving,
    torn: Torn,
    socket: Arc<Socket>,
    wide: Arc<Wide>,
    peer: Arc<dyn Peer>,
    text: Arc<str>,
    both: Arc<Both>,
    handle: Handle,
    list: Shadowed<Vec<u16>>,
    config: &'static Config,
    plain: u8,
}

/// Where the debugger stops.
#[inline(never)]
fn stopped(scene: &Scene) {
    black_box(scene);
}

fn scene() -> Scene {
    let mut task = Task { pid: 7, ..Task::default() };
    task.attach_newpid(1007).unwrap();
    task.point();
    task.update_name("first");
    task.update_name("second");
    task.update_last(Some(5));
    task.take_last();
    task.update_seen(41);
    task.update_seen(42);
    task.update_wide([1, 2, 3]);
    if let Some(wide) = task.wide_mut() {
        wide[0] = 7;
    }
    task.attach_trace(1).unwrap();
    task.attach_other(2).unwrap();
    task.aligned();
    task.attach_fourth(true).unwrap();
    task.attach_fifth('e').unwrap();
    task.attach_sixth(()).unwrap();
    task.attach_seventh([6, 7]).unwrap();

    let mut moving = Moving::default();
    moving.attach_moving(8).unwrap();
    moving.detach_moving();
    let torn = Torn::default();
    torn.update_torn([1, 2, 3]);
    torn.update_torn([4, 5, 6]);

    let socket = Arc::new(Socket { fd: 3 });
    socket.attach_sent(512).unwrap();
    socket.attach_peer("backup").unwrap();
    let wide = Arc::new(Wide(1));
    wide.attach_colour(9).unwrap();
    let peer: Arc<dyn Peer> = Arc::new(5_u8);
    peer.attach_tag(77).unwrap();
    let text: Arc<str> = "two words".into();
    text.attach_words(2).unwrap();
    let both = Arc::new(Both::default());
    both.attach_inside(1).unwrap();
    both.attach_outside(2).unwrap();
    let handle = Handle(Arc::new(5));
    handle.attach_held(6).unwrap();
    let dead = Arc::new(Socket { fd: 4 });
    dead.attach_sent(0).unwrap();
    drop(dead);

    let list = Shadowed::new(vec![1]);
    list.attach_origin(16).unwrap();
    (&CONFIG).attach_level(3).unwrap();
    let (empty, fresh) = (Task::default(), Fresh::default());
    let config = &CONFIG;
    Scene { empty, task, fresh, moving, torn, socket, wide, peer, text, both, handle, list, config, plain: 0 }
}

fn main() {
    let scene = scene();
    scene.task.get_or_attach_slow(|| {
        scene.fresh.get_or_attach_early(|| {
            stopped(&scene);
            1
        });
        2
    });
}
