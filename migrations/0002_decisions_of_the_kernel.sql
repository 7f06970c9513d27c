-- SPDX-License-Identifier: MIT OR Apache-2.0
-- What the kernel decides without asking is in the journal too: its `source` is 'kernel'.

-- Why: ticket, deadline, no-decider, decider-gone, stalled, bounds, lost, source-route.
-- NULL: it was asked.
ALTER TABLE journal ADD COLUMN cause TEXT;

-- Decisions of the kernel that aren't known, just before this one.
ALTER TABLE journal ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0;
