//! The figures of a run as a drawing (SVG).

use super::Mode;
use super::report::Report;
use core::fmt::Write;

/// Size of a panel and of the margin around its plot, in pixels.
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 44.0;

/// Plain colours: not every viewer knows variables of style sheets.
const STYLE: &str = "<style>\
text{font:12px system-ui,sans-serif;fill:#6a7482}.t{font-weight:600;font-size:14px;fill:#1c2430}\
.g{stroke:#d5dae1;stroke-width:1}.a{stroke:#1f6feb}.b{stroke:#c2571a}.c{fill:none;stroke-width:2}\
.h{fill:#1f6feb}.la{fill:#1f6feb}.lb{fill:#c2571a}</style>";

/// Draws three panels: time of lookups, their queries, and how many succeed as time goes by (in a network that
/// lives) or their hops (in a snapshot).
pub fn draw(report: &Report) -> String {
    let width = WIDTH * 3.0;
    let head = title(report);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {:.0}\" role=\"img\">{STYLE}\
         <title>{head}</title><rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\
         <text class=\"t\" x=\"{LEFT}\" y=\"20\">{head}</text>",
        HEIGHT + 28.0
    );
    svg.push_str(&times(report, 0.0));
    let queries: Vec<u32> = report.lookups.iter().map(|l| l.queries).collect();
    svg.push_str(&histogram("queries of a lookup", &queries, WIDTH));
    if matches!(report.plan.mode, Mode::Life(_)) {
        svg.push_str(&success(report, WIDTH * 2.0));
    } else {
        let hops: Vec<u32> = report.lookups.iter().map(|l| l.hops).collect();
        svg.push_str(&histogram("hops of a lookup", &hops, WIDTH * 2.0));
    }
    svg.push_str("</svg>\n");
    svg
}

fn title(report: &Report) -> String {
    let plan = &report.plan;
    let attack = plan.attack.map_or(String::new(), |a| format!(", attack: {}", a.name()));
    let network = match plan.mode {
        Mode::Life(life) => format!("{} nodes for {:.1} h", plan.nodes, life.time.as_secs_f64() / 3600.0),
        _ => format!("{} nodes, {:.0} % dead in tables", plan.nodes, plan.dead.as_f64() * 100.0),
    };
    format!(
        "{network}{attack}, seed {}: {:.2} % of {} lookups found a peer",
        plan.seed,
        report.success() * 100.0,
        report.lookups.len()
    )
}

/// How many lookups had their first peer, and were done, after how long.
fn times(report: &Report, x: f64) -> String {
    let sorted = |times: Vec<f64>| {
        let mut times = times;
        times.sort_unstable_by(f64::total_cmp);
        times
    };
    let seconds = |t: unchoke_wire::time::Duration| t.as_secs_f64();
    let first = sorted(report.lookups.iter().filter_map(|l| l.first).map(seconds).collect());
    let done = sorted(report.lookups.iter().filter_map(|l| l.done).map(seconds).collect());
    let longest = report.done_ms().p95.max(report.first_ms().p95) / 1000.0 * 1.5;
    let panel = Panel::new(x, "part of the lookups, after seconds", (0.0, longest.max(0.1)), (0.0, 1.0));
    let mut svg = panel.frame();
    for (class, values) in [("a", &first), ("b", &done)] {
        let points = values
            .iter()
            .enumerate()
            .map(|(at, time)| (time.min(longest), (count(at) + 1.0) / count(report.lookups.len()).max(1.0)));
        svg.push_str(&panel.curve(class, points));
    }
    svg.push_str(&panel.legend(0.0, "la", "first peer"));
    svg.push_str(&panel.legend(1.0, "lb", "done"));
    svg
}

fn histogram(name: &str, values: &[u32], x: f64) -> String {
    let most = values.iter().copied().max().unwrap_or(0);
    let step = most / 40 + 1;
    let mut counts = vec![0u32; usize::try_from(most / step + 1).unwrap_or(1)];
    for value in values {
        counts[usize::try_from(value / step).unwrap_or(0)] += 1;
    }
    let highest = counts.iter().copied().max().unwrap_or(0).max(1);
    let panel = Panel::new(x, name, (0.0, f64::from(most + step)), (0.0, f64::from(highest)));
    let mut svg = panel.frame();
    for (at, n) in (0u32..).zip(&counts) {
        let (left, top) = panel.at(f64::from(at * step), f64::from(*n));
        let (right, bottom) = panel.at(f64::from((at + 1) * step), 0.0);
        let (width, height) = ((right - left - 1.0).max(0.5), bottom - top);
        let _ = write!(
            svg,
            "<rect class=\"h\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
        );
    }
    svg
}

fn success(report: &Report, x: f64) -> String {
    let hours = report.success_by_hour();
    let last = hours.last().map_or(1, |(hour, _)| *hour + 1);
    let low = hours.iter().map(|(_, s)| *s).fold(0.98, f64::min);
    let whole = |n: u64| u32::try_from(n).map_or(0.0, f64::from);
    let panel =
        Panel::new(x, "part that found a peer, by hour", (0.0, whole(last)), ((low - 0.01).max(0.0), 1.0));
    let mut svg = panel.frame();
    svg.push_str(&panel.curve("a", hours.iter().map(|(hour, s)| (whole(*hour) + 0.5, *s))));
    svg
}

fn count(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::MAX, f64::from)
}

/// A plot with its axes.
struct Panel<'a> {
    left: f64,
    name: &'a str,
    x: (f64, f64),
    y: (f64, f64),
}

impl<'a> Panel<'a> {
    /// A range from 0 is made longer until its four ticks are round numbers.
    fn new(left: f64, name: &'a str, x: (f64, f64), y: (f64, f64)) -> Self {
        Panel { left, name, x: round(x), y: round(y) }
    }

    /// Where a point lies in the drawing.
    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let part = |v: f64, (low, high): (f64, f64)| (v - low) / (high - low).max(f64::MIN_POSITIVE);
        let width = WIDTH - LEFT - RIGHT;
        let height = HEIGHT - TOP - BOTTOM;
        (self.left + LEFT + part(x, self.x) * width, TOP + 20.0 + (1.0 - part(y, self.y)) * height)
    }

    fn frame(&self) -> String {
        let mut svg = String::new();
        for step in 0..=4u32 {
            let part = f64::from(step) / 4.0;
            let (x, y) = (self.x.0 + (self.x.1 - self.x.0) * part, self.y.0 + (self.y.1 - self.y.0) * part);
            let ((left, at_y), (right, _)) = (self.at(self.x.0, y), self.at(self.x.1, y));
            let (at_x, bottom) = self.at(x, self.y.0);
            let _ = write!(
                svg,
                "<line class=\"g\" x1=\"{left:.1}\" y1=\"{at_y:.1}\" x2=\"{right:.1}\" y2=\"{at_y:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
                 <text x=\"{at_x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                left - 6.0,
                at_y + 4.0,
                label(y),
                bottom + 16.0,
                label(x)
            );
        }
        let (middle, bottom) = self.at((self.x.0 + self.x.1) / 2.0, self.y.0);
        let _ = write!(
            svg,
            "<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 34.0,
            self.name
        );
        svg
    }

    fn curve(&self, class: &str, points: impl Iterator<Item = (f64, f64)>) -> String {
        let mut path = String::new();
        for (x, y) in points {
            let (x, y) = self.at(x, y);
            let _ = write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { "M" } else { "L" });
        }
        format!("<path class=\"c {class}\" d=\"{path}\"/>")
    }

    fn legend(&self, row: f64, class: &str, text: &str) -> String {
        let (right, bottom) = self.at(self.x.1, self.y.0);
        let y = bottom - 12.0 - row * 16.0;
        format!(
            "<text class=\"{class}\" x=\"{:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{text}</text>",
            right - 6.0
        )
    }
}

fn round((low, high): (f64, f64)) -> (f64, f64) {
    if low > 0.0 {
        return (low, high);
    }
    let tick = high / 4.0;
    let unit = 10f64.powf(tick.log10().floor());
    let tick = [1.0, 2.0, 2.5, 5.0, 10.0].map(|n| n * unit).into_iter().find(|t| *t >= tick * 0.999);
    (low, tick.unwrap_or(unit) * 4.0)
}

fn label(value: f64) -> String {
    if value >= 10.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
