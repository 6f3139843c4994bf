//! Measures time per operation: contestants in turns, several rounds, medians.
//!
//! In: contestants, each a function that performs a number of operations. Out: nanoseconds per operation of each
//! contestant.
//!
//! A disturbance of the machine lasts for a while, and the turns distribute the disturbance over the contestants. Each
//! round starts with the next contestant, so that the predecessor of a contestant varies. As a warm-up, every
//! contestant performs its operations once.
//!
//! Under `valgrind --tool=callgrind` the module counts instructions instead: a process runs one contestant alone,
//! without warm-up; see [`instructions`].

use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::check::{Figure, Role, Unit, float};

/// The settings of this process.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// Small sizes and few rounds: a smoke test.
    pub quick: bool,
    /// Run only this contestant, for this number of operations.
    pub only: Option<(usize, usize)>,
}

/// A measured contestant.
pub struct Contestant<'a> {
    role: Role,
    name: String,
    run: Box<dyn FnMut(usize) -> Duration + 'a>,
}

impl<'a> Contestant<'a> {
    /// `run` performs a number of operations and returns the time.
    pub fn new(role: Role, name: impl Into<String>, run: impl FnMut(usize) -> Duration + 'a) -> Self {
        Self { role, name: name.into(), run: Box::new(run) }
    }

    /// The same contestant under another name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: name.into(), ..self }
    }
}

impl std::fmt::Debug for Contestant<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Contestant").field(&self.name).finish()
    }
}

impl Measure {
    /// Nanoseconds per operation of each contestant, from rounds of `operations` each.
    #[must_use]
    pub fn compare(&self, operations: usize, mut contestants: Vec<Contestant<'_>>) -> Vec<Figure> {
        let mut times = vec![Vec::new(); contestants.len()];
        if let Some((only, operations)) = self.only {
            if let Some(contestant) = contestants.get_mut(only) {
                (contestant.run)(operations);
            }
        } else {
            let counts: Vec<usize> = contestants.iter_mut().map(|who| self.affordable(operations, who)).collect();
            let warm_up = contestants.iter_mut().zip(&counts).map(|(who, &count)| (who.run)(count)).max();
            for round in 0..self.rounds(warm_up.unwrap_or_default()) {
                for turn in 0..contestants.len() {
                    let index = (round + turn) % contestants.len();
                    let took = (contestants[index].run)(counts[index]);
                    times[index].push(nanoseconds(took) / float(counts[index]));
                }
            }
        }
        let figures = contestants.into_iter().zip(times);
        figures.map(|(who, times)| Figure::new(who.role, who.name, Unit::Nanoseconds, median(times))).collect()
    }

    /// The number of rounds: more if the slowest contestant needs little time per round.
    fn rounds(&self, slowest: Duration) -> usize {
        match slowest {
            _ if self.quick => 5,
            _ if slowest < Duration::from_millis(50) => 31,
            _ => 11,
        }
    }

    /// The number of operations per round, reduced for a contestant that is a hundred times slower than the others.
    fn affordable(&self, operations: usize, contestant: &mut Contestant<'_>) -> usize {
        let trial = operations.min(500);
        let each = nanoseconds((contestant.run)(trial)) / float(trial);
        let limit = if self.quick { 50e6 } else { 1e9 };
        let mut affordable = operations;
        while affordable > trial && each * float(affordable) > limit {
            affordable /= 2;
        }
        affordable
    }
}

/// The time of `work`. The result passes a black box, so that the optimiser keeps the work.
#[inline]
pub fn timed(work: impl FnOnce() -> u64) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

/// Runs `work` in two concurrent threads, numbered 0 and 1, and returns the time of the slower thread.
pub fn together(work: impl Fn(usize) -> u64 + Sync) -> Duration {
    let start = Barrier::new(2);
    thread::scope(|scope| {
        let (start, work) = (&start, &work);
        let threads = [0, 1].map(|thread| {
            scope.spawn(move || {
                start.wait();
                timed(|| work(thread))
            })
        });
        threads.into_iter().filter_map(|thread| thread.join().ok()).max().unwrap_or_default()
    })
}

/// The median; of an even number of values, the greater of the middle two.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A duration in nanoseconds.
#[must_use]
pub fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

/// Whether Valgrind is available, to count instructions.
#[must_use]
pub fn can_count_instructions() -> bool {
    let valgrind = Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    valgrind.is_ok_and(|status| status.success())
}

/// Instructions per operation of contestant number `index`. Runs `program` with `arguments` under callgrind, once with
/// `operations` operations and once with 0; the cost of the setup cancels out.
#[must_use]
pub fn instructions(program: &Path, arguments: &[String], index: usize, operations: usize) -> Option<f64> {
    let with = collected(program, arguments, index, operations)?;
    let without = collected(program, arguments, index, 0)?;
    Some((with - without) / float(operations))
}

fn collected(program: &Path, arguments: &[String], index: usize, operations: usize) -> Option<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(arguments)
        .args(["--only", &index.to_string(), &operations.to_string()])
        .output()
        .ok()?;
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = messages.lines().find(|line| line.contains("Collected"))?;
    line.rsplit(':').next()?.trim().parse().ok()
}
