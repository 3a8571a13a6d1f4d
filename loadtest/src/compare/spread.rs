//! Median, least and greatest of a few figures.

use serde::Serialize;

/// What is shown of repeated measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    /// `None` for no figures. An even number of them has two in the middle: their mean.
    pub(super) fn of(figures: &[f64]) -> Option<Self> {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        let median = if sorted.len() % 2 == 1 { upper } else { f64::midpoint(sorted[middle - 1], upper) };
        Some(Self { median, min: *sorted.first()?, max: *sorted.last()? })
    }

    /// The ratios inside each repetition. A figure of 0 in `floor` gives no ratio.
    pub(super) fn of_ratios(own: &[f64], floor: &[f64]) -> Option<Self> {
        let ratios: Vec<f64> = own
            .iter()
            .zip(floor)
            .filter(|(_, floor)| **floor > 0.0)
            .map(|(own, floor)| own / floor)
            .collect();
        Self::of(&ratios)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_figure_or_the_mean_of_two() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn ratios_are_taken_inside_a_repetition() {
        // The machine was twice as slow in the second repetition: the ratios do not show it.
        let spread = Spread::of_ratios(&[1.1, 2.2, 0.5], &[1.0, 2.0, 0.5]).unwrap();
        assert!((spread.median - 1.1).abs() < 1e-9 && (spread.min - 1.0).abs() < 1e-9, "{spread:?}");
        assert_eq!(Spread::of_ratios(&[1.0], &[0.0]), None);
    }
}
