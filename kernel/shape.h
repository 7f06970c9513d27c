/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shapes of scopes: the length of the prefix, and whether the ports are single ones. Tickets
 * of one owner and one shape are found by their addresses and ports, however many they are:
 * a look-up probes each shape that the owner has (tuple space search).
 */
#ifndef SNET_SHAPE_H
#define SNET_SHAPE_H

#include <linux/list.h>
#include <linux/rcupdate.h>

#include "scope.h"

struct snet_owner;

struct snet_shape {
	/* Read by look-ups under RCU; constant but for the list. */
	struct snet_shape __rcu *next;	/* of the owner, by falling bound */
	u64 bound;			/* no ticket of this shape has a higher rank */
	u64 mask[2];
	u64 salt;			/* makes the keys of this shape differ from all others */
	u16 remote_port_mask;		/* all ones for single ports, else 0 */
	u16 local_port_mask;
	u8 remote_len;			/* 4 or 16; 0 for any remote address, also none */
	bool keyed;			/* there is something to make a key of */
	struct hlist_head tickets;	/* all of them when it isn't keyed */
	/* Under the table's lock. */
	u32 count;
	struct rcu_head rcu;
};

#define SNET_TICKET_BITS 13

/* Tickets by their shape's key, the narrowest of a shape first. Under the table's lock. */
extern struct hlist_head snet_tickets_by_key[1 << SNET_TICKET_BITS];

/* Where the tickets of this shape for these addresses are, among others. */
static inline struct hlist_head *snet_shape_chain(struct snet_shape *shape,
						  const u64 *remote, u16 remote_port,
						  u16 local_port)
{
	const u64 odd = 0x9e3779b97f4a7c15;
	u64 key;

	if (!shape->keyed)
		return &shape->tickets;
	key = (shape->salt + (remote[0] & shape->mask[0])) * odd;
	key ^= key >> 32;
	key += remote[1] & shape->mask[1];
	key += (u32)(remote_port & shape->remote_port_mask) << 16 |
	       (local_port & shape->local_port_mask);
	return &snet_tickets_by_key[key * odd >> (64 - SNET_TICKET_BITS)];
}

struct snet_shape *snet_shape_get_locked(struct snet_owner *owner,
					 const struct snet_scope *scope);
void snet_shape_put_locked(struct snet_owner *owner, struct snet_shape *shape);

#endif /* SNET_SHAPE_H */
