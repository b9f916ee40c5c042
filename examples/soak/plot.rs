//! The record as a picture.

use std::{error::Error, path::Path};

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::sample::{Phase, Sample};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Outcome = Result<(), Box<dyn Error>>;

const WIDTH: u32 = 1000;
const TITLE: u32 = 50;
const PANEL: u32 = 250;
const BLUE: RGBColor = RGBColor(31, 119, 180);
const ORANGE: RGBColor = RGBColor(255, 127, 14);
const GREEN: RGBColor = RGBColor(44, 160, 44);
const RED: RGBColor = RGBColor(214, 39, 40);

/// A line of a panel.
struct Line {
    name: &'static str,
    colour: RGBColor,
    /// Narrow over wide, so that lines on top of each other are both seen.
    width: u32,
    of: fn(&Sample) -> Option<f64>,
}

#[derive(Clone, Copy, PartialEq)]
enum Scale {
    /// From 0.
    Linear,
    /// From a tenth, by powers of ten.
    Powers,
}

impl Scale {
    fn of(self, value: f64) -> f64 {
        if self == Self::Powers { value.max(0.1).log10() } else { value }
    }

    fn label(self, height: f64, highest: f64) -> String {
        match self {
            Self::Linear => with_thousands(height, highest),
            Self::Powers if height < 0.0 => format!("{:.1}", 10_f64.powf(height)),
            Self::Powers => with_thousands(10_f64.powf(height), f64::MAX),
        }
    }
}

struct Panel {
    title: &'static str,
    unit: &'static str,
    legend: SeriesLabelPosition,
    scale: Scale,
    lines: Vec<Line>,
}

/// Draws all panels, one below the other, over one time.
pub(crate) fn draw(path: &Path, samples: &[Sample]) -> Outcome {
    let panels = panels();
    let height = TITLE + PANEL * panels.len() as u32;
    let root = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let minutes = samples.last().map_or(1.0, |last| last.seconds / 60.0);
    let sessions = samples.iter().map(|sample| sample.sessions).max().unwrap_or_default();
    let sessions = with_thousands(sessions as f64, f64::MAX);
    let title = format!("p2pchat soak: a registry with up to {sessions} sessions, {minutes:.0} minutes");
    let centred = TextStyle::from(("sans-serif", 22)).pos(Pos::new(HPos::Center, VPos::Center));
    root.draw(&Text::new(title, (WIDTH as i32 / 2, TITLE as i32 / 2), centred))?;
    let (_, below) = root.split_vertically(TITLE);
    for (area, panel) in below.split_evenly((panels.len(), 1)).iter().zip(&panels) {
        draw_panel(area, panel, samples, minutes)?;
    }
    root.present()?;
    Ok(())
}

fn draw_panel(area: &Area<'_>, panel: &Panel, samples: &[Sample], minutes: f64) -> Outcome {
    let highest = panel.lines.iter().flat_map(|line| samples.iter().filter_map(line.of)).fold(0.0, f64::max);
    let scale = panel.scale;
    let (lowest, highest_shown) = match scale {
        Scale::Linear => (0.0, (highest * 1.05).max(1.0)),
        Scale::Powers => (-1.0, scale.of(highest).ceil().max(0.0) + 1.0),
    };
    let mut chart = ChartBuilder::on(area)
        .caption(panel.title, ("sans-serif", 16))
        .margin_left(10)
        .margin_right(20)
        .x_label_area_size(38)
        .y_label_area_size(75)
        .build_cartesian_2d(0.0..minutes, lowest..highest_shown)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("minutes")
        .y_desc(panel.unit)
        .x_labels(13)
        .y_labels(6)
        .x_label_formatter(&|minute| with_thousands(*minute, minutes))
        .y_label_formatter(&|height| scale.label(*height, highest))
        .label_style(("sans-serif", 13))
        .axis_desc_style(("sans-serif", 13))
        .draw()?;
    for line in &panel.lines {
        let style = line.colour.stroke_width(line.width);
        let points =
            samples.iter().filter_map(|sample| Some((sample.seconds / 60.0, scale.of((line.of)(sample)?))));
        chart
            .draw_series(LineSeries::new(points, style))?
            .label(line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .position(panel.legend.clone())
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .label_font(("sans-serif", 13))
        .draw()?;
    Ok(())
}

fn panels() -> Vec<Panel> {
    use Scale::{Linear, Powers};
    use SeriesLabelPosition::{LowerMiddle, UpperMiddle};

    let line = |name, colour, width, of| Line { name, colour, width, of };
    let panel = |title, unit, legend, scale, lines| Panel { title, unit, legend, scale, lines };
    vec![
        panel(
            "Memory of the registry",
            "MiB",
            LowerMiddle,
            Linear,
            vec![
                line("resident", BLUE, 2, |s| mib(s.registry.rss_kib)),
                line("heap in use", ORANGE, 2, |s| mib(s.registry.heap_kib)),
            ],
        ),
        panel(
            "Registry: descriptors, tasks and sessions",
            "count",
            LowerMiddle,
            Linear,
            vec![
                line("descriptors", BLUE, 6, |s| count(s.registry.descriptors)),
                line("tasks", ORANGE, 3, |s| count(s.registry.tasks)),
                line("sessions", BLACK, 1, |s| count(s.sessions)),
            ],
        ),
        panel(
            "Memory of all clients together",
            "MiB",
            LowerMiddle,
            Linear,
            vec![
                line("resident", BLUE, 2, |s| mib(s.load.rss_kib)),
                line("heap in use", ORANGE, 2, |s| mib(s.load.heap_kib)),
            ],
        ),
        panel(
            "Clients: descriptors and tasks",
            "count",
            LowerMiddle,
            Linear,
            vec![
                line("descriptors", BLUE, 2, |s| count(s.load.descriptors)),
                line("tasks", ORANGE, 2, |s| count(s.load.tasks)),
            ],
        ),
        panel(
            "Answers, texts and pushes",
            "a second",
            LowerMiddle,
            Linear,
            vec![line("operations", GREEN, 1, |s| Some(s.per_second))],
        ),
        panel(
            "Time of a look-up, once all are there",
            "ms",
            UpperMiddle,
            Powers,
            vec![
                line("99th percentile", RED, 1, |s| steady(s, s.p99_ms)),
                line("median", BLUE, 1, |s| steady(s, s.p50_ms)),
            ],
        ),
    ]
}

fn mib(kib: u64) -> Option<f64> {
    Some(kib as f64 / 1024.0)
}

fn count(count: u64) -> Option<f64> {
    Some(count as f64)
}

/// Whoever arrives waits for the hashes of all the others, which says nothing about the registry.
fn steady(sample: &Sample, value: f64) -> Option<f64> {
    (sample.phase == Phase::Steady).then_some(value)
}

/// With as many digits as a scale up to `highest` wants.
fn with_thousands(value: f64, highest: f64) -> String {
    if highest < 10.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    match digits.len() {
        4.. => format!("{},{}", &digits[..digits.len() - 3], &digits[digits.len() - 3..]),
        _ => digits,
    }
}
