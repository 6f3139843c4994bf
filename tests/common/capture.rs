//! A logger that keeps what is logged, for tests to look at.

use std::sync::{Mutex, Once, OnceLock, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};

/// What was logged, by whichever thread.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) level: Level,
    pub(crate) target: String,
    pub(crate) message: String,
}

static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());

/// What else the logger does, once for each line.
static THEN: OnceLock<fn()> = OnceLock::new();

struct Capture;

impl Log for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line =
            Line { level: record.level(), target: record.target().to_owned(), message: record.args().to_string() };
        LINES.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        if let Some(then) = THEN.get() {
            then();
        }
    }

    fn flush(&self) {}
}

/// Begins to keep what is logged. Tests of one binary share what is kept.
pub(crate) fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Capture).unwrap();
        log::set_max_level(LevelFilter::Trace);
    });
}

/// Has `then` called for each line, under no lock of the logger.
pub(crate) fn then(then: fn()) {
    THEN.set(then).unwrap();
}

/// The lines whose messages contain `words`.
pub(crate) fn lines_with(words: &str) -> Vec<Line> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().filter(|line| line.message.contains(words)).cloned().collect()
}
