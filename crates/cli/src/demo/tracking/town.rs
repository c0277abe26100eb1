//! A small invented town. It is the same at each start.

use serde::Serialize;

use super::super::random::Random;
use super::route::{Point, Route};

/// The size of the map, in units of its own.
pub(super) const SIZE: Point = Point::new(1000.0, 720.0);

const COLUMNS: usize = 12;
const ROWS: usize = 9;
/// The rows that cross the river.
const BRIDGES: [usize; 3] = [1, 4, 7];
/// Rows and columns that are wide streets.
const AVENUES: ([usize; 1], [usize; 2]) = ([4], [2, 8]);
/// The lower left corners of the blocks that are parks.
const PARKS: [(usize, usize); 4] = [(2, 5), (6, 1), (7, 1), (9, 6)];
const RIVER_WIDTH: f64 = 34.0;
/// The share of the streets that are left out, to make larger blocks.
const MISSING: f64 = 0.16;
/// How much longer a street seems that is no avenue, when a route is chosen.
const DETOUR: f64 = 1.35;

const KITCHENS: [&str; 4] = ["Blue Oven", "Noodle Corner", "Basil & Lime", "Green Bowl"];
const PLACES: [&str; 10] = [
    "Clock Tower",
    "Old Mill",
    "North Gate",
    "Library",
    "Station",
    "Boat House",
    "Market Hall",
    "Theatre",
    "Observatory",
    "Tram Depot",
];

/// The town, as the page gets it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Town {
    size: Point,
    crossings: Vec<Point>,
    streets: Vec<Street>,
    river: Vec<Point>,
    river_width: f64,
    parks: Vec<[Point; 4]>,
    houses: Vec<House>,
    trees: Vec<Point>,
    kitchens: Vec<Place>,
    places: Vec<Place>,
}

/// A straight street between two crossings.
#[derive(Debug, Clone, Copy, Serialize)]
struct Street {
    from: usize,
    to: usize,
    avenue: bool,
}

/// A place with a name, at a crossing.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Place {
    pub(super) name: &'static str,
    pub(super) at: Point,
}

/// A rectangle. The angle is in radians.
#[derive(Debug, Serialize)]
struct House {
    at: Point,
    width: f64,
    depth: f64,
    angle: f64,
}

/// Where something is that moves along the streets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stop {
    street: usize,
    /// From 0, the first crossing of the street, to 1.
    part: f64,
}

impl Town {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let crossings = crossings(&mut random);
        let streets = streets(&crossings, &mut random);
        let named = spread(&crossings, KITCHENS.len() + PLACES.len());
        let place = |(name, crossing): (&&'static str, &usize)| Place { name, at: crossings[*crossing] };
        // Every third of the spread crossings is a kitchen, so that they are spread too.
        let (kitchens, places): (Vec<_>, Vec<_>) =
            named.iter().enumerate().partition(|(index, _)| index % 3 == 0 && index / 3 < KITCHENS.len());
        let [kitchens, places] = [kitchens, places]
            .map(|list| list.into_iter().map(|(_, crossing)| *crossing).collect::<Vec<_>>());
        let mut town = Self {
            size: SIZE,
            river: (-1..=19).map(|step| f64::from(step) * 40.0).map(|y| Point::new(river(y), y)).collect(),
            river_width: RIVER_WIDTH,
            parks: PARKS.iter().map(|(column, row)| inset(block(&crossings, *column, *row), 0.13)).collect(),
            houses: Vec::new(),
            trees: Vec::new(),
            kitchens: KITCHENS.iter().zip(&kitchens).map(place).collect(),
            places: PLACES.iter().zip(&places).map(place).collect(),
            crossings,
            streets,
        };
        town.houses = town.houses(&mut random);
        town.trees = town.trees(&mut random);
        town
    }

    pub(super) fn kitchens(&self) -> &[Place] {
        &self.kitchens
    }

    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Returns the place in a street that is closest to `point`.
    pub(super) fn nearest(&self, point: Point) -> Stop {
        let on_street = |street: usize| {
            let [from, to] = self.ends(street);
            let (dx, dy) = (to.x - from.x, to.y - from.y);
            let part = ((point.x - from.x) * dx + (point.y - from.y) * dy) / (dx * dx + dy * dy);
            Stop { street, part: part.clamp(0.0, 1.0) }
        };
        (0..self.streets.len())
            .map(on_street)
            .min_by(|a, b| self.point(*a).distance(point).total_cmp(&self.point(*b).distance(point)))
            .unwrap_or(Stop { street: 0, part: 0.0 })
    }

    pub(super) fn point(&self, stop: Stop) -> Point {
        let [from, to] = self.ends(stop.street);
        from.toward(to, stop.part)
    }

    /// Returns the shortest way along the streets. Avenues are preferred.
    pub(super) fn route(&self, start: Stop, end: Stop) -> Route {
        if start.street == end.street {
            return Route::new([self.point(start), self.point(end)]);
        }
        let mut cost = vec![f64::INFINITY; self.crossings.len()];
        let mut before = vec![None; self.crossings.len()];
        let first = self.streets[start.street];
        let whole = self.cost(first);
        cost[first.from] = whole * start.part;
        cost[first.to] = whole * (1.0 - start.part);
        let mut open: Vec<usize> = (0..self.crossings.len()).collect();
        // Dijkstra's algorithm. A list of a hundred crossings needs no heap.
        while let Some(at) = (0..open.len()).min_by(|a, b| cost[open[*a]].total_cmp(&cost[open[*b]])) {
            let here = open.swap_remove(at);
            for street in &self.streets {
                let there = match () {
                    () if street.from == here => street.to,
                    () if street.to == here => street.from,
                    () => continue,
                };
                let total = cost[here] + self.cost(*street);
                if total < cost[there] {
                    cost[there] = total;
                    before[there] = Some(here);
                }
            }
        }
        let last = self.streets[end.street];
        let whole = self.cost(last);
        let by_first = cost[last.from] + whole * end.part;
        let by_last = cost[last.to] + whole * (1.0 - end.part);
        let mut corner = Some(if by_first <= by_last { last.from } else { last.to });
        let mut points = vec![self.point(end)];
        while let Some(crossing) = corner {
            points.push(self.crossings[crossing]);
            corner = before[crossing];
        }
        points.push(self.point(start));
        Route::new(points.into_iter().rev())
    }

    fn ends(&self, street: usize) -> [Point; 2] {
        let Street { from, to, .. } = self.streets[street];
        [self.crossings[from], self.crossings[to]]
    }

    fn cost(&self, street: Street) -> f64 {
        let length = self.crossings[street.from].distance(self.crossings[street.to]);
        if street.avenue { length } else { length * DETOUR }
    }

    /// Houses stand along the streets, on both sides.
    fn houses(&self, random: &mut Random) -> Vec<House> {
        let mut houses = Vec::new();
        for street in 0..self.streets.len() {
            let [from, to] = self.ends(street);
            let length = from.distance(to);
            let (along_x, along_y) = ((to.x - from.x) / length, (to.y - from.y) / length);
            for side in [-1.0, 1.0] {
                let mut along = random.between(21.0, 26.0);
                loop {
                    let (width, depth) = (random.between(11.0, 21.0), random.between(9.0, 14.0));
                    if along + width > length - 21.0 {
                        break;
                    }
                    let (middle, off) = (along + width / 2.0, side * (10.5 + depth / 2.0));
                    let at = Point::new(
                        from.x + along_x * middle - along_y * off,
                        from.y + along_y * middle + along_x * off,
                    );
                    along += width + random.between(2.5, 7.0);
                    let is_dry = (at.x - river(at.y)).abs() > RIVER_WIDTH / 2.0 + 16.0;
                    if is_dry && !self.parks.iter().any(|park| contains(park, at, 8.0)) {
                        houses.push(House {
                            at,
                            width: width.round(),
                            depth: depth.round(),
                            angle: (along_y.atan2(along_x) * 1000.0).round() / 1000.0,
                        });
                    }
                }
            }
        }
        houses
    }

    fn trees(&self, random: &mut Random) -> Vec<Point> {
        let mut trees = Vec::new();
        for park in &self.parks {
            for _ in 0..16 {
                let (across, down) = (random.between(0.1, 0.9), random.between(0.1, 0.9));
                let [a, b, c, d] = *park;
                let tree = a.toward(b, across).toward(d.toward(c, across), down);
                if trees.iter().all(|other: &Point| other.distance(tree) > 9.0) {
                    trees.push(tree);
                }
            }
        }
        trees
    }
}

/// A grid that is bent and a little irregular. No crossing is in the river.
fn crossings(random: &mut Random) -> Vec<Point> {
    let mut crossings = Vec::with_capacity(COLUMNS * ROWS);
    for row in 0..ROWS {
        for column in 0..COLUMNS {
            let x = 46.0 + column as f64 * 908.0 / (COLUMNS - 1) as f64 + random.between(-9.0, 9.0);
            let y = 42.0 + row as f64 * 636.0 / (ROWS - 1) as f64 + random.between(-8.0, 8.0);
            let mut at = Point::new(x + 13.0 * (y / 120.0).sin(), y + 15.0 * (x / 160.0).sin());
            let bank = RIVER_WIDTH / 2.0 + 15.0;
            let off = at.x - river(at.y);
            if off.abs() < bank {
                at.x = river(at.y) + bank.copysign(off);
            }
            crossings.push(Point::new(at.x.round(), at.y.round()));
        }
    }
    crossings
}

/// The streets between neighbours of the grid. Some are missing, but all crossings are connected.
fn streets(crossings: &[Point], random: &mut Random) -> Vec<Street> {
    let mut streets = Vec::new();
    let is_west = |crossing: usize| crossings[crossing].x < river(crossings[crossing].y);
    for row in 0..ROWS {
        for column in 0..COLUMNS {
            let from = row * COLUMNS + column;
            if column + 1 < COLUMNS && (is_west(from) == is_west(from + 1) || BRIDGES.contains(&row)) {
                let avenue = AVENUES.0.contains(&row);
                streets.push(Street { from, to: from + 1, avenue });
            }
            if row + 1 < ROWS && is_west(from) == is_west(from + COLUMNS) {
                let avenue = AVENUES.1.contains(&column);
                streets.push(Street { from, to: from + COLUMNS, avenue });
            }
        }
    }
    let mut index = 0;
    while index < streets.len() {
        let street = streets[index];
        let keeps =
            street.avenue || is_west(street.from) != is_west(street.to) || random.between(0.0, 1.0) > MISSING;
        let degree =
            |crossing| streets.iter().filter(|other| other.from == crossing || other.to == crossing).count();
        if keeps || degree(street.from) < 3 || degree(street.to) < 3 {
            index += 1;
            continue;
        }
        streets.remove(index);
        if !is_connected(&streets) {
            streets.insert(index, street);
            index += 1;
        }
    }
    streets
}

fn is_connected(streets: &[Street]) -> bool {
    let mut reached = [false; COLUMNS * ROWS];
    reached[0] = true;
    loop {
        let before = reached;
        for Street { from, to, .. } in streets {
            let any = reached[*from] || reached[*to];
            reached[*from] = any;
            reached[*to] = any;
        }
        if reached == before {
            return reached.iter().all(|reached| *reached);
        }
    }
}

/// Returns `count` crossings that are far from each other.
fn spread(crossings: &[Point], count: usize) -> Vec<usize> {
    let mut chosen = vec![COLUMNS + 2];
    while chosen.len() < count {
        let gap = |crossing: usize| {
            chosen
                .iter()
                .map(|other| crossings[crossing].distance(crossings[*other]))
                .fold(f64::INFINITY, f64::min)
        };
        let Some(next) = (0..crossings.len()).max_by(|a, b| gap(*a).total_cmp(&gap(*b))) else { break };
        chosen.push(next);
    }
    chosen
}

/// The middle of the river at this height.
fn river(y: f64) -> f64 {
    (330.0 + y * 0.3 + 70.0 * (y / 150.0 + 0.7).sin()).round()
}

fn block(crossings: &[Point], column: usize, row: usize) -> [Point; 4] {
    let corner = row * COLUMNS + column;
    [corner, corner + 1, corner + COLUMNS + 1, corner + COLUMNS].map(|index| crossings[index])
}

/// Moves the corners toward the middle.
fn inset(corners: [Point; 4], part: f64) -> [Point; 4] {
    let middle = corners[0].toward(corners[2], 0.5).toward(corners[1].toward(corners[3], 0.5), 0.5);
    corners.map(|corner| corner.toward(middle, part))
}

/// Returns whether a point is in a quadrangle, or not further than `margin` outside.
fn contains(corners: &[Point; 4], point: Point, margin: f64) -> bool {
    (0..4).all(|index| {
        let (a, b) = (corners[index], corners[(index + 1) % 4]);
        let area = (b.x - a.x) * (point.y - a.y) - (b.y - a.y) * (point.x - a.x);
        area / a.distance(b) > -margin
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_town_each_time() {
        let [first, second, other] = [1, 1, 2].map(|seed| format!("{:?}", Town::new(seed)));
        assert_eq!(first, second);
        assert_ne!(first, other);
    }

    #[test]
    fn every_place_is_reached_along_streets_from_every_kitchen() {
        let town = Town::new(super::super::SEED);
        for kitchen in town.kitchens() {
            for place in town.places() {
                let route = town.route(town.nearest(kitchen.at), town.nearest(place.at));
                assert_eq!((route.at(0.0), route.at(route.length())), (kitchen.at, place.at));
                for pair in route.points().windows(2) {
                    let middle = pair[0].toward(pair[1], 0.5);
                    let street = town.point(town.nearest(middle));
                    assert!(street.distance(middle) < 1e-6, "{middle:?} is not in a street");
                }
            }
        }
    }

    #[test]
    fn everything_is_on_the_map() {
        let town = Town::new(super::super::SEED);
        for at in town.crossings.iter().chain(town.houses.iter().map(|house| &house.at)) {
            assert!((0.0..=SIZE.x).contains(&at.x) && (0.0..=SIZE.y).contains(&at.y), "{at:?}");
        }
    }
}
