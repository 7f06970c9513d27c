// SPDX-License-Identifier: GPL-2.0-only
#include <linux/cpumask.h>

#include "stats.h"
#include "uapi/snet.h"

DEFINE_PER_CPU(struct snet_counters, snet_counters);

static_assert(SNET_A_STATS_CALLS + SNET_COUNT_AUDIT_DROPPED == SNET_A_STATS_AUDIT_DROPPED);

/* The sum over all CPUs; counters go on while it is made. */
u64 snet_counter_sum(enum snet_counter counter)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu(snet_counters, cpu).of[counter]);
	return sum;
}
