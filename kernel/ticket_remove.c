// SPDX-License-Identifier: GPL-2.0-only
/*
 * Removes tickets by what ticket-del and ticket-flush name. However many there are, the lock
 * is held for a few at a time.
 *
 * Where some of them are gone and others not yet, each call is decided as by all of them or
 * as by none: the wider go first.
 */
#include <linux/pid.h>
#include <linux/sched.h>

#include "ticket.h"
#include "ticket_table.h"

static void remove_locked(struct snet_ticket *ticket)
{
	struct snet_owner *owner = ticket->owner;

	snet_ticket_remove_locked(ticket);
	snet_owner_settle_locked(owner);
}

/* Removes what @first finds under @number until it finds nothing. */
static u32 remove_group(struct snet_ticket *(*first)(u64 number), u64 number)
{
	struct snet_ticket *ticket;
	u32 removed = 0;
	int step;

	do {
		spin_lock(&snet_ticket_lock);
		for (step = 0; step < SNET_TICKET_STEP; step++) {
			ticket = first(number);
			if (!ticket)
				break;
			remove_locked(ticket);
			removed++;
		}
		spin_unlock(&snet_ticket_lock);
		cond_resched();
	} while (ticket);
	return removed;
}

/* While the original is there copies may come, so it goes first. */
static u32 remove_with_copies(u64 id)
{
	return remove_group(snet_ticket_find_locked, id) +
	       remove_group(snet_ticket_copy_of_locked, id);
}

static u32 remove_of_process(u64 tgid)
{
	struct snet_process *process;
	u32 removed = 0;

	rcu_read_lock();
	spin_lock(&snet_ticket_lock);
	process = tgid <= PID_MAX_LIMIT ?
		  snet_process_find(find_pid_ns(tgid, &init_pid_ns)) : NULL;
	if (process && !snet_owner_is_void_locked(&process->owner))
		removed = process->owner.count;
	if (removed)
		snet_owner_doom_locked(&process->owner);
	spin_unlock(&snet_ticket_lock);
	rcu_read_unlock();
	snet_reap_doomed();
	return removed;
}

static u32 remove_all(void)
{
	u32 removed;

	spin_lock(&snet_ticket_lock);
	removed = snet_tickets_count();
	snet_owners_doom_all_locked();
	spin_unlock(&snet_ticket_lock);
	snet_reap_doomed();
	return removed;
}

/**
 * snet_tickets_remove - remove tickets, and free them
 * @which: what they have in common
 * @number: the id, rule or process
 *
 * Returns how many there were. What is found under a number when it returns came meanwhile,
 * but as no copy of what was removed. May sleep.
 */
u32 snet_tickets_remove(enum snet_ticket_selection which, u64 number)
{
	switch (which) {
	case SNET_TICKETS_WITH_ID:
		return remove_with_copies(number);
	case SNET_TICKETS_OF_RULE:
		return remove_group(snet_ticket_of_rule_locked, number);
	case SNET_TICKETS_OF_PROCESS:
		return remove_of_process(number);
	default:
		return remove_all();
	}
}
