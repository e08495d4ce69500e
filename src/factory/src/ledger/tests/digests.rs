//! Digests that are written in order are those of the recipe.

use contracts::identity::recipe;
use proptest::prelude::*;
use serde::Serialize;

use super::super::run::Holder;
use super::*;

/// The recipe as it is defined: the row as documents show it, sorted by the canonical form itself.
fn by_the_recipe(run: &Run) -> Digest<Run> {
    #[derive(Serialize)]
    struct Payload<'a> {
        #[serde(flatten)]
        run: &'a Run,
        request: Digest<Run>,
    }
    recipe::derive("ledger_run.v1", &Payload { run, request: Digest::of(&run.request) }).unwrap()
}

proptest! {
    #[test]
    fn the_digest_of_a_row_is_that_of_its_recipe(
        number in 0_u64..1 << 53,
        state in prop::sample::select(State::ALL),
        reason in prop::option::of(prop::sample::select(Code::ALL)),
        held in prop::option::of(any::<i64>()),
        flag in any::<bool>(),
        moment in any::<i64>(),
    ) {
        let submitted = submission(number, "request-1", flag);
        let (admitted, _) = Run::admit(&submitted, Timestamp::from_nanoseconds(moment)).unwrap();
        let holder = held.map(|at| Holder {
            worker: worker("worker-1"),
            expires_at: Timestamp::from_nanoseconds(at),
        });
        let progress = Progress { state, epoch: number, publish_attempts: number / 3, ..admitted.progress };
        let run = Run { progress, holder, reason, events: number / 2, ..admitted };
        prop_assert_eq!(run.row_digest().unwrap(), by_the_recipe(&run));
    }
}
