// SPDX-License-Identifier: GPL-2.0-only
#include <linux/bits.h>
#include <linux/cache.h>

#include "policy.h"

/* Nothing is watched and everything allowed until a decider says otherwise. */
u32 snet_watch[SNET_OPS] __read_mostly;

struct snet_policy snet_policy __read_mostly = {
	.deadline_ms = 2000,
	.nonblock_deadline_ms = 2000,
	.fallback = { [0 ... SNET_OP_MAX] = SNET_VERDICT_ALLOW },
	.max_requests = 4096,
	.max_requests_per_process = 64,
	.max_tickets = 65536,
	.max_tickets_per_process = 256,
};
