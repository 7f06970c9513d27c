// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tickets as a dump shows them.
 */
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/pid.h>

#include "ticket.h"
#include "ticket_table.h"

static void add_shared_hits(struct snet_ticket_record *record, const struct snet_ticket *ticket)
{
	unsigned long now = jiffies, since = ULONG_MAX;
	int cpu;

	for_each_possible_cpu(cpu) {
		const struct snet_hits *hits = per_cpu_ptr(ticket->shared, cpu);

		if (!READ_ONCE(hits->count))
			continue;
		record->hits += READ_ONCE(hits->count);
		since = min(since, now - READ_ONCE(hits->last));
	}
	record->last_hit_ms = jiffies_to_msecs(since);
}

static void set_owner_locked(struct snet_ticket_record *record, struct snet_owner *owner)
{
	record->of_program = owner->is_program;
	if (owner->is_program) {
		record->exe_device = snet_program_of(owner)->device;
		record->exe_inode = snet_program_of(owner)->inode;
	} else {
		record->tgid = pid_nr(snet_process_of(owner)->pid);
		record->start_time = snet_process_of(owner)->start_time;
		record->exec_id = snet_process_of(owner)->exec_id;
	}
}

static void record_fill_locked(struct snet_ticket_record *record, const struct snet_ticket *ticket,
			       u64 now)
{
	*record = (struct snet_ticket_record) {
		.scope = ticket->scope,
		.verdict = ticket->verdict,
		.id = ticket->id,
		.rule_id = ticket->rule_id,
		.origin = ticket->origin,
		.hits = atomic64_read(&ticket->hits),
		.last_hit_ms = jiffies_to_msecs(jiffies - READ_ONCE(ticket->last_hit)),
		.limited = ticket->limited,
		.uses = atomic_read(&ticket->uses),
		.inherit = ticket->inherit,
		.for_user = ticket->for_user,
		.uid = ticket->uid,
		.cgroup_id = ticket->cgroup_id,
		.net_ns = ticket->net_ns,
	};
	set_owner_locked(record, ticket->owner);
	if (ticket->shared)
		add_shared_hits(record, ticket);
	if (ticket->expires)
		record->lifetime_ms = div_u64(ticket->expires - now, NSEC_PER_MSEC) + 1;
}

static bool is_over_locked(const struct snet_ticket *ticket, u64 now)
{
	return snet_owner_is_void_locked(ticket->owner) || snet_ticket_expired(ticket, now) ||
	       (ticket->limited && !atomic_read(&ticket->uses));
}

/* Of the next few tickets above @after, which moves on, the first that counts still. */
static struct snet_ticket *next_locked(u64 *after, u64 now, bool *more)
{
	struct snet_ticket *ticket;
	int step;

	for (step = 0; step < SNET_TICKET_STEP; step++) {
		ticket = snet_ticket_above_locked(*after);
		*more = ticket;
		if (!ticket || !is_over_locked(ticket, now))
			return ticket;
		*after = ticket->id;
	}
	return NULL;
}

/* The live ticket with the smallest id above @after; false when there is none. May sleep. */
bool snet_ticket_next(u64 after, struct snet_ticket_record *record)
{
	u64 now = ktime_get_boottime_ns();
	struct snet_ticket *ticket;
	bool more;

	do {
		spin_lock(&snet_ticket_lock);
		ticket = next_locked(&after, now, &more);
		if (ticket)
			record_fill_locked(record, ticket, now);
		spin_unlock(&snet_ticket_lock);
		cond_resched();
	} while (!ticket && more);
	return ticket;
}
