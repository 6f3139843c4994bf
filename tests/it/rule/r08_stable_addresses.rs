//! Rule R8: the address of a write-once value is constant while the value is attached, whatever happens to the host, to
//! other hosts and to the tables.

use std::sync::atomic::AtomicU8;
use std::sync::{Arc, Barrier, Mutex};
use std::{mem, ptr, thread};

use shadow_runtime::{Shadow, ShadowFields, Shadowed, raw, registry, shadow};

use support::fewer;

#[derive(Shadow, Default)]
#[shadow_field(attach once: String)]
#[shadow_field(get_or_attach made: Mutex<u32>)]
#[shadow_field(get_or_update newest: String)]
struct Task {
    shadow: ShadowFields,
}

/// Declares a trait for every `$trait`, with a field set of its own, for one host type.
macro_rules! many {
    ($host:ty: $($trait:ident $field:ident),*) => {
        shadow! { $(trait $trait for $host { get_or_attach $field: [u64; 8]; })* }
    };
}

many!(Task: Task1 f1, Task2 f2, Task3 f3, Task4 f4, Task5 f5, Task6 f6, Task7 f7, Task8 f8);
many!(Arc<u32>: Shared1 f1, Shared2 f2, Shared3 f3, Shared4 f4, Shared5 f5, Shared6 f6, Shared7 f7, Shared8 f8);

shadow! {
    trait OwnedFields for Shadowed<u32> { attach once: String; get_or_attach made: Mutex<u32>; get_or_update newest: String; }
    trait SharedFields for Arc<u32> { attach once: String; get_or_attach made: Mutex<u32>; get_or_update newest: String; }
    trait StaticFields for &'static AtomicU8 { attach once: String; get_or_attach made: Mutex<u32>; }
    trait StaticLater for &'static AtomicU8 { get_or_attach later: [u64; 8]; }
}

const ONCE: raw::Id<String> = raw::Id::new(8000);

fn address<T>(value: &T) -> usize {
    ptr::from_ref(value).addr()
}

/// Attaches the two write-once values if absent, and returns the addresses of the values.
fn of_task(task: &Task) -> [usize; 2] {
    if task.once().is_none() {
        let attached = address(task.attach_once("once".to_owned()).unwrap());
        assert_eq!(attached, address(task.once().unwrap()));
    }
    assert_eq!(task.once().unwrap(), "once");
    [address(task.once().unwrap()), address(task.made())]
}

#[test]
fn a_value_stays_where_it_is_when_its_struct_moves() {
    let task = Task::default();
    let before = of_task(&task);
    let boxed = Box::new(task);
    assert_eq!(of_task(&boxed), before);
    let mut crowd = vec![*boxed];
    for _ in 0..100 {
        crowd.insert(0, Task::default());
    }
    assert_eq!(of_task(&crowd[100]), before);
    crowd.swap(0, 100);
    let task = crowd.swap_remove(0);
    let task = thread::spawn(move || task).join().unwrap();
    assert_eq!(of_task(&task), before);
}

#[test]
fn a_value_stays_where_it_is_when_fields_come_after_it() {
    let mut task = Task::default();
    let before = of_task(&task);
    let mut all = vec![before[0], before[1]];
    all.extend([address(task.f1()), address(task.f2()), address(task.f3()), address(task.f4())]);
    all.extend([address(task.f5()), address(task.f6()), address(task.f7()), address(task.f8())]);
    for round in 0..fewer(100, 10) {
        task.update_newest(round.to_string());
    }
    task.detach_newest();
    let mut now = of_task(&task).to_vec();
    now.extend([address(task.f1()), address(task.f2()), address(task.f3()), address(task.f4())]);
    now.extend([address(task.f5()), address(task.f6()), address(task.f7()), address(task.f8())]);
    assert_eq!(now, all);
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), 10);
}

#[test]
fn a_value_stays_where_it_is_when_a_neighbour_is_detached_and_attached_again() {
    let mut task = Task::default();
    let before = of_task(&task);
    for round in 0..fewer(100, 10) {
        task.update_newest(round.to_string());
        *task.f1_mut() = [round; 8];
        task.detach_newest().unwrap();
        task.detach_f1().unwrap();
        *task.made_mut().get_mut().unwrap() += 1;
        assert_eq!(of_task(&task), before);
    }
}

#[test]
fn a_value_goes_unmoved_with_the_fields_that_it_is_among() {
    let (mut one, mut other) = (Task::default(), Task::default());
    let before = (of_task(&one), of_task(&other));
    mem::swap(&mut one.shadow, &mut other.shadow);
    assert_eq!((of_task(&other), of_task(&one)), before);
    let taken = mem::take(&mut one.shadow);
    let third = Task { shadow: taken };
    assert_eq!(of_task(&third), before.1);
}

#[test]
fn a_value_stays_where_it_is_when_its_wrapper_moves() {
    let host = Shadowed::new(1_u32);
    let before = (address(host.attach_once("once".to_owned()).unwrap()), address(host.made()));
    let mut crowd: Vec<Shadowed<u32>> = vec![host];
    for number in 0..100 {
        crowd.insert(0, Shadowed::new(number));
    }
    let host = crowd.pop().unwrap();
    host.update_newest("newest".to_owned());
    assert_eq!((address(host.once().unwrap()), address(host.made())), before);
}

#[test]
fn a_value_stays_where_it_is_when_the_table_of_arcs_grows_and_shrinks() {
    let hosts: Vec<Arc<u32>> = (0..fewer(20, 3)).map(Arc::new).collect();
    let places = |host: &Arc<u32>| [address(host.once().unwrap()), address(host.made()), address(host.f1())];
    for host in &hosts {
        host.attach_once(host.to_string()).unwrap();
    }
    let before: Vec<_> = hosts.iter().map(places).collect();
    for _ in 0..2 {
        let crowd: Vec<Arc<u32>> = (0..fewer(10_000, 50)).map(Arc::new).collect();
        for (number, other) in crowd.iter().enumerate() {
            other.made();
            if number % fewer(1000, 50) == 0 {
                assert_eq!(hosts.iter().map(places).collect::<Vec<_>>(), before);
            }
        }
        for host in &hosts {
            host.update_newest("newest".to_owned());
            let _others = (host.f2(), host.f3(), host.f4(), host.f5(), host.f6(), host.f7(), host.f8());
        }
        drop(crowd);
        registry().sweep();
        assert_eq!(hosts.iter().map(places).collect::<Vec<_>>(), before);
        assert!(hosts.iter().all(|host| *host.once().unwrap() == host.to_string()));
    }
}

#[test]
fn a_value_stays_where_it_is_when_the_table_of_statics_grows() {
    static CROWD: [AtomicU8; fewer(10_000, 100)] = [const { AtomicU8::new(0) }; fewer(10_000, 100)];
    let host = &CROWD[0];
    let places = || [address(host.once().unwrap()), address(host.made())];
    host.attach_once("once".to_owned()).unwrap();
    let before = places();
    for other in &CROWD {
        other.made();
    }
    host.later();
    assert_eq!(places(), before);
    assert_eq!(host.once().unwrap(), "once");
}

#[test]
fn a_value_stays_where_it_is_when_the_raw_table_grows_and_shrinks() {
    let hosts: Vec<Box<u64>> = (0..fewer(20, 3)).map(Box::new).collect();
    let key = |host: &u64| ptr::from_ref(host).cast::<()>();
    // SAFETY: the objects outlive their fields, and no field is detached while a reference to its value is held.
    let place = |host: &u64| address(unsafe { ONCE.get(key(host)) }.unwrap().unwrap());
    let mut before = Vec::new();
    for host in &hosts {
        // SAFETY: the objects outlive their fields, and only the address of the value is kept.
        before.push(address(unsafe { ONCE.attach(key(host), host.to_string()) }.unwrap()));
    }
    let crowd: Vec<u64> = (0..fewer(10_000, 60)).collect();
    for other in &crowd {
        // SAFETY: the objects outlive their fields, and no reference to the value is kept.
        unsafe { ONCE.attach(key(other), String::new()) }.unwrap();
    }
    // Further fields of the same objects, of which all but one are detached again.
    for host in &hosts {
        for number in 0..20 {
            // SAFETY: the objects outlive their fields, and no reference to the value is kept.
            unsafe { raw::Id::new(8001 + number).attach(key(host), number) }.unwrap();
        }
        for number in 0..19 {
            // SAFETY: no reference to a value of this field is kept.
            assert_eq!(unsafe { raw::Id::new(8001 + number).detach(key(host)) }.unwrap(), Some(number));
        }
    }
    assert_eq!(hosts.iter().map(|host| place(host)).collect::<Vec<_>>(), before);
    for other in &crowd {
        // SAFETY: no reference to a value of the object is kept.
        assert_eq!(unsafe { raw::detach_object(key(other)) }, 1);
    }
    assert_eq!(hosts.iter().map(|host| place(host)).collect::<Vec<_>>(), before);
    for host in &hosts {
        // SAFETY: no reference to the value is kept.
        assert_eq!(unsafe { ONCE.detach(key(host)) }.unwrap(), Some(host.to_string()));
        // SAFETY: no reference to a value of the object is kept.
        assert_eq!(unsafe { raw::detach_object(key(host)) }, 1);
    }
}

#[test]
fn a_value_is_found_where_it_is_by_all_threads_while_fields_are_added() {
    const THREADS: usize = 4;
    for _ in 0..fewer(50, 1) {
        let (task, shared, start) = (Task::default(), Arc::new(1_u32), Barrier::new(THREADS));
        let (task, shared, start) = (&task, &shared, &start);
        let find = move |thread: usize| {
            start.wait();
            let early = [address(task.made()), address(shared.made())];
            // Every thread has a different order.
            for number in thread..thread + 4 {
                let _added = match number % 4 {
                    0 => (task.f1(), shared.f1()),
                    1 => (task.f2(), shared.f2()),
                    2 => (task.f3(), shared.f3()),
                    _ => (task.f4(), shared.f4()),
                };
            }
            assert_eq!([address(task.made()), address(shared.made())], early);
            early
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || find(thread))).collect();
            for thread in threads {
                assert_eq!(thread.join().unwrap(), [address(task.made()), address(shared.made())]);
            }
        });
    }
}
