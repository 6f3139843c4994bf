//! Draws the chart as an SVG: times against the number of hosts, with logarithmic axes. The chart has a panel for each
//! kind of work.
//!
//! In: for each number of hosts, one check per panel, each with the same contestants in the same order. Out: the text
//! of the file. Labels stand at the ends of the lines, in place of a separate legend.

use std::fmt::Write;

use crate::check::{Check, float};

const WIDTH: f64 = 980.0;
/// The height of a panel.
const HEIGHT: f64 = 560.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 660.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = 492.0;
/// The distance between labels.
const LABEL: f64 = 21.0;

/// The titles of the panels.
pub const PANELS: [[&str; 2]; 3] = [
    ["Reading the value beside a host", "Time per read, hosts in random order, one thread. Lower is better."],
    ["Attaching a value to new Arc hosts", "Time per attach, one thread, a table that grows. Lower is better."],
    [
        "A new Arc host, attached, replaces a random one",
        "Time per replacement, one thread. Maps are told by hand that a host ends; shadow fields find out.",
    ],
];

/// The colours of contestants, by the beginnings of their names. Ours are strong and red; the rivals are subdued.
const COLOURS: [(&str, &str); 7] = [
    ("shadow field, embedded", "#a61e4d"),
    ("shadow field", "#f03e3e"),
    ("DashMap", "#1c7ed6"),
    ("64 ×", "#0ca678"),
    ("scc", "#7048e8"),
    ("papaya", "#f08c00"),
    ("the kernel", "#868e96"),
];

/// The colour of every other contestant.
const OTHER: &str = "#495057";

const STYLE: &str = "text{font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#343a40}\
.t{font-size:19px;font-weight:600}.s{font-size:13px;fill:#868e96}.a{font-size:12px;fill:#495057}\
.l{font-size:13px}.o{font-weight:600}.g{stroke:#e9ecef}.m{stroke:#f4f5f6}.x{stroke:#adb5bd}\
path{fill:none;stroke-linejoin:round;stroke-linecap:round}";

/// The line of one contestant.
struct Line<'a> {
    name: &'a str,
    colour: &'static str,
    ours: bool,
    points: Vec<(f64, f64)>,
    last: f64,
}

/// The ranges of hosts and times, which determine positions in the picture.
struct Scale {
    hosts: (f64, f64),
    time: (f64, f64),
}

impl Scale {
    /// The smallest range of whole decades with all points.
    fn of(points: &[(usize, &Check)]) -> Self {
        let hosts = points.iter().map(|(hosts, _)| float(*hosts).log10());
        let times = points.iter().flat_map(|(_, check)| &check.figures).map(|figure| figure.value.log10());
        let (least, most) = bounds(times);
        Self { hosts: bounds(hosts), time: (least.floor(), most.ceil()) }
    }

    fn x(&self, hosts: f64) -> f64 {
        let (least, most) = self.hosts;
        LEFT + (hosts.log10() - least) / (most - least) * (RIGHT - LEFT)
    }

    fn y(&self, time: f64) -> f64 {
        let (least, most) = self.time;
        BOTTOM - (time.log10() - least) / (most - least) * (BOTTOM - TOP)
    }
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| (least.min(value), most.max(value)))
}

/// The text of the file. The numbers of hosts must ascend.
#[must_use]
pub fn svg(points: &[(usize, Vec<Check>)]) -> String {
    let height = HEIGHT * float(PANELS.len());
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"Time per read, attach and replacement against number of hosts\">\n<style>{STYLE}</style>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" rx=\"10\" fill=\"#fff\"/>\n"
    );
    for (index, [title, subtitle]) in PANELS.iter().enumerate() {
        let points: Vec<(usize, &Check)> =
            points.iter().filter_map(|(hosts, checks)| Some((*hosts, checks.get(index)?))).collect();
        let _ = writeln!(text, "<g transform=\"translate(0 {})\">", HEIGHT * float(index));
        let _ = writeln!(text, "<text class=\"t\" x=\"24\" y=\"36\">{title}</text>");
        let _ = writeln!(text, "<text class=\"s\" x=\"24\" y=\"58\">{subtitle}</text>");
        panel(&mut text, &points);
        text += "</g>\n";
    }
    text + "</svg>\n"
}

fn panel(text: &mut String, points: &[(usize, &Check)]) {
    let scale = Scale::of(points);
    axes(text, &scale);
    let mut lines = lines(points, &scale);
    // Ours last, on top of the rivals' lines.
    lines.sort_by_key(|line| line.ours);
    for line in &lines {
        draw(text, line);
    }
    labels(text, lines);
}

fn lines<'a>(points: &[(usize, &'a Check)], scale: &Scale) -> Vec<Line<'a>> {
    let Some((_, first)) = points.first() else { return Vec::new() };
    let line = |(index, figure): (usize, &'a crate::check::Figure)| {
        let times = points.iter().filter_map(|(hosts, check)| Some((*hosts, check.figures.get(index)?.value)));
        Line {
            name: &figure.who,
            colour: colour(&figure.who),
            ours: figure.who.starts_with("shadow field"),
            last: times.clone().next_back().map_or(0.0, |(_, time)| time),
            points: times.map(|(hosts, time)| (scale.x(float(hosts)), scale.y(time))).collect(),
        }
    };
    first.figures.iter().enumerate().map(line).collect()
}

fn colour(name: &str) -> &'static str {
    COLOURS.iter().find(|(beginning, _)| name.starts_with(beginning)).map_or(OTHER, |(_, colour)| colour)
}

/// Draws a line per decade in both directions, and fainter lines between decades.
fn axes(text: &mut String, scale: &Scale) {
    for decade in decades(scale.time) {
        for part in 1..10 {
            let y = scale.y(decade * f64::from(part));
            if y >= TOP - 0.5 {
                let class = if part == 1 { "g" } else { "m" };
                let _ = writeln!(
                    text,
                    "<line class=\"{class}\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
                );
            }
        }
        let (x, y) = (LEFT - 10.0, scale.y(decade) + 4.0);
        let _ = writeln!(text, "<text class=\"a\" x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>", time(decade));
    }
    for decade in decades(scale.hosts) {
        for part in 1..10 {
            let x = scale.x(decade * f64::from(part));
            if x <= RIGHT + 0.5 {
                let (class, tick) = if part == 1 { ("g", 7.0) } else { ("m", 4.0) };
                let end = BOTTOM + tick;
                let _ = writeln!(
                    text,
                    "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/>"
                );
                let _ = writeln!(text, "<line class=\"x\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{BOTTOM}\" y2=\"{end}\"/>");
            }
        }
        let (x, y) = (scale.x(decade), BOTTOM + 24.0);
        let _ =
            writeln!(text, "<text class=\"a\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{}</text>", count(decade));
    }
    let (middle, below) = (f64::midpoint(LEFT, RIGHT), BOTTOM + 48.0);
    let _ = writeln!(text, "<path class=\"x\" d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\"/>");
    let _ = writeln!(text, "<text class=\"a\" x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\">hosts</text>");
}

fn draw(text: &mut String, line: &Line<'_>) {
    let (colour, width, radius) = (line.colour, if line.ours { 3.0 } else { 1.8 }, if line.ours { 4.0 } else { 3.0 });
    let mut path = String::new();
    for (index, (x, y)) in line.points.iter().enumerate() {
        let _ = write!(path, "{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' });
    }
    let _ = writeln!(text, "<path d=\"{path}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>");
    for (x, y) in &line.points {
        let _ = writeln!(text, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{colour}\"/>");
    }
}

/// Draws the labels: each name at the end of its line, or as near to the end as the neighbours allow.
fn labels(text: &mut String, mut lines: Vec<Line<'_>>) {
    lines.sort_by(|one, other| other.last.total_cmp(&one.last));
    let ends: Vec<f64> = lines.iter().map(|line| line.points.last().map_or(BOTTOM, |(_, y)| *y)).collect();
    for (line, (end, place)) in lines.iter().zip(ends.iter().zip(spread(&ends))) {
        let Line { name, colour, ours, last, .. } = line;
        let (from, bend, to, x, y) = (RIGHT + 7.0, RIGHT + 22.0, RIGHT + 30.0, RIGHT + 36.0, place + 4.5);
        let class = if *ours { "l o" } else { "l" };
        let name = name.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(
            text,
            "<path d=\"M{from} {end:.1}L{bend} {place:.1}H{to}\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"
        );
        let _ = writeln!(
            text,
            "<text class=\"{class}\" x=\"{x}\" y=\"{y:.1}\"><tspan fill=\"{colour}\">{name}</tspan>\
             <tspan class=\"s\" dx=\"7\">{}</tspan></text>",
            time(*last)
        );
    }
}

/// Moves positions apart as little as possible, until each has room and none is below the axis. `ends` and the result
/// are ordered from top to bottom.
fn spread(ends: &[f64]) -> Vec<f64> {
    let mut places = ends.to_vec();
    // In each pass, neighbours that are too near move apart, by half of the missing distance each. The positions
    // converge long before the last pass.
    for _ in 0..200 {
        for index in 1..places.len() {
            let missing = (LABEL - (places[index] - places[index - 1])).max(0.0);
            places[index - 1] -= missing / 2.0;
            places[index] += missing / 2.0;
        }
        if let Some(last) = places.last_mut() {
            *last = last.min(BOTTOM);
        }
    }
    places
}

/// The powers of ten between two logarithms.
fn decades((least, most): (f64, f64)) -> impl Iterator<Item = f64> {
    (-3..10).map(f64::from).filter(move |&power| power >= least && power <= most).map(|power| 10_f64.powf(power))
}

/// Formats a time for people.
fn time(nanoseconds: f64) -> String {
    let (value, unit) = if nanoseconds < 999.5 { (nanoseconds, "ns") } else { (nanoseconds / 1e3, "µs") };
    let digits = usize::from(value < 9.95 && value.fract() > 0.05);
    format!("{value:.digits$} {unit}")
}

fn count(hosts: f64) -> String {
    if hosts < 1e6 { format!("{:.0}k", hosts / 1e3) } else { format!("{:.0}M", hosts / 1e6) }
}
