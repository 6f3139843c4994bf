//! A logger that keeps the log lines for tests.

use std::sync::{Mutex, Once, OnceLock, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};

/// A line logged by any thread.
#[derive(Clone, Debug)]
pub struct Line {
    pub level: Level,
    pub target: String,
    pub message: String,
    pub file: Option<String>,
    pub line: Option<u32>,
}

static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());

/// A further action of the logger, executed for each line.
static THEN: OnceLock<fn(&Line)> = OnceLock::new();

struct Capture;

impl Log for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = Line {
            level: record.level(),
            target: record.target().to_owned(),
            message: record.args().to_string(),
            file: record.file().map(str::to_owned),
            line: record.line(),
        };
        LINES.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone());
        if let Some(then) = THEN.get() {
            then(&line);
        }
    }

    fn flush(&self) {}
}

/// Installs the logger. The tests of a binary share the kept lines.
pub fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Capture).unwrap();
        log::set_max_level(LevelFilter::Trace);
    });
}

/// Makes the logger call `then` for each line, under no lock of the logger. One test of a binary may call this.
pub fn then(then: fn(&Line)) {
    THEN.set(then).unwrap();
}

/// The lines whose messages contain `words`.
pub fn lines_with(words: &str) -> Vec<Line> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().filter(|line| line.message.contains(words)).cloned().collect()
}
