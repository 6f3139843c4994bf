//! A client: reads lines until the server closes the connection, and counts the broken ones.
//!
//! In: the bytes of one connection. Out: a [`Tally`], before the patch and after it.
//!
//! "After the patch" is a place in the stream, not a time on the clock: the line [`MARK`], which the server sends when
//! the last call of the old handler has ended. Whatever comes behind it was sent by the patched handler alone. The
//! client need not look for the start of the next line either: every call ends with an end of line, so what the old
//! handler leaves behind, however broken, ends with one, and the mark stands at the start of a line.

use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::patch::MARK;
use crate::vendor::checksum;

/// How long the server may be silent.
const PATIENCE: Duration = Duration::from_secs(3);

/// A client that is connected.
pub(crate) struct Client {
    tally: Arc<Tally>,
    reader: JoinHandle<io::Result<()>>,
}

/// What a client has seen.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) before: Lines,
    pub(crate) after: Lines,
    patched: AtomicBool,
}

/// Lines, and how many of them were broken.
#[derive(Default)]
pub(crate) struct Lines {
    all: AtomicU64,
    broken: AtomicU64,
}

impl Client {
    /// Connects. `patched` says whether the patch was live before.
    pub(crate) fn connect(address: SocketAddr, patched: bool) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let tally = Arc::new(Tally { patched: AtomicBool::new(patched), ..Tally::default() });
        let reader = thread::spawn({
            let tally = Arc::clone(&tally);
            move || read(stream, &tally)
        });
        Ok(Self { tally, reader })
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Waits until the server has closed the connection, and returns everything that the client has seen.
    pub(crate) fn finish(self) -> io::Result<Arc<Tally>> {
        self.reader.join().map_err(|_| io::Error::other("a client has panicked"))??;
        Ok(self.tally)
    }
}

impl Tally {
    /// Whether the client has seen the [`MARK`].
    pub(crate) fn is_patched(&self) -> bool {
        self.patched.load(Ordering::Acquire)
    }

    fn count(&self, line: &str) {
        let whole = is_whole(line);
        if whole && line.contains(MARK) {
            self.patched.store(true, Ordering::Release);
        }
        let lines = if self.is_patched() { &self.after } else { &self.before };
        lines.all.fetch_add(1, Ordering::Relaxed);
        lines.broken.fetch_add(u64::from(!whole), Ordering::Relaxed);
    }
}

impl Lines {
    pub(crate) fn all(&self) -> u64 {
        self.all.load(Ordering::Relaxed)
    }

    pub(crate) fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }
}

fn read(stream: TcpStream, tally: &Tally) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let failed = |error| io::Error::other(format!("a client cannot read on: {error}"));
    while stream.read_line(&mut line).map_err(failed)? > 0 {
        tally.count(&line);
        line.clear();
    }
    Ok(())
}

/// Whether a line came as it was sent: to its end, and with the right checksum.
fn is_whole(line: &str) -> bool {
    let parts = line.strip_suffix('\n').and_then(|line| line.rsplit_once(' '));
    parts.is_some_and(|(text, sum)| checksum(text) == sum)
}
