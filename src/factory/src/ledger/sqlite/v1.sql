-- Times are nanoseconds since 1970 in UTC, digests and codes are their text, a digest covers its whole row.
CREATE TABLE runs (
    run_id TEXT NOT NULL PRIMARY KEY,
    run_key TEXT NOT NULL,
    request TEXT NOT NULL,
    state TEXT NOT NULL,
    mode TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    publish_allowed INTEGER NOT NULL,
    full_attempts INTEGER NOT NULL,
    publish_attempts INTEGER NOT NULL,
    worker TEXT,
    lease_expires INTEGER,
    reason TEXT,
    submitted_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    events INTEGER NOT NULL,
    head TEXT NOT NULL,
    digest TEXT NOT NULL
) STRICT;

CREATE INDEX runs_by_state ON runs (state, updated_at);

CREATE TABLE events (
    run_id TEXT NOT NULL REFERENCES runs (run_id),
    sequence INTEGER NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    mode TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    publish_allowed INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    reason TEXT,
    detail TEXT NOT NULL,
    previous TEXT,
    hash TEXT NOT NULL,
    PRIMARY KEY (run_id, sequence)
) STRICT;

CREATE TABLE requests (
    request_id TEXT NOT NULL PRIMARY KEY,
    payload_hash TEXT NOT NULL,
    run_id TEXT NOT NULL REFERENCES runs (run_id),
    requester TEXT NOT NULL,
    publish_allowed INTEGER NOT NULL,
    submitted_at INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    digest TEXT NOT NULL
) STRICT;

CREATE INDEX requests_by_run ON requests (run_id, sequence);
