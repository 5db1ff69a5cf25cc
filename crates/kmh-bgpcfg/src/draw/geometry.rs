//! Points, rectangles, curves. Only what IEEE 754 rounds exactly (no sine), so that every machine computes the same bytes.

/// A place. `y` grows downwards.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Point {
    pub x: f64,
    pub y: f64,
}

impl Point {
    pub(super) fn new(x: f64, y: f64) -> Self {
        Self { x, y }
    }

    /// Moved by `factor` times `direction`.
    pub(super) fn along(self, direction: Self, factor: f64) -> Self {
        Self::new(self.x + direction.x * factor, self.y + direction.y * factor)
    }

    pub(super) fn distance(self, other: Self) -> f64 {
        ((self.x - other.x) * (self.x - other.x) + (self.y - other.y) * (self.y - other.y)).sqrt()
    }
}

/// An upright rectangle.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rect {
    pub x: f64,
    pub y: f64,
    pub w: f64,
    pub h: f64,
}

impl Rect {
    pub(super) fn new(x: f64, y: f64, w: f64, h: f64) -> Self {
        Self { x, y, w, h }
    }

    pub(super) fn right(&self) -> f64 {
        self.x + self.w
    }

    pub(super) fn bottom(&self) -> f64 {
        self.y + self.h
    }

    pub(super) fn center(&self) -> Point {
        Point::new(self.x + self.w / 2.0, self.y + self.h / 2.0)
    }

    pub(super) fn moved(&self, by: Point) -> Self {
        Self::new(self.x + by.x, self.y + by.y, self.w, self.h)
    }

    /// Larger by `margin` on every side.
    pub(super) fn grown(&self, margin: f64) -> Self {
        Self::new(self.x - margin, self.y - margin, self.w + 2.0 * margin, self.h + 2.0 * margin)
    }

    pub(super) fn meets(&self, other: &Self) -> bool {
        self.x < other.right() && other.x < self.right() && self.y < other.bottom() && other.y < self.bottom()
    }

    pub(super) fn holds(&self, point: Point) -> bool {
        self.x < point.x && point.x < self.right() && self.y < point.y && point.y < self.bottom()
    }
}

/// A side of a rectangle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Top,
    Right,
    Bottom,
    Left,
}

impl Side {
    /// The direction from this side to the inside.
    pub(super) fn inward(self) -> Point {
        match self {
            Self::Top => Point::new(0.0, 1.0),
            Self::Right => Point::new(-1.0, 0.0),
            Self::Bottom => Point::new(0.0, -1.0),
            Self::Left => Point::new(1.0, 0.0),
        }
    }

    /// A point of this side of a rectangle: `part` of the way, clockwise.
    pub(super) fn point(self, rect: &Rect, part: f64) -> Point {
        match self {
            Self::Top => Point::new(rect.x + rect.w * part, rect.y),
            Self::Right => Point::new(rect.right(), rect.y + rect.h * part),
            Self::Bottom => Point::new(rect.right() - rect.w * part, rect.bottom()),
            Self::Left => Point::new(rect.x, rect.bottom() - rect.h * part),
        }
    }

    /// The side of a card on that side of the picture that looks to the middle.
    pub(super) fn opposite(self) -> Self {
        match self {
            Self::Top => Self::Bottom,
            Self::Right => Self::Left,
            Self::Bottom => Self::Top,
            Self::Left => Self::Right,
        }
    }

    /// Whether cards stand side by side there.
    pub(super) fn is_row(self) -> bool {
        matches!(self, Self::Top | Self::Bottom)
    }
}

/// A cubic Bézier curve.
#[derive(Clone, Copy, Debug)]
pub(super) struct Curve(pub [Point; 4]);

impl Curve {
    /// The point at `t`, 0 to 1.
    pub(super) fn at(&self, t: f64) -> Point {
        let s = 1.0 - t;
        let weights = [s * s * s, 3.0 * s * s * t, 3.0 * s * t * t, t * t * t];
        let sum = |pick: fn(&Point) -> f64| self.0.iter().zip(weights).map(|(p, w)| pick(p) * w).sum();
        Point::new(sum(|p| p.x), sum(|p| p.y))
    }
}

/// A count as a length.
pub(super) fn length(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
