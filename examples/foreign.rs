//! Fields for foreign types: a socket and a file of std, and any implementation of a trait.
//!
//! `cargo run --release --example foreign`
//!
//! Shared objects are hosts as `Arc<T>`, owned objects as `Shadowed<T>`. The accessors are methods of a declared trait,
//! and callable where the trait is in scope.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use shadow_runtime::{Shadowed, registry, shadow};

shadow! {
    /// The fields of each socket in this program.
    trait SocketFields for Arc<TcpStream> {
        /// The number of bytes sent so far, by all threads together.
        get_or_attach sent: AtomicU64;
        /// The time of the last send.
        get_or_update last_sent: Instant;
    }

    /// Data that a `File` does not have.
    trait FileFields for Shadowed<File> {
        /// The path of the file.
        attach path: PathBuf;
        /// Lines written so far.
        get_or_attach lines: u32;
    }

    /// The fields of each plugin in this program, by any author.
    trait PluginFields for Arc<dyn Plugin> {
        /// The number of questions.
        get_or_attach calls: AtomicU64;
        /// The last answer.
        get_or_update last_answer: String;
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    shared_socket()?;
    owned_file()?;
    plugins();

    // The fields of the file were dropped with the file. The fields of a dead `Arc` host are dropped by a later attach,
    // or by this sweep.
    let swept = registry().sweep();
    println!("\nThe sweep found {swept} hosts whose last `Arc` is gone. Nothing is left:\n\n{}", registry().report());
    assert!(registry().report().iter().all(|row| row.live() == 0));
    Ok(())
}

/// Two threads send on one socket, and add to one counter.
fn shared_socket() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let socket = Arc::new(TcpStream::connect(listener.local_addr()?)?);
    let (mut other_end, _) = listener.accept()?;
    other_end.set_read_timeout(Some(Duration::from_secs(5)))?;

    thread::scope(|scope| {
        let senders = ["one and ", "another "].map(|text| {
            let socket = Arc::clone(&socket);
            scope.spawn(move || send(&socket, text))
        });
        senders.into_iter().try_for_each(|sender| sender.join().unwrap_or(Err(io::Error::other("a panic"))))
    })?;

    let mut received = [0; 16];
    other_end.read_exact(&mut received)?;
    let (sent, last) = (socket.sent().load(Ordering::Relaxed), socket.last_sent().ok_or("nothing was sent")?);
    println!("Arc<TcpStream>:  {sent} bytes sent, the last of them {:.1?} ago", last.elapsed());
    assert_eq!(sent, 16);
    Ok(())
}

fn send(socket: &Arc<TcpStream>, text: &str) -> io::Result<()> {
    socket.as_ref().write_all(text.as_bytes())?;
    socket.sent().fetch_add(text.len() as u64, Ordering::Relaxed);
    socket.update_last_sent(Instant::now());
    Ok(())
}

/// A file with its path in a field, so that the owner of the file can remove the file.
fn owned_file() -> Result<(), Box<dyn Error>> {
    let name = format!("shadow-fields-example-{}.txt", std::process::id());
    let mut file = open(&std::env::temp_dir().join(name))?;
    for line in ["first", "second"] {
        // The wrapper dereferences to the file.
        writeln!(file, "{line}")?;
        // The program owns the wrapper, so the field needs no atomics.
        *file.lines_mut() += 1;
    }
    println!("Shadowed<File>:  {} lines in {} bytes", file.lines(), file.metadata()?.len());
    assert_eq!(*file.lines(), 2);

    let path = file.detach_path().ok_or("the file has no path")?;
    drop(file);
    fs::remove_file(path)?;
    Ok(())
}

fn open(path: &Path) -> io::Result<Shadowed<File>> {
    let file = Shadowed::new(File::create_new(path)?);
    file.attach_path(path.to_owned()).map_err(io::Error::other)?;
    Ok(file)
}

/// The interface of a plugin, without counts.
trait Plugin: Send + Sync {
    fn answer(&self, question: &str) -> String;
}

struct Shout;
struct Reverse;

impl Plugin for Shout {
    fn answer(&self, question: &str) -> String {
        question.to_uppercase()
    }
}

impl Plugin for Reverse {
    fn answer(&self, question: &str) -> String {
        question.chars().rev().collect()
    }
}

/// Each plugin has separate fields, which the clones of an `Arc` share.
fn plugins() {
    let plugins: [Arc<dyn Plugin>; 2] = [Arc::new(Shout), Arc::new(Reverse)];
    let again = Arc::clone(&plugins[0]);
    for (plugin, question) in plugins.iter().chain([&again]).zip(["who", "why", "when"]) {
        plugin.calls().fetch_add(1, Ordering::Relaxed);
        plugin.update_last_answer(plugin.answer(question));
    }
    for plugin in &plugins {
        let (calls, last) = (plugin.calls().load(Ordering::Relaxed), plugin.last_answer().unwrap_or_default());
        println!("Arc<dyn Plugin>: called {calls}x, the last answer was {last}");
    }
    assert_eq!(plugins[0].calls().load(Ordering::Relaxed), 2);
    assert_eq!(again.last_answer().as_deref(), Some("WHEN"));
}
