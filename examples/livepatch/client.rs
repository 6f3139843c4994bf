//! A client: reads lines until the server closes the connection, and counts broken lines.
//!
//! In: the bytes of one connection. Out: a [`Tally`], before the patch and after the patch.
//!
//! "After the patch" is a place in the stream, and not a time: the line [`MARK`]. The server sends the mark after the
//! last call of the old handler has ended, so only the patched handler sends the following lines. The mark is at the
//! start of a line: every call of a handler ends with an end of line, so the output of the old handler, even if broken,
//! ends with an end of line.

use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::patch::MARK;
use crate::vendor::checksum;

/// The timeout of a connect or a read.
const PATIENCE: Duration = Duration::from_secs(3);

/// A connected client.
pub(crate) struct Client {
    tally: Arc<Tally>,
    reader: JoinHandle<io::Result<()>>,
}

/// The counts of a client.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) before: Lines,
    pub(crate) after: Lines,
    patched: AtomicBool,
}

/// The number of lines, and the number of broken lines.
#[derive(Default)]
pub(crate) struct Lines {
    all: AtomicU64,
    broken: AtomicU64,
}

impl Client {
    /// Connects. `patched`: whether the patch is already live.
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

    /// Waits until the server has closed the connection, and returns the final counts.
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

/// Whether a line is complete, and has the right checksum.
fn is_whole(line: &str) -> bool {
    let parts = line.strip_suffix('\n').and_then(|line| line.rsplit_once(' '));
    parts.is_some_and(|(text, sum)| checksum(text) == sum)
}
