//! The documented promises of the operations: whether an operation may block, allocate, panic or run user code, and
//! which state other threads may see meanwhile.
//!
//! The promises are in `shadow-runtime/src/guide/promises.md`, in `shadow-runtime/src/guide/clean_up.md`, in
//! `Sandboxes` of `shadow-runtime/src/lib.rs`, and in `Cost` of `shadow-runtime/core/src/raw/mod.rs`. The table maps
//! every promise to its tests, in this file or in a named file. The values, initialisers and closures of this file
//! count their runs by thread, and so does the global allocator.
//!
//! | sentence, or cell of a table | test |
//! |---|---|
//! | `f`, `peek_f` on a hit: blocks: no | `process/r10_reads/embedded.rs::a_thread_that_is_stopped_anywhere_keeps_nobody_from_reading`, `process/fork.rs::a_child_can_read_whatever_other_threads_of_its_parent_were_doing` |
//! | the same: allocates: no | `process/memory/r06_cost_of_nothing.rs::reading_what_is_attached_allocates_nothing` |
//! | the same: panics, runs code: no | `a_hit_runs_no_code_of_the_user` |
//! | `f` of `get_or_update`: blocks: no | `process/r10_reads/embedded.rs::a_field_can_be_read_while_an_update_of_it_is_made`, `…::a_field_can_be_read_and_replaced_while_somebody_clones_it` |
//! | the same: allocates: on a thread's first read, and on a read inside of a clone; as `Clone` does | `a_read_of_a_replaced_field_allocates_on_the_first_of_a_thread_and_inside_of_a_clone` |
//! | the same: panics | `a_read_of_a_replaced_field_panics_as_clone_does`, `it/rule/r05_returned.rs::a_clone_and_a_destructor_that_both_panic_do_not_abort`, `…::a_reader_that_is_the_last_to_hold_a_value_drops_its_clone_if_the_value_panics` |
//! | the same: runs `Clone`, and `Drop` of a value replaced meanwhile | `a_read_of_a_replaced_field_clones_once_and_drops_only_what_was_replaced_meanwhile` |
//! | `f` of `get_or_update(copy)`: blocks: no | `copied_fields_are_read_while_their_update_is_made`, `process/r10_reads/embedded.rs::a_thread_that_is_stopped_anywhere_keeps_nobody_from_reading` |
//! | the same: allocates: no | `what_a_copied_field_allocates` |
//! | the same: panics, runs code: no | a `Copy` value has no code |
//! | `attach_f`: blocks while another thread moves its value in | `it/policy/attach.rs::of_many_that_attach_at_once_one_wins_and_each_other_gets_its_own_value_back` |
//! | the same: at no other time | `nothing_waits_for_what_is_held_up_in_another_field` |
//! | the same: allocates on the first attach of a declaration to a host | `the_first_attach_of_a_declaration_allocates_and_the_others_do_not` |
//! | the same: panics: no; runs the logger, on a refusal | `an_attach_runs_no_code_but_the_logger`, `process/registry.rs::a_refused_attach_is_a_warning_with_the_field_the_host_and_both_places` |
//! | a miss of `get_or_attach`: blocks while another thread's initialiser runs | `it/rule/r03_once.rs::who_comes_second_waits_for_the_value_of_the_first` |
//! | the same: at no other time | `nothing_waits_for_what_is_held_up_in_another_field` |
//! | the same: allocates on the first attach of a declaration to a host | `the_first_attach_of_a_declaration_allocates_and_the_others_do_not` |
//! | the same: panics | `it/rule/r11_nothing_silent.rs::the_panic_of_an_initialiser_is_passed_on_as_it_is`, `…::an_initialiser_that_asks_for_itself_panics_and_says_which_field_of_which_host` |
//! | the same: runs the initialiser, once | `a_miss_runs_its_initialiser_and_nothing_else` |
//! | `update_f`: blocks: no | `an_update_waits_for_no_reader_and_no_closure` |
//! | the same: allocates, except for reused memory | `an_update_allocates_but_where_its_thread_has_just_replaced_a_small_value_of_that_size` |
//! | the same: panics and runs as `Clone` and `Drop` do | `an_update_clones_what_is_being_read_and_nothing_else`, `process/arc_table/r05_drop_once.rs::a_clone_that_panics_leaves_the_value_where_it_is` |
//! | `update_f_with`: blocks: no | `an_update_waits_for_no_reader_and_no_closure` |
//! | the same: allocates, except for reused memory | `an_update_allocates_but_where_its_thread_has_just_replaced_a_small_value_of_that_size` |
//! | the same: panics as the closure does | `it/policy/get_or_update.rs::a_closure_that_panics_changes_nothing`, `process/arc_table/r05_drop_once.rs::an_attempt_of_an_update_that_panics_when_it_is_dropped_leaves_the_newest` |
//! | `update_f`, `update_f_with`: panic inside of a closure of their own field | `it/rule/r03_updates.rs::an_update_in_the_closure_of_its_own_field_is_refused_on_every_kind_of_host` |
//! | `update_f_with`: runs the closure, maybe again | `it/policy/get_or_update.rs::the_closure_of_an_update_runs_again_if_another_update_came_between` |
//! | `take_f`: blocks: no | `a_take_waits_for_no_reader_and_no_closure` |
//! | the same: allocates; panics and runs as `Clone` and `Drop` do | `a_take_clones_what_is_being_read_and_nothing_else`, `process/arc_table/r05_drop_once.rs::a_clone_that_panics_leaves_nothing_behind_a_take` |
//! | `take_f`: panics inside of a closure of its own field | `it/rule/r03_updates.rs::a_take_in_the_closure_of_its_own_field_is_refused_on_every_kind_of_host` |
//! | Of several takes of one value, one returns the value | `it/policy/get_or_update.rs::of_racing_updates_and_takes_each_value_is_handed_out_once` |
//! | a take … leaves the field without a value | `it/policy/get_or_update.rs::a_value_that_is_taken_leaves_the_field_empty_until_the_next_update` |
//! | `update_f`, `update_f_with` of `get_or_update(copy)`: block while another thread moves a value in | `it/policy/get_or_update_copy.rs::no_update_that_is_made_of_the_one_before_is_lost` |
//! | the same: at no other time | `copied_fields_are_read_while_their_update_is_made` |
//! | the same: allocate | `what_a_copied_field_allocates` |
//! | the same: panic as the closure does; run the closure, maybe again | `it/policy/get_or_update_copy.rs::a_closure_that_panics_changes_nothing`, `…::the_closure_of_an_update_runs_again_if_another_update_came_between` |
//! | `clone` of a host: blocks: no | `it/rule/r09_clones.rs::a_field_whose_initialiser_is_running_is_not_carried`, `…::an_update_does_not_wait_for_the_clone_of_a_value` |
//! | the same: allocates for each declaration with a value to carry | `process/memory/r06_cost_of_nothing.rs::a_clone_of_a_host_allocates_for_values_to_carry_and_for_nothing_else` |
//! | the same: panics, after the drop of the new values; runs `Clone` | `it/rule/r09_clones.rs::a_panic_of_a_values_clone_drops_what_was_cloned_and_reaches_the_caller`, `…::a_panic_in_the_second_declaration_drops_the_values_of_the_first` |
//! | `f_mut`: allocates | `exclusive_access_allocates_for_a_copied_field_once_and_for_a_miss` |
//! | `f_mut` of `get_or_attach`: panics, runs code as `f` does | `exclusive_access_runs_the_initialiser_of_a_miss_and_nothing_else` |
//! | `detach_f`: runs no code, hands the value out | `exclusive_access_runs_the_initialiser_of_a_miss_and_nothing_else`, `process/arc_table/r05_drop_once.rs::what_is_detached_is_the_callers_to_drop` |
//! | the drop of a host, `Shadowed::into_inner`: allocates: no | `the_end_of_a_host_allocates_nothing` |
//! | the same: panics, runs `Drop` | `process/arc_table/r05_drop_once.rs::all_destructors_of_a_host_run_and_the_first_panic_is_raised_when_they_are_done`, `it/rule/r05_returned.rs::into_inner_drops_the_value_if_a_field_panics` |
//! | `sweep`: blocks, for a moment | `a_sweep_and_a_report_wait_for_no_code_of_the_user` |
//! | the same: allocates for hosts that are new since the last sweep | `a_sweep_allocates_for_hosts_that_are_new_since_the_last_one` |
//! | the same: panics, runs `Drop` | `process/arc_table/r05_drop_once.rs::a_sweep_drops_all_dead_hosts_and_raises_the_first_panic_when_it_is_done` |
//! | `detach_all`: blocks, for a moment | `process/arc_table/detach_all.rs::whoever_finds_a_host_meanwhile_finds_whole_values_or_none` |
//! | the same: allocates: no; runs `Drop` | `a_detach_of_all_fields_of_an_arc_allocates_nothing_and_runs_the_destructors` |
//! | the same: panics as `Drop` does, after all destructors | `process/arc_table/detach_all.rs::a_panic_of_a_destructor_is_raised_when_all_values_are_dropped` |
//! | `hosts`: blocks, for a moment | `process/arc_table/hosts.rs::hosts_that_stay_are_found_once_while_others_come_and_go` |
//! | the same: allocates room; panics, runs code: no | `an_iteration_over_hosts_allocates_room_and_runs_no_code` |
//! | `report`: blocks, for a moment | `a_sweep_and_a_report_wait_for_no_code_of_the_user` |
//! | the same: allocates, runs no code | `a_report_allocates_and_runs_no_code_of_the_user` |
//! | Reused memory: the thread keeps the memory of the last such value … for the next value of the same size | `an_update_allocates_but_where_its_thread_has_just_replaced_a_small_value_of_that_size`, `what_an_update_keeps_goes_with_its_thread`, `process/allocator_that_counts.rs::an_allocator_may_update_small_values_where_others_are_replaced` |
//! | With the feature `counts`, the first attach, update, detach or drop of a value on a thread also allocates | `counting_allocates_when_a_thread_does_it_first`, `process/registry_threads.rs::a_thread_that_counts_nothing_allocates_nothing_for_it` |
//! | A look-up of a host in a side table takes no lock | `process/fork.rs::a_child_can_read_whatever_other_threads_of_its_parent_were_doing` |
//! | The first attach … locks a part of the table | no test; see `shadow-runtime/core/src/side_table/writer.rs` |
//! | At its end, an attach to an `Arc` host drops the fields of a few dead hosts | `process/arc_table/arc.rs::a_dead_host_is_dropped_within_a_bounded_number_of_later_attaches`, `an_attach_to_an_arc_drops_no_more_than_a_few_hosts` |
//! | Destructors run on the attaching thread, under no lock of the library | `it/rule/r04_no_lock_over_user_code.rs::an_attach_that_sweeps_drops_values_under_no_lock` |
//! | Panics go to the log | `process/arc_table/r05_drop_once.rs::a_strangers_panicking_destructor_does_not_reach_an_accessor`, `process/arc_table/r05_logged.rs::the_panics_of_strangers_that_an_attach_drops_are_logged_with_their_host_type` |
//! | Inside of an initialiser … an attach defers the drops | `process/arc_table/r05_sweep.rs::a_destructor_that_asks_for_the_field_that_is_being_initialised_is_not_run_by_its_initialiser` |
//! | References: a `&V` borrows the host | `process/arc_table/r01_borrow.rs::accessors_of_a_shared_borrow_return_references_that_live_as_long`, `ui/borrow/fail/outlives_host.rs` |
//! | Only the drop of the host, or an accessor that borrows the host exclusively, drops the value | `process/arc_table/r01_borrow.rs::a_reference_stays_valid_whatever_is_done_with_its_shared_host`, `ui/borrow/fail/detach_while_borrowed.rs` |
//! | Until then the value does not move | every test of `it/rule/r08_stable_addresses.rs` |
//! | Threads: any thread can call any function of the library | `process/stress.rs::whatever_threads_do_at_once_everything_is_dropped_once_and_memory_comes_back` |
//! | values are `Send + Sync` | `ui/field/fail/not_send.rs`, `ui/field/fail/not_sync.rs` |
//! | Everything that a thread does before an attach or an update happens before every read that sees the value | `what_was_done_before_an_attach_or_an_update_is_seen_with_the_value`; on every processor: `shadow-runtime/tests/loom_cells.rs`, `loom_update.rs`, `loom_seqlock.rs` |
//! | Initialisers run at most once per attached value; losers of a race wait | `it/rule/r03_once.rs::of_many_initialisers_that_race_one_runs`, `…::who_comes_second_waits_for_the_value_of_the_first` |
//! | under no lock: an initialiser may use every other field, of any host | `it/rule/r04_no_lock_over_user_code.rs::initialisers_run_under_no_lock`, `it/rule/r03_once.rs::an_initialiser_may_use_and_attach_every_other_field_of_any_host` |
//! | If an initialiser fails or panics, no value is attached, and the next caller runs its own initialiser | `it/rule/r03_once.rs::callers_whose_initialisers_fail_each_run_their_own`, `…::after_a_panic_the_waiting_caller_runs_its_own_initialiser` |
//! | An initialiser that asks for its own field … panics with the field's name | `it/rule/r03_once.rs::an_initialiser_that_asks_for_its_own_field_panics_and_names_it`, `…::many_threads_in_one_circle_do_not_deadlock` |
//! | Closures of `update_f_with` … may read and update every other field, of any host | `it/rule/r03_updates.rs::a_closure_may_read_its_field_and_update_others_of_every_host` |
//! | An update of its own field of its own host is a panic with the field's name | every test of `it/rule/r03_updates.rs` |
//! | Through another thread, the same update is not refused | `it/rule/r03_updates.rs::another_thread_may_update_what_a_closure_of_this_one_makes` |
//! | Destructors run once per value, under no lock | every test of `process/arc_table/r05_drop_once.rs`; `it/rule/r04_no_lock_over_user_code.rs::values_are_dropped_with_their_host_under_no_lock` |
//! | After a panic of a destructor, the other destructors still run … | `process/arc_table/r05_drop_once.rs::all_destructors_of_a_host_run_and_the_first_panic_is_raised_when_they_are_done` |
//! | The log gets every panic that is not raised again | every test of `process/arc_table/r05_logged.rs` |
//! | `membarrier(2)`: a filter may fail the call, or answer with 0; a filter that kills on the call kills the program; without the feature, the library never makes the call | every test of `shadow-runtime/tests/membarrier.rs` |
//! | Clones of a host start without fields … comparisons and hashes | every test of `it/rule/r09_derives.rs` |
//! | … except for carried fields | every test of `it/rule/r09_clones.rs` |
//! | a clone has the previous or the new value | `it/rule/r09_clones.rs::clones_race_with_writers` |
//! | An update … hands out the value that it replaces, unless a thread is cloning this value | `it/policy/get_or_update.rs::a_value_that_nobody_reads_comes_back_itself_and_not_a_clone`, `an_update_clones_what_is_being_read_and_nothing_else` |
//! | the last of these threads drops the value …; old values are at most as many as readers in the middle of a clone | `no_more_old_values_are_kept_than_readers_are_in_the_middle_of_a_clone` |
//! | An update waits for no reader | `an_update_waits_for_no_reader_and_no_closure` |
//! | A read of a copied field reads again …, and never waits | `it/policy/get_or_update_copy.rs::readers_see_a_whole_value_while_writers_write`, `copied_fields_are_read_while_their_update_is_made` |
//! | On processors … the read takes a lock instead | no test; see `shadow-runtime/core/src/seqlock/fallback.rs` |
//! | `raw`: `Id::get`: no, no, no, no | every test of `process/r10_reads/raw.rs`; `a_raw_look_allocates_nothing_and_runs_no_code` |
//! | `raw`: `UpdateId::get` | `process/r10_reads/raw.rs::a_field_can_be_read_replaced_and_detached_while_somebody_clones_it`, `a_raw_read_clones_once`, `it/rule/r05_returned.rs::a_clone_and_a_destructor_of_a_raw_value_that_both_panic_do_not_abort` |
//! | `raw`: `attach`: blocks while an initialiser of the field runs; is an error inside of an initialiser of the field | `it/rule/r03_once.rs::a_raw_attach_waits_for_an_initialiser_and_is_refused_when_it_succeeds`, `…::a_raw_attach_in_the_initialiser_of_its_own_field_is_an_error_with_the_value` |
//! | `raw`: `attach`, `get_or_attach` on a miss, `get_or_update`: allocate, except for a small value in place of a value | `raw_attaches_and_updates_allocate` |
//! | `raw`: `attach_with` of both sorts of ids, `get_or_attach` of an `UpdateId`: allocate; run the initialiser, `Clone` of an `UpdateId`'s result, and the logger on a refusal | `raw_initialisers_run_and_their_results_are_cloned_once` |
//! | `raw`: `attach_with`, `UpdateId::get_or_attach`: block while an initialiser of the field runs on a second thread; panic as the initialiser and `Clone` do | `it/rule/r03_once.rs::who_comes_second_waits_for_the_value_of_the_first`, `it/host/raw_init.rs::of_racing_attaches_by_an_initialiser_one_runs_and_wins`, `it/host/raw_init.rs::after_a_panic_of_the_initialiser_or_of_a_clone_the_field_is_empty_and_its_lock_is_free` |
//! | `raw`: `UpdateId::get_or_attach`, `UpdateId::attach_with`: `Drop` of the result, if an update attaches a value meanwhile | `it/host/raw_init.rs::a_value_that_an_update_attaches_during_the_initialiser_wins` |
//! | `raw`: `PointerId::get`, `inspect`: allocate nothing, run no code but the closure; the other methods of a `PointerId` | `raw_pointers_allocate_on_an_attach_and_run_their_initialiser_and_nothing_else`; `it/host/raw_pointer.rs::after_a_panic_of_the_initialiser_or_of_into_raw_the_field_is_empty_and_its_lock_is_free` |
//! | `raw`: `describe` allocates | `a_description_of_a_raw_number_allocates` |
//! | `raw`: a `Drain`, a `DrainObject` and `Objects`, and their drops: allocate nothing; run `Drop` of the remaining values; `detach_all` allocates nothing | `raw_iterators_allocate_nothing_and_their_drops_run_destructors`; `it/host/raw_drain.rs::after_panics_the_drop_of_an_iterator_ends_the_rest_and_raises_the_first` |
//! | `raw`: `get_or_update`, `detach` wait for no reader | `process/r10_reads/raw.rs::a_field_can_be_read_replaced_and_detached_while_somebody_clones_it` |
//! | `raw`: `detach` allocates nothing and runs no code | `a_raw_detach_allocates_nothing_and_runs_no_code` |
//! | `raw`: `detach_all`: runs the callback; panics as the callback does | `it/host/raw.rs::one_field_of_all_objects_is_detached_at_once`, `it/host/raw.rs::a_panic_for_one_object_does_not_keep_the_others_from_their_turn` |
//! | `raw`: `detach_object`: runs `Drop`; panics as `Drop` does | `process/arc_table/r05_drop_once.rs::all_fields_of_a_raw_object_are_dropped_and_the_first_panic_is_raised_when_they_are_done` |

use std::cell::{Cell, RefCell};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use log::{LevelFilter, Log, Metadata, Record};
use shadow_runtime::__private::IS_WAIT_FREE;
use shadow_runtime::{Shadow, ShadowFields, Shadowed, raw, registry, shadow};

use support::memory::{Counting, allocations, bytes_of_all_threads};
use support::{alone, elsewhere, fewer, forever, in_the_middle_of, never_hangs, panic_of};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// The runs of user code on this thread: initialisers, closures, `Clone`, `Drop`, the logger.
    static RAN: Cell<[usize; 5]> = const { Cell::new([0; 5]) };
}

const INIT: usize = 0;
const CLOSURE: usize = 1;
const CLONE: usize = 2;
const DROP: usize = 3;
const LOGGER: usize = 4;

fn note(which: usize) {
    let mut ran = RAN.get();
    ran[which] += 1;
    RAN.set(ran);
}

/// Runs `work`, and returns the runs of user code on this thread, by kind, and the result, not yet dropped.
fn ran<R>(work: impl FnOnce() -> R) -> ([usize; 5], R) {
    let before = RAN.get();
    let result = work();
    let after = RAN.get();
    (std::array::from_fn(|which| after[which] - before[which]), result)
}

/// Runs `work`, and returns the number of allocations by this thread, and the result.
fn allocates<R>(work: impl FnOnce() -> R) -> (usize, R) {
    let before = allocations();
    let result = work();
    (allocations() - before, result)
}

/// The number of allocations for the side buffer of a seqlock with several words: none where the seqlock is a mutex.
const SPARE: usize = IS_WAIT_FREE as usize;

const NOTHING: [usize; 5] = [0; 5];

fn once(which: usize) -> [usize; 5] {
    let mut once = NOTHING;
    once[which] = 1;
    once
}

/// A value that counts the runs of its initialiser, `Clone` and `Drop`, by thread. `Clone` may run a closure.
#[derive(Default)]
struct Noting {
    number: u32,
    in_clone: Option<Arc<dyn Fn() + Send + Sync>>,
    life: Arc<()>,
}

impl Noting {
    fn new(number: u32) -> Self {
        note(INIT);
        Self { number, in_clone: None, life: Arc::default() }
    }

    fn cloning(number: u32, in_clone: impl Fn() + Send + Sync + 'static) -> Self {
        Self { number, in_clone: Some(Arc::new(in_clone)), life: Arc::default() }
    }
}

impl Clone for Noting {
    fn clone(&self) -> Self {
        note(CLONE);
        if let Some(in_clone) = &self.in_clone {
            in_clone();
        }
        Self { number: self.number, in_clone: None, life: Arc::default() }
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        note(DROP);
    }
}

struct Logger;

impl Logger {
    /// Installs the logger. Tests of a process may call this function in any order.
    fn start() {
        let _ = log::set_logger(&Self);
        log::set_max_level(LevelFilter::Trace);
    }
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, _: &Record<'_>) {
        note(LOGGER);
    }

    fn flush(&self) {}
}

#[derive(Shadow, Default)]
#[shadow_field(attach attached: Noting)]
#[shadow_field(get_or_attach made: Noting = Noting::new(1))]
#[shadow_field(get_or_update newest: Noting)]
#[shadow_field(get_or_update(copy) copied: [u64; 4])]
#[shadow_field(get_or_update(copy) word: u64)]
struct Task {
    shadow: ShadowFields,
}

shadow! {
    trait Later for Task { attach later: Noting; get_or_attach made_later: Noting = Noting::new(2); }
    trait OwnedFields for Shadowed<u64> {
        attach attached: Noting;
        get_or_attach made: Noting = Noting::new(1);
        get_or_update newest: Noting;
        get_or_update(copy) copied: [u64; 4];
    }
    trait SharedFields for Arc<u64> {
        attach attached: Noting;
        get_or_attach made: Noting = Noting::new(1);
        get_or_update newest: Noting;
        get_or_update(copy) copied: [u64; 4];
    }
    trait StaticFields for &'static u64 {
        attach attached: Noting;
        get_or_attach made: Noting = Noting::new(1);
        get_or_update newest: Noting;
        get_or_update(copy) copied: [u64; 4];
    }
}

/// Hosts of every kind, with the same fields.
struct World {
    task: Task,
    owned: Shadowed<u64>,
    shared: Arc<u64>,
    fixed: &'static u64,
}

impl World {
    fn new() -> Self {
        Self { task: Task::default(), owned: Shadowed::new(1), shared: Arc::new(1), fixed: forever(1) }
    }

    /// Attaches `attached`, `made` and `newest` of every host, and makes the one-time allocations of this thread.
    fn attached() -> Self {
        let world = Self::new();
        assert!(world.task.attach_attached(Noting::default()).is_ok());
        assert!(world.owned.attach_attached(Noting::default()).is_ok());
        assert!(world.shared.attach_attached(Noting::default()).is_ok());
        assert!(world.fixed.attach_attached(Noting::default()).is_ok());
        let _ = (world.task.made(), world.owned.made(), world.shared.made(), world.fixed.made());
        for _ in 0..2 {
            world.update(|| Noting::cloning(3, || ()));
            world.read();
        }
        world
    }

    fn update(&self, value: impl Fn() -> Noting) {
        drop([self.task.update_newest(value()), self.owned.update_newest(value())]);
        drop([self.shared.update_newest(value()), self.fixed.update_newest(value())]);
    }

    fn read(&self) -> [Option<Noting>; 4] {
        [self.task.newest(), self.owned.newest(), self.shared.newest(), self.fixed.newest()]
    }
}

/// A value whose first clone blocks until the drop of the sender. The receiver reports the start of the clone.
fn held_up(number: u32) -> (Noting, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (arrive, arrived) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let (may_go_on, is_first) = (Mutex::new(may_go_on), AtomicBool::new(true));
    let value = Noting::cloning(number, move || {
        if is_first.swap(false, Ordering::SeqCst) {
            arrive.send(()).unwrap();
            let _ = may_go_on.lock().unwrap().recv();
        }
    });
    (value, arrived, go_on)
}

#[test]
fn a_hit_runs_no_code_of_the_user() {
    let _alone = alone();
    let World { task, owned, shared, fixed } = World::attached();
    let (ran, ()) = ran(|| {
        assert!(task.attached().is_some() && owned.attached().is_some());
        assert!(shared.attached().is_some() && fixed.attached().is_some());
        assert_eq!([task.made().number, owned.made().number, shared.made().number, fixed.made().number], [1; 4]);
        assert!(task.peek_made().is_some() && owned.peek_made().is_some());
        assert!(shared.peek_made().is_some() && fixed.peek_made().is_some());
        assert_eq!(task.get_or_attach_made(|| Noting::new(2)).number, 1);
        let tried: Result<_, ()> = shared.get_or_try_attach_made(|| Ok(Noting::new(2)));
        assert_eq!(tried.map(|made| made.number), Ok(1));
    });
    assert_eq!(ran, NOTHING);
}

#[test]
fn a_read_of_a_replaced_field_allocates_on_the_first_of_a_thread_and_inside_of_a_clone() {
    static OF_CLONE: Task = Task { shadow: ShadowFields::new() };
    let _alone = alone();
    let world = World::attached();
    OF_CLONE.update_newest(Noting::cloning(1, || ()));
    let count = || allocates(|| world.task.newest().map(|clone| clone.number)).0;
    // As `Clone` does: this `Clone` makes an `Arc` for the `life` of the clone.
    let as_clone =
        allocates(|| drop(Noting::cloning(1, || ()).clone())).0 - allocates(|| drop(Noting::cloning(1, || ()))).0;
    assert_eq!(as_clone, 1);
    // A thread's first read takes a hazard slot. Hazard slots of ended threads are reused, so the readers of this test
    // run at the same time.
    let start = std::sync::Barrier::new(8);
    let firsts: Vec<usize> = thread::scope(|scope| {
        let reader = || {
            start.wait();
            let first = count();
            assert_eq!((count(), count()), (as_clone, as_clone));
            start.wait();
            first
        };
        let readers: Vec<_> = (0..8).map(|_| scope.spawn(reader)).collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    assert!(firsts.iter().any(|&first| first > as_clone), "{firsts:?}");
    // Inside of a clone, the hazard slot of the thread is in use.
    let inner = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&inner);
    world.task.update_newest(Noting::cloning(2, move || {
        let (count, _) = allocates(|| OF_CLONE.newest());
        counted.fetch_max(count, Ordering::SeqCst);
    }));
    assert!(world.task.newest().is_some());
    assert!(inner.load(Ordering::SeqCst) >= as_clone);
}

#[test]
fn a_read_of_a_replaced_field_panics_as_clone_does() {
    let _alone = alone();
    let world = World::new();
    world.update(|| Noting::cloning(1, || panic!("no clone")));
    assert_eq!(panic_of(|| world.task.newest().is_some()), "no clone");
    assert_eq!(panic_of(|| world.owned.newest().is_some()), "no clone");
    assert_eq!(panic_of(|| world.shared.newest().is_some()), "no clone");
    assert_eq!(panic_of(|| world.fixed.newest().is_some()), "no clone");
}

#[test]
fn a_read_of_a_replaced_field_clones_once_and_drops_only_what_was_replaced_meanwhile() {
    let _alone = alone();
    let world = World::attached();
    let (counted, clones) = ran(|| world.read());
    assert_eq!(counted, [0, 0, 4, 0, 0]);
    drop(clones);
    let task = Arc::new(Task::default());
    let (value, arrived, go_on) = held_up(1);
    task.update_newest(value);
    never_hangs(|| {
        let reading = Arc::clone(&task);
        let reader = thread::spawn(move || {
            let (counted, clone) = ran(|| reading.newest());
            (counted, clone.map(|clone| clone.number))
        });
        arrived.recv().unwrap();
        assert!(task.update_newest(Noting::cloning(2, || ())).is_some());
        drop(go_on);
        assert_eq!(reader.join().unwrap(), ([0, 0, 1, 1, 0], Some(1)));
    });
}

#[test]
fn copied_fields_are_read_while_their_update_is_made() {
    let _alone = alone();
    let World { task, owned, shared, fixed } = World::new();
    for before in [None, Some([1; 4]), Some([2; 4])] {
        in_the_middle_of(
            |stay| {
                let stay_and = |value| {
                    stay();
                    value
                };
                task.update_copied_with(|last| stay_and(last.map_or([1; 4], |last| last.map(|word| word + 1))));
            },
            || {
                assert_eq!(task.copied(), before);
                // Updates of other fields and of other hosts do not wait, either.
                task.update_word(1);
                owned.update_copied([1; 4]);
                shared.update_copied_with(|_| [1; 4]);
                fixed.update_copied([1; 4]);
            },
        );
    }
    assert_eq!(task.copied(), Some([3; 4]));
}

#[test]
fn what_a_copied_field_allocates() {
    let _alone = alone();
    let world = World::attached();
    let task = Task::default();
    // The field set.
    assert_eq!(allocates(|| task.update_word(1)), (1, None));
    assert_eq!(allocates(|| task.update_word(2)), (0, Some(1)));
    assert_eq!(allocates(|| task.update_copied([1; 4])), (0, None));
    // The side buffer of the seqlock, for readers during an update.
    assert_eq!(allocates(|| task.update_copied([2; 4])), (SPARE, Some([1; 4])));
    assert_eq!(allocates(|| task.update_copied([3; 4])), (0, Some([2; 4])));
    assert_eq!(allocates(|| task.update_copied_with(|_| [4; 4])), (0, Some([3; 4])));
    assert_eq!(allocates(|| (task.copied(), task.word())), (0, (Some([4; 4]), Some(2))));
    world.shared.update_copied([1; 4]);
    assert_eq!(allocates(|| world.shared.copied()), (0, Some([1; 4])));
}

/// Only user code stops a thread for long: an initialiser, a closure, a clone. Meanwhile, uses of other fields go on.
#[test]
fn nothing_waits_for_what_is_held_up_in_another_field() {
    let _alone = alone();
    let world = World::new();
    let use_the_others = |world: &World| {
        assert!(world.task.attach_attached(Noting::default()).is_ok());
        assert!(world.task.attach_later(Noting::default()).is_ok());
        world.task.made_later();
        assert!(world.owned.attach_attached(Noting::default()).is_ok() && world.owned.made().number == 1);
        assert!(world.shared.attach_attached(Noting::default()).is_ok() && world.shared.made().number == 1);
        assert!(world.fixed.attach_attached(Noting::default()).is_ok() && world.fixed.made().number == 1);
        world.update(|| Noting::cloning(1, || ()));
        assert_eq!(world.read().map(|clone| clone.unwrap().number), [1; 4]);
        world.task.update_copied([1; 4]);
    };
    in_the_middle_of(
        |stay| {
            world.task.get_or_attach_made(|| {
                stay();
                Noting::new(5)
            });
        },
        || {
            use_the_others(&world);
            // A read of the same host does not wait, either.
            assert!(world.task.attached().is_some());
        },
    );
    let other = World::new();
    in_the_middle_of(
        |stay| {
            world.task.update_newest_with(|_| {
                stay();
                Noting::cloning(2, || ())
            });
        },
        || use_the_others(&other),
    );
}

#[test]
fn the_first_attach_of_a_declaration_allocates_and_the_others_do_not() {
    let _alone = alone();
    let warm_up = World::attached();
    assert!(warm_up.task.attach_later(Noting::default()).is_ok());
    warm_up.task.made_later();
    let values = || (Noting::default(), Noting::default());
    let World { task, owned, .. } = World::new();
    let (first, second) = values();
    assert_eq!(allocates(|| task.attach_attached(first).is_ok()), (1, true));
    assert_eq!(allocates(|| task.get_or_attach_made(|| second).number), (0, 0));
    let (first, second) = values();
    // A second declaration: a field set, and a list of two field sets.
    assert_eq!(allocates(|| task.get_or_attach_made_later(|| first).number), (2, 0));
    assert_eq!(allocates(|| task.attach_later(second).is_ok()), (0, true));
    let (first, second) = values();
    assert_eq!(allocates(|| owned.get_or_attach_made(|| first).number), (1, 0));
    assert_eq!(allocates(|| owned.attach_attached(second).is_ok()), (0, true));
    // The first attach also inserts into a side table, which may grow, and an `Arc` host into a log: one allocation or
    // a few.
    let World { shared, fixed, .. } = World::new();
    let (first, second) = values();
    assert!(matches!(allocates(|| shared.attach_attached(first).is_ok()), (1.., true)));
    assert_eq!(allocates(|| shared.get_or_attach_made(|| second).number), (0, 0));
    let (first, second) = values();
    assert!(matches!(allocates(|| fixed.get_or_attach_made(|| first).number), (1.., 0)));
    assert_eq!(allocates(|| fixed.attach_attached(second).is_ok()), (0, true));
}

#[test]
fn an_attach_runs_no_code_but_the_logger() {
    let _alone = alone();
    Logger::start();
    let World { task, owned, shared, fixed } = World::new();
    let values = [(); 8].map(|()| Noting::default());
    let [one, two, three, four, five, six, seven, eight] = values;
    let (counted, ()) = ran(|| {
        assert!(task.attach_attached(one).is_ok() && owned.attach_attached(two).is_ok());
        assert!(shared.attach_attached(three).is_ok() && fixed.attach_attached(four).is_ok());
    });
    assert_eq!(counted, NOTHING);
    let (counted, refused) = ran(|| {
        let refused = [task.attach_attached(five).err(), owned.attach_attached(six).err()];
        (refused, [shared.attach_attached(seven).err(), fixed.attach_attached(eight).err()])
    });
    assert_eq!(counted, [0, 0, 0, 0, 4]);
    assert!(refused.0.iter().chain(&refused.1).all(Option::is_some));
}

#[test]
fn a_miss_runs_its_initialiser_and_nothing_else() {
    let _alone = alone();
    let World { task, owned, shared, fixed } = World::new();
    assert_eq!(ran(|| task.made().number), (once(INIT), 1));
    assert_eq!(ran(|| owned.get_or_attach_made(|| Noting::new(2)).number), (once(INIT), 2));
    let tried = ran(|| shared.get_or_try_attach_made(|| Ok::<_, ()>(Noting::new(3))).map(|made| made.number));
    assert_eq!(tried, (once(INIT), Ok(3)));
    assert_eq!(ran(|| fixed.made().number), (once(INIT), 1));
}

/// A task whose value 1 another thread clones, during `write`.
fn beside_a_clone(write: impl FnOnce(&Task)) -> Arc<Task> {
    let task = Arc::new(Task::default());
    let (value, arrived, go_on) = held_up(1);
    task.update_newest(value);
    never_hangs(|| {
        let reading = Arc::clone(&task);
        let reader = thread::spawn(move || reading.newest().map(|clone| clone.number));
        arrived.recv().unwrap();
        write(&task);
        drop(go_on);
        assert_eq!(reader.join().unwrap(), Some(1));
    });
    task
}

#[test]
fn an_update_waits_for_no_reader_and_no_closure() {
    let _alone = alone();
    let task = beside_a_clone(|task| {
        assert!(task.update_newest(Noting::cloning(2, || ())).is_some());
        assert!(task.update_newest_with(|_| Noting::cloning(3, || ())).is_some());
    });
    in_the_middle_of(
        |stay| {
            task.update_newest_with(|_| {
                stay();
                Noting::cloning(5, || ())
            });
        },
        || {
            assert_eq!(task.update_newest(Noting::cloning(4, || ())).map(|last| last.number), Some(3));
            assert_eq!(task.update_newest_with(|_| Noting::cloning(4, || ())).map(|last| last.number), Some(4));
        },
    );
    assert_eq!(task.newest().map(|newest| newest.number), Some(5));
}

#[derive(Shadow, Default)]
#[shadow_field(get_or_update small: [u64; 2])]
#[shadow_field(get_or_update another: [u64; 7])]
#[shadow_field(get_or_update large: [u64; 8])]
struct Sizes {
    shadow: ShadowFields,
}

#[test]
fn an_update_allocates_but_where_its_thread_has_just_replaced_a_small_value_of_that_size() {
    let _alone = alone();
    let sizes = Arc::new(Sizes::default());
    sizes.update_small([0; 2]);
    sizes.update_another([0; 7]);
    sizes.update_large([0; 8]);
    let updates = Arc::clone(&sizes);
    let thread = thread::spawn(move || {
        let small = || allocates(|| updates.update_small([1; 2]).is_some());
        let small_with = || allocates(|| updates.update_small_with(|last| last.copied().unwrap()).is_some());
        let another = || allocates(|| updates.update_another([1; 7]).is_some());
        let large = || allocates(|| updates.update_large([1; 8]).is_some());
        // A thread that counts operations allocates counters at its first updates of these fields.
        assert!([large(), another(), small()].iter().all(|(_, replaced)| *replaced));
        for _ in 0..3 {
            assert_eq!([small(), small_with(), small()], [(0, true); 3]);
            assert_eq!([large(), large()], [(1, true); 2]);
            assert_eq!(small(), (0, true), "what is large is not kept");
            assert_eq!([another(), another(), another()], [(1, true), (0, true), (0, true)]);
            assert_eq!([small(), small()], [(1, true), (0, true)], "one is kept, the last");
        }
        let other = Sizes::default();
        assert_eq!(allocates(|| other.update_small([1; 2])), (1, None), "the first of a host has its field set, too");
    });
    thread.join().unwrap();
}

#[test]
fn what_an_update_keeps_goes_with_its_thread() {
    /// Updates a field at the end of its thread.
    struct Last(Option<Arc<Sizes>>);

    impl Drop for Last {
        fn drop(&mut self) {
            if let Some(sizes) = self.0.take() {
                for _ in 0..3 {
                    sizes.update_small([1; 2]);
                }
            }
        }
    }

    thread_local! {
        static LAST: RefCell<Last> = const { RefCell::new(Last(None)) };
    }

    let _alone = alone();
    let sizes = Arc::new(Sizes::default());
    sizes.update_small([0; 2]);
    sizes.update_another([0; 7]);
    let thread = |updates: usize| {
        let sizes = Arc::clone(&sizes);
        let thread = thread::spawn(move || {
            // Before the first update, so that the node cache of the thread is destroyed first. With 0 updates here,
            // `Last` makes the only updates.
            LAST.with_borrow_mut(|last| last.0 = Some(Arc::clone(&sizes)));
            (0..updates).for_each(|number| match number % 3 {
                0 => drop(sizes.update_another([1; 7])),
                _ => drop(sizes.update_small([1; 2])),
            });
        });
        thread.join().unwrap();
        bytes_of_all_threads()
    };
    // A thread that counts leaves its counter blocks to the next thread. So the first thread allocates the blocks.
    thread(4);
    let before = thread(0);
    for updates in [0, 1, 2, 3, 4, 5, 1] {
        assert_eq!(thread(updates), before, "after {updates} updates");
    }
}

#[test]
fn an_update_clones_what_is_being_read_and_nothing_else() {
    let _alone = alone();
    let task = Arc::new(Task::default());
    let (value, arrived, go_on) = held_up(1);
    let next = [(); 4].map(|()| Noting::default());
    let [two, three, four, five] = next;
    task.update_newest(value);
    never_hangs(|| {
        let reading = Arc::clone(&task);
        let reader = thread::spawn(move || drop(reading.newest()));
        arrived.recv().unwrap();
        let (counted, previous) = ran(|| task.update_newest(two));
        assert_eq!((counted, previous.map(|previous| previous.number)), (once(CLONE), Some(1)));
        drop(go_on);
        reader.join().unwrap();
    });
    // Without a reader, the update returns the value itself.
    let (counted, previous) = ran(|| task.update_newest(three));
    assert_eq!((counted, previous.is_some()), (NOTHING, true));
    let mut next = Some(four);
    let (counted, previous) = ran(|| {
        task.update_newest_with(|_| {
            note(CLOSURE);
            next.take().unwrap()
        })
    });
    assert_eq!((counted, previous.is_some()), (once(CLOSURE), true));
    // After a lost race, the update drops the attempt and runs the closure again. The update in between returns a
    // clone, since the closure was borrowing the value. The closure's thread drops that value after the closure.
    let mut attempts = vec![Noting::default(), five];
    let mut kept = Vec::new();
    let (counted, previous) = ran(|| {
        task.update_newest_with(|_| {
            note(CLOSURE);
            if attempts.len() == 2 {
                kept.push(elsewhere(|| ran(|| task.update_newest(Noting::default()))));
            }
            attempts.pop().unwrap()
        })
    });
    assert_eq!((counted, previous.is_some()), ([0, 2, 0, 2, 0], true));
    assert_eq!((kept[0].0, kept[0].1.is_some()), (once(CLONE), true));
}

#[test]
fn a_take_waits_for_no_reader_and_no_closure() {
    let _alone = alone();
    let task = beside_a_clone(|task| {
        assert_eq!(task.take_newest().map(|taken| taken.number), Some(1));
        assert!(task.take_newest().is_none() && task.newest().is_none());
    });
    task.update_newest(Noting::cloning(2, || ()));
    in_the_middle_of(
        |stay| {
            task.update_newest_with(|last| {
                if last.is_some() {
                    stay();
                }
                Noting::cloning(3, || ())
            });
        },
        || assert_eq!(task.take_newest().map(|taken| taken.number), Some(2)),
    );
    assert_eq!(task.newest().map(|newest| newest.number), Some(3));
}

#[test]
fn a_take_clones_what_is_being_read_and_nothing_else() {
    let _alone = alone();
    let world = World::attached();
    let take = |world: &World| {
        [world.task.take_newest(), world.owned.take_newest(), world.shared.take_newest(), world.fixed.take_newest()]
    };
    let (allocated, (counted, taken)) = allocates(|| ran(|| take(&world)));
    assert_eq!((allocated, counted), (0, NOTHING));
    assert!(taken.iter().all(Option::is_some));
    let (allocated, (counted, taken)) = allocates(|| ran(|| take(&world)));
    assert_eq!((allocated, counted), (0, NOTHING));
    assert!(taken.iter().all(Option::is_none));

    let task = Arc::new(Task::default());
    let (value, arrived, go_on) = held_up(1);
    task.update_newest(value);
    never_hangs(|| {
        let reading = Arc::clone(&task);
        let reader = thread::spawn(move || {
            let (counted, clone) = ran(|| reading.newest());
            assert_eq!((counted, clone.map(|clone| clone.number)), ([0, 0, 1, 1, 0], Some(1)), "the reader drops it");
        });
        arrived.recv().unwrap();
        let (counted, taken) = ran(|| task.take_newest());
        assert_eq!((counted, taken.map(|taken| taken.number)), (once(CLONE), Some(1)));
        drop(go_on);
        reader.join().unwrap();
    });
}

#[test]
fn no_more_old_values_are_kept_than_readers_are_in_the_middle_of_a_clone() {
    let _alone = alone();
    let task = Arc::new(Task::default());
    let (value, arrived, go_on) = held_up(0);
    let mut lives = vec![Arc::downgrade(&value.life)];
    task.update_newest(value);
    let alive = |lives: &[std::sync::Weak<()>]| lives.iter().filter(|life| life.strong_count() > 0).count();
    never_hangs(|| {
        let reading = Arc::clone(&task);
        let reader = thread::spawn(move || drop(reading.newest()));
        arrived.recv().unwrap();
        for number in 1..fewer(100, 10) {
            let next = Noting::cloning(number, || ());
            lives.push(Arc::downgrade(&next.life));
            drop(task.update_newest(next));
            // The newest value, and the value that the reader is cloning.
            assert_eq!(alive(&lives), 2);
        }
        drop(go_on);
        reader.join().unwrap();
    });
    // After the end of the clone, without a further update.
    assert_eq!(alive(&lives), 1);
}

#[test]
fn exclusive_access_allocates_for_a_copied_field_once_and_for_a_miss() {
    let _alone = alone();
    let _warm_up = World::attached();
    let mut task = Task::default();
    assert_eq!(allocates(|| task.attached_mut().is_none() && task.newest_mut().is_none()), (0, true));
    assert_eq!(allocates(|| task.copied_mut().is_none() && task.detach_made().is_none()), (0, true));
    // The field set, and the `life` of the value.
    assert_eq!(allocates(|| task.made_mut().number), (2, 1));
    assert!(task.attach_attached(Noting::default()).is_ok());
    task.update_newest(Noting::default());
    task.update_copied([1; 4]);
    assert_eq!(allocates(|| task.copied_mut().copied()), (SPARE, Some([1; 4])));
    assert!(matches!(allocates(|| task.copied_mut().copied()), (0, Some(_))));
    let (count, ()) = allocates(|| {
        assert!(task.attached_mut().is_some() && task.newest_mut().is_some());
        task.made_mut();
        assert!(task.detach_attached().is_some() && task.detach_made().is_some());
        assert!(task.detach_newest().is_some() && task.detach_copied().is_some());
    });
    assert_eq!(count, 0);
}

#[test]
fn exclusive_access_runs_the_initialiser_of_a_miss_and_nothing_else() {
    #[derive(Shadow, Default)]
    #[shadow_field(get_or_attach failing: u32 = panic!("no value"))]
    struct Failing {
        shadow: ShadowFields,
    }
    let _alone = alone();
    let mut task = Task::default();
    assert_eq!(ran(|| task.made_mut().number), (once(INIT), 1));
    assert!(task.attach_attached(Noting::default()).is_ok());
    task.update_newest(Noting::default());
    let (counted, out) = ran(|| {
        assert!(task.attached_mut().is_some() && task.newest_mut().is_some() && task.made_mut().number == 1);
        (task.detach_attached(), task.detach_made(), task.detach_newest())
    });
    assert_eq!(counted, NOTHING);
    assert!(out.0.is_some() && out.1.is_some() && out.2.is_some());
    let mut failing = Failing::default();
    assert_eq!(panic_of(|| *failing.failing_mut()), "no value");
    assert_eq!(failing.detach_failing(), None);
}

#[test]
fn the_end_of_a_host_allocates_nothing() {
    let _alone = alone();
    drop(World::attached());
    let World { task, owned, .. } = World::attached();
    task.update_copied([1; 4]);
    task.update_copied([2; 4]);
    assert_eq!(allocates(|| drop(task)).0, 0);
    assert_eq!(allocates(|| Shadowed::into_inner(owned)), (0, 1));
}

#[test]
fn a_sweep_and_a_report_wait_for_no_code_of_the_user() {
    let _alone = alone();
    let (world, object) = (World::new(), Arc::new(1_u64));
    assert!(object.attach_attached(Noting::default()).is_ok());
    drop(object);
    in_the_middle_of(
        |stay| {
            world.shared.get_or_attach_made(|| {
                stay();
                Noting::new(1)
            });
        },
        || {
            assert_eq!(registry().sweep(), 1);
            assert!(registry().report().iter().count() > 0);
        },
    );
}

#[test]
fn a_sweep_allocates_for_hosts_that_are_new_since_the_last_one() {
    let _alone = alone();
    let World { shared, .. } = World::attached();
    assert!(matches!(allocates(|| registry().sweep()), (1.., 0)));
    drop(shared);
    assert_eq!(allocates(|| registry().sweep()), (0, 1));
}

#[test]
fn a_detach_of_all_fields_of_an_arc_allocates_nothing_and_runs_the_destructors() {
    let _alone = alone();
    let World { mut shared, .. } = World::attached();
    for _ in 0..2 {
        shared.update_copied([1; 4]);
        let (allocated, (counted, detached)) = allocates(|| ran(|| registry().detach_all(&mut shared)));
        assert_eq!((allocated, counted, detached), (0, [0, 0, 0, 3, 0], Some(4)));
        let (allocated, (counted, detached)) = allocates(|| ran(|| registry().detach_all(&mut shared)));
        assert_eq!((allocated, counted, detached), (0, NOTHING, Some(0)));
        let attach = || {
            assert!(shared.attach_attached(Noting::default()).is_ok());
            shared.get_or_attach_made(Noting::default);
        };
        // `Noting` allocates its `life`.
        assert_eq!(allocates(attach).0, 2, "the host keeps its memory");
        shared.update_newest(Noting::default());
        let second = Arc::clone(&shared);
        assert_eq!(ran(|| registry().detach_all(&mut shared)), (NOTHING, None));
        drop(second);
    }
}

#[test]
fn an_iteration_over_hosts_allocates_room_and_runs_no_code() {
    let _alone = alone();
    let World { shared, .. } = World::attached();
    let (counted, (allocated, found)) =
        ran(|| allocates(|| registry().hosts::<u64>().filter(|host| Arc::ptr_eq(host, &shared)).count()));
    assert_eq!((counted, found), (NOTHING, 1));
    // Room for the hosts of one of 128 parts of the table, which the iteration reuses and enlarges.
    assert!((1..20).contains(&allocated), "{allocated}");
}

#[test]
fn a_report_allocates_and_runs_no_code_of_the_user() {
    let _alone = alone();
    let _world = World::attached();
    let (counted, (count, rows)) = ran(|| allocates(|| registry().report().iter().count()));
    assert_eq!(counted, NOTHING);
    assert!(count > 0 && rows > 0);
}

#[test]
fn counting_allocates_when_a_thread_does_it_first() {
    let _alone = alone();
    // The field sets exist already, so only counters remain to allocate.
    let mut world = World::attached();
    let task = &mut world.task;
    let start = std::sync::Barrier::new(8);
    // Counter blocks of ended threads are reused, so the threads of this test run at the same time.
    let mut tasks: Vec<Task> = (0..8).map(|_| Task::default()).collect();
    for task in &tasks {
        task.update_word(1);
    }
    task.update_word(1);
    let counts: Vec<[usize; 2]> = thread::scope(|scope| {
        let threads = tasks.iter_mut().map(|task| {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                let counted = [allocates(|| task.update_word(2)).0, allocates(|| task.detach_word()).0];
                start.wait();
                counted
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(counts.iter().any(|counts| counts[0] > 0), "{counts:?}");
    assert!(counts.iter().all(|counts| counts[1] == 0), "{counts:?}");
}

#[test]
fn an_attach_to_an_arc_drops_no_more_than_a_few_hosts() {
    let _alone = alone();
    let hosts: Vec<Arc<u64>> = (0..fewer(20_000, 60)).map(Arc::new).collect();
    for host in &hosts {
        assert!(host.attach_attached(Noting::default()).is_ok());
    }
    drop(hosts);
    let mut total = 0;
    for _ in 0..fewer(1000, 30) {
        let (host, value) = (Arc::new(1), Noting::default());
        let (counted, attached) = ran(|| host.attach_attached(value).is_ok());
        assert!(attached && counted[DROP] <= 64, "{counted:?}");
        total += counted[DROP];
    }
    assert!(total > 0, "none is found");
    registry().sweep();
}

#[test]
fn what_was_done_before_an_attach_or_an_update_is_seen_with_the_value() {
    let _alone = alone();
    for round in 1..fewer(500_u32, 3) {
        let (task, shared) = (Task::default(), Arc::new(0_u64));
        let before = [const { AtomicU32::new(0) }; 5];
        let write = |which: usize| before[which].store(round, Ordering::Relaxed);
        let is_seen = |which: usize| assert_eq!(before[which].load(Ordering::Relaxed), round);
        never_hangs(|| {
            thread::scope(|scope| {
                scope.spawn(|| {
                    write(0);
                    assert!(task.attach_attached(Noting::default()).is_ok());
                    write(1);
                    task.made();
                    write(2);
                    task.update_newest(Noting::default());
                    write(3);
                    task.update_copied([1; 4]);
                    write(4);
                    assert!(shared.attach_attached(Noting::default()).is_ok());
                });
                let mut left = vec![0, 1, 2, 3, 4];
                while !left.is_empty() {
                    left.retain(|&which| {
                        let is_there = match which {
                            0 => task.attached().is_some(),
                            1 => task.peek_made().is_some(),
                            2 => task.newest().is_some(),
                            3 => task.copied().is_some(),
                            _ => shared.attached().is_some(),
                        };
                        if is_there {
                            is_seen(which);
                        }
                        !is_there
                    });
                }
            });
        });
    }
}

const LOOKED: raw::Id<Noting> = raw::Id::new(1);
const READ: raw::UpdateId<Noting> = raw::UpdateId::new(2);
const OWNED: raw::PointerId<Box<Noting>> = raw::PointerId::new(3);

/// An object of the raw interface. Every field is detached at the latest in `Drop`, before the end of the object. No
/// method keeps a reference to a value, and no test detaches a field during a call on a second thread.
struct Object(Box<u64>);

impl Object {
    fn new() -> Self {
        Self(Box::new(0))
    }

    fn key(&self) -> *const () {
        ptr::from_ref(&*self.0).cast()
    }

    fn attach(&self, value: Noting) -> bool {
        // SAFETY: `Drop` detaches all fields before the end of the object, and no caller keeps the reference.
        unsafe { LOOKED.attach(self.key(), value) }.is_ok()
    }

    fn make(&self, init: impl FnOnce() -> Noting) -> u32 {
        // SAFETY: `Drop` detaches all fields before the end of the object, and the reference ends with this statement.
        unsafe { LOOKED.get_or_attach(self.key(), || Ok::<_, ()>(init())) }.unwrap().number
    }

    fn look(&self) -> Option<u32> {
        // SAFETY: `Drop` detaches all fields before the end of the object, and the reference ends with this statement.
        unsafe { LOOKED.get(self.key()) }.unwrap().map(|found| found.number)
    }

    fn detach(&self) -> Option<Noting> {
        // SAFETY: the methods of `Object` keep no reference to a value, and no second thread uses the object.
        unsafe { LOOKED.detach(self.key()) }.unwrap()
    }

    fn update(&self, value: Noting) -> Option<Noting> {
        // SAFETY: `Drop` detaches all fields before the end of the object.
        unsafe { READ.get_or_update(self.key(), value) }.unwrap()
    }

    fn read(&self) -> Option<Noting> {
        // SAFETY: the fields at this address are fields of this object.
        unsafe { READ.get(self.key()) }.unwrap()
    }

    fn detach_newest(&self) -> Option<Noting> {
        // SAFETY: the fields at this address are fields of this object.
        unsafe { READ.detach(self.key()) }.unwrap()
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: the methods of `Object` keep no reference to a value, and no second thread uses the object.
        unsafe { raw::detach_object(self.key()) };
    }
}

#[test]
fn a_raw_look_allocates_nothing_and_runs_no_code() {
    let _alone = alone();
    let (object, bare) = (Object::new(), Object::new());
    assert!(object.attach(Noting::default()));
    let (counted, found) = ran(|| allocates(|| (object.look(), bare.look(), object.make(|| Noting::new(1)))));
    assert_eq!((counted, found), (NOTHING, (0, (Some(0), None, 0))));
}

#[test]
fn a_raw_read_clones_once() {
    let _alone = alone();
    let object = Object::new();
    object.update(Noting::cloning(1, || ()));
    drop(object.read());
    let (counted, (count, clone)) = ran(|| allocates(|| object.read()));
    // One allocation, by `Clone`.
    assert_eq!((counted, count, clone.map(|clone| clone.number)), (once(CLONE), 1, Some(1)));
    object.update(Noting::cloning(1, || panic!("no clone")));
    assert_eq!(panic_of(|| object.read().is_some()), "no clone");
}

#[test]
fn raw_attaches_and_updates_allocate() {
    let _alone = alone();
    let warm_up = Object::new();
    assert!(warm_up.attach(Noting::default()));
    warm_up.update(Noting::default());
    let (one, other) = (Object::new(), Object::new());
    let values = [(); 6].map(|()| Noting::default());
    let [first, second, third, fourth, fifth, refused] = values;
    assert!(matches!(ran(|| allocates(|| one.attach(first))), (NOTHING, (1.., true))));
    assert!(matches!(ran(|| allocates(|| other.make(|| second))), (NOTHING, (1.., 0))));
    assert!(matches!(ran(|| allocates(|| one.update(third).is_none())), (NOTHING, (1.., true))));
    let (counted, (count, previous)) = ran(|| allocates(|| one.update(fourth)));
    assert!(counted == NOTHING && count == 1 && previous.is_some());
    // The fifth value takes the memory of the third.
    let (counted, (count, previous)) = ran(|| allocates(|| one.update(fifth)));
    assert!(counted == NOTHING && count == 0 && previous.is_some());
    assert!(!one.attach(refused));
}

#[test]
fn raw_initialisers_run_and_their_results_are_cloned_once() {
    let _alone = alone();
    Logger::start();
    // The first attach of a number allocates more, and so does the first read of a thread.
    let warm_up = Object::new();
    warm_up.update(Noting::default());
    let _ = (warm_up.read(), warm_up.detach_newest());
    let object = Object::new();
    let init = || Ok::<_, ()>(Noting::new(7));
    // SAFETY: `Drop` detaches all fields before the end of the object, and the reference ends with this statement.
    let attach_with = || unsafe { LOOKED.attach_with(object.key(), init) }.is_ok();
    // SAFETY: `Drop` detaches all fields before the end of the object.
    let get_or_attach = || unsafe { READ.get_or_attach(object.key(), init) }.ok();
    // SAFETY: `Drop` detaches all fields before the end of the object.
    let attach_newest_with = || unsafe { READ.attach_with(object.key(), init) }.ok();
    let made_and_cloned = [1, 0, 1, 0, 0];

    assert!(matches!(ran(|| allocates(attach_with)), (counted, (1.., true)) if counted == once(INIT)));
    assert_eq!(ran(|| allocates(attach_with)), (once(LOGGER), (0, false)));
    let (counted, (count, value)) = ran(|| allocates(get_or_attach));
    assert!(counted == made_and_cloned && count > 0 && value.is_some_and(|value| value.number == 7));
    let (counted, (count, value)) = ran(|| allocates(get_or_attach));
    // One allocation, by `Clone`.
    assert_eq!((counted, count, value.map(|value| value.number)), (once(CLONE), 1, Some(7)));
    let (counted, (count, value)) = ran(|| allocates(attach_newest_with));
    assert_eq!((counted, count, value.is_none()), (once(LOGGER), 0, true));
    drop(object.detach_newest());
    let (counted, (count, value)) = ran(|| allocates(attach_newest_with));
    assert!(counted == made_and_cloned && count > 0 && value.is_some_and(|value| value.number == 7));
}

#[test]
fn raw_pointers_allocate_on_an_attach_and_run_their_initialiser_and_nothing_else() {
    let _alone = alone();
    Logger::start();
    let (object, bare) = (Object::new(), Object::new());
    // The number of allocations of an attach of the id's second object and later objects, without the box: one.
    let init = || Ok::<_, ()>(Box::new(Noting::new(7)));
    // SAFETY: `Drop` detaches all fields before the end of the object.
    let get_or_attach = |object: &Object| unsafe { OWNED.get_or_attach(object.key(), init) }.is_ok();
    // SAFETY: `Drop` detaches all fields before the end of the object.
    let attach_with = || unsafe { OWNED.attach_with(object.key(), init) }.is_ok();
    // SAFETY: the fields at this address are fields of the object.
    let detach = || unsafe { OWNED.detach(object.key()) }.unwrap();
    // SAFETY: the fields at this address are fields of the object.
    let get = |object: &Object| unsafe { OWNED.get(object.key()) }.unwrap().is_some();
    // SAFETY: the closure calls no function.
    let inspect = |object: &Object| unsafe { OWNED.inspect(object.key(), |_| ()) }.unwrap().is_some();
    // The first attach of the number, and the first entry of the shard, allocate more.
    assert!(get_or_attach(&object) && detach().is_some());

    let (of_box, _) = allocates(init);
    assert_eq!(ran(|| allocates(|| get_or_attach(&object))), (once(INIT), (of_box + 1, true)));
    let hits = || (get(&object), inspect(&object), get_or_attach(&object), get(&bare), inspect(&bare));
    assert_eq!(ran(|| allocates(hits)), (NOTHING, (0, (true, true, true, false, false))));
    assert_eq!(ran(|| allocates(attach_with)), (once(LOGGER), (0, false)));
    let (counted, (count, out)) = ran(|| allocates(|| [detach(), detach()]));
    assert_eq!((counted, count, out.map(|out| out.map(|noting| noting.number))), (NOTHING, 0, [Some(7), None]));
    assert_eq!(ran(|| allocates(attach_with)), (once(INIT), (of_box + 1, true)));
    // SAFETY: the fields at this address are fields of the object.
    assert_eq!(ran(|| unsafe { raw::detach_object(object.key()) }), (once(DROP), 1));
}

#[test]
fn raw_iterators_allocate_nothing_and_their_drops_run_destructors() {
    const OBJECTS: usize = fewer(100, 8);
    let _alone = alone();
    let objects: Vec<Object> = (0..OBJECTS).map(|_| Object::new()).collect();
    let attach_all = || {
        let attached = |object: &Object| object.attach(Noting::default());
        let updated = |object: &Object| object.update(Noting::default()).is_none();
        assert!(objects.iter().all(|object| attached(object) && updated(object)));
    };
    let drops = |count: usize| {
        let mut counted = NOTHING;
        counted[DROP] = count;
        counted
    };
    // SAFETY: the objects are alive, and the methods of `Object` keep no reference to a value.
    let (drain, drain_newest) = (|| unsafe { LOOKED.drain() }.unwrap(), || unsafe { READ.drain() }.unwrap());
    // SAFETY: as above.
    let drain_object = |object: &Object| unsafe { raw::UpdateId::<Noting>::drain_object(object.key()) };
    attach_all();
    let listed = || (LOOKED.objects().unwrap().count(), READ.objects().unwrap().count());
    assert_eq!(ran(|| allocates(listed)), (NOTHING, (0, (OBJECTS, OBJECTS))));
    let dropped = || drop((drain(), drain_newest()));
    assert_eq!(ran(|| allocates(dropped)), (drops(2 * OBJECTS), (0, ())));
    attach_all();
    assert_eq!(ran(|| allocates(|| drain_object(&objects[0]).map(drop).count())), (once(DROP), (0, 1)));
    assert_eq!(ran(|| allocates(|| drop(drain_object(&objects[1])))), (once(DROP), (0, ())));
    assert_eq!(ran(|| allocates(|| drain().map(drop).count())), (drops(OBJECTS), (0, OBJECTS)));
    // SAFETY: as above.
    let all = || unsafe { READ.detach_all(|_, value| drop(value)) }.unwrap();
    assert_eq!(ran(|| allocates(all)), (drops(OBJECTS - 2), (0, OBJECTS - 2)));
}

#[test]
fn a_description_of_a_raw_number_allocates() {
    let _alone = alone();
    let object = Object::new();
    assert!(object.attach(Noting::default()));
    let (count, ()) = allocates(|| raw::describe(1, raw::Description::new("looked")));
    assert_eq!(count, 1);
    let (count, ()) = allocates(|| raw::describe(1, raw::Description::new("looked at")));
    assert_eq!(count, 0);
}

#[test]
fn a_raw_detach_allocates_nothing_and_runs_no_code() {
    let _alone = alone();
    let object = Object::new();
    for _ in 0..2 {
        assert!(object.attach(Noting::default()) && object.update(Noting::default()).is_none());
        let (counted, (count, out)) = ran(|| allocates(|| (object.detach(), object.detach_newest())));
        assert!(out.0.is_some() && out.1.is_some());
        assert_eq!((counted, count), (NOTHING, 0));
    }
}
