/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the decider sets: watch set, deadlines, fallbacks, bounds. Kept when it is gone.
 */
#ifndef SNET_POLICY_H
#define SNET_POLICY_H

#include <linux/compiler.h>
#include <linux/types.h>

#include "uapi/snet.h"

#define SNET_OPS (SNET_OP_MAX + 1)

/* Single fields are read without a lock; each change is of one field at a time. */
struct snet_policy {
	u32 deadline_ms;
	u32 nonblock_deadline_ms;
	u32 fallback[SNET_OPS];		/* enum snet_verdict */
	u32 max_requests;
	u32 max_requests_per_process;
	u32 max_tickets;
	u32 max_tickets_per_process;
};

extern struct snet_policy snet_policy;
extern u32 snet_watch[SNET_OPS];	/* masks of enum snet_protocol */

static inline bool snet_watched(enum snet_operation operation, enum snet_protocol protocol)
{
	return READ_ONCE(snet_watch[operation]) & BIT(protocol);
}

static inline enum snet_verdict snet_fallback(enum snet_operation operation)
{
	return READ_ONCE(snet_policy.fallback[operation]);
}

static inline u32 snet_policy_max_tickets(void)
{
	return READ_ONCE(snet_policy.max_tickets);
}

static inline u32 snet_policy_max_tickets_per_process(void)
{
	return READ_ONCE(snet_policy.max_tickets_per_process);
}

#endif /* SNET_POLICY_H */
