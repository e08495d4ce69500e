-- What waits for a worker, in the order in which it is taken up: runs that are done are not in it.
CREATE INDEX runs_waiting ON runs (updated_at, run_id)
    WHERE state NOT IN ('FAIL', 'PUBLISHED')
      AND (state <> 'PASS' OR publish_allowed = 1)
      AND (state <> 'PUBLISH_PENDING' OR publish_attempts <= 3);
DROP INDEX runs_by_state;
