//! The vendor's line server. This file does not depend on patches, and no patch changes this file.
//!
//! In: connections of clients. Out: two feeds of lines for each client, one thread per feed. A line is
//! `feed number text checksum`; the checksum covers the text before the checksum.
//!
//! The bug is a race. [`Original::send`] writes a line in three parts, and two threads send on one [`Connection`]. The
//! struct has no lock, so a thread may write while the second thread is in the middle of a line.

use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::hook::Hook;

/// The feeds of every connection.
pub(crate) const FEEDS: [&str; 2] = ["quotes", "news"];

/// The pause of a feed between two lines.
const PACE: Duration = Duration::from_micros(500);

/// The interval of the server's checks for new clients.
const POLL: Duration = Duration::from_millis(2);

/// The timeout of a write to a client.
const PATIENCE: Duration = Duration::from_secs(2);

/// The server's side of one client.
pub(crate) struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
}

/// A line for a client.
pub(crate) struct Line<'a> {
    feed: &'a str,
    number: u64,
    text: &'a str,
}

/// The operations of the server on a connection.
pub(crate) trait Handler: Send + Sync {
    /// Called for a new client; the feeds of the client start after the return.
    fn accepted(&self, connection: &Arc<Connection>);

    /// Sends one line.
    fn send(&self, connection: &Arc<Connection>, line: &Line<'_>) -> io::Result<()>;
}

/// The vendor's handler.
pub(crate) struct Original;

/// A running server. The drop closes every connection and waits for every thread.
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

/// The shared state of a server's threads.
struct Shared {
    handler: Hook<dyn Handler>,
    connections: Mutex<Vec<Arc<Connection>>>,
    closing: AtomicBool,
}

/// The checksum at the end of a line (FNV-1a).
pub(crate) fn checksum(text: &str) -> String {
    let step = |sum: u32, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    format!("{:08x}", text.bytes().fold(0x811c_9dc5, step))
}

impl Connection {
    fn new(stream: TcpStream, peer: SocketAddr) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, peer })
    }

    /// The client's address.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Ends the stream to the client.
    fn close(&self) {
        if let Err(error) = self.stream.shutdown(Shutdown::Write) {
            eprintln!("{} was closed by the client: {error}", self.peer);
        }
    }
}

impl Handler for Original {
    fn accepted(&self, _: &Arc<Connection>) {}

    fn send(&self, connection: &Arc<Connection>, line: &Line<'_>) -> io::Result<()> {
        let Line { feed, number, text } = line;
        let head = format!("{feed} {number} ");
        let sum = checksum(&format!("{head}{text}"));
        let mut stream = &connection.stream;
        stream.write_all(head.as_bytes())?;
        stream.write_all(text.as_bytes())?;
        stream.write_all(format!(" {sum}\n").as_bytes())
    }
}

impl Server {
    /// Listens on loopback, at a free port.
    pub(crate) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            handler: Hook::new(Arc::new(Original)),
            connections: Mutex::new(Vec::new()),
            closing: AtomicBool::new(false),
        });
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Ok(Self { address, shared, acceptor: Some(acceptor) })
    }

    /// The address for clients.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The hook in every call of the handler.
    pub(crate) fn handler(&self) -> &Hook<dyn Handler> {
        &self.shared.handler
    }

    /// The open connections.
    pub(crate) fn connections(&self) -> Vec<Arc<Connection>> {
        self.shared.connections().clone()
    }

    /// Sends one more line to every client, in no feed.
    pub(crate) fn announce(&self, text: &str) -> io::Result<()> {
        let line = Line { feed: "notice", number: 1, text };
        self.connections().iter().try_for_each(|connection| self.shared.handler.enter().send(connection, &line))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        if self.acceptor.take().is_some_and(|acceptor| acceptor.join().is_err()) {
            eprintln!("the server has panicked");
        }
    }
}

impl Shared {
    fn connections(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }
}

/// Accepts clients until the server closes; then waits for the feeds, and closes the connections.
fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut feeds = Vec::new();
    while !shared.is_closing() {
        match listener.accept().and_then(|(stream, peer)| Connection::new(stream, peer)) {
            Ok(connection) => feeds.extend(welcome(connection, shared)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(POLL),
            Err(error) => eprintln!("a client was lost: {error}"),
        }
    }
    for feed in feeds {
        if feed.join().is_err() {
            eprintln!("a feed has panicked");
        }
    }
    for connection in shared.connections().drain(..) {
        connection.close();
    }
}

/// Starts the feeds of a connection.
fn welcome(connection: Connection, shared: &Arc<Shared>) -> [JoinHandle<()>; 2] {
    let connection = Arc::new(connection);
    shared.handler.enter().accepted(&connection);
    shared.connections().push(Arc::clone(&connection));
    FEEDS.map(|name| {
        let (connection, shared) = (Arc::clone(&connection), Arc::clone(shared));
        thread::spawn(move || feed(name, &connection, &shared))
    })
}

/// Sends line after line, until the server closes or a send fails.
fn feed(name: &str, connection: &Arc<Connection>, shared: &Shared) {
    let texts = ["bread 2.50 butter 3.10", "a ship has come in", "rain in the north, sun in the south"];
    for (number, text) in (1..).zip(texts.iter().cycle()) {
        if shared.is_closing() {
            return;
        }
        if let Err(error) = shared.handler.enter().send(connection, &Line { feed: name, number, text }) {
            eprintln!("{name} of {} has ended: {error}", connection.peer);
            return;
        }
        thread::sleep(PACE);
    }
}
