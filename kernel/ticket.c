// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of tickets. Owns their memory, their order, and the indexes by which they are
 * removed. Who they are for is owner.c's, how one is found ticket_lookup.c's.
 *
 * What is found changes for a look-up as a whole: a batch shows at once, and is never seen
 * in part.
 */
#include <linux/slab.h>

#include "policy.h"
#include "ticket.h"
#include "ticket_table.h"

static struct kmem_cache *ticket_cache;
static struct rb_root by_id = RB_ROOT;
static struct rb_root by_rule = RB_ROOT;	/* those that have one, each rule's widest first */
static struct rb_root by_origin = RB_ROOT;	/* copies, the same way */
static struct rb_root_cached by_expiry = RB_ROOT_CACHED;	/* those that expire */
static u32 ticket_count;

/* Zeroed, in no table. To be freed with snet_tickets_free(). */
struct snet_ticket *snet_ticket_new(gfp_t gfp)
{
	struct snet_ticket *ticket = kmem_cache_zalloc(ticket_cache, gfp);

	if (ticket)
		INIT_LIST_HEAD(&ticket->of_owner);
	return ticket;
}

static void ticket_free(struct snet_ticket *ticket)
{
	free_percpu(ticket->shared);
	kmem_cache_free(ticket_cache, ticket);
}

static void ticket_free_rcu(struct rcu_head *rcu)
{
	ticket_free(container_of(rcu, struct snet_ticket, rcu));
}

/* Frees tickets that were never kept. */
void snet_tickets_free(struct list_head *batch)
{
	struct snet_ticket *ticket, *next;

	list_for_each_entry_safe(ticket, next, batch, of_owner)
		ticket_free(ticket);
	INIT_LIST_HEAD(batch);
}

static bool id_before(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct snet_ticket, by_id)->id <
	       rb_entry(b, struct snet_ticket, by_id)->id;
}

/* Of two groups the one with the lower number, in one group the wider ticket. */
static bool group_before(u64 a, const struct snet_ticket *of_a, u64 b,
			 const struct snet_ticket *of_b)
{
	return a != b ? a < b : of_a->rank < of_b->rank;
}

static bool rule_before(struct rb_node *a, const struct rb_node *b)
{
	const struct snet_ticket *of_a = rb_entry(a, struct snet_ticket, by_rule);
	const struct snet_ticket *of_b = rb_entry(b, struct snet_ticket, by_rule);

	return group_before(of_a->rule_id, of_a, of_b->rule_id, of_b);
}

static bool origin_before(struct rb_node *a, const struct rb_node *b)
{
	const struct snet_ticket *of_a = rb_entry(a, struct snet_ticket, by_origin);
	const struct snet_ticket *of_b = rb_entry(b, struct snet_ticket, by_origin);

	return group_before(of_a->origin, of_a, of_b->origin, of_b);
}

static bool expiry_before(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct snet_ticket, by_expiry)->expires <
	       rb_entry(b, struct snet_ticket, by_expiry)->expires;
}

static int number_cmp(u64 a, u64 b)
{
	return a < b ? -1 : a > b;
}

static int id_cmp(const void *id, const struct rb_node *node)
{
	return number_cmp(*(const u64 *)id, rb_entry(node, struct snet_ticket, by_id)->id);
}

static int rule_cmp(const void *id, const struct rb_node *node)
{
	return number_cmp(*(const u64 *)id, rb_entry(node, struct snet_ticket, by_rule)->rule_id);
}

static int origin_cmp(const void *id, const struct rb_node *node)
{
	return number_cmp(*(const u64 *)id, rb_entry(node, struct snet_ticket, by_origin)->origin);
}

struct snet_ticket *snet_ticket_find_locked(u64 id)
{
	struct rb_node *node = rb_find(&id, &by_id, id_cmp);

	return node ? rb_entry(node, struct snet_ticket, by_id) : NULL;
}

/* The ticket with the smallest id above @id. */
struct snet_ticket *snet_ticket_above_locked(u64 id)
{
	struct rb_node *node = by_id.rb_node;
	struct snet_ticket *above = NULL;

	while (node) {
		struct snet_ticket *ticket = rb_entry(node, struct snet_ticket, by_id);

		if (ticket->id > id) {
			above = ticket;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return above;
}

/* The widest ticket of a rule. */
struct snet_ticket *snet_ticket_of_rule_locked(u64 rule_id)
{
	struct rb_node *node = rb_find_first(&rule_id, &by_rule, rule_cmp);

	return node ? rb_entry(node, struct snet_ticket, by_rule) : NULL;
}

/* The widest copy of a ticket, whether that still exists or not. */
struct snet_ticket *snet_ticket_copy_of_locked(u64 origin)
{
	struct rb_node *node = rb_find_first(&origin, &by_origin, origin_cmp);

	return node ? rb_entry(node, struct snet_ticket, by_origin) : NULL;
}

/* The ticket that expires first. */
struct snet_ticket *snet_ticket_soonest_locked(void)
{
	struct rb_node *node = rb_first_cached(&by_expiry);

	return node ? rb_entry(node, struct snet_ticket, by_expiry) : NULL;
}

static void index_locked(struct snet_ticket *ticket, struct snet_owner *owner)
{
	ticket->owner = owner;
	owner->count++;
	ticket_count++;
	list_move_tail(&ticket->of_owner, &owner->tickets);
	if (ticket->inherit) {
		list_move(&ticket->of_owner, &owner->tickets);
		snet_process_of(owner)->inheritable++;
	}
	rb_add(&ticket->by_id, &by_id, id_before);
	if (ticket->rule_id)
		rb_add(&ticket->by_rule, &by_rule, rule_before);
	if (ticket->origin)
		rb_add(&ticket->by_origin, &by_origin, origin_before);
	if (ticket->expires) {
		rb_add_cached(&ticket->by_expiry, &by_expiry, expiry_before);
		snet_reap_at_locked(ticket->expires);
	}
}

static void unindex_locked(struct snet_ticket *ticket)
{
	ticket->owner->count--;
	ticket_count--;
	list_del_init(&ticket->of_owner);
	if (ticket->inherit)
		snet_process_of(ticket->owner)->inheritable--;
	rb_erase(&ticket->by_id, &by_id);
	if (ticket->rule_id)
		rb_erase(&ticket->by_rule, &by_rule);
	if (ticket->origin)
		rb_erase(&ticket->by_origin, &by_origin);
	if (ticket->expires)
		rb_erase_cached(&ticket->by_expiry, &by_expiry);
}

/* From now on look-ups find it. */
static void chain_locked(struct snet_ticket *ticket)
{
	const struct snet_scope *scope = &ticket->scope;
	struct hlist_head *chain = snet_shape_chain(ticket->shape, scope->remote.words,
						    scope->remote_port_min,
						    scope->local_port_min);
	struct snet_ticket *other, *narrower = NULL;

	hlist_for_each_entry(other, chain, by_key) {
		if (other->shape == ticket->shape && other->rank < ticket->rank)
			break;
		narrower = other;
	}
	if (narrower)
		hlist_add_behind_rcu(&ticket->by_key, &narrower->by_key);
	else
		hlist_add_head_rcu(&ticket->by_key, chain);
}

static int get_shapes_locked(const struct list_head *batch, struct snet_owner *owner)
{
	struct snet_ticket *ticket;

	list_for_each_entry(ticket, batch, of_owner) {
		ticket->shape = snet_shape_get_locked(owner, &ticket->scope);
		if (ticket->shape)
			continue;
		list_for_each_entry_continue_reverse(ticket, batch, of_owner)
			snet_shape_put_locked(owner, ticket->shape);
		return -ENOSPC;
	}
	return 0;
}

/* All or none; @batch is empty when they are kept. Returns 0, or -ENOSPC without memory. */
int snet_tickets_keep_locked(struct list_head *batch, struct snet_owner *owner)
{
	struct snet_ticket *ticket, *next;
	int err = get_shapes_locked(batch, owner);

	if (err)
		return err;
	write_seqcount_begin(&owner->changes);
	list_for_each_entry(ticket, batch, of_owner)
		chain_locked(ticket);
	write_seqcount_end(&owner->changes);
	list_for_each_entry_safe(ticket, next, batch, of_owner)
		index_locked(ticket, owner);
	return 0;
}

/* The caller settles the owner. */
void snet_ticket_remove_locked(struct snet_ticket *ticket)
{
	struct snet_owner *owner = ticket->owner;

	write_seqcount_begin(&owner->changes);
	hlist_del_rcu(&ticket->by_key);
	write_seqcount_end(&owner->changes);
	unindex_locked(ticket);
	snet_shape_put_locked(owner, ticket->shape);
	call_rcu(&ticket->rcu, ticket_free_rcu);
}

/* Is there room for @count more? */
bool snet_tickets_fit_locked(u32 count)
{
	return count <= snet_policy_max_tickets() &&
	       ticket_count <= snet_policy_max_tickets() - count;
}

u32 snet_tickets_count(void)
{
	return READ_ONCE(ticket_count);
}

int snet_tickets_init(void)
{
	ticket_cache = KMEM_CACHE(snet_ticket, 0);
	return ticket_cache ? 0 : -ENOMEM;
}

/* No hook, tracepoint or netlink command may run any more. */
void snet_tickets_exit(void)
{
	snet_tickets_remove(SNET_TICKETS_ALL, 0);
	snet_reap_exit();
	rcu_barrier();
	kmem_cache_destroy(ticket_cache);
}
