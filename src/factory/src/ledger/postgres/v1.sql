-- Times are nanoseconds since 1970 in UTC, digests and codes are their text, a digest covers its whole row.
-- Text is ordered byte for byte, so that no index depends on the collations of the machine.
CREATE TABLE runs (
    run_id text COLLATE "C" NOT NULL PRIMARY KEY,
    run_key text COLLATE "C" NOT NULL,
    request text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    mode text COLLATE "C" NOT NULL,
    epoch bigint NOT NULL,
    publish_allowed bigint NOT NULL,
    full_attempts bigint NOT NULL,
    publish_attempts bigint NOT NULL,
    worker text COLLATE "C",
    lease_expires bigint,
    reason text COLLATE "C",
    submitted_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    events bigint NOT NULL,
    head text COLLATE "C" NOT NULL,
    digest text COLLATE "C" NOT NULL
);

-- What waits for a worker, in the order in which it is taken up: runs that are done are not in it.
CREATE INDEX runs_waiting ON runs (updated_at, run_id)
    WHERE state NOT IN ('FAIL', 'PUBLISHED')
      AND (state <> 'PASS' OR publish_allowed = 1)
      AND (state <> 'PUBLISH_PENDING' OR publish_attempts <= 3);
-- A worker looks for the receipts that others left undone among the runs that came to rest lately.
CREATE INDEX runs_at_rest ON runs (updated_at)
    WHERE state NOT IN ('QUEUED', 'RUNNING', 'EVAL_READY', 'PUBLISH_PENDING');
-- Listings ask for the latest of all runs or of one state: the order of the index is the order of the answer.
CREATE INDEX runs_by_admission ON runs (submitted_at DESC, run_id);
CREATE INDEX runs_by_state_and_admission ON runs (state, submitted_at DESC, run_id);

CREATE TABLE events (
    run_id text COLLATE "C" NOT NULL REFERENCES runs (run_id),
    sequence bigint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    mode text COLLATE "C" NOT NULL,
    epoch bigint NOT NULL,
    publish_allowed bigint NOT NULL,
    recorded_at bigint NOT NULL,
    reason text COLLATE "C",
    detail text COLLATE "C" NOT NULL,
    previous text COLLATE "C",
    hash text COLLATE "C" NOT NULL,
    PRIMARY KEY (run_id, sequence)
);

CREATE TABLE requests (
    request_id text COLLATE "C" NOT NULL PRIMARY KEY,
    payload_hash text COLLATE "C" NOT NULL,
    run_id text COLLATE "C" NOT NULL REFERENCES runs (run_id),
    requester text COLLATE "C" NOT NULL,
    publish_allowed bigint NOT NULL,
    submitted_at bigint NOT NULL,
    sequence bigint NOT NULL,
    digest text COLLATE "C" NOT NULL
);

CREATE INDEX requests_by_run ON requests (run_id, sequence);

-- The last event of each scope's history in the registry, so that a history cannot be cut short in the store alone.
CREATE TABLE anchors (
    scope text COLLATE "C" NOT NULL PRIMARY KEY,
    sequence bigint NOT NULL,
    event text COLLATE "C" NOT NULL,
    digest text COLLATE "C" NOT NULL
);
