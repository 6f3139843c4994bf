//! `#[derive(Shadow)]` on a struct of the program: rarely used data moves out of the struct.
//!
//! `cargo run --release --example annotate`

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use shadow_runtime::{Shadow, ShadowFields, registry};

/// A page of a document. Until the first attach, a page costs 8 bytes more than its text.
#[derive(Shadow, Clone, Debug, PartialEq)]
#[shadow_field(attach author: &'static str)] // given once, by the creator of the page
#[shadow_field(get_or_attach views: AtomicU32)] // starts with its default at the first access
#[shadow_field(get_or_attach words: usize = self.text.split(' ').count())] // or with a computed value
#[shadow_field(get_or_update last_seen: Instant)] // only the newest counts
struct Page {
    text: String,
    shadow: ShadowFields,
}

fn main() {
    let mut page = Page { text: "to be or not to be".to_owned(), shadow: ShadowFields::new() };
    println!("nothing is attached yet:  {page:?}");

    page.attach_author("Shakespeare").expect("this page has no author yet");
    let refused = page.attach_author("Bacon").expect_err("there is one author");
    println!("a second author:          {refused}");
    println!("the error hands it back:  {}", refused.into_value());

    page.views().fetch_add(1, Ordering::Relaxed);
    println!("words, counted just now:  {}", page.words());
    assert_eq!(page.update_last_seen(Instant::now()), None);
    assert!(page.last_seen().is_some_and(|at| at.elapsed() < Duration::from_secs(60)));
    println!("all four are attached:    {page:?}");

    let copy = page.clone();
    println!("a clone has none:         {copy:?}, and yet they are equal: {}", copy == page);
    println!("detached, by `&mut`:      {:?}", page.detach_author());
    drop(page);
    println!("\nThe rest went with the page:\n\n{}", registry().report());
    assert!(registry().report().iter().all(|row| row.live() == 0));
}
