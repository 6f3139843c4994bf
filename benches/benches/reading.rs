//! Reading what is there, and looking for what is not: embedded hosts and `Arc` hosts, one visit per iteration.
#![expect(missing_docs, reason = "criterion's macro makes a public function")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use benches::contestant::{Dash, Index, Kernel, Ours, Papaya, Sharded, Table, fill};
use benches::hosts::{ByHand, Counter, Hosts, Layout, Object, Plain, Task, boxed};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};

/// Enough that the tables do not fit into the nearest cache.
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
    // Attached in the order in which they were made, and visited in another.
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
    targets = embedded, arc
}
criterion_main!(suites);
