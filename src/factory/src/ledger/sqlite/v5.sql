-- Who signs for the factory, so that a key folder that was mistyped signs nothing.
CREATE TABLE signers (
    sequence INTEGER NOT NULL PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    admitted_at INTEGER NOT NULL,
    digest TEXT NOT NULL
) STRICT;
