//! One loop, compiled for several instruction sets; the widest that the machine has is run.
//!
//! Flows in: a [`Work`]. Flows out: its result, the same bits whatever is chosen: a work is plain Rust without
//! intrinsics, the compiler only widens its loops, and it may neither fuse nor reorder floating-point
//! operations. Its `unsafe` code is sound because a function compiled for an instruction set is called only
//! where the machine has just said that it has that set.
#![allow(unsafe_code, reason = "a function may be called once its instruction set has been detected")]
#![allow(
    clippy::inline_always,
    reason = "a loop takes the instructions of the function that it is inlined into"
)]

use std::sync::atomic::{AtomicU8, Ordering};

/// Instruction sets, narrow to wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Instructions {
    /// What every machine of this architecture has: SSE2 on x86-64.
    Baseline,
    /// AVX2, with the bit instructions that come with it.
    Avx2,
    /// AVX-512 with byte, word and shorter vectors.
    Avx512,
}

/// The widest set that may be used; a ceiling, so that any value is sound.
static CEILING: AtomicU8 = AtomicU8::new(Instructions::Avx512 as u8);

/// Allows no wider instructions than these from now on, in the whole process: results stay the same to the
/// bit, so this serves to show that, or to compare speeds.
pub fn limit(ceiling: Instructions) {
    CEILING.store(ceiling as u8, Ordering::Relaxed);
}

/// The widest instructions that the machine has and [`limit`] allows.
pub fn widest() -> Instructions {
    let ceiling = CEILING.load(Ordering::Relaxed);
    [Instructions::Avx512, Instructions::Avx2]
        .into_iter()
        .find(|&set| set as u8 <= ceiling && has(set))
        .unwrap_or(Instructions::Baseline)
}

/// A loop worth widening; the implementation of [`Work::run`] must be `#[inline(always)]`, as must be what it
/// calls, or it is compiled for the baseline.
pub(crate) trait Work {
    /// What the loop gives.
    type Output;

    /// Runs the loop.
    fn run(self) -> Self::Output;
}

/// Runs `work` with the widest instructions.
pub(crate) fn run<W: Work>(work: W) -> W::Output {
    run_with(widest(), work)
}

/// Runs `work` with the given instructions, or those of the baseline where the machine lacks them.
#[cfg(target_arch = "x86_64")]
fn run_with<W: Work>(instructions: Instructions, work: W) -> W::Output {
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn avx2<W: Work>(work: W) -> W::Output {
        work.run()
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn avx512<W: Work>(work: W) -> W::Output {
        work.run()
    }

    match instructions {
        // SAFETY: the machine has just been asked for every feature of the function.
        Instructions::Avx512 if has(Instructions::Avx512) => unsafe { avx512(work) },
        // SAFETY: as above.
        Instructions::Avx2 if has(Instructions::Avx2) => unsafe { avx2(work) },
        _ => work.run(),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn run_with<W: Work>(_: Instructions, work: W) -> W::Output {
    work.run()
}

#[cfg(target_arch = "x86_64")]
fn has(instructions: Instructions) -> bool {
    let avx2 = || {
        is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt")
    };
    let avx512 = || {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
    };
    match instructions {
        Instructions::Baseline => true,
        Instructions::Avx2 => avx2(),
        Instructions::Avx512 => avx2() && avx512(),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn has(instructions: Instructions) -> bool {
    instructions == Instructions::Baseline
}

/// Runs `work` with each set of instructions: what a test compares.
#[cfg(test)]
pub(crate) fn run_with_each<W: Work>(work: impl Fn() -> W) -> [W::Output; 3] {
    [Instructions::Baseline, Instructions::Avx2, Instructions::Avx512]
        .map(|instructions| run_with(instructions, work()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math;

    struct Sigmoids<'a>(&'a [f64]);

    impl Work for Sigmoids<'_> {
        type Output = Vec<u64>;

        #[inline(always)]
        fn run(self) -> Vec<u64> {
            let mut bits = vec![0; self.0.len()];
            for (bits, &score) in bits.iter_mut().zip(self.0) {
                *bits = math::sigmoid(score).to_bits();
            }
            bits
        }
    }

    #[test]
    fn the_widest_is_one_the_machine_has() {
        assert!(has(widest()) && has(Instructions::Baseline));
    }

    #[test]
    fn every_set_gives_the_same_bits() {
        let scores: Vec<f64> = (-4_000..4_000).map(|step| f64::from(step) * 0.19).collect();
        let [baseline, avx2, avx512] = run_with_each(|| Sigmoids(&scores));
        assert_eq!(baseline, avx2);
        assert_eq!(baseline, avx512);
    }
}
