//! The recipes of the guide's page on reports: the report in metrics, and the log in traces.
//!
//! A process has one subscriber of traces, which takes the records of `log`, and one recorder of metrics.
#![cfg(not(miri))]

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit, with_local_recorder};
use shadow_runtime::{Shadow, ShadowFields, registry};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Shadow, Default)]
#[shadow_field(attach serial: u64)]
struct Order {
    shadow: ShadowFields,
}

/// A recorder that keeps the last value of each metric. A gauge stores the bits of a float.
#[derive(Default)]
struct Last {
    values: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
}

impl Last {
    fn place(&self, key: &Key) -> Arc<AtomicU64> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        Arc::clone(self.values.lock().unwrap().entry(name).or_default())
    }

    fn value(&self, metric: &str) -> u64 {
        self.values.lock().unwrap()[metric].load(Ordering::Relaxed)
    }
}

impl Recorder for Last {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.place(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.place(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// The output of the subscriber.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Output {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn the_report_goes_into_gauges_and_counters() {
    #[derive(Shadow, Default)]
    #[shadow_field(attach serial: u64)]
    struct Measured {
        shadow: ShadowFields,
    }
    #[expect(clippy::cast_precision_loss, reason = "the recipe; a gauge is a float")]
    fn copy_report() {
        for row in registry().report() {
            let labels = [("host", row.host()), ("field", row.field())];
            metrics::gauge!("shadow_fields_live", &labels).set(row.live() as f64);
            metrics::counter!("shadow_fields_refused_total", &labels).absolute(row.refused());
        }
    }
    let last = Last::default();
    let values = || {
        with_local_recorder(&last, copy_report);
        let of = |metric| last.value(&format!("{metric}{{host=Measured,field=serial}}"));
        (f64::from_bits(of("shadow_fields_live")).to_string(), of("shadow_fields_refused_total"))
    };
    let hosts = [(); 3].map(|()| Measured::default());
    for host in &hosts {
        host.attach_serial(1).unwrap();
    }
    assert!(hosts[0].attach_serial(2).is_err());
    assert_eq!(values(), ("3".to_owned(), 1));
    drop(hosts);
    assert_eq!(values(), ("0".to_owned(), 1));
}

#[test]
fn a_subscriber_of_traces_prints_a_warning_with_its_span() {
    let output = Output::default();
    tracing_subscriber::fmt().with_writer(output.clone()).with_ansi(false).init();
    let order = Order::default();
    let span = tracing::info_span!("order", number = 7);
    span.in_scope(|| {
        order.attach_serial(1).unwrap();
        assert!(order.attach_serial(2).is_err());
    });
    let text = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| line.contains("`serial` of `Order`")).collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert!(lines[0].contains(" WARN order{number=7}: shadow_runtime: shadow field `serial` of `Order` is "), "{text}");
}
