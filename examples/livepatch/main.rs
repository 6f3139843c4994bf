//! The main use case: a patch that goes live under load adds a field to live objects of a struct with a frozen layout.
//!
//! `cargo run --release --example livepatch`
//!
//! The model is kernel commit 1d147bfa6429 ("mac80211: fix AP powersave TX vs. wakeup race"): two threads send on one
//! `struct sta_info`, which lacked a lock for the sends. Here the struct is a connection of a line server, and lines of
//! two threads get mixed.
//!
//! - `vendor.rs` is the program with the bug, and is never changed.
//! - `hook.rs` redirects the vendor's calls, as ftrace does.
//! - `patch.rs` is the fix: a lock and a time for all connections, and a serial number for new connections.
//! - `client.rs` reads lines, and counts broken lines.
//!
//! The program exits with an error if a line is broken after the patch, or if a field is left at the end. The program
//! also exits with an error if no line was broken before the patch, since then the run has not shown the bug.

mod client;
mod hook;
mod patch;
mod vendor;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use shadow_runtime::registry;

use client::{Client, Tally};
use patch::{MARK, PatchFields, Patched};
use vendor::{FEEDS, Server};

/// The numbers of clients that connect before the patch and after the patch.
const EARLY: usize = 4;
const LATE: usize = 2;

/// The interval of the printed counts, and the number of prints in each half.
const TICK: Duration = Duration::from_millis(250);
const TICKS: u32 = 5;

/// The timeout of a wait for an event that takes almost no time.
const PATIENCE: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    match story() {
        Ok(()) => {
            println!("\nNo line was broken after the patch, and nothing is left.");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("\nFAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

fn story() -> Result<(), Box<dyn Error>> {
    log::set_logger(&Terminal)?;
    log::set_max_level(log::LevelFilter::Warn);
    let start = Instant::now();
    let server = Server::start()?;
    let mut clients = Vec::new();

    println!("A line server at {}, with {} threads that send on each connection.\n", server.address(), FEEDS.len());
    connect(&server, &mut clients, EARLY, false)?;
    println!("{:>7}  {:7}  {:>7}  {:>7}  {:>8}", "seconds", "handler", "clients", "lines/s", "broken/s");
    watch(start, "vendor", &clients);
    go_live(&server, &clients)?;
    connect(&server, &mut clients, LATE, true)?;
    watch(start, "patched", &clients);

    show_connections(&server);
    attach_twice(&server)?;
    println!("\nThe report, while the connections are open:\n\n{}", registry().report());

    drop(server);
    let tallies = clients.into_iter().map(Client::finish).collect::<Result<Vec<_>, _>>()?;
    println!("\nAll connections are closed; the sweep dropped the fields of {} of them.", registry().sweep());
    println!("The report now:\n\n{}\n", registry().report());
    judge(&tallies)
}

/// Connects new clients, and waits until the server has accepted all clients.
fn connect(server: &Server, clients: &mut Vec<Client>, count: usize, patched: bool) -> Result<(), Box<dyn Error>> {
    for _ in 0..count {
        clients.push(Client::connect(server.address(), patched)?);
    }
    wait_until("the server has accepted every client", || server.connections().len() == clients.len())
}

/// Prints the counts of the clients, for some ticks.
fn watch(start: Instant, handler: &str, clients: &[Client]) {
    let mut last = (Instant::now(), count(clients));
    for _ in 0..TICKS {
        thread::sleep(TICK);
        let now = (Instant::now(), count(clients));
        let (time, passed) = ((now.0 - start).as_secs_f64(), (now.0 - last.0).as_secs_f64());
        let [lines, broken] = [0, 1].map(|which| per_second(now.1[which] - last.1[which], passed));
        println!("{time:>7.2}  {handler:7}  {:>7}  {lines:>7.0}  {broken:>8.0}", clients.len());
        last = now;
    }
}

/// The number of lines that the clients have read, and the number of broken lines.
fn count(clients: &[Client]) -> [u64; 2] {
    let both =
        |client: &Client| [&client.tally().before, &client.tally().after].map(|lines| [lines.all(), lines.broken()]);
    clients.iter().flat_map(both).fold([0, 0], |sum, lines| [sum[0] + lines[0], sum[1] + lines[1]])
}

#[expect(clippy::cast_precision_loss, reason = "counts of a second")]
fn per_second(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

/// Replaces the vendor's handler by the patched handler, with open connections and running feeds.
fn go_live(server: &Server, clients: &[Client]) -> Result<(), Box<dyn Error>> {
    let took = server.handler().replace(Arc::new(Patched))?;
    // The last call of the old handler has returned. From here on, every sender takes the lock.
    server.announce(MARK)?;
    wait_until("every client has read the mark", || clients.iter().all(|client| client.tally().is_patched()))?;
    println!("{:>7}  the patch went live in {took:.1?}, {EARLY} connections stayed open, {LATE} more are coming", "");
    Ok(())
}

/// Shows the fields of each connection. Connections from before the patch have no serial number, as intended.
fn show_connections(server: &Server) {
    println!("\n{:15}  {:>6}  {:>6}  {:>13}", "connection", "serial", "lock", "last line");
    for connection in server.connections() {
        let serial = connection.serial().map_or_else(|| "-".to_owned(), u32::to_string);
        let lock = if connection.peek_send_lock().is_some() { "yes" } else { "-" };
        let last = connection.last_line().map_or_else(|| "-".to_owned(), |at| format!("{:.1?} ago", at.elapsed()));
        println!("{:15}  {serial:>6}  {lock:>6}  {last:>13}", connection.peer());
    }
}

/// Attaches a second serial number to a connection, as a bug in a patch would.
fn attach_twice(server: &Server) -> Result<(), Box<dyn Error>> {
    println!("\nA second serial number for the last connection:");
    let connection = server.connections().pop().ok_or("there is no connection")?;
    match connection.attach_serial(99) {
        Ok(_) => Err("a second serial number was attached".into()),
        Err(refused) => {
            println!("The error: {refused}.");
            let serial = connection.serial().ok_or("the first serial number is gone")?;
            println!("It hands {} back, and the connection stays number {serial}.", refused.into_value());
            Ok(())
        }
    }
}

/// Prints the sums, and returns the first fault as an error.
fn judge(tallies: &[Arc<Tally>]) -> Result<(), Box<dyn Error>> {
    let sum = |of: fn(&Tally) -> u64| tallies.iter().map(|tally| of(tally)).sum::<u64>();
    let (before, broken_before) = (sum(|tally| tally.before.all()), sum(|tally| tally.before.broken()));
    let (after, broken_after) = (sum(|tally| tally.after.all()), sum(|tally| tally.after.broken()));
    println!("before the patch  {broken_before:>6} of {before:>6} lines broken");
    println!("after the patch   {broken_after:>6} of {after:>6} lines broken");
    if broken_before == 0 {
        return Err("no line was broken before the patch: the bug did not show".into());
    }
    if tallies.iter().any(|tally| tally.after.all() == 0) {
        return Err("a client has read no line after the patch".into());
    }
    if broken_after != 0 {
        return Err(format!("{broken_after} lines were broken after the patch").into());
    }
    match registry().report().iter().find(|row| row.live() != 0) {
        Some(row) => Err(format!("`{}` is left on {} connections", row.field(), row.live()).into()),
        None => Ok(()),
    }
}

/// Waits until the condition holds, but no longer than [`PATIENCE`].
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    while !is_so() {
        if start.elapsed() > PATIENCE {
            return Err(format!("waited in vain until {what}").into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// A logger that prints every record, such as the runtime's warning.
struct Terminal;

impl log::Log for Terminal {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let message = record.args().to_string().replace("; ", ";\n    ");
        println!("{} {}: {message}", record.level(), record.target());
    }

    fn flush(&self) {}
}
