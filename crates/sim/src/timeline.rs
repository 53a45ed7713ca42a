//! A run as a drawing (SVG): a lane for each host, a line for each message from who sent it to who got it, faults as
//! bands, pieces as they are done. Plain colours and attributes only, so that every viewer shows it.

use crate::fault::FaultKind;
use crate::log::{What, words};
use crate::watch::Recording;
use core::fmt::Write;
use core::net::IpAddr;
use std::collections::{BTreeMap, VecDeque};
use unchoke_engine::Event;
use unchoke_wire::time::{Duration, Instant};

/// Lines in one drawing; beyond it those that fall together become one, the thicker the more.
const LINES_MAX: usize = 20_000;
/// Marks of events in one drawing; later ones are left out.
const EVENTS_MAX: usize = 20_000;
/// Where every world's time begins.
const BEGIN: Instant = Instant::from_micros(1_000_000);

const WIDTH: f64 = 1600.0;
const LEFT: f64 = 92.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 84.0;
const LANE: f64 = 64.0;
const BOTTOM: f64 = 40.0;
/// Height of the bar that shows how many pieces a host has.
const BAR: f64 = 12.0;

/// Which part of a run is drawn, in time since it began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// From here; the beginning when `None`.
    pub from: Option<Duration>,
    /// To here; the end of the run when `None`.
    pub to: Option<Duration>,
}

/// A kind of message: its colour, and its name in the legend.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Class {
    Block,
    Request,
    Have,
    Choke,
    Interest,
    Refusal,
    Handshake,
    Other,
    Datagram,
}

const CLASSES: [(Class, &str, &str); 9] = [
    (Class::Block, "#1a7f37", "block"),
    (Class::Request, "#0969da", "request"),
    (Class::Have, "#e16f24", "have, bitfield"),
    (Class::Choke, "#9a6700", "choke, unchoke"),
    (Class::Interest, "#8250df", "interest"),
    (Class::Refusal, "#cf222e", "cancel, reject"),
    (Class::Handshake, "#24292f", "handshake"),
    (Class::Other, "#6e7781", "extension, other"),
    (Class::Datagram, "#8fb8d8", "datagram"),
];

impl Class {
    fn of(message: &str) -> Self {
        let word = message.get(2..).and_then(|w| w.split(' ').next()).unwrap_or_default();
        match word {
            "piece" => Class::Block,
            "request" => Class::Request,
            "have" | "bitfield" | "have-all" | "have-none" => Class::Have,
            "choke" | "unchoke" => Class::Choke,
            "interested" | "not-interested" => Class::Interest,
            "cancel" | "reject" => Class::Refusal,
            "handshake" => Class::Handshake,
            _ => Class::Other,
        }
    }

    fn colour(self) -> &'static str {
        CLASSES.iter().find(|(c, ..)| *c == self).map_or("#000000", |(_, colour, _)| colour)
    }
}

/// A message on its way. One that did not arrive ends where it began.
#[derive(Clone, Copy, Debug)]
struct Line {
    class: Class,
    from: usize,
    to: usize,
    sent: Instant,
    got: Option<Instant>,
}

/// Draws a recording.
pub fn draw(recording: &Recording, title: &str, span: Span) -> String {
    let last = recording.log.entries().last().map_or(recording.end, |e| e.at);
    let from = BEGIN + span.from.unwrap_or(Duration::ZERO);
    let to = span.to.map_or(last, |to| BEGIN + to).max(from + Duration::from_millis(1));
    let has_tracker = recording.plan.faults.iter().any(|f| f.kind.is_of_tracker());
    let lanes = recording.hosts.len() + usize::from(has_tracker);
    let frame = Frame { from, to, lanes };
    let height = TOP + LANE * count(lanes) + BOTTOM;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" \
         font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\">\n<title>{0}</title>\n\
         <rect width=\"{WIDTH:.0}\" height=\"{height:.0}\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"24\" font-size=\"15\" font-weight=\"bold\" fill=\"#1f2328\">{0}</text>\n",
        escape(title)
    );
    legend(&mut svg);
    frame.grid(&mut svg, recording);
    bands(&mut svg, &frame, recording);
    frame.lanes(&mut svg, recording);
    lines(&mut svg, &frame, recording);
    events(&mut svg, &frame, recording);
    svg.push_str("</svg>\n");
    svg
}

fn legend(svg: &mut String) {
    let mut x = 16.0;
    for (_, colour, name) in CLASSES {
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.0}\" y1=\"48\" x2=\"{:.0}\" y2=\"48\" stroke=\"{colour}\" stroke-width=\"3\"/>\
             <text x=\"{:.0}\" y=\"52\" fill=\"#57606a\">{name}</text>",
            x + 18.0,
            x + 24.0
        );
        x += 46.0 + 6.6 * count(name.len());
    }
    let marks = [
        ("#1a7f37", "●", "piece done"),
        ("#1a7f37", "★", "complete"),
        ("#cf222e", "✕", "piece failed, storage failed, peer banned"),
        ("#f4b8b8", "■", "fault"),
    ];
    for (colour, mark, name) in marks {
        let _ = writeln!(
            svg,
            "<text x=\"{x:.0}\" y=\"52\" fill=\"{colour}\">{mark}</text>\
             <text x=\"{:.0}\" y=\"52\" fill=\"#57606a\">{name}</text>",
            x + 14.0
        );
        x += 36.0 + 6.2 * count(name.len());
    }
}

/// Where things lie in the drawing.
struct Frame {
    from: Instant,
    to: Instant,
    lanes: usize,
}

impl Frame {
    fn x(&self, at: Instant) -> f64 {
        let at = at.max(self.from).min(self.to).since(self.from).as_secs_f64();
        LEFT + at / self.to.since(self.from).as_secs_f64() * (WIDTH - LEFT - RIGHT)
    }

    /// The middle of a lane.
    fn y(&self, lane: usize) -> f64 {
        TOP + LANE * (count(lane) + 0.5)
    }

    fn has(&self, from: Instant, to: Instant) -> bool {
        from <= self.to && to >= self.from
    }

    fn grid(&self, svg: &mut String, recording: &Recording) {
        let seconds = self.to.since(self.from).as_secs_f64();
        let unit = 10f64.powf((seconds / 10.0).log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|n| n * unit);
        let step = steps.into_iter().find(|s| seconds / s <= 16.0).unwrap_or(unit * 10.0);
        let begin = self.from.since(BEGIN).as_secs_f64();
        let bottom = TOP + LANE * count(self.lanes);
        let mut n = (begin / step).ceil();
        while n * step <= begin + seconds {
            let x = self.x(BEGIN + Duration::from_secs_f64(n * step));
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\" stroke=\"#e6eaef\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" fill=\"#57606a\" text-anchor=\"middle\">{} s</text>",
                bottom + 18.0,
                trimmed(n * step)
            );
            n += 1.0;
        }
        let shown = recording.log.entries().iter().filter(|e| self.has(e.at, e.at)).count();
        let _ = writeln!(
            svg,
            "<text x=\"16\" y=\"70\" fill=\"#57606a\">{shown} entries from {begin:.2} s to {:.2} s; a line that \
             ends halfway did not arrive, or is a datagram</text>",
            begin + seconds
        );
    }

    fn lanes(&self, svg: &mut String, recording: &Recording) {
        let most = recording.hosts.iter().enumerate().map(|(h, _)| pieces(recording, h).len()).max();
        for lane in 0..self.lanes {
            let y = self.y(lane);
            let name = recording.hosts.get(lane).map_or("tracker".to_owned(), |_| format!("host {lane}"));
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"#afb8c1\"/>\
                 <text x=\"16\" y=\"{:.1}\" fill=\"#1f2328\" font-weight=\"bold\">{name}</text>",
                WIDTH - RIGHT,
                y + 4.0
            );
            if let Some(ip) = recording.hosts.get(lane).and_then(|ips| ips.last()) {
                let _ = writeln!(
                    svg,
                    "<text x=\"16\" y=\"{:.1}\" fill=\"#8c959f\" font-size=\"9\">{ip}</text>",
                    y + 16.0
                );
            }
            self.bar(svg, y, &pieces(recording, lane), count(most.unwrap_or(0).max(1)));
        }
    }

    /// How many pieces a host got, growing under its lane.
    fn bar(&self, svg: &mut String, y: f64, done: &[Instant], most: f64) {
        if done.is_empty() {
            return;
        }
        let base = y + 4.0 + BAR;
        let mut path = format!("M{:.1} {base:.1}", self.x(done[0]));
        for (n, at) in done.iter().enumerate() {
            let (x, top) = (self.x(*at), base - BAR * count(n + 1) / most);
            let _ = write!(path, "H{x:.1}V{top:.1}");
        }
        let _ = writeln!(
            svg,
            "<path d=\"{path}H{:.1}V{base:.1}Z\" fill=\"#1a7f37\" fill-opacity=\"0.18\"/>",
            self.x(self.to)
        );
    }
}

/// When a host's pieces were done.
fn pieces(recording: &Recording, host: usize) -> Vec<Instant> {
    let of_host = recording.log.entries().iter().filter(|e| e.host.0 == host);
    of_host.filter(|e| matches!(e.what, What::Event(Event::PieceDone { .. }))).map(|e| e.at).collect()
}

/// Faults of the plan, each over its host's lane.
fn bands(svg: &mut String, frame: &Frame, recording: &Recording) {
    let mut rows: BTreeMap<usize, Vec<Instant>> = BTreeMap::new();
    for (number, fault) in recording.plan.faults.iter().enumerate() {
        let begin = recording.planned_at + fault.after;
        let end = begin + fault.lasts;
        if !frame.has(begin, end) {
            continue;
        }
        let is_of_tracker = fault.kind.is_of_tracker();
        let lane = if is_of_tracker { recording.hosts.len() } else { fault.whom };
        // names of faults that overlap go below each other
        let ends = rows.entry(lane).or_default();
        let row = ends.iter().position(|e| *e <= begin).unwrap_or(ends.len());
        if row == ends.len() {
            ends.push(end);
        } else {
            ends[row] = end;
        }
        let (x, y) = (frame.x(begin), frame.y(lane) - LANE / 2.0 + 2.0);
        let width = (frame.x(end) - x).max(1.5);
        let colour = if fault.kind == FaultKind::Partition { "#b58cd9" } else { "#f08080" };
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{colour}\" \
             fill-opacity=\"0.25\"><title>{number}: {fault}</title></rect>\
             <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"9\" fill=\"#a40e26\">{number}: {}</text>",
            LANE - 4.0,
            x + 2.0,
            y + 9.0 + 9.0 * count(row % 6),
            fault.kind.name()
        );
    }
}

/// Every message, matched with its arrival.
fn messages(frame: &Frame, recording: &Recording) -> Vec<Line> {
    let mut host_of: BTreeMap<IpAddr, usize> = BTreeMap::new();
    for (host, ips) in recording.hosts.iter().enumerate() {
        ips.iter().for_each(|ip| _ = host_of.insert(*ip, host));
    }
    let mut lines: Vec<Line> = Vec::new();
    let mut under_way: BTreeMap<(usize, usize, String), VecDeque<usize>> = BTreeMap::new();
    for entry in recording.log.entries() {
        let here = entry.host.0;
        match &entry.what {
            What::Peer(trace) => {
                let Some(there) = host_of.get(&trace.remote.ip()).copied() else { continue };
                let words = words(trace);
                let what = words.get(2..).unwrap_or_default().to_owned();
                if trace.is_sent {
                    // a new connection: what an earlier one still had under way is lost
                    if what == "handshake" {
                        under_way.retain(|(from, to, _), _| (*from, *to) != (here, there));
                    }
                    under_way.entry((here, there, what)).or_default().push_back(lines.len());
                    let class = Class::of(&words);
                    lines.push(Line { class, from: here, to: there, sent: entry.at, got: None });
                } else if let Some(line) =
                    under_way.get_mut(&(there, here, what)).and_then(VecDeque::pop_front)
                {
                    lines[line].got = Some(entry.at);
                }
            }
            What::DatagramSent { to, .. } => {
                let there = host_of.get(&to.ip()).copied().unwrap_or(frame.lanes.saturating_sub(1));
                let class = Class::Datagram;
                lines.push(Line { class, from: here, to: there, sent: entry.at, got: None });
            }
            What::Event(_) | What::Hub(_) => {}
        }
    }
    lines.retain(|l| l.from != l.to && frame.has(l.sent, l.got.unwrap_or(l.sent)));
    lines
}

/// A line in the drawing: its ends in tenths of a pixel, and what it is of.
type Place = (i64, i64, usize, usize, Class, bool);

fn lines(svg: &mut String, frame: &Frame, recording: &Recording) {
    let lines = messages(frame, recording);
    let mut grain = 1.0;
    let mut places = gather(frame, &lines, grain);
    while places.len() > LINES_MAX {
        grain *= 2.0;
        places = gather(frame, &lines, grain);
    }
    let mut by_class: BTreeMap<(Class, u32), String> = BTreeMap::new();
    for ((x1, x2, from, to, class, arrived), n) in places {
        let (y1, y2) = (frame.y(from), frame.y(to));
        // what did not arrive, or is not known to have, ends halfway
        let (x1, x2) = (tenths(x1), if arrived { tenths(x2) } else { tenths(x1) + 2.0 });
        let y2 = if arrived { y2 } else { y1 + (y2 - y1).signum() * LANE * 0.4 };
        let path = by_class.entry((class, n.ilog2().min(6))).or_default();
        let _ = write!(path, "M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}");
    }
    // blocks below, rare messages above them
    for ((class, weight), path) in by_class {
        let width = 0.7 + 0.4 * f64::from(weight);
        let opacity =
            if matches!(class, Class::Block | Class::Request | Class::Datagram) { 0.45 } else { 0.9 };
        let _ = writeln!(
            svg,
            "<path d=\"{path}\" stroke=\"{}\" stroke-width=\"{width:.1}\" stroke-opacity=\"{opacity}\" \
             fill=\"none\"/>",
            class.colour()
        );
    }
}

/// Lines that fall together, and how many they are. The larger the grain, the more do.
fn gather(frame: &Frame, lines: &[Line], grain: f64) -> BTreeMap<Place, u32> {
    let place = |at: Instant| round(frame.x(at) * 10.0 / grain) * round(grain);
    let mut places: BTreeMap<Place, u32> = BTreeMap::new();
    for line in lines {
        let (x1, x2) = (place(line.sent), place(line.got.unwrap_or(line.sent)));
        let key = (x1, x2, line.from, line.to, line.class, line.got.is_some());
        *places.entry(key).or_default() += 1;
    }
    places
}

fn events(svg: &mut String, frame: &Frame, recording: &Recording) {
    let mut pieces = String::new();
    let mut shown = 0;
    for entry in recording.log.entries().iter().filter(|e| frame.has(e.at, e.at)) {
        let What::Event(event) = &entry.what else { continue };
        let (x, y) = (frame.x(entry.at), frame.y(entry.host.0));
        let (mark, colour, what) = match event {
            Event::PieceDone { .. } => {
                let _ = write!(pieces, "M{x:.1} {y:.1}h0");
                shown += 1;
                continue;
            }
            Event::Completed { .. } => ("★", "#1a7f37", "complete".to_owned()),
            Event::PieceFailed { piece, .. } => ("✕", "#cf222e", format!("piece {} failed", piece.0)),
            Event::StorageFailed { error, .. } => ("✕", "#cf222e", format!("storage failed: {error}")),
            Event::PeerBanned { remote, .. } => ("✕", "#cf222e", format!("{remote} banned")),
            _ => continue,
        };
        shown += 1;
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"16\" fill=\"{colour}\">{mark}\
             <title>{}</title></text>",
            y + 5.0,
            escape(&what)
        );
        if shown > EVENTS_MAX {
            break;
        }
    }
    let _ = writeln!(
        svg,
        "<path d=\"{pieces}\" stroke=\"#1a7f37\" stroke-width=\"5\" stroke-linecap=\"round\" fill=\"none\"/>"
    );
}

/// Text that may stand in XML; control characters become spaces.
fn escape(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn count(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::MAX, f64::from)
}

fn tenths(n: i64) -> f64 {
    i32::try_from(n).map_or(0.0, f64::from) / 10.0
}

/// The nearest whole number; places in a drawing are small ones.
fn round(x: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "places in a drawing are below 2^31")]
    let whole = x.round() as i64;
    whole
}

fn trimmed(seconds: f64) -> String {
    let text = format!("{seconds:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenarios::{self, Setup};
    use crate::watch::watch;

    fn recording(name: &str) -> Recording {
        let scenario = scenarios::all().find(|s| s.name == name).unwrap();
        let (result, mut seen) = watch(true, || scenario.play(&Setup::of_seed(1)));
        result.unwrap();
        seen.recordings.pop().unwrap()
    }

    #[test]
    fn a_drawing_shows_every_host_and_the_faults_in_plain_colours() {
        let recording = recording("fault/kill");
        let svg = draw(&recording, "a < b", Span::default());
        assert!(svg.contains("a &lt; b") && svg.contains("host 5") && svg.contains(": kill"));
        assert!(!svg.contains("var(") && !svg.contains("NaN"), "no style sheets, no broken numbers");
        assert!(svg.len() < 3 << 20, "{} bytes", svg.len());
    }

    #[test]
    fn a_part_of_a_run_draws_what_is_in_it() {
        let recording = recording("golden-b");
        let to = Some(Duration::from_secs(2));
        let part = draw(&recording, "", Span { from: None, to });
        let whole = draw(&recording, "", Span::default());
        assert!(part.len() < whole.len());
        let empty = draw(&recording, "", Span { from: Some(Duration::from_secs(1 << 30)), to: None });
        assert!(!empty.contains("NaN"));
    }
}
