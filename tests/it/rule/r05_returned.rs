//! Rule R5, return values: if a destructor panics, a value that was about to be returned is dropped too, once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::sync::{Arc, Mutex};

use shadow_runtime::{Shadow, ShadowFields, Shadowed, raw, shadow};

use support::{elsewhere, without_backtraces};

/// Counts its instances. An armed bomb panics on drop.
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
    without_backtraces();
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

/// A host with a value that is replaced during a clone, so that the reader is the last holder of the value. The
/// destructor of the value panics, and with `clone_panics` the clone panics, too.
fn replaced_while_read(alive: &Arc<AtomicIsize>, clone_panics: bool) -> Arc<Host> {
    let host = Arc::new(Host::default());
    let replacing = Arc::downgrade(&host);
    let replacement = Mutex::new(Some(Bomb::new(alive, false)));
    let mut bomb = Bomb::new(alive, true);
    bomb.reading = Some(Arc::new(move || {
        let taken = replacement.lock().unwrap().take();
        if let (Some(host), Some(replacement)) = (replacing.upgrade(), taken) {
            // The reader holds the previous value, so the update returns a clone.
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
    for is_bare in [false, true] {
        let alive = Arc::default();
        let host = Host::default();
        assert!(is_bare || host.update_bomb(Bomb::new(&alive, false)).is_none());
        let mut first = true;
        boom(|| {
            host.update_bomb_with(|_| {
                if std::mem::take(&mut first) {
                    elsewhere(|| drop(host.update_bomb(Bomb::new(&alive, false))));
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
}

/// So a closure may make its value from a resource that exists once.
#[test]
fn a_lost_attempt_is_dropped_before_the_closure_runs_again() {
    for is_bare in [false, true] {
        let alive = Arc::default();
        let host = Host::default();
        assert!(is_bare || host.update_bomb(Bomb::new(&alive, false)).is_none());
        let mut first = true;
        let previous = host.update_bomb_with(|_| {
            if std::mem::take(&mut first) {
                elsewhere(|| drop(host.update_bomb(Bomb::new(&alive, false))));
            } else {
                assert_eq!(alive.load(Ordering::Relaxed), 1, "what the other update has put there");
            }
            Bomb::new(&alive, false)
        });
        assert!(!first && previous.is_some());
        drop((previous, host));
        assert_eq!(alive.load(Ordering::Relaxed), 0);
    }
}

/// Reads a raw object. The field is detached during the clone, so the reader is the last holder of the value. The
/// destructor of the value panics, and with `clone_panics` the clone panics, too.
fn detached_while_read(alive: &Arc<AtomicIsize>, clone_panics: bool, object: usize, detach: fn(*const ())) {
    const BOMB: raw::UpdateId<Bomb> = raw::UpdateId::new(750);
    let key = std::ptr::without_provenance(object);
    let mut bomb = Bomb::new(alive, false);
    let armed = Arc::clone(&bomb.armed);
    let reads = AtomicBool::new(false);
    bomb.reading = Some(Arc::new(move || {
        // The detach clones the value as well, because a read is in progress.
        if !reads.swap(true, Ordering::Relaxed) {
            detach(std::ptr::without_provenance(object));
            armed.store(true, Ordering::Relaxed);
            assert!(!clone_panics, "clone");
        }
    }));
    // SAFETY: no object exists at this address, so no object ends before the field.
    assert!(unsafe { BOMB.get_or_update(key, bomb) }.unwrap().is_none());
    // SAFETY: no object exists at this address, so the field has no earlier owner.
    drop(unsafe { BOMB.get(key) });
}

fn detach_object(object: *const ()) {
    // SAFETY: no thread holds a reference to a value.
    assert_eq!(unsafe { raw::detach_object(object) }, 1);
}

fn detach_bomb(object: *const ()) {
    // SAFETY: no object exists at this address, so the field has no earlier owner.
    assert!(unsafe { raw::UpdateId::<Bomb>::new(750).detach(object) }.unwrap().is_some());
}

#[test]
fn a_reader_that_is_the_last_to_hold_a_raw_value_drops_its_clone_if_the_value_panics() {
    let alive = Arc::default();
    boom(|| detached_while_read(&alive, false, 16, detach_object));
    boom(|| detached_while_read(&alive, false, 32, detach_bomb));
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

#[test]
fn a_clone_and_a_destructor_of_a_raw_value_that_both_panic_do_not_abort() {
    let alive = Arc::default();
    for detach in [detach_object, detach_bomb] {
        let read = || detached_while_read(&alive, true, 48, detach);
        let payload = catch_unwind(AssertUnwindSafe(read)).expect_err("the clone panics");
        assert_eq!(*payload.downcast::<&str>().unwrap(), "clone");
    }
    // The panic came after the construction of the clone, so unwinding drops the clone.
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}
