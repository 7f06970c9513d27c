// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the units under test need of the rest of the module, as it is. Owns nothing.
 */
#include "../policy.c"
#include "../stats.c"
