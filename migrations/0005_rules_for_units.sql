-- SPDX-License-Identifier: MIT OR Apache-2.0
-- A rule may be about the processes of a unit: nginx.service, or the path of a cgroup. NULL: any.
ALTER TABLE rules ADD COLUMN unit TEXT;
