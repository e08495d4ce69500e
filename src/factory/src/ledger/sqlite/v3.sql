-- Listings ask for the latest of all runs or of one state: the order of the index is the order of the answer.
CREATE INDEX runs_by_admission ON runs (submitted_at DESC, run_id);
CREATE INDEX runs_by_state_and_admission ON runs (state, submitted_at DESC, run_id);
