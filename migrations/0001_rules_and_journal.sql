-- SPDX-License-Identifier: MIT OR Apache-2.0
-- Never edit a migration that was released: add the next one.

-- Marks the file as snetd's own ("snet" in ASCII), so that no other database is taken for it.
PRAGMA application_id = 1936614772;

-- What people decided. Words are those of rules on the command line, so that a person with
-- the sqlite3 shell can read and mend them; snetd checks every row before it believes it.
CREATE TABLE rules (
    -- Never used again for another rule: the journal and tickets name rules by it.
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    action       TEXT    NOT NULL,                -- allow, deny
    program      TEXT    NOT NULL,                -- any, a name, an absolute path
    uid          INTEGER,                         -- NULL: every user
    protocols    TEXT    NOT NULL,                -- any, or for example tcp,udp
    operations   TEXT    NOT NULL,                -- any, or for example connect,bind
    number       INTEGER,                         -- protocol number; NULL: any
    remote       TEXT,                            -- prefix; NULL: anywhere, or no peer
    remote_ports TEXT    NOT NULL DEFAULT 'any',  -- any, 443, 8000-8999
    local_ports  TEXT    NOT NULL DEFAULT 'any',
    priority     INTEGER NOT NULL DEFAULT 0,      -- higher goes first
    enabled      INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    note         TEXT    NOT NULL DEFAULT '',
    created_by   INTEGER NOT NULL,                -- user id
    created_at   INTEGER NOT NULL,                -- milliseconds since 1970 (UTC)
    hits         INTEGER NOT NULL DEFAULT 0,      -- decisions, without ticket hits
    last_hit     INTEGER                          -- milliseconds since 1970 (UTC)
) STRICT;

-- What was decided. `rule` may name a rule that is gone.
CREATE TABLE journal (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    time      INTEGER NOT NULL,  -- milliseconds since 1970 (UTC)
    verdict   TEXT    NOT NULL,  -- allow, deny
    source    TEXT    NOT NULL,  -- rule, no-rule
    rule      INTEGER,
    tgid      INTEGER NOT NULL,
    uid       INTEGER NOT NULL,
    comm      TEXT    NOT NULL,
    exe       TEXT,
    operation TEXT    NOT NULL,
    protocol  TEXT    NOT NULL,
    remote    TEXT,              -- address:port
    local     TEXT
) STRICT;
