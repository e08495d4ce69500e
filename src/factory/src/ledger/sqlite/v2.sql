-- The last event of each scope's history in the registry, so that a history cannot be cut short in the store alone.
CREATE TABLE anchors (
    scope TEXT NOT NULL PRIMARY KEY,
    sequence INTEGER NOT NULL,
    event TEXT NOT NULL,
    digest TEXT NOT NULL
) STRICT;
