// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sets of calls, and which of two is narrower. Pure.
 */
#include <linux/bitops.h>
#include <linux/string.h>

#include "scope.h"

/* Completes a scope whose attributes are read, so that covering is quick to tell. */
void snet_scope_seal(struct snet_scope *scope)
{
	u8 *mask = (u8 *)scope->remote_mask;

	memset(mask, 0, sizeof(scope->remote_mask));
	memset(mask, 0xff, scope->remote_prefix / 8);
	if (scope->remote_prefix % 8)
		mask[scope->remote_prefix / 8] = 0xff << (8 - scope->remote_prefix % 8);
	if (scope->remote.len)
		scope->conditions |= SNET_SCOPE_REMOTE;
	if (scope->remote_port_min || scope->remote_port_max != U16_MAX)
		scope->conditions |= SNET_SCOPE_REMOTE_PORT;
	if (scope->local_port_min || scope->local_port_max != U16_MAX)
		scope->conditions |= SNET_SCOPE_LOCAL_PORT;
}

static u16 narrowness(u16 min, u16 max)
{
	return U16_MAX - (max - min);
}

/* The lowest 10 bits are for the socket and the verdict. */
static u64 rank_of_addresses(const struct snet_scope *scope, u16 remote_ports, u16 local_ports)
{
	u64 rank = scope->remote.len ? 1 + scope->remote_prefix +
		   (scope->remote.len == sizeof(scope->remote.v4) ? 96 : 0) : 0;

	return ((rank << 16 | remote_ports) << 16 | local_ports) << 10;
}

/*
 * Of two scopes that cover a call the one with the higher rank is narrower: their conditions
 * are compared one after the other, the remote address first. Deny wins a tie.
 */
u64 snet_scope_rank(const struct snet_scope *scope, enum snet_verdict verdict)
{
	u64 rank = rank_of_addresses(scope,
				     narrowness(scope->remote_port_min, scope->remote_port_max),
				     narrowness(scope->local_port_min, scope->local_port_max));

	rank |= (scope->conditions & SNET_SCOPE_NUMBER ? 1 : 0) << 9;
	rank |= (15 - hweight16(scope->protocols)) << 5;
	rank |= (15 - hweight16(scope->operations)) << 1;
	return rank | (verdict == SNET_VERDICT_DENY);
}

static u16 narrowness_bound(u16 min, u16 max)
{
	return min == max ? U16_MAX : U16_MAX - 1;
}

/* The highest rank of any scope with this prefix, and single ports where this has such. */
u64 snet_scope_rank_bound(const struct snet_scope *scope)
{
	return rank_of_addresses(scope,
				 narrowness_bound(scope->remote_port_min, scope->remote_port_max),
				 narrowness_bound(scope->local_port_min, scope->local_port_max)) |
	       GENMASK_ULL(9, 0);
}
