// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sets of calls, and which of two is narrower. Pure.
 */
#include <linux/bitops.h>
#include <linux/string.h>

#include "scope.h"

static bool prefix_matches(const struct snet_addr *net, u8 prefix, const struct snet_addr *addr)
{
	u8 bytes = prefix / 8, bits = prefix % 8;

	if (net->len != addr->len || memcmp(net->bytes, addr->bytes, bytes))
		return false;
	return !bits || !((net->bytes[bytes] ^ addr->bytes[bytes]) >> (8 - bits));
}

static bool covers_remote(const struct snet_scope *scope, const struct snet_addr *remote)
{
	if (!remote->len)
		return !scope->remote.len && !scope->remote_port_min &&
		       scope->remote_port_max == U16_MAX;
	if (remote->port < scope->remote_port_min || remote->port > scope->remote_port_max)
		return false;
	return !scope->remote.len || prefix_matches(&scope->remote, scope->remote_prefix, remote);
}

/* Is this call in the scope? libsnet's Scope::covers() answers the same. */
bool snet_scope_covers(const struct snet_scope *scope, const struct snet_object *object)
{
	return scope->operations & BIT(object->operation) &&
	       scope->protocols & BIT(object->protocol) &&
	       (!scope->has_number || scope->number == object->number) &&
	       object->local.port >= scope->local_port_min &&
	       object->local.port <= scope->local_port_max &&
	       covers_remote(scope, &object->remote);
}

/*
 * Of two scopes that cover a call the one with the higher rank is narrower: their conditions
 * are compared one after the other, the remote address first. Deny wins a tie.
 */
u64 snet_scope_rank(const struct snet_scope *scope, enum snet_verdict verdict)
{
	u64 rank = scope->remote.len ? 1 + scope->remote_prefix +
		   (scope->remote.len == sizeof(scope->remote.v4) ? 96 : 0) : 0;

	rank = rank << 16 | (U16_MAX - (scope->remote_port_max - scope->remote_port_min));
	rank = rank << 16 | (U16_MAX - (scope->local_port_max - scope->local_port_min));
	rank = rank << 1 | scope->has_number;
	rank = rank << 4 | (15 - hweight32(scope->protocols));
	rank = rank << 4 | (15 - hweight32(scope->operations));
	return rank << 1 | (verdict == SNET_VERDICT_DENY);
}
