//! The policy `get_or_update(copy)`: the behaviour of `get_or_update`, for small `Copy` values. Values of any size,
//! alignment and content are read back unchanged.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use shadow_runtime::{Policy, Shadow, ShadowFields, Shadowed, registry, shadow};

use support::{AtEnd, elsewhere, fewer, memory};

/// The number of writes next to concurrent readers. Miri takes a thousand times as long for a write.
const WRITES: u64 = fewer(20_000, 5);

#[derive(Shadow, Default)]
#[shadow_field(pub get_or_update(copy) last_seen: u64)]
#[shadow_field(get_or_update (copy) block: Block)]
struct Task {
    shadow: ShadowFields,
}

shadow! { impl Task { get_or_update(copy) later: Block; } }

/// Larger than one word, so a read takes several loads.
type Block = [u64; 4];

#[test]
fn a_field_that_is_not_attached_is_none() {
    let mut task = Task::default();
    assert_eq!((task.last_seen(), task.block()), (None, None));
    assert_eq!(task.last_seen_mut(), None);
    assert_eq!(task.block_mut(), None);
    assert_eq!((task.detach_last_seen(), task.detach_block()), (None, None));
    assert_eq!((task.last_seen(), task.block()), (None, None), "none of these attaches anything");
}

#[test]
fn a_value_that_was_borrowed_mutably_can_be_replaced_by_what_is_made_of_it() {
    let mut task = Task::default();
    for count in 1..4 {
        task.update_block([count; 4]);
        task.block_mut().unwrap()[0] = 9;
        let previous =
            support::never_hangs(|| task.update_block_with(|before| before.unwrap().map(|number| 2 * number)));
        assert_eq!(previous, Some([9, count, count, count]));
        assert_eq!(task.block(), Some([18, 2 * count, 2 * count, 2 * count]));
    }
}

/// Passes every value of `values` through every accessor, and asserts that the value comes back unchanged.
fn every_accessor<V: Copy + PartialEq + Debug + Send + Sync + 'static>(values: [V; 4]) {
    shadow! { trait Field<V: Copy + Send + Sync + 'static> for Shadowed<(u8, V)> { get_or_update(copy) field: V; } }
    let [first, second, third, fourth] = values;
    let mut host = Shadowed::new((1, first));
    for _ in 0..2 {
        assert_eq!(host.update_field(first), None);
        assert_eq!(host.field(), Some(first));
        assert_eq!(host.update_field(second), Some(first));
        assert_eq!(host.field(), Some(second));
        assert_eq!(host.update_field(third), Some(second));
        assert_eq!(host.field(), Some(third));
        let next = |before: Option<&V>| {
            assert_eq!(before, Some(&third));
            fourth
        };
        assert_eq!(host.update_field_with(next), Some(third));
        assert_eq!(host.field(), Some(fourth));
        assert_eq!(host.field_mut(), Some(&mut { fourth }));
        *host.field_mut().unwrap() = first;
        assert_eq!(host.field(), Some(first));
        for value in values {
            host.update_field(value);
            assert_eq!(host.field(), Some(value));
        }
        *host.field_mut().unwrap() = third;
        assert_eq!(host.update_field(second), Some(third));
        assert_eq!(host.detach_field(), Some(second));
        assert_eq!((host.field(), host.detach_field()), (None, None));
        assert_eq!(host.update_field_with(|before| before.copied().unwrap_or(second)), None);
        assert_eq!(host.detach_field(), Some(second));
    }
}

/// `COUNT` consecutive numbers, from `next + 1` on.
fn counted<const COUNT: usize>(mut next: u8) -> [u8; COUNT] {
    [(); COUNT].map(|()| {
        next += 1;
        next
    })
}

#[test]
fn values_of_any_size_come_out_as_they_went_in() {
    every_accessor([1_u8, 2, 3, 4]);
    every_accessor([1_u16, 2, 3, 4]);
    every_accessor([1_u32, 2, 3, 4]);
    every_accessor([1_u64, 2, 3, u64::MAX]);
    every_accessor([1_u128, 2, 3, u128::MAX]);
    every_accessor([1.0_f64, -0.5, 3.0, f64::INFINITY]);
    every_accessor(['a', 'b', 'ß', '連']);
    every_accessor([true, false, true, false]);
    every_accessor([1, 2, 3, 4].map(|byte| [byte; 3]));
    every_accessor([1, 2, 3, 4].map(|byte| [byte; 5]));
    every_accessor([1, 2, 3, 4].map(|number: u32| [number; 3]));
    every_accessor([1, 2, 3, 4].map(counted::<13>));
    every_accessor([1, 2, 3, 4].map(counted::<33>));
    every_accessor([1, 2, 3, 4].map(counted::<200>));
}

#[test]
fn values_of_no_size_come_out_too() {
    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(align(32))]
    struct Wide;
    every_accessor([(); 4]);
    every_accessor([Wide; 4]);
}

#[test]
fn values_of_any_alignment_are_where_they_may_be() {
    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(align(16))]
    struct Wide(u8);
    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(align(64))]
    struct Wider(u64, u8);
    every_accessor([1, 2, 3, 4].map(Wide));
    every_accessor([1, 2, 3, 4].map(|number| Wider(number, 9)));
    shadow! { trait Aligned for Shadowed<u8> { get_or_update(copy) wider: Wider; } }
    let mut host = Shadowed::new(1);
    host.update_wider(Wider(1, 2));
    host.update_wider(Wider(3, 4));
    let place = std::ptr::from_mut(host.wider_mut().unwrap());
    assert_eq!(place.addr() % 64, 0);
}

#[test]
fn padding_means_nothing() {
    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(C)]
    struct Gaps(u8, u32, u8, u64, u16);
    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(C)]
    struct Small(u8, u16, u8);
    every_accessor([1, 2, 3, 4].map(|number| Gaps(number, 2, 3, u64::from(number), 5)));
    every_accessor([1, 2, 3, 4].map(|number| Small(number, 2, 3)));
    every_accessor([None, Some(1_u64), None, Some(u64::MAX)]);
    every_accessor([Ok(1_u8), Err([1_u32; 5]), Ok(2), Err([2; 5])]);
}

/// A value with pointers, which a test uses after a read.
#[derive(Clone, Copy)]
struct Handler {
    name: &'static str,
    call: fn(u32) -> u32,
    state: &'static [u32; 2],
}

#[test]
fn pointers_in_values_can_be_used() {
    static STATES: [[u32; 2]; 2] = [[1, 2], [3, 4]];
    shadow! {
        trait Handled for Shadowed<u8> {
            get_or_update(copy) handler: Handler;
            get_or_update(copy) call: fn(u32) -> u32;
            get_or_update(copy) text: &'static str;
        }
    }
    let host = Shadowed::new(1);
    for round in 0..4_u32 {
        let text = ["zero", "one", "two", "three"][round as usize];
        let call = [|number| number + 1, |number| number * 2][round as usize % 2];
        host.update_handler(Handler { name: text, call, state: &STATES[round as usize % 2] });
        host.update_call(call);
        host.update_text(text);
        let handler = host.handler().unwrap();
        assert_eq!((handler.name, host.text().unwrap()), (text, text));
        assert_eq!((handler.call)(round), call(round));
        assert_eq!(host.call().unwrap()(round), call(round));
        assert_eq!(handler.state.iter().sum::<u32>(), [3, 7][round as usize % 2]);
    }
}

#[test]
fn pointers_that_lie_across_words_can_be_used() {
    #[derive(Clone, Copy)]
    #[repr(C, packed)]
    struct Packed(u8, &'static str, &'static u32, u8);
    shadow! { trait PackedFields for Shadowed<u8> { get_or_update(copy) packed: Packed; } }
    static NUMBERS: [u32; 3] = [10, 20, 30];
    let host = Shadowed::new(1);
    for (round, text) in ["one", "two", "three"].into_iter().enumerate() {
        host.update_packed(Packed(7, text, &NUMBERS[round], 8));
        let Packed(before, read, number, after) = host.packed().unwrap();
        assert_eq!((before, read, *number, after), (7, text, NUMBERS[round], 8));
    }
}

#[test]
fn the_closure_of_an_update_runs_again_if_another_update_came_between() {
    let task = Task::default();
    for round in [0, 10, 20] {
        let mut saw = Vec::new();
        let update = || {
            task.update_last_seen_with(|before| {
                saw.push(before.copied());
                if saw.len() == 1 {
                    // An update with an equal value also counts as an update.
                    elsewhere(|| task.update_last_seen(before.copied().unwrap_or(1)));
                }
                round + 10
            })
        };
        let previous = support::never_hangs(update);
        assert_eq!(saw, if round == 0 { [None, Some(1)] } else { [Some(round); 2] });
        assert_eq!((previous, task.last_seen()), (saw[1], Some(round + 10)));
    }
}

#[test]
fn the_closure_of_an_update_may_read_the_field() {
    let task = Task::default();
    for round in 0..4 {
        let before = task.block();
        support::never_hangs(|| {
            task.update_block_with(|last| {
                assert_eq!((last.copied(), task.block()), (before, before));
                [round; 4]
            })
        });
    }
    assert_eq!(task.block(), Some([3; 4]));
}

refusable_updates!();

#[test]
fn a_closure_that_panics_changes_nothing() {
    let task = Task::default();
    for block in [None, Some([1; 4]), Some([2; 4]), Some([3; 4])] {
        if let Some(block) = block {
            task.update_block(block);
        }
        assert_eq!(support::panic_of(|| task.update_block_with(|_| panic!("no next"))), "no next");
        assert_eq!(task.block(), block);
    }
    support::never_hangs(|| task.update_block([4; 4]));
    assert_eq!(task.block(), Some([4; 4]));
}

#[test]
fn every_kind_of_host_has_such_fields() {
    shadow! {
        trait ArcFields for Arc<str> { get_or_update(copy) seen: u64; get_or_update(copy) block: Block; }
        trait StaticFields for &'static u32 { get_or_update(copy) seen: u64; get_or_update(copy) block: Block; }
    }
    static HOST: u32 = 1;
    let arc: Arc<str> = "host".into();
    let (fixed, task) = (&HOST, Task::default());
    let mut before = None;
    for number in 1..5 {
        let block = [number; 4];
        let last = before.map(|number| [number; 4]);
        assert_eq!((arc.update_seen(number), arc.update_block(block)), (before, last));
        assert_eq!((fixed.update_seen(number), fixed.update_block_with(|_| block)), (before, last));
        assert_eq!(task.update_later(block), last);
        before = Some(number);
        let elsewhere = Arc::clone(&arc);
        assert_eq!((elsewhere.seen(), elsewhere.block()), (before, Some(block)));
        assert_eq!((fixed.seen(), fixed.block(), task.later()), (before, Some(block), Some(block)));
    }
}

#[test]
fn the_report_counts_as_it_does_for_other_fields() {
    #[derive(Shadow, Default)]
    #[shadow_field(get_or_update(copy) counted: u16)]
    struct Counted {
        shadow: ShadowFields,
    }
    let counts = || {
        let report = registry().report();
        let row = report.iter().find(|row| row.field() == "counted").unwrap();
        assert_eq!((row.policy(), row.value_type()), (Policy::GetOrUpdateCopy, "u16"));
        [row.attached(), row.updates(), row.detached(), row.live()]
    };
    let (mut one, other) = (Counted::default(), Counted::default());
    one.update_counted(1);
    assert_eq!(counts(), [1, 0, 0, 1]);
    one.update_counted(2);
    other.update_counted_with(|_| 3);
    other.update_counted_with(|_| 4);
    assert_eq!(counts(), [2, 2, 0, 2]);
    assert_eq!(one.counted_mut(), Some(&mut 2));
    assert_eq!(one.detach_counted(), Some(2));
    assert_eq!(one.detach_counted(), None);
    assert_eq!(counts(), [2, 2, 1, 1]);
    assert_eq!(format!("{:?} {:?}", one.shadow, other.shadow), r#"ShadowFields {} ShadowFields {"counted"}"#);
    drop((one, other));
    assert_eq!(counts(), [2, 2, 2, 0]);
    // Wide enough for a table of the fields of all tests of the process.
    let report = format!("{:400}", registry().report());
    assert!(report.lines().any(|line| line.contains("counted") && line.contains("get_or_update(copy)")), "{report}");
}

#[test]
fn a_clone_of_a_host_starts_without_a_value() {
    #[derive(Shadow, Clone, Default, Debug)]
    #[shadow_field(get_or_update(copy) seen: u64)]
    struct Page {
        shadow: ShadowFields,
    }
    let page = Page::default();
    page.update_seen(1);
    assert_eq!((page.clone().seen(), page.seen()), (None, Some(1)));
}

#[test]
fn a_value_is_in_the_one_allocation_of_its_field_set() {
    shadow! { trait Words for Shadowed<u8> { get_or_update(copy) word: u64; } }
    let host = Shadowed::new(1);
    host.update_word(0);
    drop(host);
    let host = Shadowed::new(1);
    let (allocations, bytes) = (memory::allocations(), memory::bytes());
    for number in 0..100 {
        host.update_word(number);
        host.update_word_with(|_| number);
        assert_eq!(host.word(), Some(number));
    }
    assert_eq!(memory::allocations() - allocations, 1);
    // A seqlock takes 24 bytes, and the link of the node 8. The limit leaves room for the mutex of the fallback.
    assert!(memory::bytes() - bytes <= 32 + 40);
}

#[test]
fn readers_see_a_whole_value_while_writers_write() {
    let task = Task::default();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut reads = 0_u64;
                while !done.load(Ordering::Relaxed) || reads == 0 {
                    if let Some([first, rest @ ..]) = task.block() {
                        assert_eq!(rest, [first; 3]);
                        reads += 1;
                    }
                }
            });
        }
        let _end = AtEnd(|| done.store(true, Ordering::Relaxed));
        thread::scope(|scope| {
            for writer in 0..2 {
                let task = &task;
                scope.spawn(move || {
                    for round in 0..WRITES {
                        let [first, rest @ ..] = if round % 4 == 0 {
                            task.update_block_with(|_| [round * 2 + writer; 4]).unwrap_or_default()
                        } else {
                            task.update_block([round * 2 + writer; 4]).unwrap_or_default()
                        };
                        assert_eq!(rest, [first; 3]);
                    }
                });
            }
        });
    });
}

#[test]
fn a_reader_never_sees_an_older_value_than_before() {
    fn never_back(read: impl Fn() -> Option<u64> + Sync, write: impl Fn(u64)) {
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut last = 0;
                    while last < WRITES {
                        let next = read().unwrap_or(0);
                        assert!(next >= last, "{next} after {last}");
                        last = next;
                    }
                });
            }
            (1..=WRITES).for_each(write);
        });
    }
    let task = Task::default();
    never_back(
        || task.last_seen(),
        |number| {
            task.update_last_seen(number);
        },
    );
    never_back(
        || task.block().map(|block| block[0]),
        |number| {
            task.update_block([number; 4]);
        },
    );
}

#[test]
fn no_update_that_is_made_of_the_one_before_is_lost() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = fewer(500, 3);
    let task = Task::default();
    let start = Barrier::new(4);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                start.wait();
                for _ in 0..ROUNDS {
                    task.update_last_seen_with(|before| before.map_or(1, |before| before + 1));
                    task.update_block_with(|before| before.map_or([1; 4], |before| before.map(|word| word + 1)));
                }
            });
        }
    });
    assert_eq!((task.last_seen(), task.block()), (Some(THREADS * ROUNDS), Some([THREADS * ROUNDS; 4])));
}

#[test]
fn of_racing_updates_each_value_is_the_previous_of_one_other_or_the_last() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = fewer(500, 3);
    let mut task = Task::default();
    let start = Barrier::new(4);
    let (shared, start) = (&task, &start);
    let mut returned: Vec<u64> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    start.wait();
                    let values = (0..ROUNDS).map(|round| thread * ROUNDS + round);
                    values.filter_map(|value| shared.update_last_seen(value)).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    returned.extend(task.detach_last_seen());
    assert_eq!(returned.len() as u64, THREADS * ROUNDS);
    assert_eq!(returned.into_iter().collect::<BTreeSet<_>>(), (0..THREADS * ROUNDS).collect());
}
