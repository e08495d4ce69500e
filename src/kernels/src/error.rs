//! The error of the linfa-facing traits.
//!
//! linfa's `Fit` wants an error that a `linfa::Error` converts into; everything else in this crate
//! returns [`Failure`] itself.

use contracts::{Code, Failure};

/// What `linfa::traits::Fit` returns for our learners.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A refusal of ours, with its code.
    #[error(transparent)]
    Refused(#[from] Failure),
    /// An error from linfa's own validation.
    #[error(transparent)]
    Linfa(#[from] linfa::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(failure) => failure,
            Error::Linfa(error) => Self::new(Code::ParameterInvalid, error.to_string()),
        }
    }
}
