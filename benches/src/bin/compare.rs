//! Runs the rows of the table of targets, and fails if a row misses its target.
//!
//! In: the command line. Out: a table, or a chart.
//!
//! Each case of a row runs in a child process: this program starts itself again with the case, and reads the checks
//! from the child's output. Within the child, the contestants take turns.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

use benches::check::Check;
use benches::measure::{self, Measure};
use benches::memory::Counted;
use benches::rows::{Case, cases, chart_point};
use benches::{chart, report};

#[global_allocator]
static ALLOCATOR: Counted = Counted;

const USAGE: &str = "\
usage: compare [--quick] [--row N]... [--chart FILE.svg]

    --quick        small sizes and few rounds: to see that it works, not to judge by
    --row N        this row only; may be given several times
    --chart FILE   draw cost against the number of hosts, instead of running rows

It exits with 1 if a row is missed. The largest cases need about 8 GB of memory.";

/// The command line.
#[derive(Debug, Default)]
struct Options {
    quick: bool,
    rows: Vec<u8>,
    chart: Option<PathBuf>,
    /// Internal: the case to run, or the number of hosts of a point of the chart.
    case: Option<usize>,
    point: Option<usize>,
    /// Internal, under callgrind: the contestant to run alone, and the number of operations.
    only: Option<(usize, usize)>,
}

fn main() -> io::Result<ExitCode> {
    let Some(options) = parse(env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return Ok(ExitCode::from(2));
    };
    let measure = Measure { quick: options.quick, only: options.only };
    if let Some(case) = options.case {
        let checks = cases(options.quick).get(case).map(|case| case.run(measure)).unwrap_or_default();
        print!("{}", checks.iter().map(Check::to_lines).collect::<String>());
    } else if let Some(size) = options.point {
        print!("{}", chart_point(measure, size).iter().map(Check::to_lines).collect::<String>());
    } else if let Some(file) = &options.chart {
        fs::write(file, draw(options.quick)?)?;
    } else {
        return judge(&options);
    }
    Ok(ExitCode::SUCCESS)
}

fn parse(mut words: impl Iterator<Item = String>) -> Option<Options> {
    let mut options = Options::default();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => options.quick = true,
            "--row" => options.rows.push(words.next()?.parse().ok()?),
            "--chart" => options.chart = Some(words.next()?.into()),
            "--case" => options.case = Some(words.next()?.parse().ok()?),
            "--point" => options.point = Some(words.next()?.parse().ok()?),
            "--only" => options.only = Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?)),
            _ => return None,
        }
    }
    Some(options)
}

/// Runs the cases, prints each result at once, and lists the missed rows at the end.
fn judge(options: &Options) -> io::Result<ExitCode> {
    let instructions = measure::can_count_instructions();
    if options.quick {
        println!("quick: sizes are small and rounds few, so what holds or misses here means little\n");
    }
    println!("{}", report::head());
    let mut missed = Vec::new();
    for (index, case) in cases(options.quick).iter().enumerate() {
        if !options.rows.is_empty() && !options.rows.contains(&case.row) {
            continue;
        }
        let mut checks = run(index, case, options.quick)?;
        if instructions && case.instructions > 0 {
            count(index, case, options.quick, &mut checks)?;
        }
        for check in &checks {
            println!("{}", report::lines(case.row, check));
        }
        io::stdout().flush()?;
        if checks.is_empty() {
            println!("{:>3}  failed", case.row);
        }
        if checks.is_empty() || !checks.iter().all(Check::holds) {
            missed.push(case.row);
        }
    }
    missed.dedup();
    if missed.is_empty() {
        println!("\nevery row holds");
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nmissed: row {}", missed.iter().map(u8::to_string).collect::<Vec<_>>().join(", "));
    Ok(ExitCode::FAILURE)
}

/// Runs a case in `case.processes` processes. Returns no checks if a process fails.
fn run(index: usize, case: &Case, quick: bool) -> io::Result<Vec<Check>> {
    let mut runs = Vec::new();
    for _ in 0..case.processes {
        let checks = again(&arguments("--case", index, quick))?;
        if checks.is_empty() {
            return Ok(checks);
        }
        runs.push(checks);
    }
    Ok(Check::merge(&runs))
}

/// Counts the instructions of each contestant of a case.
fn count(index: usize, case: &Case, quick: bool, checks: &mut [Check]) -> io::Result<()> {
    let program = env::current_exe()?;
    for check in checks {
        for (number, figure) in check.figures.iter_mut().enumerate() {
            let arguments = arguments("--case", index, quick);
            figure.instructions = measure::instructions(&program, &arguments, number, case.instructions);
        }
    }
    Ok(())
}

/// Starts this program again, and reads the checks from the child's output.
fn again(arguments: &[String]) -> io::Result<Vec<Check>> {
    let output = Command::new(env::current_exe()?).args(arguments).stderr(Stdio::inherit()).output()?;
    if output.status.success() {
        return Ok(Check::from_lines(&String::from_utf8_lossy(&output.stdout)));
    }
    eprintln!("compare {}: {}", arguments.join(" "), output.status);
    Ok(Vec::new())
}

fn arguments(what: &str, number: usize, quick: bool) -> Vec<String> {
    let mut arguments = vec![what.to_owned(), number.to_string()];
    arguments.extend(quick.then(|| "--quick".to_owned()));
    arguments
}

/// Measures the points of the chart, each size in a process of its own.
fn draw(quick: bool) -> io::Result<String> {
    const SIZES: [usize; 9] = [1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000];
    let mut points = Vec::new();
    for &size in if quick { &SIZES[..5] } else { &SIZES[..] } {
        let checks = again(&arguments("--point", size, quick))?;
        for check in &checks {
            println!("{}", report::point(check));
        }
        points.push((size, checks));
        io::stdout().flush()?;
    }
    Ok(chart::svg(&points))
}
