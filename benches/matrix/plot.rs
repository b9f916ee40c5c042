//! The goals as a picture: how much of each was reached.

use std::path::Path;

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::{Outcome, report::Row};

const WIDTH: i32 = 1000;
const NAMES: i32 = 480;
const TOP: i32 = 60;
const LINE: i32 = 26;
/// Where a goal is reached exactly.
const REACHED: i32 = NAMES + 240;
const GREEN: RGBColor = RGBColor(44, 160, 44);
const ORANGE: RGBColor = RGBColor(255, 127, 14);

pub(crate) fn draw(path: &Path, rows: &[Row]) -> Outcome {
    let mut heading = "";
    let mut bars = Vec::new();
    for row in rows {
        let own = row.what.strip_prefix("  ");
        if own.is_none() {
            heading = row.what.split([',', ':', ';']).next().unwrap_or_default();
        }
        let name = own.map_or_else(|| row.what.clone(), |own| format!("{heading}: {own}"));
        if let Some(reached) = row.goal.reached(row.value) {
            bars.push((name, reached));
        }
    }
    let height = TOP + LINE * bars.len() as i32 + 20;
    let root = SVGBackend::new(path, (WIDTH as u32, height as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    let right = TextStyle::from(("sans-serif", 12)).pos(Pos::new(HPos::Right, VPos::Center));
    let left = TextStyle::from(("sans-serif", 12)).pos(Pos::new(HPos::Left, VPos::Center));
    let middle = TextStyle::from(("sans-serif", 18)).pos(Pos::new(HPos::Center, VPos::Center));
    root.draw(&Text::new("How much of each goal is reached (1 is all of it)", (WIDTH / 2, TOP / 2), middle))?;
    for (n, (name, reached)) in bars.iter().enumerate() {
        let y = TOP + LINE * n as i32 + LINE / 2;
        let length = ((REACHED - NAMES) as f64 * reached.min(2.0)) as i32;
        let colour = if *reached >= 1.0 { GREEN } else { ORANGE };
        root.draw(&Text::new(shortened(name), (NAMES - 8, y), right.clone()))?;
        root.draw(&Rectangle::new([(NAMES, y - 8), (NAMES + length, y + 8)], colour.filled()))?;
        let value = if *reached > 9.9 { "> 9.9".to_owned() } else { format!("{reached:.2}") };
        root.draw(&Text::new(value, (NAMES + length + 6, y), left.clone()))?;
    }
    let line = [(REACHED, TOP - 8), (REACHED, height - 12)];
    root.draw(&PathElement::new(line, BLACK.stroke_width(1)))?;
    root.present()?;
    Ok(())
}

/// So much of a name as there is room for.
fn shortened(name: &str) -> String {
    const MOST: usize = 80;
    if name.chars().count() <= MOST {
        name.to_owned()
    } else {
        name.chars().take(MOST - 1).chain(['…']).collect()
    }
}
