-- The journal, version 1. Times are microseconds since 1970 (UTC), digests are SHA-256 in hexadecimal.

CREATE TABLE run (
    id         TEXT PRIMARY KEY,
    plan       TEXT NOT NULL,
    scenario   TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    head       BIGINT NOT NULL,          -- number of the last event, and the count of all
    digest     TEXT NOT NULL,            -- digest of the last event
    fence      BIGINT NOT NULL,          -- grows with every driver
    holder     TEXT,                     -- who drives; NULL if nobody does
    boot       TEXT,                     -- the boot of the holder's machine
    beat_ms    BIGINT,                   -- its last sign of life, milliseconds of CLOCK_BOOTTIME
    finished   TEXT                      -- how it ended; NULL while unfinished
);

CREATE TABLE event (
    run    TEXT NOT NULL REFERENCES run (id),
    seq    BIGINT NOT NULL,              -- from 1, without gaps
    at     BIGINT NOT NULL,
    body   TEXT NOT NULL,                -- JSON
    digest TEXT NOT NULL,                -- over the digest before, run, seq, at and body
    PRIMARY KEY (run, seq)
);

CREATE TABLE held (
    target TEXT PRIMARY KEY,             -- what a run changes, resolved: host, zone, path
    run    TEXT NOT NULL REFERENCES run (id)
);
