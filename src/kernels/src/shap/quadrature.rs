//! Gauss-Legendre quadrature on 0 to 1: n points integrate polynomials of degree 2n - 1 exactly.

/// Newton steps; from a start that errs by less than a hundredth of the distance between two roots, four do.
const STEPS: usize = 8;

/// So many points in (0, 1), each with its weight; the weights sum to one.
pub(super) fn gauss_legendre(points: usize) -> Vec<(f64, f64)> {
    let mut found = vec![(0.5, 1.0); points];
    for position in 0..points.div_ceil(2) {
        // Tricomi's approximation of the roots on -1 to 1, from the largest on.
        let angle = std::f64::consts::PI * (position as f64 + 0.75) / (points as f64 + 0.5);
        let mut root = cosine(angle);
        for _ in 0..STEPS {
            let (value, slope) = legendre(points, root);
            root -= value / slope;
        }
        let (_, slope) = legendre(points, root);
        // Half of the weight on -1 to 1, whose length is two.
        let weight = 1.0 / ((1.0 - root * root) * slope * slope);
        found[position] = (0.5 - 0.5 * root, weight);
        found[points - 1 - position] = (0.5 + 0.5 * root, weight);
    }
    found
}

/// The Legendre polynomial of this degree, one or more, and its slope at `x` inside -1 to 1.
fn legendre(degree: usize, x: f64) -> (f64, f64) {
    let (mut before, mut value) = (1.0, x);
    for order in 2..=degree {
        let order = order as f64;
        (before, value) = (value, ((2.0 * order - 1.0) * x * value - (order - 1.0) * before) / order);
    }
    (value, degree as f64 * (x * value - before) / (x * x - 1.0))
}

/// The cosine of an angle of 0 to half a circle, good enough to start from, by its series.
fn cosine(angle: f64) -> f64 {
    let square = angle * angle;
    (1..=14).rev().fold(1.0, |sum, k| 1.0 - sum * square / f64::from(2 * k * (2 * k - 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_integrated_exactly() {
        for points in 1..=40 {
            let rule = gauss_legendre(points);
            assert!(rule.iter().all(|&(t, weight)| 0.0 < t && t < 1.0 && weight > 0.0));
            for power in 0..2 * points {
                let term = |&(t, weight): &(f64, f64)| weight * (0..power).fold(1.0, |value, _| value * t);
                let sum: f64 = rule.iter().map(term).sum();
                let expected = 1.0 / (power + 1) as f64;
                assert!((sum - expected).abs() < 1e-14, "{points} points, power {power}: {sum}");
            }
        }
    }

    #[test]
    fn many_points_are_distinct_and_weigh_one() {
        let rule = gauss_legendre(500);
        let mut roots: Vec<f64> = rule.iter().map(|&(t, _)| t).collect();
        roots.sort_unstable_by(f64::total_cmp);
        assert!(roots.windows(2).all(|pair| pair[1] - pair[0] > 1e-7));
        assert!((rule.iter().map(|&(_, weight)| weight).sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
