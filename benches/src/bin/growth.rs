//! Prints what more hosts and more threads cost: the figures of `docs/GROWTH.md`.
//!
//! In: the command line. Out: three tables. The first two are measured on this machine; the third is simulated from the
//! costs of the first.
//!
//! Each number of hosts is measured in a child process, since the table of `Arc` hosts keeps its size.
#![forbid(unsafe_code)]

use std::io;
use std::process::{Command, ExitCode};
use std::{env, str};

use benches::contestant::{Dash, Ours, Table, fill};
use benches::growth::measured::{self, update_beside};
use benches::growth::simulation::{Costs, simulate};
use benches::hosts::{Hosts, Layout};

const USAGE: &str = "\
usage: growth [--quick]
       growth --attach ours|dashmap|nothing COUNT

    --quick        small sizes: to see that it works, not to judge by
    --attach       only attach to so many `Arc` hosts: to be counted by callgrind or cachegrind";

/// The groups of old hosts of `host/arc/logs.rs`.
const GROUPS: usize = 8;

/// What is assumed of a larger machine: a look at a host in the order of the memory, and at a random host; and the
/// transfer of a cache line within a socket, and between sockets, in nanoseconds.
const LOOKS: [(&str, f64); 2] = [("in memory order", 16.0), ("at random", 100.0)];
const TRANSFERS: [(&str, f64); 2] = [("one socket", 50.0), ("two sockets", 150.0)];

fn main() -> io::Result<ExitCode> {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--hosts", count] => {
            let measured::Hosts { attach, longest_attach, read, sweep_live, sweep_dead } =
                measured::hosts(count.parse().map_err(io::Error::other)?);
            println!("{attach} {longest_attach} {read} {sweep_live} {sweep_dead}");
        }
        ["--attach", contestant, count] => {
            let hosts = Hosts::make(count.parse().map_err(io::Error::other)?, Layout::Strided).all;
            match *contestant {
                "ours" => fill(&Ours::empty(), &hosts),
                "dashmap" => fill(&Dash::empty(), &hosts),
                "nothing" => {}
                _ => return Ok(usage()),
            }
            // The hosts are not dropped: the count is of attaches.
            std::mem::forget(hosts);
        }
        [] => all(false)?,
        ["--quick"] => all(true)?,
        _ => return Ok(usage()),
    }
    Ok(ExitCode::SUCCESS)
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn all(quick: bool) -> io::Result<()> {
    println!(
        "Measured, one thread, `Arc` hosts with one field; nanoseconds, and milliseconds for the longest attach:\n"
    );
    println!("| hosts | attach | longest attach | read at random | sweep, a live host | sweep, a dead host |");
    println!("|---|---|---|---|---|---|");
    let sizes: &[u64] = if quick { &[10_000, 100_000] } else { &[10_000, 100_000, 1_000_000, 10_000_000] };
    let mut attach = 0.0;
    for &count in sizes {
        let [first, longest, read, live, dead] = in_a_child(count)?;
        println!("| {count} | {first:.0} | {longest:.2} | {read:.0} | {live:.1} | {dead:.0} |");
        attach = first;
    }

    println!("\nMeasured, an update and a read, after so many other threads have read the field; nanoseconds:\n");
    println!("| threads | update and read |\n|---|---|");
    for threads in if quick { vec![0, 8] } else { vec![0, 1, 8, 64, 256] } {
        println!("| {threads} | {:.0} |", update_beside(threads));
    }

    println!("\nSimulated, attaches to new `Arc` hosts, for each of which an older host ends:\n");
    println!(
        "| transfers | looks | groups | threads | attaches/µs | of one thread | waiting for shards | looks for each attach | dead for each live host, at most |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let attaches = if quick { 20_000 } else { 500_000 };
    for (wires, transfer) in TRANSFERS {
        for (order, look) in LOOKS {
            // A share of the measured attach is under locks.
            let costs = Costs { own: (attach - 50.0).max(50.0), shard: 30.0, log: 20.0, look, transfer };
            for groups in [GROUPS, 8 * GROUPS] {
                let alone = simulate(costs, 1, groups, attaches).rate;
                for threads in [1, 8, 64, 256] {
                    let outcome = simulate(costs, threads, groups, attaches);
                    let dead = outcome.dead_for_each_live().map_or("no bound".to_owned(), |dead| format!("{dead:.1}"));
                    println!(
                        "| {wires} | {order} | {groups} | {threads} | {:.1} | {:.1} | {:.0} % | {:.1} | {dead} |",
                        outcome.rate,
                        outcome.rate / alone,
                        100.0 * outcome.waiting,
                        outcome.looks,
                    );
                }
            }
        }
    }
    Ok(())
}

/// The figures of [`measured::Hosts`], from a process of its own.
fn in_a_child(count: u64) -> io::Result<[f64; 5]> {
    let output = Command::new(env::current_exe()?).args(["--hosts", &count.to_string()]).output()?;
    let text = str::from_utf8(&output.stdout).map_err(io::Error::other)?;
    let figures: Result<Vec<f64>, _> = text.split_whitespace().map(str::parse).collect();
    let figures = figures.map_err(io::Error::other)?;
    figures.try_into().map_err(|_| io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
}
