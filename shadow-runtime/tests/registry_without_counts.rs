//! Test of the registry without the feature `counts`: reports list the fields in use, and all counts are 0.
#![cfg(not(feature = "counts"))]

use shadow_runtime::{Row, Shadow, ShadowFields, registry};

#[derive(Shadow, Default)]
#[shadow_field(attach serial: u64)]
#[shadow_field(get_or_attach lock: std::sync::Mutex<()>)]
#[shadow_field(get_or_update version: u8)]
#[shadow_field(attach unused: u8)]
struct Order {
    shadow: ShadowFields,
}

#[test]
fn fields_in_use_have_a_row_each_and_no_counts() {
    for _ in 0..3 {
        let mut order = Order::default();
        order.update_version(1);
        order.update_version(2);
        order.attach_serial(1).unwrap();
        assert!(order.attach_serial(2).is_err());
        order.detach_serial();
        order.lock();
    }
    let report = registry().report();
    let fields: Vec<&str> = report.iter().map(Row::field).collect();
    assert_eq!(fields, ["version", "serial", "lock"], "in the order of their first attach");
    for row in &report {
        let counts = [row.live(), row.attached(), row.detached(), row.updates(), row.refused()];
        assert_eq!(counts, [0; 5]);
    }
    let table = format!("{report:200}");
    assert!(table.starts_with("  field    value                 policy         declared at\n"), "{table}");
    assert!(!format!("{report:#}").contains("live"));
}
