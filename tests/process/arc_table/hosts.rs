//! `hosts` of the registry: the living `Arc` hosts of a type.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use shadow_runtime::{registry, shadow};

use support::{AtEnd, alone, elsewhere, fewer, never_hangs};

struct Client(usize);
trait Named: Send + Sync {
    fn number(&self) -> usize;
}
impl Named for Client {
    fn number(&self) -> usize {
        self.0
    }
}

shadow! {
    trait ClientFields for Arc<Client> { get_or_update room: String; }
    trait NamedFields for Arc<dyn Named> { get_or_update room: String; }
}

/// The numbers of all hosts, each of which is found once.
fn numbers<T: ?Sized + Send + Sync + 'static>(number: impl Fn(&T) -> usize) -> BTreeSet<usize> {
    let found: Vec<usize> = registry().hosts::<T>().map(|host| number(&host)).collect();
    let set: BTreeSet<usize> = found.iter().copied().collect();
    assert_eq!(set.len(), found.len(), "a host is found twice");
    set
}

fn clients() -> BTreeSet<usize> {
    numbers::<Client>(|client| client.0)
}

#[test]
fn living_hosts_with_fields_are_found_and_no_others() {
    const HOSTS: usize = fewer(2000, 40);
    let _alone = alone();
    registry().sweep();
    let mut clients: Vec<_> = (0..HOSTS).map(|number| Arc::new(Client(number))).collect();
    assert_eq!(self::clients(), BTreeSet::new(), "nothing is attached");
    for client in clients.iter().step_by(2) {
        client.update_room("lobby".to_owned());
    }
    let even: BTreeSet<_> = (0..HOSTS).step_by(2).collect();
    assert_eq!(self::clients(), even);
    assert_eq!(elsewhere(self::clients), even);
    clients.truncate(HOSTS / 2);
    assert_eq!(self::clients(), (0..HOSTS / 2).step_by(2).collect(), "dead hosts that are not swept yet are left out");
    assert!(registry().hosts::<Client>().all(|client| client.take_room().is_some()));
    assert_eq!(self::clients().len(), HOSTS / 4, "a host without values stays known");
    drop(clients);
    assert_eq!(self::clients().len(), 0);
    registry().sweep();
}

#[test]
fn a_host_is_found_by_the_type_of_its_first_attach() {
    let _alone = alone();
    registry().sweep();
    let first = Arc::new(Client(1));
    first.update_room("one".to_owned());
    let as_named: Arc<dyn Named> = first.clone();
    as_named.update_room("two".to_owned());
    let second: Arc<dyn Named> = Arc::new(Client(2));
    second.update_room("three".to_owned());
    assert_eq!(clients(), BTreeSet::from([1]));
    assert_eq!(numbers::<dyn Named>(Named::number), BTreeSet::from([2]));
    assert_eq!(registry().hosts::<[Client]>().count(), 0);
    drop((first, as_named, second));
    registry().sweep();
}

#[test]
fn the_loop_may_attach_drop_sweep_and_iterate() {
    shadow! { trait Visits for Arc<Client> { get_or_update(copy) visits: u32; } }
    const HOSTS: usize = fewer(1000, 30);
    let _alone = alone();
    registry().sweep();
    never_hangs(|| {
        let mut owned: Vec<_> = (0..HOSTS).map(|number| Some(Arc::new(Client(number)))).collect();
        for client in owned.iter().flatten() {
            client.update_room("lobby".to_owned());
        }
        let mut made = Vec::new();
        for client in registry().hosts::<Client>() {
            client.update_visits_with(|visits| visits.map_or(1, |visits| visits + 1));
            // Hosts that the loop makes may be found or not.
            if client.0 < HOSTS {
                made.push(Arc::new(Client(HOSTS + client.0)));
                made[made.len() - 1].update_room("new".to_owned());
                // The loop drops the last `Arc` at the end of the round.
                owned[client.0] = None;
            }
            if client.0 % 100 == 0 {
                registry().sweep();
                assert!(registry().hosts::<Client>().any(|other| Arc::ptr_eq(&client, &other)));
            }
        }
        assert_eq!(made.len(), HOSTS, "each host of the beginning is found");
        assert_eq!(clients(), (HOSTS..2 * HOSTS).collect());
    });
    registry().sweep();
}

/// Threads make and drop hosts, and a thread sweeps, while the iteration runs.
#[test]
fn hosts_that_stay_are_found_once_while_others_come_and_go() {
    const STAY: usize = fewer(500, 10);
    let _alone = alone();
    registry().sweep();
    let done = AtomicBool::new(false);
    let stay: Vec<_> = (0..STAY).map(|number| Arc::new(Client(number))).collect();
    for client in &stay {
        client.update_room("stays".to_owned());
    }
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let passing: Vec<_> = (0..fewer(100, 4)).map(|_| Arc::new(Client(usize::MAX))).collect();
                    for client in &passing {
                        client.update_room("passes".to_owned());
                    }
                }
            });
        }
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                registry().sweep();
            }
        });
        // Also after a failure, or the other threads would run for ever.
        let _end = AtEnd(|| done.store(true, Ordering::Relaxed));
        for _ in 0..fewer(50, 2) {
            let found: Vec<usize> = registry()
                .hosts::<Client>()
                .inspect(|client| assert!(client.0 == usize::MAX || client.room().as_deref() == Some("stays")))
                .map(|client| client.0)
                .filter(|number| *number != usize::MAX)
                .collect();
            assert_eq!(found.len(), STAY);
            assert_eq!(found.into_iter().collect::<BTreeSet<_>>().len(), STAY);
        }
    });
    drop(stay);
    registry().sweep();
}
