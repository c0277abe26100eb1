//! Several measurements of one quantity, and their display.

#[derive(Debug, Default, Clone)]
pub(super) struct Sample(pub(super) Vec<f64>);

impl Sample {
    pub(super) fn median(&self) -> Option<f64> {
        let values = self.sorted();
        let middle = values.len() / 2;
        match values.len() {
            0 => None,
            length if length % 2 == 0 => Some(f64::midpoint(values[middle - 1], values[middle])),
            _ => Some(values[middle]),
        }
    }

    /// The median and, for several measurements, the range.
    pub(super) fn show_with_range(&self, digits: usize) -> String {
        match self.sorted()[..] {
            [least, .., most] => self.show_within(least, most, digits),
            _ => show(self.median(), digits),
        }
    }

    /// The median and its 95 % confidence interval, computed from ranks. It needs no assumption about the distribution:
    /// in 19 of 20 cases the interval contains the median of the population.
    pub(super) fn show_with_confidence(&self, digits: usize) -> String {
        let values = self.sorted();
        let Some(last) = values.len().checked_sub(1) else { return show(None, digits) };
        let middle = values.len() as f64 / 2.0;
        // 1.96 standard deviations of the number of measurements below the true median. One standard deviation is half
        // of the square root of the number of measurements.
        let aside = 1.96 * (values.len() as f64).sqrt() / 2.0;
        let at = |rank: f64| values[(rank.max(0.0) as usize).min(last)];
        self.show_within(at((middle - aside).floor() - 1.0), at((middle + aside).ceil()), digits)
    }

    fn show_within(&self, from: f64, to: f64, digits: usize) -> String {
        format!("{} ({from:.digits$}–{to:.digits$})", show(self.median(), digits))
    }

    fn sorted(&self) -> Vec<f64> {
        let mut values = self.0.clone();
        values.sort_by(f64::total_cmp);
        values
    }
}

/// Formats a figure, or a dash if there is none.
pub(super) fn show(figure: Option<f64>, digits: usize) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_shows_its_median_and_its_range() {
        assert_eq!(Sample(vec![3.0, 1.0, 2.0]).show_with_range(1), "2.0 (1.0–3.0)");
        assert_eq!(Sample(vec![4.0, 1.0]).median(), Some(2.5));
        assert_eq!(Sample(vec![1.0]).show_with_range(0), "1");
        assert_eq!(Sample(Vec::new()).show_with_range(0), "-");
    }

    #[test]
    fn a_confidence_interval_goes_by_ranks() {
        let hundred = Sample((1..=100).rev().map(f64::from).collect());
        assert_eq!(hundred.show_with_confidence(1), "50.5 (40.0–61.0)");
        assert_eq!(Sample(vec![1.0]).show_with_confidence(0), "1 (1–1)");
        assert_eq!(Sample(Vec::new()).show_with_confidence(0), "-");
    }
}
