//! A picture of figures that differ by factors: bars over a logarithmic axis, as SVG.

use std::fmt::Write as _;

/// A bar: whose figure it is, and the figure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: f64,
    /// Bars of one series have one colour.
    pub(crate) series: usize,
}

/// Bars that are compared with each other, under a heading.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    pub(crate) title: String,
    pub(crate) bars: Vec<Bar>,
}

/// Told apart in print and by most who are colour-blind.
const COLOURS: [&str; 6] = [
    "#1b7f4b", "#3b78c4", "#d08a1d", "#b0417a", "#777777", "#6a51a3",
];

const WIDTH: f64 = 760.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 90.0;
const LINE: f64 = 18.0;
const HEAD: f64 = 46.0;
const GAP: f64 = 12.0;

/// Three digits that matter, and no more.
pub(crate) fn number(value: f64) -> String {
    match value {
        it if it >= 100.0 || it.fract() == 0.0 => format!("{it:.0}"),
        it if it >= 10.0 => format!("{it:.1}"),
        it => format!("{it:.2}"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The whole picture; `unit` stands beside the axis.
pub(crate) fn svg(title: &str, unit: &str, groups: &[Group]) -> String {
    let bars = || groups.iter().flat_map(|it| &it.bars);
    let positive = || bars().map(|it| it.value).filter(|it| *it > 0.0);
    let low = positive()
        .fold(f64::MAX, f64::min)
        .min(1e18)
        .log10()
        .floor();
    let high = positive().fold(low, |most, it| most.max(it.log10())).ceil();
    let high = high.max(low + 1.0);
    let scale = (WIDTH - LEFT - RIGHT) / (high - low);
    let x = |value: f64| LEFT + (value.max(f64::MIN_POSITIVE).log10().max(low) - low) * scale;
    let lines: usize = groups.iter().map(|it| it.bars.len() + 1).sum();
    let bottom = count(groups.len()).mul_add(GAP, count(lines).mul_add(LINE, HEAD));
    let height = bottom + 2.0 * LINE;

    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"12\" y=\"24\" font-size=\"16\" font-weight=\"bold\">{}</text>\n",
        escape(title)
    );
    let mut put = |line: std::fmt::Arguments<'_>| {
        writeln!(out, "{line}").expect("a string takes all");
    };
    let mut power = low;
    while power <= high {
        let at = x(10_f64.powf(power));
        put(format_args!(
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{HEAD}\" y2=\"{bottom}\" stroke=\"#dddddd\"/>"
        ));
        put(format_args!(
            "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555555\">{}</text>",
            bottom + LINE - 2.0,
            escape(&axis(power))
        ));
        power += 1.0;
    }
    put(format_args!(
        "<text x=\"12\" y=\"{:.1}\" fill=\"#555555\">{}, logarithmic</text>",
        bottom + LINE - 2.0,
        escape(unit)
    ));
    let mut y = HEAD;
    for group in groups {
        put(format_args!(
            "<text x=\"12\" y=\"{:.1}\" font-weight=\"bold\">{}</text>",
            y + LINE - 5.0,
            escape(&group.title)
        ));
        y += LINE;
        for bar in &group.bars {
            let colour = COLOURS[bar.series % COLOURS.len()];
            let end = x(bar.value).max(LEFT + 1.0);
            put(format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
                 <rect x=\"{LEFT}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                LEFT - 8.0,
                y + LINE - 5.0,
                escape(&bar.label),
                y + 3.0,
                end - LEFT,
                LINE - 5.0,
                end + 5.0,
                y + LINE - 5.0,
                number(bar.value)
            ));
            y += LINE;
        }
        y += GAP;
    }
    out.push_str("</svg>\n");
    out
}

/// What stands below a line of the axis.
fn axis(power: f64) -> String {
    number(10_f64.powf(power))
}

#[expect(clippy::cast_precision_loss, reason = "lines of a picture are few")]
fn count(it: usize) -> f64 {
    it as f64
}
