//! Criterion suite: hits and misses on embedded hosts and on `Arc` hosts, one read per iteration, with one declaration
//! and with four declarations on each host.
#![expect(missing_docs, reason = "criterion's macro makes a public function")]

use std::hint::black_box;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use benches::contestant::{Dash, Index, Kernel, Ours, Papaya, Sharded, Table, fill};
use benches::hosts::{ByHand, Counter, Hosts, Layout, Object, Plain, Task, boxed};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use shadow_runtime::shadow;

shadow! { trait OfCounter2 for Counter { get_or_attach second: u64 = self.id; } }
shadow! { trait OfCounter3 for Counter { get_or_attach third: u64 = self.id; } }
shadow! { trait OfCounter4 for Counter { get_or_attach fourth: u64 = self.id; } }

shadow! { trait OfArc1 for Arc<Object> { get_or_attach one: u64 = self.id; } }
shadow! { trait OfArc2 for Arc<Object> { get_or_attach two: u64 = self.id; } }
shadow! { trait OfArc3 for Arc<Object> { get_or_attach three: u64 = self.id; } }
shadow! { trait OfArc4 for Arc<Object> { get_or_attach four: u64 = self.id; } }
shadow! { trait OfArc5 for Arc<Object> { get_or_attach five: u64 = self.id; } }

/// The handwritten alternative to four declarations.
#[derive(Default)]
struct FourByHand([OnceLock<Box<u64>>; 4]);

/// Enough hosts that the tables exceed the L1 cache.
const HOSTS: usize = 50_000;

fn embedded(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("embedded");
    let ours = boxed(1_000, |host: &Counter| assert_eq!(*host.count(), host.id));
    let by_hand = boxed(1_000, |host: &ByHand| assert_eq!(*host.count(), host.id));
    let nothing = boxed(1_000, |_: &Task| ());
    let plain = boxed(1_000, |_: &Plain| ());
    visit(&mut group, "hit: shadow field", &ours, |host| *host.count());
    visit(&mut group, "hit: OnceLock<Box<Ext>>", &by_hand, |host| *host.count());
    visit(&mut group, "look: shadow field", &nothing, |host| host.word().copied().unwrap_or(1));
    visit(&mut group, "look: plain field", &plain, |host| host.word);
    group.finish();
}

fn arc(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("arc");
    let hosts = Hosts::make(2 * HOSTS, Layout::Strided);
    let order = hosts.shuffled(1);
    let (present, absent): (Vec<_>, Vec<_>) = order.into_iter().partition(|host| host.id % 2 == 0);
    // The attaches follow the order of construction; the reads follow a random order.
    let attached: Vec<_> = hosts.all.iter().filter(|host| host.id % 2 == 0).cloned().collect();
    let orders = [&attached[..], &present[..], &absent[..]];
    table::<Ours>(&mut group, orders);
    table::<Dash>(&mut group, orders);
    table::<Sharded>(&mut group, orders);
    table::<Index>(&mut group, orders);
    table::<Papaya>(&mut group, orders);
    table::<Kernel>(&mut group, orders);
    group.finish();
}

fn table<T: Table>(group: &mut BenchmarkGroup<'_, WallTime>, [attached, present, absent]: [&[Arc<Object>]; 3]) {
    let table = T::empty();
    fill(&table, attached);
    visit(group, &format!("hit: {}", T::NAME), present, |host| table.read(host).unwrap_or(1));
    visit(group, &format!("miss: {}", T::NAME), absent, |host| table.read(host).unwrap_or(1));
}

/// Every host has four attached declarations. The benchmark reads the first, the last and an unattached fifth
/// declaration.
fn four_declarations(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("four declarations, embedded");
    let ours = boxed(1_000, |host: &Counter| {
        assert_eq!([*host.count(), *host.second(), *host.third(), *host.fourth()], [host.id; 4]);
    });
    let by_hand: Vec<_> = (0..1_000)
        .map(|id| {
            let host = FourByHand::default();
            host.0.iter().for_each(|place| assert_eq!(**place.get_or_init(|| Box::new(id)), id));
            Box::new(host)
        })
        .collect();
    visit(&mut group, "first: shadow field", &ours, |host| *host.count());
    visit(&mut group, "last: shadow field", &ours, |host| *host.fourth());
    visit(&mut group, "last: OnceLock<Box<_>>", &by_hand, |host| host.0[3].get().map_or(1, |value| **value));
    group.finish();

    let mut group = criterion.benchmark_group("four declarations, arc");
    let hosts = Hosts::make(1_000, Layout::Strided);
    for host in &hosts.all {
        assert_eq!([*host.one(), *host.two(), *host.three(), *host.four()], [host.id; 4]);
    }
    let order = hosts.shuffled(1);
    // One map for every declaration, filled in turns like the shadow fields.
    let maps = [(); 4].map(|()| Dash::empty());
    hosts.all.iter().for_each(|host| maps.iter().for_each(|map| map.attach(host, host.id)));
    visit(&mut group, "first: shadow field", &order, |host| *host.one());
    visit(&mut group, "last: shadow field", &order, |host| *host.four());
    visit(&mut group, &format!("last: a {} for each", Dash::NAME), &order, |host| maps[3].read(host).unwrap_or(1));
    visit(&mut group, "a fifth: shadow field", &order, |host| host.peek_five().copied().unwrap_or(1));
    group.finish();
}

/// Reads from the next host in each iteration.
fn visit<H>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, hosts: &[H], read: impl Fn(&H) -> u64) {
    let mut next = hosts.iter().cycle();
    group.bench_function(name, |bencher| bencher.iter(|| next.next().map(|host| read(black_box(host)))));
}

criterion_group! {
    name = suites;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600));
    targets = embedded, arc, four_declarations
}
criterion_main!(suites);
