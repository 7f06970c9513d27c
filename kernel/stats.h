/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counters since load, per CPU so that counting takes no shared cache line.
 */
#ifndef SNET_STATS_H
#define SNET_STATS_H

#include <linux/percpu.h>

/* In the order of the attribute set `stats`: counter N is attribute SNET_A_STATS_CALLS + N. */
enum snet_counter {
	SNET_COUNT_CALLS,
	SNET_COUNT_TICKET_ALLOWED,
	SNET_COUNT_TICKET_DENIED,
	SNET_COUNT_EVENTS,
	SNET_COUNT_VERDICT_ALLOWED,
	SNET_COUNT_VERDICT_DENIED,
	SNET_COUNT_FALLBACK_DEADLINE,
	SNET_COUNT_FALLBACK_NO_DECIDER,
	SNET_COUNT_FALLBACK_DECIDER_GONE,
	SNET_COUNT_FALLBACK_STALLED,
	SNET_COUNT_FALLBACK_BOUNDS,
	SNET_COUNT_FALLBACK_LOST,
	SNET_COUNT_KILLED,
	SNET_COUNT_REFUSED,
	SNET_COUNT_AUDIT_DROPPED,
	SNET_COUNTERS,
};

struct snet_counters {
	u64 of[SNET_COUNTERS];
};

DECLARE_PER_CPU(struct snet_counters, snet_counters);

static inline void snet_count(enum snet_counter counter)
{
	this_cpu_inc(snet_counters.of[counter]);
}

u64 snet_counter_sum(enum snet_counter counter);

#endif /* SNET_STATS_H */
