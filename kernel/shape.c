// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shapes of an owner's scopes. Owns their list, which is short, and their memory.
 */
#include <linux/random.h>
#include <linux/slab.h>

#include "owner.h"
#include "shape.h"

struct hlist_head snet_tickets_by_key[1 << SNET_TICKET_BITS];

static u16 single_port_mask(u16 min, u16 max)
{
	return min == max ? U16_MAX : 0;
}

static bool shape_fits(const struct snet_shape *shape, const struct snet_shape *wanted)
{
	return shape->bound == wanted->bound && shape->remote_len == wanted->remote_len;
}

static struct snet_shape *shape_add(struct snet_owner *owner, const struct snet_shape *wanted)
{
	struct snet_shape *shape = kmemdup(wanted, sizeof(*wanted), GFP_ATOMIC | __GFP_NOWARN);
	struct snet_shape __rcu **place = &owner->shapes;
	struct snet_shape *next;

	if (!shape)
		return NULL;
	shape->salt = get_random_u64();
	while ((next = snet_table_dereference(*place)) && next->bound > shape->bound)
		place = &next->next;
	RCU_INIT_POINTER(shape->next, next);
	rcu_assign_pointer(*place, shape);
	return shape;
}

/* The owner's shape for @scope, to be put; NULL without memory. Doesn't sleep. */
struct snet_shape *snet_shape_get_locked(struct snet_owner *owner,
					 const struct snet_scope *scope)
{
	struct snet_shape wanted = {
		.bound = snet_scope_rank_bound(scope),
		.mask = { scope->remote_mask[0], scope->remote_mask[1] },
		.remote_port_mask = single_port_mask(scope->remote_port_min,
						     scope->remote_port_max),
		.local_port_mask = single_port_mask(scope->local_port_min,
						    scope->local_port_max),
		.remote_len = scope->remote.len,
	};
	struct snet_shape *shape;

	wanted.keyed = scope->remote_prefix || wanted.remote_port_mask || wanted.local_port_mask;
	for (shape = snet_table_dereference(owner->shapes); shape;
	     shape = snet_table_dereference(shape->next))
		if (shape_fits(shape, &wanted))
			break;
	if (!shape)
		shape = shape_add(owner, &wanted);
	if (shape)
		shape->count++;
	return shape;
}

void snet_shape_put_locked(struct snet_owner *owner, struct snet_shape *shape)
{
	struct snet_shape __rcu **place = &owner->shapes;

	if (--shape->count)
		return;
	while (snet_table_dereference(*place) != shape)
		place = &snet_table_dereference(*place)->next;
	rcu_assign_pointer(*place, snet_table_dereference(shape->next));
	kfree_rcu(shape, rcu);
}
