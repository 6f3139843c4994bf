//! A live table of the fields in use, while threads work: the events of the last second.
//!
//! `cargo run --release --example watch` runs for three seconds; `cargo run --release --example watch -- 60` for a
//! minute. In a terminal, each table is drawn over the previous table.
//!
//! The threads play a server. The server accepts and closes connections. A background sweep drops the fields of a
//! closed connection.

use std::env;
use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use shadow_runtime::{Report, registry, shadow};

/// A type of another crate, such as the connection of a server.
struct Connection;

shadow! {
    /// The fields of each connection.
    trait ConnectionFields for Arc<Connection> {
        /// The name of the client.
        attach peer: String;
        /// The number of requests so far.
        get_or_attach requests: AtomicU64;
        /// The last request.
        get_or_update last_request: String;
    }
}

/// The number of threads that work.
const THREADS: u64 = 3;

/// The number of connections that a thread keeps open.
const OPEN: usize = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let seconds = env::args().nth(1).map_or(Ok(3), |seconds| seconds.parse())?;
    let sweep = registry().sweep_in_background(Duration::from_millis(50))?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let stop = &stop;
            scope.spawn(move || serve(number, stop));
        }
        let watched = watch(seconds);
        stop.store(true, Ordering::Relaxed);
        watched
    })?;

    drop(sweep);
    registry().sweep();
    println!("\nAll connections are closed:\n\n{}", registry().report());
    assert!(registry().report().iter().all(|row| row.live() == 0));
    Ok(())
}

/// Prints a table each second.
fn watch(seconds: u32) -> io::Result<()> {
    let mut last = registry().report();
    for second in 1..=seconds {
        thread::sleep(Duration::from_secs(1));
        let report = registry().report();
        draw(second, &report.since(&last))?;
        last = report;
    }
    Ok(())
}

fn draw(second: u32, events: &Report) -> io::Result<()> {
    let mut output = io::stdout().lock();
    if output.is_terminal() {
        // To the first line, and clear the screen.
        write!(output, "\x1b[H\x1b[2J")?;
    }
    let connections: u64 = events.iter().filter(|row| row.field() == "peer").map(shadow_runtime::Row::live).sum();
    writeln!(output, "second {second}: {connections} connections; events since the last table:\n\n{events}")?;
    output.flush()
}

/// Accepts and closes connections, and answers requests.
fn serve(number: u64, stop: &AtomicBool) {
    let mut random = number;
    let mut open: Vec<Arc<Connection>> = Vec::new();
    let mut accepted = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let connection = Arc::new(Connection);
        connection.attach_peer(format!("client {number}.{accepted}")).expect("a new connection has no peer");
        accepted += 1;
        if open.len() < OPEN {
            open.push(connection);
        } else {
            // Closes the connection in this place.
            open[below(OPEN, &mut random)] = connection;
        }
        for request in 0..10 {
            let connection = &open[below(open.len(), &mut random)];
            connection.requests().fetch_add(1, Ordering::Relaxed);
            connection.update_last_request(format!("request {request}"));
        }
        thread::sleep(Duration::from_micros(200));
    }
}

/// A number below `end`: by a linear congruential generator, whose high bits are the better ones.
fn below(end: usize, state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).map_or(0, |number| number % end)
}
