-- SPDX-License-Identifier: MIT OR Apache-2.0
-- What the rules were before each change of all of them at once, so that it can be undone.
CREATE TABLE history (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    time       INTEGER NOT NULL,  -- milliseconds since 1970 (UTC)
    made_by    INTEGER NOT NULL,  -- user id
    what       TEXT    NOT NULL,  -- apply, import, rollback
    count      INTEGER NOT NULL,  -- rules before
    rules      TEXT    NOT NULL,  -- those, as JSON
    confirm_by INTEGER            -- milliseconds since 1970 (UTC); NULL: it stands
) STRICT;
