//! Criterion suite: reads and updates of an `Arc<str>`, by a shadow field and by an `ArcSwap`.
#![expect(missing_docs, reason = "criterion's macro makes a public function")]

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use criterion::{Criterion, criterion_group, criterion_main};
use shadow_runtime::{Shadow, ShadowFields};

#[derive(Debug, Default, Shadow)]
#[shadow_field(get_or_update text: Arc<str>)]
struct Config {
    shadow: ShadowFields,
}

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read an Arc<str>");
    let ours = Config::default();
    ours.update_text("old".into());
    group.bench_function("shadow field", |bencher| bencher.iter(|| ours.text()));
    let by_hand = ArcSwap::from_pointee(Arc::<str>::from("old"));
    group.bench_function("ArcSwap::load", |bencher| bencher.iter(|| Arc::clone(&by_hand.load())));
    group.bench_function("ArcSwap::load_full", |bencher| bencher.iter(|| by_hand.load_full()));
    group.finish();
}

fn update(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("replace an Arc<str>");
    let ours = Config::default();
    group.bench_function("shadow field", |bencher| bencher.iter(|| ours.update_text("new".into())));
    let by_hand = ArcSwap::from_pointee(Arc::<str>::from("old"));
    group.bench_function("ArcSwap::swap", |bencher| bencher.iter(|| by_hand.swap(Arc::new("new".into()))));
    group.finish();
}

criterion_group! {
    name = suites;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600));
    targets = read, update
}
criterion_main!(suites);
