//! Tests of the repository's text: citations, paths, the width of comments, and the imports of the core.
//!
//! In: the files of the repository. Out: all faults, with file and line. Each cited rule or invariant has exactly one
//! definition, each named path and test exists, no comment is wider than the code, and no modules of the core import
//! one another in a circle. `docs/RULES.md` has the rules, and a table of the invariants.
#![cfg(not(miri))]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The maximal width of a comment in columns, as for code (`rustfmt.toml`).
const WIDTH: usize = 120;

/// The folders from which a path in a text may start. The folder of the text and its ancestors are further starts.
const BASES: [&str; 9] = [
    "",
    "shadow-runtime/core/src",
    "shadow-runtime/core",
    "shadow-runtime/src",
    "shadow-runtime/tests",
    "shadow-macros/src",
    "shadow-c/src",
    "tests",
    "benches/src",
];

/// The folders with handwritten text.
const FOLDERS: [&str; 9] = [
    "benches",
    "docs",
    "examples",
    "fuzz/fuzz_targets",
    "shadow-c",
    "shadow-macros",
    "shadow-runtime",
    "tests",
    ".github",
];

/// A line of prose: a comment of a Rust file, or a line of a document.
struct Line<'text> {
    path: &'text Path,
    number: usize,
    /// Without the slashes of a comment.
    text: &'text str,
    columns: usize,
}

struct Repository {
    root: PathBuf,
    /// The files of prose, with their texts.
    files: Vec<(PathBuf, String)>,
}

impl Repository {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
        let mut paths = Vec::new();
        for folder in FOLDERS {
            collect(&root.join(folder), &mut paths);
        }
        let top = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path());
        paths.extend(top.filter(|path| is_prose(path)));
        paths.sort();
        let files = paths.into_iter().map(|path| {
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path, text)
        });
        Self { files: files.collect(), root }
    }

    /// All lines of prose, without the code in documents and doc comments.
    fn prose(&self) -> impl Iterator<Item = Line<'_>> {
        self.files.iter().flat_map(|(path, text)| {
            let is_rust = path.extension().is_some_and(|extension| extension == "rs");
            let mut is_code = false;
            text.lines().enumerate().filter_map(move |(index, line)| {
                let text = if is_rust { comment(line)? } else { line };
                let is_fence = text.trim_start().starts_with("```");
                let is_indented = !is_rust && text.starts_with("    ");
                is_code ^= is_fence;
                let columns = line.chars().count();
                (!is_code && !is_fence && !is_indented).then_some(Line { path, number: index + 1, text, columns })
            })
        })
    }

    fn name<'path>(&self, path: &'path Path) -> &'path Path {
        path.strip_prefix(&self.root).unwrap()
    }

    /// The file that a path in a text of `from` names.
    fn find(&self, from: &Path, named: &str) -> Option<PathBuf> {
        let above = from.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.root)).map(Path::to_owned);
        let bases = BASES.iter().map(|base| self.root.join(base));
        above.chain(bases).map(|base| base.join(named)).find(|path| path.exists())
    }
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("corpus") {
            collect(&path, paths);
        } else if is_prose(&path) {
            paths.push(path);
        }
    }
}

fn is_prose(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|extension| extension == "rs" || extension == "md")
}

/// The text of a comment line.
fn comment(line: &str) -> Option<&str> {
    let text = line.trim_start().strip_prefix("//")?;
    Some(text.strip_prefix(['/', '!']).unwrap_or(text))
}

/// Splits a text into the parts in backticks and the parts outside.
fn quoted(text: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for (index, part) in text.split('`').enumerate() {
        if index % 2 == 0 { outside.push(part) } else { inside.push(part) }
    }
    (inside, outside)
}

/// The ids in a text: a capital letter and one or two digits.
fn ids(text: &str) -> impl Iterator<Item = &str> {
    text.split(|other: char| !other.is_ascii_alphanumeric() && other != '_').filter(|word| {
        let mut characters = word.chars();
        characters.next().is_some_and(|first| first.is_ascii_uppercase())
            && (2..=3).contains(&word.len())
            && characters.all(|other| other.is_ascii_digit())
    })
}

/// The id that a line defines: `- **N1** …` in a comment, or a row `| **R1** | …` of a document.
fn definition(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let id = line.strip_prefix("- **").or_else(|| line.strip_prefix("| **"))?.split("**").next()?;
    ids(id).next().filter(|found| *found == id)
}

/// Panics with all faults.
fn expect_none(what: &str, faults: &[String]) {
    let mut all = String::new();
    for fault in faults {
        writeln!(all, "  {fault}").unwrap();
    }
    assert!(faults.is_empty(), "{what}:\n{all}");
}

#[test]
fn every_rule_and_invariant_is_defined_once_and_every_cited_one_is_defined() {
    let repository = Repository::read();
    let mut defined: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for line in repository.prose() {
        if let Some(id) = definition(line.text) {
            defined.entry(id).or_default().push(repository.name(line.path).display().to_string());
        }
    }
    assert!(defined.len() > 50, "only {} ids are found", defined.len());
    let mut faults: Vec<_> = (defined.iter())
        .filter(|(_, places)| places.len() > 1)
        .map(|(id, places)| format!("{id} is defined in {}", places.join(", ")))
        .collect();
    let letters: BTreeSet<_> = defined.keys().map(|id| &id[..1]).collect();
    for line in repository.prose() {
        let (_, outside) = quoted(line.text);
        for id in outside.into_iter().flat_map(ids) {
            if letters.contains(&id[..1]) && !defined.contains_key(id) {
                faults.push(format!("{}:{}: {id}", repository.name(line.path).display(), line.number));
            }
        }
    }
    expect_none("ids that are defined twice, or not at all", &faults);
}

/// The ids of a cell, or the whole range if a cell names the ends of a range: `T1 to T7`.
fn ids_of_cell(cell: &str) -> Vec<String> {
    let named: Vec<_> = ids(cell).collect();
    match (&named[..], cell.contains(" to ")) {
        (&[first, last], true) => {
            let [first_number, last_number] = [first, last].map(|id| id[1..].parse::<u8>().unwrap());
            (first_number..=last_number).map(|number| format!("{}{number}", &first[..1])).collect()
        }
        _ => named.into_iter().map(str::to_owned).collect(),
    }
}

/// The table of invariants has each id of the code once, with the file of the definition.
#[test]
fn the_table_of_invariants_is_that_of_the_code() {
    let repository = Repository::read();
    let of_code: BTreeSet<(String, PathBuf)> = repository
        .prose()
        .filter(|line| line.path.extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|line| Some((definition(line.text)?.to_owned(), repository.name(line.path).to_owned())))
        .collect();
    let rules = fs::read_to_string(repository.root.join("docs/RULES.md")).unwrap();
    let rows = rules.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    let mut of_table = Vec::new();
    for (cell, rest) in rows.filter(|(cell, _)| !cell.starts_with('*')) {
        let Some(path) = quoted(rest).0.first().map(PathBuf::from) else { continue };
        of_table.extend(ids_of_cell(cell).into_iter().map(|id| (id, path.clone())));
    }
    let count = of_table.len();
    let of_table: BTreeSet<_> = of_table.into_iter().collect();
    assert_eq!(of_table.len(), count, "an id has two rows");
    let missing = of_code.difference(&of_table).map(|(id, path)| format!("{id} of {} has no row", path.display()));
    let surplus = of_table.difference(&of_code).map(|(id, path)| format!("{id} is not defined in {}", path.display()));
    expect_none("the table of invariants in docs/RULES.md", &missing.chain(surplus).collect::<Vec<_>>());
}

/// A path is in backticks, and has an extension of a handwritten file. In place of a path, `…` stands for the last file
/// that the line names.
#[test]
fn every_path_and_test_that_a_text_names_exists() {
    const ENDINGS: [&str; 8] = [".rs", ".md", ".toml", ".yml", ".stderr", ".regressions", ".svg", ".py"];
    let repository = Repository::read();
    let (mut faults, mut count) = (Vec::new(), 0);
    for line in repository.prose() {
        let mut last: Option<String> = None;
        for quoted in quoted(line.text).0 {
            let (path, test) = quoted.split_once("::").unwrap_or((quoted, ""));
            let is_path = ENDINGS.iter().any(|ending| path.ends_with(ending) && path != *ending)
                && !path.contains([' ', '*', '<', '{', '$']);
            let place = || format!("{}:{}: {quoted}", repository.name(line.path).display(), line.number);
            if is_path {
                count += 1;
                let Some(path) = repository.find(line.path, path) else {
                    faults.push(place());
                    continue;
                };
                last = if path.is_file() { fs::read_to_string(path).ok() } else { None };
            } else if path != "…" {
                continue;
            }
            let is_test = !test.is_empty() && test.chars().all(|part| part.is_ascii_alphanumeric() || part == '_');
            if is_test && !last.as_ref().is_some_and(|text| text.contains(test)) {
                faults.push(place());
            }
        }
    }
    assert!(count > 300, "only {count} paths are found");
    expect_none("what is named, and is not there", &faults);
}

/// A registry shows the README outside of the repository, so its links to files begin with the repository's address.
#[test]
fn every_link_to_a_file_of_the_repository_leads_to_a_file() {
    let repository = Repository::read();
    let manifest = fs::read_to_string(repository.root.join("Cargo.toml")).unwrap();
    let address = manifest.lines().find_map(|line| line.strip_prefix("repository = \"")?.strip_suffix('"')).unwrap();
    let raw = address.replace("https://github.com", "https://raw.githubusercontent.com");
    let starts = [format!("{address}/blob/main/"), format!("{address}/tree/main/"), format!("{raw}/main/")];
    let (mut faults, mut count) = (Vec::new(), 0);
    for line in repository.prose() {
        for word in line.text.split([' ', '(', ')', '<', '>']) {
            let Some(path) = starts.iter().find_map(|start| word.strip_prefix(start.as_str())) else { continue };
            count += 1;
            if !repository.root.join(path).exists() {
                faults.push(format!("{}:{}: {path}", repository.name(line.path).display(), line.number));
            }
        }
    }
    assert!(count >= 6, "only {count} links are found");
    expect_none("links that lead to no file", &faults);
}

/// A row names a file, or all files of a folder: `cell/*.rs`.
#[test]
fn every_source_file_has_a_row_in_the_table_of_files() {
    const SOURCES: [&str; 4] = ["shadow-c/src", "shadow-macros/src", "shadow-runtime/src", "shadow-runtime/core/src"];
    let repository = Repository::read();
    let architecture = fs::read_to_string(repository.root.join("ARCHITECTURE.md")).unwrap();
    let cells = architecture.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split(" | ").next());
    let named: BTreeSet<&str> = cells.flat_map(|cell| quoted(cell).0).collect();
    let mut faults = Vec::new();
    for (path, _) in &repository.files {
        let path = repository.name(path);
        let Some(file) = SOURCES.iter().find_map(|source| path.strip_prefix(source).ok()) else { continue };
        let all = file.parent().unwrap().join("*.rs");
        if ![file, &all].iter().any(|row| row.to_str().is_some_and(|row| named.contains(row))) {
            faults.push(path.display().to_string());
        }
    }
    expect_none("files without a row in ARCHITECTURE.md", &faults);
}

/// Rows of tables may be wider, and so may unbreakable words.
#[test]
fn no_comment_is_wider_than_the_code() {
    let repository = Repository::read();
    let faults: Vec<_> = repository
        .prose()
        .filter(|line| {
            line.columns > WIDTH && !line.text.trim_start().starts_with('|') && line.text.trim().contains(' ')
        })
        .map(|line| format!("{}:{}: {} columns", repository.name(line.path).display(), line.number, line.columns))
        .collect();
    expect_none("comments wider than the code", &faults);
}

/// The code of a file without comments and without items under `cfg(test)`, which rustfmt closes at their indentation.
fn code(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines().filter(|line| comment(line).is_none());
    while let Some(line) = lines.next() {
        let condition = line.trim_start().strip_prefix("#[cfg(");
        let is_test =
            condition.is_some_and(|condition| condition.starts_with("test)") || condition.starts_with("all(test,"));
        if !is_test {
            code.extend([line, "\n"]);
            continue;
        }
        let indentation = &line[..line.len() - line.trim_start().len()];
        let end = format!("{indentation}}}");
        if lines.find(|line| !line.trim_start().starts_with('#')).is_some_and(|item| item.ends_with('{')) {
            let found = lines.find(|line| line.strip_suffix(';').unwrap_or(line) == end);
            assert!(found.is_some(), "an item under `cfg(test)` has no end");
        }
    }
    code
}

/// The modules that a code imports from its crate, by `crate::name` or `crate::{name, …}`.
fn imports(code: &str) -> BTreeSet<&str> {
    let name = |text: &str| text.find(|other: char| !other.is_alphanumeric() && other != '_').unwrap_or(text.len());
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(&rest[..name(rest)]);
            continue;
        };
        let (mut depth, mut begins) = (0, true);
        for (index, each) in group.char_indices() {
            match each {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' => begins |= depth == 0,
                _ if begins && !each.is_whitespace() => {
                    found.insert(&group[index..index + name(&group[index..])]);
                    begins = false;
                }
                _ => {}
            }
        }
    }
    found
}

/// The last part of `path` that leads back to itself along `edges`. Removes visited modules from `edges`.
fn circle<'name>(
    path: &mut Vec<&'name str>,
    edges: &mut BTreeMap<&'name str, BTreeSet<&'name str>>,
) -> Option<Vec<&'name str>> {
    let last = *path.last()?;
    for next in edges.get(last).cloned().unwrap_or_default() {
        if let Some(begin) = path.iter().position(|earlier| *earlier == next) {
            path.push(next);
            return Some(path[begin..].to_vec());
        }
        path.push(next);
        if let Some(found) = circle(path, edges) {
            return Some(found);
        }
        path.pop();
    }
    edges.remove(last);
    None
}

/// Tests are exempt. So is the crate's root, which imports all modules.
#[test]
fn no_modules_of_the_core_import_one_another_in_a_circle() {
    let repository = Repository::read();
    let source = repository.root.join("shadow-runtime/core/src");
    let files = repository.files.iter().filter_map(|(path, text)| {
        let path = path.strip_prefix(&source).ok()?;
        let is_test = path
            .components()
            .any(|part| ["tests.rs", "tests", "loom_tests"].map(AsRef::as_ref).contains(&part.as_os_str()));
        let module = path.components().next()?.as_os_str().to_str()?.trim_end_matches(".rs");
        (!is_test && module != "lib").then(|| (module, code(text)))
    });
    let files: Vec<_> = files.collect();
    let modules: BTreeSet<&str> = files.iter().map(|(module, _)| *module).collect();
    let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (module, code) in &files {
        let others = imports(code).into_iter().filter(|other| other != module && modules.contains(other));
        edges.entry(module).or_default().extend(others);
    }
    assert!(edges.values().map(BTreeSet::len).sum::<usize>() > 50, "too few imports are found: {edges:?}");
    let found = modules.iter().find_map(|module| circle(&mut vec![module], &mut edges));
    let names = found.map(|circle| circle.join(" → "));
    expect_none("modules of the core that import one another in a circle", names.as_slice());
}
