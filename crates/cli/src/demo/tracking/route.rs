//! Points of the town, and the ways between them.

use serde::{Deserialize, Serialize, Serializer};

/// A place on the map. The page gets it as `[x, y]`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

impl Point {
    pub(super) const fn new(x: f64, y: f64) -> Self {
        Self { x, y }
    }

    pub(super) fn distance(self, other: Self) -> f64 {
        (self.x - other.x).hypot(self.y - other.y)
    }

    /// Returns the point at this part of the straight way to `other`.
    pub(super) fn toward(self, other: Self, part: f64) -> Self {
        Self::new(self.x + (other.x - self.x) * part, self.y + (other.y - self.y) * part)
    }
}

impl Serialize for Point {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tenths = |value: f64| (value * 10.0).round() / 10.0;
        (tenths(self.x), tenths(self.y)).serialize(serializer)
    }
}

/// A way along streets: its corners, and how far each is from the start.
#[derive(Debug, Clone, Default)]
pub(super) struct Route {
    points: Vec<Point>,
    distances: Vec<f64>,
}

impl Route {
    pub(super) fn new(points: impl IntoIterator<Item = Point>) -> Self {
        let mut route = Self::default();
        route.extend(points);
        route
    }

    /// Adds corners. A corner that is the same as the last one is left out.
    pub(super) fn extend(&mut self, points: impl IntoIterator<Item = Point>) {
        for point in points {
            match self.points.last() {
                Some(last) if last.distance(point) < 1e-6 => {}
                Some(last) => {
                    self.distances.push(self.length() + last.distance(point));
                    self.points.push(point);
                }
                None => {
                    self.distances.push(0.0);
                    self.points.push(point);
                }
            }
        }
    }

    pub(super) fn points(&self) -> &[Point] {
        &self.points
    }

    pub(super) fn length(&self) -> f64 {
        self.distances.last().copied().unwrap_or_default()
    }

    /// Returns the point at `distance` from the start. A route has at least one point.
    pub(super) fn at(&self, distance: f64) -> Point {
        let next = self.distances.partition_point(|corner| *corner <= distance);
        let Some(end) = self.points.get(next) else { return self.points[self.points.len() - 1] };
        let Some(before) = next.checked_sub(1) else { return *end };
        let (from, to) = (self.distances[before], self.distances[next]);
        self.points[before].toward(*end, (distance - from) / (to - from))
    }

    /// Returns the corners after `from`, up to `to`.
    pub(super) fn corners(&self, from: f64, to: f64) -> &[Point] {
        let [from, to] = [from, to].map(|end| self.distances.partition_point(|corner| *corner <= end));
        &self.points[from..to.max(from)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_walked_corner_by_corner() {
        let route =
            Route::new([(0.0, 0.0), (10.0, 0.0), (10.0, 0.0), (10.0, 5.0)].map(|(x, y)| Point::new(x, y)));
        assert_eq!(route.length(), 15.0);
        assert_eq!(route.at(0.0), Point::new(0.0, 0.0));
        assert_eq!(route.at(4.0), Point::new(4.0, 0.0));
        assert_eq!(route.at(12.0), Point::new(10.0, 2.0));
        assert_eq!(route.at(99.0), Point::new(10.0, 5.0));
        assert_eq!(route.corners(4.0, 12.0), [Point::new(10.0, 0.0)]);
        assert_eq!(route.corners(12.0, 13.0), []);
    }
}
