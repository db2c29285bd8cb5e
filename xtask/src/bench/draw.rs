//! Draws what benches found, as SVG that can be read on light and on dark pages.
//!
//! Colours are drawn as for a light page. A style sheet in the picture has other ones for those that look at a dark page, by
//! the very values that were drawn.

use std::fmt::Display;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use metad_tests::bench::plot::{Bar, Curve, Plot, Shape};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);
const INK: RGBColor = RGBColor(0x24, 0x29, 0x2f);
const FAINT: RGBColor = RGBColor(0xd0, 0xd7, 0xde);
/// The one in question first, then the others in their order; each stands out on both pages.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0xd1, 0x49, 0x5b),
    RGBColor(0x3a, 0x86, 0xc8),
    RGBColor(0x4f, 0x9d, 0x69),
    RGBColor(0xc9, 0x8a, 0x1b),
    RGBColor(0x8a, 0x6f, 0xc9),
    RGBColor(0x7d, 0x85, 0x90),
];
/// Other colours for dark pages.
const DARK: [(RGBColor, &str); 3] = [(PAPER, "#0d1117"), (INK, "#e6edf3"), (FAINT, "#30363d")];
const FONT: &str = "sans-serif";
const WIDTH: u32 = 860;
/// Of one bar, in pixels.
const BAR: i32 = 22;
const GAP: i32 = 12;
/// Of the names beside the bars.
const NAMES: i32 = 300;
const TOP: i32 = 48;

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Writes one file for each picture, `BENCH-PICTURE.svg`; says which.
///
/// # Errors
/// It cannot be drawn or written.
pub(crate) fn draw(directory: &Path, bench: &str, plots: &[Plot]) -> Result<Vec<String>> {
    let mut written = Vec::new();
    for plot in plots {
        let name = format!("{bench}-{}.svg", plot.name);
        let file = directory.join(&name);
        let text = picture(plot).with_context(|| format!("cannot draw {name}"))?;
        std::fs::create_dir_all(directory)
            .and_then(|()| std::fs::write(&file, text))
            .with_context(|| format!("cannot write {}", file.display()))?;
        written.push(name);
    }
    Ok(written)
}

fn picture(plot: &Plot) -> Result<String> {
    let mut text = String::new();
    let height = match &plot.shape {
        Shape::Bars { bars, .. } => {
            let bars = i32::try_from(bars.len()).context("too many bars")?;
            u32::try_from(TOP + bars * (BAR + GAP) + GAP)?
        }
        Shape::Curves(_) => 460,
    };
    {
        let canvas = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        canvas.fill(&PAPER).map_err(said)?;
        match &plot.shape {
            Shape::Bars { unit, bars } => draw_bars(&canvas, &plot.title, unit, bars)?,
            Shape::Curves(curves) => draw_curves(&canvas, &plot.title, curves)?,
        }
        canvas.present().map_err(said)?;
    }
    styled(&text)
}

fn said(error: impl Display) -> anyhow::Error {
    anyhow!("{error}")
}

fn draw_bars(canvas: &Canvas<'_>, title: &str, unit: &str, bars: &[Bar]) -> Result<()> {
    let font = |size: i32| (FONT, size).into_font().color(&INK);
    canvas
        .draw_text(title, &font(19), (GAP, GAP))
        .map_err(said)?;
    let most = bars
        .iter()
        .map(|bar| bar.value)
        .fold(f64::MIN_POSITIVE, f64::max);
    let room = f64::from(i32::try_from(WIDTH)? - NAMES - 190);
    for (at, (bar, colour)) in (0..).zip(bars.iter().zip(COLOURS.iter().cycle())) {
        let y = TOP + at * (BAR + GAP);
        let middle = y + BAR / 2;
        #[expect(clippy::cast_possible_truncation, reason = "a share of the width")]
        let end = NAMES + (bar.value / most * room).round() as i32;
        let right = font(14).pos(Pos::new(HPos::Right, VPos::Center));
        canvas
            .draw_text(&bar.name, &right, (NAMES - 8, middle))
            .map_err(said)?;
        let corners = [(NAMES, y), (end.max(NAMES + 1), y + BAR)];
        canvas
            .draw(&Rectangle::new(corners, colour.filled()))
            .map_err(said)?;
        let left = font(14).pos(Pos::new(HPos::Left, VPos::Center));
        canvas
            .draw_text(&label(bar, unit), &left, (end + 8, middle))
            .map_err(said)?;
    }
    Ok(())
}

/// `12,345/s · 1.02 ×`
fn label(bar: &Bar, unit: &str) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rates are neither huge nor negative"
    )]
    let whole = bar.value.round() as u64;
    let digits = whole.to_string();
    let mut number = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            number.push(',');
        }
        number.push(digit);
    }
    let ratio = bar.ratio.map(|ratio| format!(" · {ratio:.2} ×"));
    format!("{number}{unit}{}", ratio.unwrap_or_default())
}

fn draw_curves(canvas: &Canvas<'_>, title: &str, curves: &[Curve]) -> Result<()> {
    let font = |size: i32| (FONT, size).into_font().color(&INK);
    let microseconds = |time: &std::time::Duration| (time.as_secs_f64() * 1e6).max(1.0);
    let all = || curves.iter().flat_map(|curve| &curve.points);
    let last = all().map(|(tenths, _)| *tenths).max().unwrap_or(1);
    let least = all()
        .map(|(_, time)| microseconds(time))
        .fold(f64::MAX, f64::min);
    let most = all()
        .map(|(_, time)| microseconds(time))
        .fold(1.0, f64::max);
    // Above the curves is room for their names.
    let top = most * 1.25 * (most / least).powf(0.45);
    let mut chart = ChartBuilder::on(canvas)
        .caption(title, font(19))
        .margin(GAP)
        .margin_right(3 * GAP)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..f64::from(last) / 10.0, (least * 0.8..top).log_scale())
        .map_err(said)?;
    chart
        .configure_mesh()
        .bold_line_style(FAINT)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .label_style(font(13))
        .x_labels(4)
        .x_label_formatter(&|nines| share(*nines))
        .x_desc("share of answers")
        .y_label_formatter(&|time| time_text(*time))
        .draw()
        .map_err(said)?;
    for (curve, colour) in curves.iter().zip(COLOURS.iter().cycle()) {
        let points = curve.points.iter();
        let points = points.map(|(tenths, time)| (f64::from(*tenths) / 10.0, microseconds(time)));
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))
            .map_err(said)?
            .label(curve.name.as_str())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(PAPER)
        .border_style(FAINT)
        .label_font(font(13))
        .draw()
        .map_err(said)
}

/// What so many nines are called.
fn share(nines: f64) -> String {
    let percent = 100.0 * (1.0 - 10_f64.powf(-nines));
    let digits = if nines > 2.5 { 1 } else { 0 };
    format!("{percent:.digits$} %")
}

fn time_text(microseconds: f64) -> String {
    if microseconds < 1_000.0 {
        format!("{microseconds:.0} µs")
    } else {
        format!("{:.0} ms", microseconds / 1_000.0)
    }
}

/// The picture with colours for dark pages.
fn styled(text: &str) -> Result<String> {
    let mut rules = String::new();
    for (light, dark) in DARK {
        let light = format!("#{:02X}{:02X}{:02X}", light.0, light.1, light.2);
        rules.push_str(&format!(
            "[fill=\"{light}\"]{{fill:{dark}}}[stroke=\"{light}\"]{{stroke:{dark}}}"
        ));
    }
    let style = format!("<style>@media (prefers-color-scheme:dark){{{rules}}}</style>\n");
    let at = text.find("<svg").context("no SVG was drawn")?;
    let end = text.get(at..).and_then(|rest| rest.find('>'));
    let (head, rest) = text.split_at(at + end.context("no SVG was drawn")? + 1);
    Ok(format!("{head}\n{style}{}\n", rest.trim()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn bars() -> Plot {
        let bar = |name: &str, value, ratio| Bar {
            name: name.to_owned(),
            value,
            ratio,
        };
        Plot {
            name: "rate",
            title: "Who <is> quick?".to_owned(),
            shape: Shape::Bars {
                unit: "/s",
                bars: vec![bar("metad", 12_345.4, Some(1.0)), bar("none", 0.0, None)],
            },
        }
    }

    #[test]
    fn numbers_are_grouped_and_ratios_follow() {
        for (value, ratio, expected) in [
            (999.4, None, "999/s"),
            (1_000.0, Some(0.5), "1,000/s · 0.50 ×"),
            (1_234_567.0, None, "1,234,567/s"),
            (0.0, None, "0/s"),
        ] {
            let bar = Bar {
                name: String::new(),
                value,
                ratio,
            };
            assert_eq!(label(&bar, "/s"), expected);
        }
    }

    #[test]
    fn every_colour_of_a_page_has_another_on_dark_pages() {
        let curve = Curve::of("metad", &[Duration::from_micros(100); 9]);
        let curves = Plot {
            name: "alone",
            title: "How long?".to_owned(),
            shape: Shape::Curves(vec![
                curve.clone(),
                Curve {
                    name: "none".to_owned(),
                    points: Vec::new(),
                },
            ]),
        };
        for plot in [bars(), curves] {
            let text = picture(&plot).unwrap();
            assert!(text.contains("prefers-color-scheme:dark"), "{text}");
            let drawn = |name: &str| {
                let attribute = format!(" {name}=\"#");
                let parts = text.split(attribute.as_str()).skip(1);
                let values = parts.filter_map(|rest| rest.get(..6));
                values.map(str::to_owned).collect::<Vec<_>>()
            };
            let known = |value: &str| {
                let hex = |it: RGBColor| format!("{:02X}{:02X}{:02X}", it.0, it.1, it.2);
                let mut all = COLOURS.into_iter().chain([PAPER, INK, FAINT]);
                all.any(|it| hex(it) == value)
            };
            for value in drawn("fill").into_iter().chain(drawn("stroke")) {
                assert!(known(&value), "{}: #{value}", plot.title);
            }
        }
    }

    #[test]
    fn text_is_text_in_a_picture() {
        let text = picture(&bars()).unwrap();
        assert!(text.contains("Who &lt;is&gt; quick?"), "{text}");
        assert!(text.starts_with("<svg"), "{text}");
    }

    #[test]
    fn pictures_are_named_after_their_bench() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("below");
        let written = draw(&below, "connect", &[bars()]).unwrap();
        assert_eq!(written, ["connect-rate.svg"]);
        assert!(below.join("connect-rate.svg").is_file());
    }
}
