//! `ArcRef`: an owned reference keeps the host and its fields alive, wherever the reference goes.

use std::any::Any;
use std::array;
use std::fmt::Debug;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use shadow_runtime::{ArcRef, Shadow, ShadowFields, Shadowed, registry, shadow};

use support::{Census, Life, alone, fewer, panic_of};

#[derive(Shadow, Default)]
#[shadow_field(get_or_attach hits: AtomicU32)]
struct Page {
    title: String,
    shadow: ShadowFields,
}

trait Plugin: Debug + Send + Sync {}

impl Plugin for u8 {}

shadow! {
    trait ByteFields for Arc<u8> {
        get_or_attach hits: AtomicU32;
        get_or_attach parsed: u32;
        attach life: (Life, u32);
        get_or_update newest: Life;
    }
    trait PluginFields for Arc<dyn Plugin> { get_or_attach hits: AtomicU32; }
    trait ListFields for Shadowed<Vec<u8>> { get_or_attach sum: u32 = self.iter().copied().map(u32::from).sum(); }
}

#[test]
fn an_owned_reference_keeps_the_value_of_an_arc_host_alive() {
    let _alone = alone();
    let (census, host) = (Census::default(), Arc::new(0_u8));
    assert!(host.attach_life((census.life(), 7)).is_ok());
    let life = ArcRef::find(host, ByteFields::life).expect("attached");
    let second = life.clone();
    registry().sweep();
    assert_eq!((life.1, second.1, census.dropped()), (7, 7, 0));
    drop(life);
    registry().sweep();
    assert_eq!(census.dropped(), 0);
    let host = ArcRef::into_host(second);
    assert_eq!(Arc::strong_count(&host), 1);
    drop(host);
    registry().sweep();
    assert_eq!(census.dropped(), 1);
}

#[test]
fn every_kind_of_value_behind_an_arc_has_an_owned_reference() {
    let _alone = alone();
    let host = Arc::new(7_u8);
    let hits = ArcRef::new(Arc::clone(&host), |host| host.hits());
    hits.fetch_add(2, Ordering::Relaxed);
    assert_eq!(host.hits().load(Ordering::Relaxed), 2);
    assert!(Arc::ptr_eq(ArcRef::host(&hits), &host));

    let page = Arc::new(Page { title: "one page".to_owned(), ..Page::default() });
    let hits = ArcRef::new(Arc::clone(&page), |page| page.hits());
    hits.fetch_add(3, Ordering::Relaxed);
    assert_eq!(page.hits().load(Ordering::Relaxed), 3);
    let title = ArcRef::new(page, |page| &page.title);
    let title = ArcRef::map(title, |title| &title[..3]);
    assert_eq!((&*title, &*ArcRef::host(&title).title), ("one", "one page"));
    assert_eq!(format!("{title} {title:?}"), r#"one "one""#);

    let plugin: Arc<dyn Plugin> = host;
    let hits = ArcRef::new(Arc::clone(&plugin), |plugin| plugin.hits());
    assert_eq!(hits.fetch_add(1, Ordering::Relaxed), 0);
    assert_eq!(plugin.hits().load(Ordering::Relaxed), 1);

    let list = ArcRef::new(Arc::new(Shadowed::new(vec![1, 2])), |list| list.sum());
    assert_eq!(*list, 3);
    let unit = ArcRef::new(Arc::new(()), |unit| &**unit);
    assert_eq!(*unit, ());
    let constant: ArcRef<u8, str> = ArcRef::new(Arc::new(0), |_| "of the program");
    assert_eq!(constant.as_ref(), "of the program");
}

#[test]
fn without_a_value_there_is_no_reference_and_the_host_is_given_up() {
    let _alone = alone();
    let host = Arc::new(0_u8);
    assert!(ArcRef::find(Arc::clone(&host), ByteFields::life).is_none());
    let parsed = |text: &str| ArcRef::try_new(Arc::clone(&host), |host| host.get_or_try_attach_parsed(|| text.parse()));
    assert!(parsed("seven").is_err());
    assert_eq!(panic_of(|| ArcRef::new(Arc::clone(&host), |_| -> &u8 { panic!("no value") })), "no value");
    assert_eq!(Arc::strong_count(&host), 1);
    assert_eq!(*parsed("7").unwrap(), 7);
    assert_eq!(Arc::strong_count(&host), 1);
}

/// The `Arc` moves, and the object behind the `Arc` does not.
#[test]
fn a_reference_to_the_arc_itself_is_refused() {
    const MESSAGE: &str = "the closure has returned a reference to the `Arc` itself, not to a value behind the `Arc`";
    let _alone = alone();
    let (thin, fat): (_, Arc<str>) = (Arc::new(1_u8), Arc::from("one"));
    assert_eq!(panic_of(|| ArcRef::new(Arc::clone(&thin), |host| host)), MESSAGE);
    assert_eq!(panic_of(|| ArcRef::new(Arc::clone(&fat), |host| host)), MESSAGE);
    assert_eq!(panic_of(|| ArcRef::new(Arc::clone(&thin), |host| slice::from_ref(host))), MESSAGE);
    assert_eq!(panic_of(|| ArcRef::new(Arc::clone(&fat), |host| array::from_ref(host))), MESSAGE);
    assert_eq!(panic_of(|| ArcRef::new(Arc::clone(&thin), |host| host as &dyn Any)), MESSAGE);
    assert_eq!(panic_of(|| ArcRef::find(Arc::clone(&thin), |host| Some(host))), MESSAGE);
    assert_eq!(panic_of(|| ArcRef::try_new(Arc::clone(&thin), |host| Ok::<_, ()>(host))), MESSAGE);
    assert_eq!((Arc::strong_count(&thin), Arc::strong_count(&fat)), (1, 1));
    let nothing = ArcRef::new(thin, |host| &slice::from_ref(host)[..0]);
    assert!(nothing.is_empty());
}

#[test]
fn an_owned_reference_may_be_used_and_dropped_on_another_thread() {
    let _alone = alone();
    let census = Census::default();
    let threads: Vec<_> = (0..fewer(100, 4))
        .map(|_| {
            let host = Arc::new(0_u8);
            assert!(host.attach_life((census.life(), 7)).is_ok());
            let hits = ArcRef::new(Arc::clone(&host), |host| host.hits());
            let life = ArcRef::find(host, ByteFields::life).expect("attached");
            thread::spawn(move || {
                assert_eq!(hits.fetch_add(1, Ordering::Relaxed), 0);
                assert_eq!(life.1, 7);
            })
        })
        .collect();
    for thread in threads {
        registry().sweep();
        thread.join().unwrap();
    }
    registry().sweep();
    assert_eq!(census.dropped(), census.made());
}

/// A replaced value has no reference that an `ArcRef` could keep: the accessor returns a clone.
#[test]
fn an_owned_reference_keeps_the_host_and_not_the_newest_value() {
    let _alone = alone();
    let (census, host) = (Census::default(), Arc::new(0_u8));
    host.update_newest(census.life());
    let hits = ArcRef::new(Arc::clone(&host), |host| host.hits());
    drop(host.update_newest(census.life()));
    assert_eq!(census.dropped(), 1);
    drop(host);
    registry().sweep();
    assert_eq!(census.dropped(), 1);
    drop(hits);
    registry().sweep();
    assert_eq!(census.dropped(), 2);
}

#[test]
fn an_owned_reference_has_the_size_of_an_arc_and_a_reference() {
    fn is_owned<R: Send + Sync + Unpin + 'static>() {}
    assert_eq!(size_of::<ArcRef<u8, u64>>(), 2 * size_of::<usize>());
    assert_eq!(size_of::<Option<ArcRef<u8, u64>>>(), 2 * size_of::<usize>());
    assert_eq!(size_of::<ArcRef<dyn Plugin, str>>(), 4 * size_of::<usize>());
    is_owned::<ArcRef<u8, AtomicU32>>();
    is_owned::<ArcRef<dyn Plugin, str>>();
}
