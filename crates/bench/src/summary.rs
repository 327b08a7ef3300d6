//! Sums and percentiles of latencies, in microseconds.

/// The `percent`-th percentile of unsorted samples; 0 without any.
pub(crate) fn percentile(samples: &mut [u32], percent: f64) -> u32 {
    if samples.is_empty() {
        return 0;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into the samples"
    )]
    let index = ((samples.len() - 1) as f64 * percent / 100.0).round() as usize;
    *samples.select_nth_unstable(index).1
}

/// The middle of an odd number of figures.
pub(crate) fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(0.0)
}
