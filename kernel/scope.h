/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sets of calls: what a ticket covers.
 */
#ifndef SNET_SCOPE_H
#define SNET_SCOPE_H

#include <linux/bits.h>
#include <linux/types.h>

#include "object.h"

/* Which parts of a scope are narrower than any. */
#define SNET_SCOPE_NUMBER	BIT(0)
#define SNET_SCOPE_REMOTE	BIT(1)
#define SNET_SCOPE_REMOTE_PORT	BIT(2)
#define SNET_SCOPE_LOCAL_PORT	BIT(3)

/* The product of its conditions; the same as libsnet's Scope. */
struct snet_scope {
	u16 operations;
	u16 protocols;
	u8 conditions;			/* SNET_SCOPE_*; set by snet_scope_seal() but for NUMBER */
	u8 remote_prefix;
	u16 number;
	u16 remote_port_min, remote_port_max;
	u16 local_port_min, local_port_max;
	struct snet_addr remote;	/* len 0 means any, also none; zero behind the prefix */
	u64 remote_mask[2];		/* the bits of the prefix; set by snet_scope_seal() */
};

static inline bool snet_port_in(u16 port, u16 min, u16 max)
{
	return (u16)(port - min) <= (u16)(max - min);
}

static inline bool snet_scope_meets_remote(const struct snet_scope *scope,
					   const struct snet_addr *remote)
{
	if (!remote->len)
		return false;
	if (scope->conditions & SNET_SCOPE_REMOTE_PORT &&
	    !snet_port_in(remote->port, scope->remote_port_min, scope->remote_port_max))
		return false;
	return !(scope->conditions & SNET_SCOPE_REMOTE) ||
	       (remote->len == scope->remote.len &&
		(remote->words[0] & scope->remote_mask[0]) == scope->remote.words[0] &&
		(remote->words[1] & scope->remote_mask[1]) == scope->remote.words[1]);
}

static inline bool snet_scope_meets(const struct snet_scope *scope,
				    const struct snet_object *object)
{
	if (scope->conditions & SNET_SCOPE_NUMBER && scope->number != object->number)
		return false;
	if (scope->conditions & SNET_SCOPE_LOCAL_PORT &&
	    !snet_port_in(object->local.port, scope->local_port_min, scope->local_port_max))
		return false;
	return !(scope->conditions & (SNET_SCOPE_REMOTE | SNET_SCOPE_REMOTE_PORT)) ||
	       snet_scope_meets_remote(scope, &object->remote);
}

/* Is this call in the scope? libsnet's Scope::covers() answers the same. */
static inline bool snet_scope_covers(const struct snet_scope *scope,
				     const struct snet_object *object)
{
	return scope->operations & BIT(object->operation) &&
	       scope->protocols & BIT(object->protocol) &&
	       (!scope->conditions || snet_scope_meets(scope, object));
}

void snet_scope_seal(struct snet_scope *scope);
u64 snet_scope_rank(const struct snet_scope *scope, enum snet_verdict verdict);
u64 snet_scope_rank_bound(const struct snet_scope *scope);

#endif /* SNET_SCOPE_H */
