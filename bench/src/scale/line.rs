//! A straight line through measurements.

#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) slope: f64,
    /// The value at 0.
    pub(super) start: f64,
    /// The largest distance of a measurement from the line.
    pub(super) farthest: f64,
}

impl Line {
    /// Returns the line with the least sum of squared distances.
    pub(super) fn through(across: &[f64], up: &[f64]) -> Self {
        let count = across.len() as f64;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / count;
        let (middle, height) = (mean(across), mean(up));
        let pairs = || across.iter().zip(up);
        let spread: f64 = across.iter().map(|x| (x - middle).powi(2)).sum();
        let together: f64 = pairs().map(|(x, y)| (x - middle) * (y - height)).sum();
        let slope = if spread == 0.0 { height / middle } else { together / spread };
        let start = height - slope * middle;
        let farthest = pairs().map(|(x, y)| (y - start - slope * x).abs()).fold(0.0, f64::max);
        Self { slope, start, farthest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_through_points_that_are_on_one() {
        let line = Line::through(&[1.0, 2.0, 3.0], &[5.0, 8.0, 11.0]);
        assert_eq!((line.slope, line.start), (3.0, 2.0));
        assert!(line.farthest < 1e-9);
    }

    #[test]
    fn a_line_lies_between_points_that_are_not() {
        let line = Line::through(&[0.0, 1.0, 2.0], &[0.0, 3.0, 0.0]);
        assert_eq!((line.slope, line.start, line.farthest), (0.0, 1.0, 2.0));
    }

    #[test]
    fn one_measurement_gives_the_line_from_nothing() {
        assert_eq!(Line::through(&[4.0], &[8.0]).slope, 2.0);
    }
}
