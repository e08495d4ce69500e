-- A claim looks for the run that has waited longest: the index holds those that wait, in that order, and no others.
CREATE INDEX runs_waiting ON runs (updated_at, run_id)
    WHERE state IN ('QUEUED', 'RUNNING', 'EVAL_READY', 'PASS', 'PUBLISH_PENDING')
      AND (state <> 'PASS' OR publish_allowed = 1)
      AND (state <> 'PUBLISH_PENDING' OR publish_attempts <= 3);
-- Only for claims, which no longer ask by state.
DROP INDEX runs_by_state;
-- A worker looks for the receipts that others left undone among the runs that came to rest lately.
CREATE INDEX runs_at_rest ON runs (updated_at) WHERE state IN ('PASS', 'FAIL', 'PUBLISHED');
