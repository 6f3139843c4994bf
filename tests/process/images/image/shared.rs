//! Concurrent updates and reads of one host, by a program and a library from one source.

use std::sync::atomic::{AtomicUsize, Ordering};

use shadow_runtime::shadow;

use crate::{Host, Life};

static INITIALISED: AtomicUsize = AtomicUsize::new(0);

shadow! {
    trait Fields for Host {
        get_or_update text: String;
        get_or_update(copy) numbers: [usize; 8];
        get_or_attach once: (usize, Life) = (INITIALISED.fetch_add(1, Ordering::Relaxed), Life::new());
    }
}

fn text(tag: usize, round: usize) -> String {
    format!("{tag} {round} {}", "#".repeat(round % 50))
}

/// Whether `found` is a text of the tag, from the first to the last character.
fn is_whole(found: &str, tag: usize) -> bool {
    let mut words = found.split(' ');
    words.next() == Some(&tag.to_string())
        && words.next().and_then(|round| round.parse().ok()).is_some_and(|round: usize| found == text(tag, round))
}

/// Updates and reads. Returns the number of incomplete or foreign values among the results.
pub fn work(host: &Host, tag: usize, rounds: usize) -> usize {
    let is_own = |numbers: &[usize; 8]| numbers[0] % 4 == tag && numbers.iter().all(|number| *number == numbers[0]);
    let mut faults = 0;
    for round in 0..rounds {
        let replaced = host.update_text(text(tag, round));
        faults += usize::from(replaced.is_some_and(|text| !is_whole(&text, tag)));
        let replaced = host.update_numbers([round * 4 + tag; 8]);
        faults += usize::from(replaced.is_some_and(|numbers| !is_own(&numbers)));
        for _ in 0..3 {
            faults += usize::from(!is_whole(&host.text().unwrap(), tag));
            faults += usize::from(!is_own(&host.numbers().unwrap()));
        }
        faults += usize::from(host.once().0 != 0);
    }
    faults
}
