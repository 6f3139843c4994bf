//! The script for gdb (`shadow-runtime/core/src/debugger/gdb.py`), on a small program: `program.rs`, as a live process
//! and as a core dump, optimised and not.
//!
//! In: `session.txt` and `states.txt`, two sessions of commands with the expected output. Out: a comparison with gdb's
//! output of today. The script reads the private memory of the core, so a change of its layout fails this test.
//!
//! The test says aloud what the test leaves out: gdb may be missing, may not be allowed to run a program, or may print
//! values otherwise than gdb 13, whose output the sessions have.
#![cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]
#![forbid(unsafe_code)]

use std::env;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{never_hangs, say};

const SOURCE: &str = include_str!("program.rs");
const SESSION: &str = include_str!("session.txt");

/// Commands that change the memory of the program.
const STATES: &str = include_str!("states.txt");

/// The start of a command in a session.
const PROMPT: &str = "(gdb) ";

/// Selects the frame of `stopped`, whose first statement may be inlined.
const FRAME: &str =
    "python while gdb.selected_frame().name() != 'debugged::stopped': gdb.selected_frame().older().select()";

/// `poke(fields, offset, size, number)` writes a number to the field set of a host with one field set.
const POKE: &str = "python \
    inferior = gdb.selected_inferior(); \
    word = lambda address: int.from_bytes(inferior.read_memory(address, 8).tobytes(), 'little'); \
    poke = lambda fields, offset, size, number: inferior.write_memory( \
        word(int(gdb.parse_and_eval(fields).address)) + offset, number.to_bytes(size, 'little'))";

/// The folder for the optimised program and for core dumps.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("debugger")
}

/// Runs gdb. Returns the output on both streams, in order.
fn gdb(name: &str, arguments: &[&str]) -> Option<String> {
    let path = folder().join(name).with_extension("out");
    let output = File::create(&path).unwrap();
    let mut command = Command::new("gdb");
    command.args(["-nx", "-batch"]).args(arguments);
    // Without addresses of servers, gdb downloads no debug information.
    command
        .env("LC_ALL", "C")
        .env_remove("DEBUGINFOD_URLS")
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output);
    never_hangs(|| command.status().ok())?;
    Some(String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned())
}

/// The commands of a session, each with an echo, as arguments of gdb.
fn commands(session: &str) -> Vec<String> {
    let commands = session.lines().filter_map(|line| line.strip_prefix(PROMPT));
    commands.flat_map(|command| [format!("echo {PROMPT}{command}\\n"), command.to_owned()]).collect()
}

/// Runs gdb with the safe path of the program, and with commands.
fn gdb_of<'text>(name: &str, program: &[&'text str], commands: &'text [String]) -> Option<String> {
    let safe_path = format!("add-auto-load-safe-path {}", program[0]);
    let mut arguments = vec!["-iex", &safe_path, "-ex", "set width 0", "-ex", "set confirm off"];
    arguments.extend(commands.iter().flat_map(|command| ["-ex", command]));
    arguments.extend(program);
    gdb(name, &arguments)
}

/// The identifier at a place of the program's source.
fn identifier(place: &str) -> Option<&'static str> {
    let mut numbers = place.split(':').map(|number| number.parse::<usize>().ok());
    let (line, column) = (numbers.next()??, numbers.next()??);
    let rest = SOURCE.lines().nth(line.checked_sub(1)?)?.get(column.checked_sub(1)?..)?;
    rest.split(|other: char| !other.is_alphanumeric() && other != '_').next()
}

/// A word, or the identifier at the place that the word names.
fn without_place(word: &str) -> String {
    let name = word.rsplit_once("/program.rs:").and_then(|(_, place)| identifier(place));
    name.map_or_else(|| word.to_owned(), |name| format!("`{name}`"))
}

/// A line without what differs between builds and systems: addresses, the widths of columns, and places in the source.
fn normalised(line: &str) -> String {
    let indentation = if line.starts_with("  ") { "  " } else { "" };
    let columns = line.split("  ").map(str::trim).filter(|column| !column.is_empty());
    let columns = columns.map(|column| column.split(' ').map(without_place).collect::<Vec<_>>().join(" "));
    let text = indentation.to_owned() + &columns.collect::<Vec<_>>().join("  ");
    let mut parts = text.split("0x");
    parts.next().unwrap_or_default().to_owned()
        + &parts.fold(String::new(), |mut all, part| {
            let _ = write!(all, "0x…{}", part.trim_start_matches(|digit: char| digit.is_ascii_hexdigit()));
            all
        })
}

/// The comparable part of an output: from the first command on. The hosts of a table are in the order of addresses.
fn comparable(output: &str) -> String {
    let lines = output.lines().skip_while(|line| !line.starts_with(PROMPT)).map(normalised);
    let mut lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
    lines.chunk_by_mut(|first, second| first.starts_with("0x") && second.starts_with("0x")).for_each(<[_]>::sort);
    lines.join("\n") + "\n"
}

fn expect(name: &str, output: &str, session: &str) {
    assert!(!["Traceback", "Python Exception"].iter().any(|fault| output.contains(fault)), "{name}:\n{output}");
    let today = comparable(output);
    if today == session {
        return;
    }
    if !version().starts_with(VERSION) {
        return say(&format!("left out: the comparison of {name}, since this gdb prints otherwise than gdb {VERSION}"));
    }
    let lines = [&today, session].map(|text| text.lines().collect::<Vec<_>>());
    let longest = lines[0].len().max(lines[1].len());
    let first = (0..longest).find(|&line| lines[0].get(line) != lines[1].get(line)).unwrap_or(longest);
    let lines = lines.map(|lines| lines.get(first).copied().unwrap_or_default());
    panic!("{name}: today and expected:\n{lines:#?}\n\nall of today:\n{today}\n\nas printed:\n{output}");
}

/// The name of the program that the outer cargo has compiled.
const UNOPTIMISED: &str = "unoptimised";

/// The version of gdb whose output the sessions have.
const VERSION: &str = "13.";

/// The version of gdb, as in `13.1`; empty without gdb, or without Python in gdb.
fn version() -> String {
    fs::create_dir_all(folder()).unwrap();
    let output = gdb("version", &["-ex", "python print('version ' + gdb.VERSION)"]).unwrap_or_default();
    let version = output.lines().find_map(|line| line.strip_prefix("version "));
    // A distribution may begin the version with a word.
    version.unwrap_or_default().trim_start_matches(|other: char| !other.is_ascii_digit()).to_owned()
}

/// Stops a program in `stopped`, and compares; then compares a core dump of the program. Returns whether gdb may run
/// programs.
fn compare(name: &str, program: &Path) -> bool {
    let core = folder().join(name).with_extension("core");
    let _ = fs::remove_file(&core);
    let [program, core_text] = [program, &core].map(|path| path.to_str().unwrap());
    let dump = format!("generate-core-file {core_text}");
    let marker = "== end of the session";
    let mut session = ["break debugged::stopped", "run", FRAME].map(str::to_owned).to_vec();
    session.extend(commands(SESSION));
    session.extend([format!("echo {marker}\\n"), dump, POKE.to_owned()]);
    session.extend(commands(STATES));
    let output = gdb_of(&format!("{name}-live"), &[program], &session).expect("gdb has run before");
    if !output.contains("Breakpoint 1, ") {
        let may_not = ["ptrace", "Could not trace", "not permitted"].iter().any(|reason| output.contains(reason));
        assert!(may_not, "gdb does not stop the program:\n{output}");
        say(&format!("left out: the debugger, since gdb may not run a program here:\n{output}"));
        return false;
    }
    if name == UNOPTIMISED && output.contains("Undefined info command") {
        say("left out: the unoptimised program, which is compiled without debug information here");
        return true;
    }
    let (first, rest) = output.split_once(marker).expect("the marker is printed");
    expect(&format!("{name}, live"), first, SESSION);
    expect(&format!("{name}, with other states"), rest, STATES);
    if !core.exists() {
        say(&format!("left out: a core dump, which gdb does not make here:\n{rest}"));
        return true;
    }
    let mut session = vec![FRAME.to_owned()];
    session.extend(commands(SESSION));
    let output = gdb_of(&format!("{name}-core"), &[program, core_text], &session).expect("gdb has run before");
    expect(&format!("{name}, core dump"), &output, SESSION);
    fs::remove_file(core).unwrap();
    true
}

const MANIFEST: &str = r#"
[package]
name = "debugged"
version = "0.1.0"
edition = "2024"

[[bin]]
name = "debugged"
path = "PROGRAM"

[dependencies]
shadow-runtime = { path = "RUNTIME" }

# As a release, with debug information. The macros are those that the test `images` has compiled.
[profile.dev]
opt-level = 3
debug = true
debug-assertions = false
overflow-checks = false
incremental = false

[workspace]
"#;

/// Builds the program as a release with debug information.
fn optimised() -> PathBuf {
    let (here, folder) = (Path::new(env!("CARGO_MANIFEST_DIR")), folder());
    let root = here.parent().unwrap();
    let manifest = MANIFEST.replace("PROGRAM", here.join("process/debugger/program.rs").to_str().unwrap());
    let manifest = manifest.replace("RUNTIME", root.join("shadow-runtime").to_str().unwrap());
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    // The versions of the workspace, which are downloaded already.
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images/target");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--offline", "--target-dir"]).arg(&target).current_dir(&folder);
    // Settings of the outer cargo: a target with another name, or other profiles.
    let is_setting = |name: &str| name.starts_with("CARGO_PROFILE_") || name.ends_with("RUSTFLAGS");
    for (name, _) in env::vars().filter(|(name, _)| is_setting(name) || name == "CARGO_BUILD_TARGET") {
        cargo.env_remove(name);
    }
    // Stronger than a configuration file.
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "true").env("CARGO_PROFILE_DEV_OPT_LEVEL", "3");
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join("debug/debugged")
}

/// Checks the messages without a program, and so without types.
fn without_types() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shadow-runtime/core/src/debugger/gdb.py");
    let source = format!("source {}", script.display());
    let commands = ["info shadow-fields", "info shadow-fields 1", "info shadow-hosts"];
    let arguments = [&source, commands[0], commands[1], commands[2]].map(|command| ["-ex", command]);
    let output = gdb("alone", arguments.as_flattened()).expect("gdb has run before");
    let message =
        "shadow fields: no debug information of the library: set `debug = true` in the profile, for all crates\n";
    assert_eq!(output, message.repeat(commands.len()));
}

#[test]
fn gdb_shows_the_fields_of_a_live_process_and_of_a_core_dump() {
    if version().is_empty() {
        return say("left out: the debugger, since gdb with Python is not installed");
    }
    without_types();
    // With debug assertions, `cargo test` compiles without optimisation and with debug information.
    if !cfg!(debug_assertions) || compare(UNOPTIMISED, Path::new(env!("CARGO_BIN_EXE_debugged"))) {
        compare("optimised", &optimised());
    }
}
