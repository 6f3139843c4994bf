//! The registry's report as JSON, by the feature `serde`.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde_json::{Value, json};
use shadow_runtime::{raw, registry, shadow};

struct Connection;

shadow! {
    trait ConnectionFields for Arc<Connection> {
        get_or_attach sent: AtomicU64;
        get_or_update(copy) last: u8;
    }
    trait ListFields<T> for Arc<Vec<T>> where T: Send + Sync + 'static { get_or_attach copies: Vec<T>; }
}

const NUMBERED: raw::Id<u32> = raw::Id::named(7, "tally");

fn row<'report>(report: &'report Value, field: &str) -> &'report Value {
    report.as_array().unwrap().iter().find(|row| row["field"] == field).unwrap()
}

#[test]
fn the_report_is_a_sequence_of_rows_with_a_member_for_each_method() {
    let (connection, list, object) = (Arc::new(Connection), Arc::new(vec!["one"]), 0_u8);
    connection.sent();
    connection.update_last(1);
    connection.update_last(2);
    list.copies();
    let key = (&raw const object).cast();
    // SAFETY: the object outlives the field, and no reference to the value is kept.
    assert!(unsafe { NUMBERED.attach(key, 1) }.is_ok());
    // SAFETY: no reference to the value is kept.
    assert_eq!(unsafe { NUMBERED.detach(key) }.unwrap(), Some(1));
    let report = serde_json::to_value(registry().report()).unwrap();
    let count = |count: u64| if cfg!(feature = "counts") { count } else { 0 };
    let newest = row(&report, "last");
    let place = registry().report().iter().find(|row| row.field() == "last").unwrap().declared_at().to_string();
    assert!(place.starts_with(file!()), "{place}");
    let expected = json!({
        "host": "Arc<Connection>", "module_path": module_path!(), "field": "last", "number": null,
        "value_type": "u8", "bytes_each": 1, "policy": "get_or_update(copy)", "declared_at": place,
        "live": count(1), "attached": count(1), "detached": 0, "updates": count(1), "refused": 0,
    });
    assert_eq!(*newest, expected);
    assert_eq!(row(&report, "sent")["bytes_each"], 8);
    assert_eq!(row(&report, "copies")["bytes_each"], Value::Null, "the size may depend on `T`");
    let tally = row(&report, "tally");
    assert_eq!((&tally["number"], &tally["module_path"], &tally["bytes_each"]), (&json!(7), &Value::Null, &json!(4)));
    assert_eq!((&tally["live"], &tally["detached"]), (&json!(0), &json!(count(1))));
}
