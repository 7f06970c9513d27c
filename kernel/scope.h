/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sets of calls: what a ticket covers.
 */
#ifndef SNET_SCOPE_H
#define SNET_SCOPE_H

#include <linux/types.h>

#include "object.h"

/* The product of its conditions; the same as libsnet's Scope. */
struct snet_scope {
	u32 operations;
	u32 protocols;
	bool has_number;
	u16 number;
	struct snet_addr remote;	/* len 0 means any, also none */
	u8 remote_prefix;
	u16 remote_port_min, remote_port_max;
	u16 local_port_min, local_port_max;
};

bool snet_scope_covers(const struct snet_scope *scope, const struct snet_object *object);
u64 snet_scope_rank(const struct snet_scope *scope, enum snet_verdict verdict);

#endif /* SNET_SCOPE_H */
