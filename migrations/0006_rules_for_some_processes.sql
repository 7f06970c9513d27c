-- SPDX-License-Identifier: MIT OR Apache-2.0
-- A rule may be about the processes in a container (its name or id), with a command line (a
-- pattern), or of a parent (a program). NULL: any.
ALTER TABLE rules ADD COLUMN container TEXT;
ALTER TABLE rules ADD COLUMN command TEXT;
ALTER TABLE rules ADD COLUMN parent TEXT;
-- Or about calls to a host: a name, or every name below one (*.example.org). NULL: any.
ALTER TABLE rules ADD COLUMN host TEXT;
