//! SVG being written: numbers short, text escaped, and the places of all texts remembered.

use std::fmt::Write as _;

use super::escape::xml;
use super::geometry::{Curve, Point, Rect};
use super::measure::width;

/// How a text looks; the class of the same name is in the style sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Face {
    Heading,
    Lead,
    Site,
    Sub,
    Name,
    Small,
}

impl Face {
    /// Class, size in pixels, whether it is bold.
    pub(super) fn look(self) -> (&'static str, f64, bool) {
        match self {
            Self::Heading => ("heading", 20.0, true),
            Self::Lead => ("lead", 13.0, false),
            Self::Site => ("site", 15.0, true),
            Self::Sub => ("sub", 11.5, false),
            Self::Name => ("name", 12.0, true),
            Self::Small => ("small", 11.0, false),
        }
    }

    pub(super) fn width(self, text: &str) -> f64 {
        let (_, size, bold) = self.look();
        width(text, size, bold)
    }
}

/// Where a text's `x` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// The picture so far.
#[derive(Default)]
pub(super) struct Canvas {
    pub out: String,
    /// Every text's rectangle, no smaller than it.
    pub texts: Vec<(Rect, String)>,
}

/// A number with at most one digit after the point.
pub(super) fn number(value: f64) -> String {
    let mut text = format!("{value:.1}");
    if text.ends_with(".0") {
        text.truncate(text.len() - 2);
    }
    if text == "-0" { "0".to_owned() } else { text }
}

impl Canvas {
    pub(super) fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// A group of things that are one to a person, with what a mouse shows.
    pub(super) fn open(&mut self, class: &str, title: &str) {
        let _ = writeln!(self.out, "<g class=\"{}\"><title>{}</title>", xml(class), xml(title));
    }

    pub(super) fn close(&mut self) {
        self.line("</g>");
    }

    /// A text whose line is centred on `at`.
    pub(super) fn text(&mut self, at: Point, face: Face, anchor: Anchor, class: &str, text: &str) {
        let (own, size, _) = face.look();
        let wide = face.width(text);
        let x = match anchor {
            Anchor::Start => at.x,
            Anchor::Middle => at.x - wide / 2.0,
            Anchor::End => at.x - wide,
        };
        self.texts.push((Rect::new(x, at.y - size * 0.6, wide, size * 1.2), text.to_owned()));
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let space = if class.is_empty() { "" } else { " " };
        let _ = writeln!(
            self.out,
            "<text class=\"{own}{space}{class}\" x=\"{}\" y=\"{}\"{anchor}>{}</text>",
            number(at.x),
            // `dominant-baseline` is not understood everywhere.
            number(at.y + size * 0.35),
            xml(text)
        );
    }

    pub(super) fn rect(&mut self, class: &str, rect: &Rect, radius: f64) {
        let _ = writeln!(
            self.out,
            "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"{}\"/>",
            number(rect.x),
            number(rect.y),
            number(rect.w),
            number(rect.h),
            number(radius)
        );
    }

    /// A path without a title, or with one.
    pub(super) fn path(&mut self, class: &str, data: &str, title: Option<&str>) {
        let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
        let _ = match title {
            Some(title) => {
                writeln!(self.out, "<path{class} d=\"{data}\"><title>{}</title></path>", xml(title))
            }
            None => writeln!(self.out, "<path{class} d=\"{data}\"/>"),
        };
    }

    /// A cross, for what is down: no colour is needed to see it.
    pub(super) fn cross(&mut self, at: Point, radius: f64) {
        let (left, right, top, bottom) = (at.x - radius, at.x + radius, at.y - radius, at.y + radius);
        let [left, right, top, bottom] = [left, right, top, bottom].map(number);
        self.path("cross", &format!("M{left} {top}L{right} {bottom}M{left} {bottom}L{right} {top}"), None);
    }

    /// An arrow's head on a line from one point towards another.
    pub(super) fn arrow(&mut self, tip: Point, from: Point) {
        let length = tip.distance(from).max(0.01);
        let ahead = Point::new((tip.x - from.x) / length, (tip.y - from.y) / length);
        let aside = Point::new(-ahead.y, ahead.x);
        let (front, back) = (tip.along(ahead, 7.0), tip.along(ahead, -6.0));
        let corners = [front, back.along(aside, 6.5), tip.along(ahead, -2.5), back.along(aside, -6.5)];
        self.path("arrow", &format!("{}Z", polyline(&corners)), None);
    }
}

/// Straight lines through points.
pub(super) fn polyline(points: &[Point]) -> String {
    let mut out = String::new();
    for (i, point) in points.iter().enumerate() {
        let _ = write!(out, "{}{} {}", if i == 0 { 'M' } else { 'L' }, number(point.x), number(point.y));
    }
    out
}

/// A curve.
pub(super) fn curve(curve: &Curve) -> String {
    let [a, b, c, d] = curve.0.map(|p| format!("{} {}", number(p.x), number(p.y)));
    format!("M{a}C{b} {c} {d}")
}
