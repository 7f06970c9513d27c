-- SPDX-License-Identifier: MIT OR Apache-2.0
-- A rule's action may be 'ask', and a rule may end.

-- Milliseconds since 1970 (UTC). NULL: never.
ALTER TABLE rules ADD COLUMN expires_at INTEGER;

-- It ends with the daemon that it was given to.
ALTER TABLE rules ADD COLUMN until_restart INTEGER NOT NULL DEFAULT 0 CHECK (until_restart IN (0, 1));
