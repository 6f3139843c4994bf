//! Rows 12 and 13: replaceable values.

use std::sync::Arc;

use arc_swap::ArcSwap;
use shadow_runtime::{Shadow, ShadowFields};

use crate::check::{Check, Role, Target};
use crate::measure::{Contestant, Measure, together};
use crate::order::{Xorshift, shuffle};
use crate::rows::Case;
use crate::rows::reading::{embedded, reads};

pub(super) fn cases(cases: &mut Vec<Case>) {
    copied::cases(cases);
    cases.push(Case::new(13, |measure| vec![read_text(measure)]).with_instructions());
    cases.push(Case::new(13, |measure| vec![read_and_write(measure, 10, 0.7)]));
    cases.push(Case::new(13, |measure| vec![read_and_write(measure, 50, 0.4)]));
}

/// Few enough hosts for the L1 cache: the row measures the read alone.
const HOSTS: usize = 1_000;

/// Hosts in random order.
fn few<H>(make: impl Fn(u64) -> H) -> Vec<Box<H>> {
    let mut hosts: Vec<Box<H>> = (0..HOSTS as u64).map(|id| Box::new(make(id))).collect();
    shuffle(&mut hosts, 12);
    hosts
}

/// Updates replace the whole text; a reader gets a clone.
#[derive(Debug, Default, Shadow)]
#[shadow_field(pub get_or_update text: Arc<str>)]
struct Config {
    shadow: ShadowFields,
}

/// The handwritten alternative. An `ArcSwap` requires a sized value, so the text is behind a second pointer.
#[derive(Debug)]
struct ByHand {
    text: ArcSwap<Arc<str>>,
}

impl ByHand {
    fn new(text: Arc<str>) -> Self {
        Self { text: ArcSwap::from_pointee(text) }
    }
}

/// A new text, as for every write.
#[inline]
fn text(number: u64) -> Arc<str> {
    Arc::from(["eight by", "as many!"][usize::from(number % 2 == 0)])
}

/// A reader's use of a text.
#[inline]
fn use_of(text: &str) -> u64 {
    text.len() as u64 + u64::from(text.as_bytes()[0])
}

impl Config {
    #[inline]
    fn read(&self) -> u64 {
        self.text().map_or(1, |text| use_of(&text))
    }
}

impl ByHand {
    #[inline]
    fn read(&self) -> u64 {
        use_of(&self.text.load_full())
    }
}

fn config(id: u64) -> Config {
    let config = Config::default();
    config.update_text(text(id));
    config
}

fn read_text(measure: Measure) -> Check {
    let (ours, by_hand) = (few(config), few(|id| ByHand::new(text(id))));
    let figures = measure.compare(
        reads(measure, HOSTS),
        vec![
            embedded(Role::Ours, "shadow field", &ours, Config::read),
            embedded(Role::Rival, "ArcSwap::load_full", &by_hand, ByHand::read),
        ],
    );
    Check::new("`get_or_update` read of an `Arc<str>`, one thread", Target::Ratio(0.7), figures)
}

/// Two threads use one host; `percent` of each thread's operations are writes.
fn read_and_write(measure: Measure, percent: usize, most: f64) -> Check {
    let (ours, by_hand) = (config(0), ByHand::new(text(0)));
    let operations = if measure.quick { 50_000 } else { 500_000 };
    let figures = measure.compare(
        operations,
        vec![
            Contestant::new(Role::Ours, "shadow field", |count| {
                let write = |number| drop(ours.update_text(text(number)));
                together(|thread| mix(thread, count, percent, || ours.read(), write))
            }),
            Contestant::new(Role::Rival, "ArcSwap::load_full", |count| {
                let write = |number| drop(by_hand.text.swap(Arc::new(text(number))));
                together(|thread| mix(thread, count, percent, || by_hand.read(), write))
            }),
        ],
    );
    Check::new(format!("two threads on one host, {percent}% writes"), Target::Ratio(most), figures)
}

fn mix(thread: usize, count: usize, percent: usize, read: impl Fn() -> u64, write: impl Fn(u64)) -> u64 {
    let mut random = Xorshift::new(thread as u64 + 1);
    let mut sum = 0_u64;
    for number in 0..count as u64 {
        if random.below(100) < percent {
            write(number);
        } else {
            sum = sum.wrapping_add(read());
        }
    }
    sum
}

/// Row 12: `get_or_update(copy)`.
mod copied {
    use arc_swap::ArcSwap;
    use shadow_runtime::{Shadow, ShadowFields};

    use super::{HOSTS, few};
    use crate::check::{Check, Role, Target};
    use crate::measure::Measure;
    use crate::rows::Case;
    use crate::rows::reading::{embedded, reads};

    /// A value larger than a processor's widest atomic load.
    type Block = [u64; 4];

    #[derive(Debug, Default, Shadow)]
    #[shadow_field(pub get_or_update(copy) word: u64)]
    struct Words {
        shadow: ShadowFields,
    }

    #[derive(Debug, Default, Shadow)]
    #[shadow_field(pub get_or_update(copy) block: Block)]
    struct Blocks {
        shadow: ShadowFields,
    }

    #[derive(Debug, Default, Shadow)]
    #[shadow_field(pub attach word: u64)]
    struct OnceWords {
        shadow: ShadowFields,
    }

    #[derive(Debug, Default, Shadow)]
    #[shadow_field(pub attach block: Block)]
    struct OnceBlocks {
        shadow: ShadowFields,
    }

    pub(super) fn cases(cases: &mut Vec<Case>) {
        cases.push(Case::new(12, |measure| vec![words(measure)]).with_instructions());
        cases.push(Case::new(12, |measure| vec![blocks(measure)]).with_instructions());
    }

    fn words(measure: Measure) -> Check {
        let ours = few(|id| {
            let host = Words::default();
            // Two updates, since a read of the first value takes the path of a write-once value.
            host.update_word(id);
            host.update_word(id);
            host
        });
        let once = few(|id| {
            let host = OnceWords::default();
            assert!(host.attach_word(id).is_ok());
            host
        });
        let swap = few(ArcSwap::from_pointee);
        let figures = measure.compare(
            reads(measure, HOSTS),
            vec![
                embedded(Role::Ours, "get_or_update(copy)", &ours, |host| host.word().unwrap_or(1)),
                embedded(Role::Rival, "a write-once read", &once, |host| host.word().copied().unwrap_or(1)),
                embedded(Role::Shown, "ArcSwap::load", &swap, |host| **host.load()),
            ],
        );
        Check::new("`get_or_update(copy)` read of a `u64`", Target::Ratio(1.3), figures)
    }

    const fn block(id: u64) -> Block {
        [id, 1, 2, 3]
    }

    /// Uses every word, so that the optimiser keeps every load.
    #[inline]
    fn sum(block: &Block) -> u64 {
        block.iter().fold(0, |sum, word| sum ^ word)
    }

    fn blocks(measure: Measure) -> Check {
        let ours = few(|id| {
            let host = Blocks::default();
            host.update_block(block(id));
            host.update_block(block(id));
            host
        });
        let once = few(|id| {
            let host = OnceBlocks::default();
            assert!(host.attach_block(block(id)).is_ok());
            host
        });
        let swap = few(|id| ArcSwap::from_pointee(block(id)));
        let figures = measure.compare(
            reads(measure, HOSTS),
            vec![
                embedded(Role::Ours, "get_or_update(copy)", &ours, |host| host.block().map_or(1, |block| sum(&block))),
                embedded(Role::Rival, "a write-once read", &once, |host| host.block().map_or(1, sum)),
                embedded(Role::Shown, "ArcSwap::load", &swap, |host| sum(&host.load())),
            ],
        );
        Check::new("`get_or_update(copy)` read of 32 bytes", Target::Ratio(2.0), figures)
    }
}
