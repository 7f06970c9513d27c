// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ticket hit: which ticket decides a call of the calling process. Owns nothing, takes no
 * lock but for the last use of a ticket, and allocates nothing.
 *
 * It sees the tickets of the process, and of the program it runs, as they were together at
 * one moment: what changes meanwhile makes it begin anew.
 */
#include <linux/jiffies.h>
#include <linux/ktime.h>

#include "owner.h"
#include "ticket.h"
#include "ticket_table.h"

/* Whether it covers the call is asked before. What a call seldom fails comes last. */
static bool ticket_counts(const struct snet_ticket *ticket, const struct snet_object *object)
{
	if (ticket->for_user && !uid_eq(ticket->uid, current_euid()))
		return false;
	if (ticket->for_place && (ticket->net_cookie != object->net->net_cookie ||
				  ticket->cgroup_id != snet_cgroup_id(current)))
		return false;
	if (ticket->limited && !atomic_read(&ticket->uses))
		return false;
	return !ticket->expires || ticket->expires > ktime_get_coarse_boottime_ns();
}

/* The ticket of @owner that decides the call, if one is narrower than @best; else @best. */
static __always_inline struct snet_ticket *narrower(const struct snet_owner *owner,
						    const struct snet_object *object,
						    struct snet_ticket *best)
{
	struct snet_shape *shape;
	struct snet_ticket *ticket;

	for (shape = rcu_dereference(owner->shapes); shape; shape = rcu_dereference(shape->next)) {
		if (best && best->rank >= shape->bound)
			break;
		if (shape->remote_len && shape->remote_len != object->remote.len)
			continue;
		hlist_for_each_entry_rcu(ticket, snet_shape_chain(shape, object->remote.words,
								  object->remote.port,
								  object->local.port), by_key) {
			if (ticket->shape != shape ||
			    !snet_scope_covers(&ticket->scope, object) ||
			    !ticket_counts(ticket, object))
				continue;
			if (!best || ticket->rank > best->rank)
				best = ticket;
			break;
		}
	}
	return best;
}

/* The last use frees the ticket; it is found under RCU. */
static void free_spent(struct snet_ticket *ticket)
{
	spin_lock(&snet_ticket_lock);
	if (!list_empty(&ticket->of_owner)) {
		struct snet_owner *owner = ticket->owner;

		snet_ticket_remove_locked(ticket);
		snet_owner_settle_locked(owner);
	}
	spin_unlock(&snet_ticket_lock);
}

/* False when other calls were faster to use it up. */
static bool take_use(struct snet_ticket *ticket)
{
	int left;

	if (!ticket->limited)
		return true;
	left = atomic_dec_if_positive(&ticket->uses);
	if (!left)
		free_spent(ticket);
	return left >= 0;
}

static void count_hit(struct snet_ticket *ticket)
{
	if (ticket->shared) {
		this_cpu_inc(ticket->shared->count);
		this_cpu_write(ticket->shared->last, jiffies);
	} else {
		atomic64_inc(&ticket->hits);
		WRITE_ONCE(ticket->last_hit, jiffies);
	}
}

/* @stale says that snet_program_refresh() may show more. Under RCU. */
static struct snet_ticket *choose(const struct snet_object *object, bool *stale)
{
	unsigned int own, programs = 0;
	struct snet_process *process;
	struct snet_program *program;
	struct snet_ticket *best;
	u64 era;

	do {
		era = READ_ONCE(snet_era);
		process = snet_process_find(task_tgid(current));
		*stale = process ? !snet_process_is_current(process, era) :
			 READ_ONCE(snet_program_count);
		if (!process || *stale)
			return NULL;
		own = read_seqcount_begin(&process->owner.changes);
		best = narrower(&process->owner, object, NULL);
		program = rcu_dereference(process->program);
		if (program) {
			programs = read_seqcount_begin(&program->owner.changes);
			best = narrower(&program->owner, object, best);
		}
	} while ((program && read_seqcount_retry(&program->owner.changes, programs)) ||
		 read_seqcount_retry(&process->owner.changes, own) ||
		 era != READ_ONCE(snet_era) || (best && !take_use(best)));
	return best;
}

static enum snet_verdict look_up(const struct snet_object *object, struct snet_ticket_hit *hit,
				 bool *stale)
{
	enum snet_verdict verdict = 0;
	struct snet_ticket *ticket;

	rcu_read_lock();
	ticket = choose(object, stale);
	if (ticket) {
		verdict = ticket->verdict;
		if (verdict == SNET_VERDICT_DENY)
			*hit = (struct snet_ticket_hit) { ticket->id, ticket->rule_id };
		count_hit(ticket);
	}
	rcu_read_unlock();
	return verdict;
}

/* May sleep, but not when a ticket decides that already decided calls of this process. */
enum snet_verdict snet_ticket_lookup(const struct snet_object *object,
				     struct snet_ticket_hit *hit)
{
	enum snet_verdict verdict;
	bool stale;

	do
		verdict = look_up(object, hit, &stale);
	while (unlikely(stale) && snet_program_refresh(object));
	return verdict;
}
