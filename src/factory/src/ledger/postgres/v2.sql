-- Who signs for the factory, so that a key folder that was mistyped signs nothing.
CREATE TABLE signers (
    sequence bigint NOT NULL PRIMARY KEY,
    key text COLLATE "C" NOT NULL UNIQUE,
    admitted_at bigint NOT NULL,
    digest text COLLATE "C" NOT NULL
);
