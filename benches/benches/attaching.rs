//! Criterion suite: construction, attach and drop of a host.
#![expect(missing_docs, reason = "criterion's macro makes a public function")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use benches::contestant::{Dash, Detach, Ours, Table};
use benches::hosts::{Bare, ByHand, Make, Object, Task};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};

fn embedded(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("embedded life");
    life(&mut group, "without `ShadowFields`", |_: &Bare| ());
    life(&mut group, "nothing attached", |_: &Task| ());
    life(&mut group, "attach: shadow field", |host: &Task| assert!(host.attach_word(host.id).is_ok()));
    life(&mut group, "attach: OnceLock<Box<Ext>>", |host: &ByHand| assert!(host.attach_word(host.id).is_ok()));
    group.finish();
}

fn life<H: Make>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, live: impl Fn(&H)) {
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            let host = black_box(Box::new(H::make(1)));
            live(&host);
            black_box(host)
        });
    });
}

fn arc(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("arc life");
    let dash = Dash::empty();
    group.bench_function("attach: shadow field", |bencher| {
        bencher.iter(|| {
            let host = Arc::new(Object::new(1));
            Ours.attach(&host, 1);
            host
        });
    });
    group.bench_function("attach: DashMap", |bencher| {
        bencher.iter(|| {
            let host = Arc::new(Object::new(1));
            dash.attach(&host, 1);
            dash.detach(&host);
            host
        });
    });
    group.finish();
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
