//! Bars as SVG: text stays text, nothing runs, and the colours suit light and dark pages.

use std::fmt::Write;

/// Rows of bars, each made of parts that add up.
pub(super) struct Chart {
    pub(super) title: String,
    /// What the numbers are.
    pub(super) unit: &'static str,
    /// What the parts of a bar are, when there are several.
    pub(super) parts: Vec<&'static str>,
    pub(super) bars: Vec<Bar>,
}

/// One bar.
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) parts: Vec<f64>,
    /// The least and the most of its sum.
    pub(super) ends: (f64, f64),
    pub(super) kind: Kind,
}

/// Whose a bar is, by which it is coloured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Ours,
    Theirs,
    Limit,
}

impl Kind {
    fn class(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Theirs => "theirs",
            Self::Limit => "limit",
        }
    }
}

impl Bar {
    fn sum(&self) -> f64 {
        self.parts.iter().sum()
    }
}

impl Chart {
    /// The drawing.
    pub(super) fn svg(&self) -> String {
        let most = self.bars.iter().map(|bar| bar.sum().max(bar.ends.1)).fold(0.0, f64::max);
        let step = step(most);
        let scale = Scale { px_per_unit: (WIDTH - LEFT - RIGHT) / most.max(f64::MIN_POSITIVE) };
        let rows = f64::from(u32::try_from(self.bars.len()).unwrap_or(0));
        let foot = TOP + rows * ROW + 6.0;
        let height = foot + 24.0;
        let title = escaped(&self.title);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n\
             <text class=\"title\" x=\"8\" y=\"22\">{title}</text>\n"
        );
        self.legend(&mut svg);
        let mut at = 0.0;
        while at <= most {
            let x = scale.x(at);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{x:.1} {top}V{foot}\"/>\
                 <text class=\"small\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{label}</text>",
                top = TOP - 4.0,
                y = foot + 15.0,
                label = short(at)
            );
            at += step;
        }
        let mut y = TOP;
        for bar in &self.bars {
            bar.draw(&mut svg, scale, y);
            y += ROW;
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// What the numbers and the shades mean.
    fn legend(&self, svg: &mut String) {
        let unit = escaped(self.unit);
        let _ = writeln!(svg, "<text class=\"small\" x=\"8\" y=\"42\">{unit}</text>");
        if self.parts.len() < 2 {
            return;
        }
        let mut x = LEFT;
        for (part, shade) in self.parts.iter().zip(SHADES) {
            let _ = writeln!(
                svg,
                "<rect class=\"limit\" opacity=\"{shade}\" x=\"{x}\" y=\"32\" width=\"12\" height=\"12\"/>\
                 <text class=\"small\" x=\"{text}\" y=\"42\">{part}</text>",
                text = x + 17.0
            );
            x += 110.0;
        }
    }
}

impl Bar {
    fn draw(&self, svg: &mut String, scale: Scale, y: f64) {
        let middle = y + ROW / 2.0;
        let _ = writeln!(
            svg,
            "<text x=\"{x}\" y=\"{base}\" text-anchor=\"end\" class=\"{class}-text\">{label}</text>",
            x = LEFT - 8.0,
            base = middle + 4.5,
            class = self.kind.class(),
            label = escaped(&self.label)
        );
        let mut from = 0.0;
        for (part, shade) in self.parts.iter().zip(SHADES) {
            let _ = writeln!(
                svg,
                "<rect class=\"{class}\" opacity=\"{shade}\" x=\"{x:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{height}\"/>",
                class = self.kind.class(),
                x = scale.x(from),
                top = y + 5.0,
                width = part * scale.px_per_unit,
                height = ROW - 10.0
            );
            from += part;
        }
        let (least, most) = (scale.x(self.ends.0), scale.x(self.ends.1));
        if most - least > 1.0 {
            let _ = writeln!(
                svg,
                "<path class=\"ends\" d=\"M{least:.1} {middle}H{most:.1}M{least:.1} {a}V{b}M{most:.1} {a}V{b}\"/>",
                a = middle - 4.0,
                b = middle + 4.0
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{base}\">{sum}</text>",
            x = scale.x(from).max(most) + 7.0,
            base = middle + 4.5,
            sum = short(from)
        );
    }
}

#[derive(Clone, Copy)]
struct Scale {
    px_per_unit: f64,
}

impl Scale {
    fn x(self, value: f64) -> f64 {
        LEFT + value * self.px_per_unit
    }
}

/// A round distance of about six marks on the way to `most`.
fn step(most: f64) -> f64 {
    let raw = most.max(1e-9) / 6.0;
    let power = 10_f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= raw).unwrap_or(raw)
}

/// A number in few digits.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        large if large >= 100.0 => format!("{value:.0}"),
        middling if middling >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const WIDTH: f64 = 760.0;
/// Where bars begin, and what is left behind the longest for its number.
const LEFT: f64 = 220.0;
const RIGHT: f64 = 60.0;
const TOP: f64 = 58.0;
const ROW: f64 = 28.0;
const SHADES: [&str; 2] = ["1", "0.55"];
const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-size:15px;font-weight:600}\
.small{font-size:11px;fill:#59636e}.ours-text{font-weight:600}.grid{stroke:#d1d9e0}.ends{stroke:#1f2328;fill:none}\
.ours{fill:#0969da}.theirs{fill:#bc7a1a}.limit{fill:#818b98}\
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.small{fill:#9198a1}.grid{stroke:#3d444d}.ends{stroke:#f0f6fc}\
.ours{fill:#4493f8}.theirs{fill:#d29922}}";

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        let bar =
            |label: &str, parts: Vec<f64>, ends, kind| Bar { label: label.to_owned(), parts, ends, kind };
        Chart {
            title: "Cost".to_owned(),
            unit: "CPU s/GiB",
            parts: vec!["seed", "leech"],
            bars: vec![
                bar("ours & <us>", vec![1.0, 2.0], (3.0, 3.0), Kind::Ours),
                bar("them", vec![4.0, 2.0], (5.5, 6.5), Kind::Theirs),
            ],
        }
    }

    #[test]
    fn bars_are_as_long_as_their_numbers_and_text_is_escaped() {
        let svg = chart().svg();
        // 480 px for 6.5
        assert!(svg.contains("class=\"ours\" opacity=\"1\" x=\"220.0\" y=\"63\" width=\"73.8\""));
        assert!(svg.contains("class=\"theirs\" opacity=\"0.55\" x=\"515.4\""));
        assert!(svg.contains(">ours &amp; &lt;us&gt;</text>") && svg.contains(">6.00</text>"));
        assert_eq!(svg.matches("class=\"ends\"").count(), 1);
    }

    #[test]
    fn marks_are_round() {
        assert!((step(6.5) - 2.0).abs() < 1e-9);
        assert!((step(0.9) - 0.2).abs() < 1e-9);
        assert!((step(3000.0) - 500.0).abs() < 1e-9);
    }

    #[test]
    fn numbers_have_three_digits_or_so() {
        assert_eq!([0.0, 0.126, 9.994, 12.34, 1234.5].map(short), ["0", "0.13", "9.99", "12.3", "1234"]);
    }
}
