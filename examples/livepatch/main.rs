//! The main job: a field is added to live objects of a struct that cannot be changed, by a patch that goes live under
//! load.
//!
//! `cargo run --release --example livepatch`
//!
//! The story is that of kernel commit 1d147bfa6429 ("mac80211: fix AP powersave TX vs. wakeup race"): two threads send
//! on one `struct sta_info`, which lacked the lock that keeps them apart. Here the struct is a connection of a line
//! server, and what goes wrong is that lines of two threads run into each other.
//!
//! - `vendor.rs` is the program that has the bug. It is never touched.
//! - `hook.rs` leads its calls elsewhere, as ftrace does.
//! - `patch.rs` is the fix: a lock and a time for the connections that are there, a serial number for new ones.
//! - `client.rs` reads lines, and counts broken ones.
//!
//! It exits with an error if a line is broken after the patch, or if a field is left at the end; and also if no line
//! was broken before the patch, since then it has shown nothing.

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

/// How many clients connect before the patch, and after it.
const EARLY: usize = 4;
const LATE: usize = 2;

/// How often the counts are printed, and how many times in each half.
const TICK: Duration = Duration::from_millis(250);
const TICKS: u32 = 5;

/// How long to wait for what takes no time.
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

/// Adds clients, and waits until the server has them.
fn connect(server: &Server, clients: &mut Vec<Client>, count: usize, patched: bool) -> Result<(), Box<dyn Error>> {
    for _ in 0..count {
        clients.push(Client::connect(server.address(), patched)?);
    }
    wait_until("the server has accepted every client", || server.connections().len() == clients.len())
}

/// Prints what the clients see, for some ticks.
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

/// How many lines the clients have read, and how many of them broken.
fn count(clients: &[Client]) -> [u64; 2] {
    let both =
        |client: &Client| [&client.tally().before, &client.tally().after].map(|lines| [lines.all(), lines.broken()]);
    clients.iter().flat_map(both).fold([0, 0], |sum, lines| [sum[0] + lines[0], sum[1] + lines[1]])
}

#[expect(clippy::cast_precision_loss, reason = "counts of a second")]
fn per_second(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

/// Puts the patched handler in the place of the vendor's, with the connections open and the feeds running.
fn go_live(server: &Server, clients: &[Client]) -> Result<(), Box<dyn Error>> {
    let took = server.handler().replace(Arc::new(Patched))?;
    // The last line of the old handler has been sent. From here on, the lock holds what it promises.
    server.announce(MARK)?;
    wait_until("every client has read the mark", || clients.iter().all(|client| client.tally().is_patched()))?;
    println!("{:>7}  the patch went live in {took:.1?}, {EARLY} connections stayed open, {LATE} more are coming", "");
    Ok(())
}

/// Shows the fields of each connection: those from before the patch have no serial number, and that is fine.
fn show_connections(server: &Server) {
    println!("\n{:15}  {:>6}  {:>6}  {:>13}", "connection", "serial", "lock", "last line");
    for connection in server.connections() {
        let serial = connection.serial().map_or_else(|| "-".to_owned(), u32::to_string);
        let lock = if connection.peek_send_lock().is_some() { "yes" } else { "-" };
        let last = connection.last_line().map_or_else(|| "-".to_owned(), |at| format!("{:.1?} ago", at.elapsed()));
        println!("{:15}  {serial:>6}  {lock:>6}  {last:>13}", connection.peer());
    }
}

/// Gives a connection a second serial number, which only a bug in a patch would do.
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

/// Sums up, and says what is wrong, if anything is.
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

/// Waits for something that takes no time, but no longer than [`PATIENCE`].
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

/// Shows what is logged, so that the runtime's warning is seen.
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
