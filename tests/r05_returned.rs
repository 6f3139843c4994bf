//! Rule R5, the part about values that are on their way out: when a destructor panics, what was about to be returned is
//! dropped too, once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::sync::{Arc, Mutex};

use shadow_runtime::{Shadow, ShadowFields, Shadowed, shadow};

/// Counts how many of it there are, and panics when it is dropped, if it is told to.
struct Bomb {
    alive: Arc<AtomicIsize>,
    armed: Arc<AtomicBool>,
    reading: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Bomb {
    fn new(alive: &Arc<AtomicIsize>, armed: bool) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Self { alive: Arc::clone(alive), armed: Arc::new(AtomicBool::new(armed)), reading: None }
    }
}

impl Clone for Bomb {
    fn clone(&self) -> Self {
        let clone = Self::new(&self.alive, false);
        if let Some(reading) = &self.reading {
            reading();
        }
        clone
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
        assert!(!self.armed.load(Ordering::Relaxed), "boom");
    }
}

shadow! {
    trait BombFields for Shadowed<Bomb> {
        attach bomb: Bomb;
    }
}

#[derive(Shadow, Default)]
#[shadow_field(get_or_update bomb: Bomb)]
struct Host {
    shadow: ShadowFields,
}

fn boom(action: impl FnOnce()) {
    let payload = catch_unwind(AssertUnwindSafe(action)).expect_err("a destructor panics");
    assert_eq!(*payload.downcast::<&str>().unwrap(), "boom");
}

#[test]
fn into_inner_drops_the_value_if_a_field_panics() {
    let alive = Arc::default();
    let host = Shadowed::new(Bomb::new(&alive, false));
    assert!(host.attach_bomb(Bomb::new(&alive, true)).is_ok());
    boom(|| drop(Shadowed::into_inner(host)));
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

/// A host whose value is replaced while it is cloned, so that the reader is the last to hold it; its destructor panics,
/// and so does the clone if it is told to.
fn replaced_while_read(alive: &Arc<AtomicIsize>, clone_panics: bool) -> Arc<Host> {
    let host = Arc::new(Host::default());
    let replacing = Arc::downgrade(&host);
    let replacement = Mutex::new(Some(Bomb::new(alive, false)));
    let mut bomb = Bomb::new(alive, true);
    bomb.reading = Some(Arc::new(move || {
        let taken = replacement.lock().unwrap().take();
        if let (Some(host), Some(replacement)) = (replacing.upgrade(), taken) {
            // The previous value is handed out as a clone, since the reader holds it.
            drop(host.update_bomb(replacement));
            assert!(!clone_panics, "boom");
        }
    }));
    assert!(host.update_bomb(bomb).is_none());
    host
}

#[test]
fn a_reader_that_is_the_last_to_hold_a_value_drops_its_clone_if_the_value_panics() {
    let alive = Arc::default();
    let host = replaced_while_read(&alive, false);
    boom(|| drop(host.bomb()));
    drop(host);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

#[test]
fn a_clone_and_a_destructor_that_both_panic_do_not_abort() {
    let alive = Arc::default();
    let host = replaced_while_read(&alive, true);
    boom(|| drop(host.bomb()));
    drop(host);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

#[test]
fn a_lost_attempt_that_panics_leaves_nothing_behind() {
    let alive = Arc::default();
    let host = Host::default();
    assert!(host.update_bomb(Bomb::new(&alive, false)).is_none());
    let mut first = true;
    boom(|| {
        host.update_bomb_with(|_| {
            if std::mem::take(&mut first) {
                drop(host.update_bomb(Bomb::new(&alive, false)));
                return Bomb::new(&alive, true);
            }
            Bomb::new(&alive, false)
        });
    });
    assert_eq!(alive.load(Ordering::Relaxed), 1);
    drop(host.update_bomb(Bomb::new(&alive, false)));
    assert_eq!(alive.load(Ordering::Relaxed), 1);
    drop(host);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}
