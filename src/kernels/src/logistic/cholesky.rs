//! Solution of symmetric positive definite systems, in a fixed order of operations.

/// Pivots of less than this share of their diagonal are rounding, not curvature.
const SMALLEST_PIVOT: f64 = 1e-14;

/// Shares of the diagonal that are tried, in turn, to make a matrix positive definite.
const DAMPING: [f64; 8] = [0.0, 1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 1.0];

/// Solves `matrix * x = right` by Cholesky's factorisation.
///
/// `matrix` is a lower triangle, row after row. Where it is singular to rounding, as with columns that copy
/// each other, its diagonal is raised by the least of a few shares that helps (Levenberg and Marquardt). `None`
/// where none does.
pub(super) fn solve(matrix: &[f64], right: &[f64]) -> Option<Vec<f64>> {
    let factor = DAMPING.iter().find_map(|damping| factorise(matrix, right.len(), *damping))?;
    Some(substitute(&factor, right))
}

/// Where row `i` of a lower triangle begins.
const fn row(i: usize) -> usize {
    i * (i + 1) / 2
}

/// The lower factor of the matrix with its diagonal raised by the share `damping`.
fn factorise(matrix: &[f64], dimensions: usize, damping: f64) -> Option<Vec<f64>> {
    let mut factor = matrix.to_vec();
    for i in 0..dimensions {
        for j in 0..=i {
            let mut sum = matrix[row(i) + j];
            if i == j {
                sum += damping * sum;
            }
            for k in 0..j {
                sum -= factor[row(i) + k] * factor[row(j) + k];
            }
            factor[row(i) + j] = if i != j {
                sum / factor[row(j) + j]
            } else if sum > SMALLEST_PIVOT * matrix[row(i) + i] {
                sum.sqrt()
            } else {
                return None;
            };
        }
    }
    Some(factor)
}

/// Solves by the factor and then by its transpose.
fn substitute(factor: &[f64], right: &[f64]) -> Vec<f64> {
    let mut x = right.to_vec();
    for i in 0..x.len() {
        for k in 0..i {
            x[i] -= factor[row(i) + k] * x[k];
        }
        x[i] /= factor[row(i) + i];
    }
    for i in (0..x.len()).rev() {
        for k in i + 1..x.len() {
            x[i] -= factor[row(k) + i] * x[k];
        }
        x[i] /= factor[row(i) + i];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_a_system_by_hand() {
        // [[4, 2], [2, 5]] * [1, 2] = [8, 12]
        assert_eq!(solve(&[4.0, 2.0, 5.0], &[8.0, 12.0]), Some(vec![1.0, 2.0]));
    }

    #[test]
    fn damps_a_singular_matrix_and_gives_up_on_none() {
        let x = solve(&[1.0, 1.0, 1.0], &[1.0, 1.0]);
        assert!(x.is_some_and(|x| (x[0] + x[1] - 1.0).abs() < 1e-6));
        assert_eq!(solve(&[0.0], &[1.0]), None);
        assert_eq!(solve(&[f64::NAN], &[1.0]), None);
    }
}
