-- What waits for a worker, in the order in which it is taken up: runs that are done are not in it.
CREATE INDEX runs_waiting ON runs (updated_at, run_id)
    WHERE state NOT IN ('FAIL', 'PUBLISHED')
      AND (state <> 'PASS' OR publish_allowed = 1)
      AND (state <> 'PUBLISH_PENDING' OR publish_attempts <= 3);
-- A worker looks for the receipts that others left undone among the runs that came to rest lately.
CREATE INDEX runs_at_rest ON runs (updated_at)
    WHERE state NOT IN ('QUEUED', 'RUNNING', 'EVAL_READY', 'PUBLISH_PENDING');
DROP INDEX runs_by_state;
