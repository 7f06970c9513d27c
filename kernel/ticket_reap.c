// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frees what has ended: tickets that have expired, and owners that are doomed. A few at a
 * time, with the lock dropped between. That they don't count any more doesn't depend on it.
 */
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/sched.h>
#include <linux/workqueue.h>

#include "ticket.h"
#include "ticket_table.h"

/* Under the table's lock: nanoseconds since boot of the next expiry that is waited for. */
static u64 next_reap = U64_MAX;

static void reap_doomed(struct work_struct *work)
{
	snet_reap_doomed();
}

static void reap_expired(struct work_struct *work);

static DECLARE_WORK(doomed_work, reap_doomed);
static DECLARE_DELAYED_WORK(expired_work, reap_expired);

/* Until nothing is doomed. May sleep. */
void snet_reap_doomed(void)
{
	struct snet_owner *owner;

	do {
		spin_lock(&snet_ticket_lock);
		owner = snet_owner_doomed_locked();
		if (owner)
			snet_owner_take_apart_locked(owner, SNET_TICKET_STEP);
		spin_unlock(&snet_ticket_lock);
		cond_resched();
	} while (owner);
}

/* Any context. */
void snet_reap_soon(void)
{
	schedule_work(&doomed_work);
}

/* Comes no later than @when. */
void snet_reap_at_locked(u64 when)
{
	u64 now = ktime_get_boottime_ns();

	if (when >= next_reap)
		return;
	next_reap = when;
	cancel_delayed_work(&expired_work);
	schedule_delayed_work(&expired_work, when > now ? nsecs_to_jiffies(when - now) + 1 : 0);
}

/* False when nothing more has expired; then it comes again for the next. */
static bool reap_step_locked(u64 now)
{
	struct snet_ticket *ticket;
	int step;

	for (step = 0; step < SNET_TICKET_STEP; step++) {
		struct snet_owner *owner;

		ticket = snet_ticket_soonest_locked();
		if (!ticket)
			return false;
		if (!snet_ticket_expired(ticket, now)) {
			snet_reap_at_locked(ticket->expires);
			return false;
		}
		owner = ticket->owner;
		snet_ticket_remove_locked(ticket);
		snet_owner_settle_locked(owner);
	}
	return true;
}

static void reap_expired(struct work_struct *work)
{
	u64 now = ktime_get_boottime_ns();
	bool more;

	spin_lock(&snet_ticket_lock);
	next_reap = U64_MAX;
	spin_unlock(&snet_ticket_lock);
	do {
		spin_lock(&snet_ticket_lock);
		more = reap_step_locked(now);
		spin_unlock(&snet_ticket_lock);
		cond_resched();
	} while (more);
}

static bool has_entry(const struct pid *pid)
{
	bool has;

	rcu_read_lock();
	has = snet_process_find(pid);
	rcu_read_unlock();
	return has;
}

/* The calling process has ended, or it has executed another program. Doesn't sleep. */
void snet_tickets_void(bool executed)
{
	const struct pid *pid = task_tgid(current);
	struct snet_process *process;

	if (!has_entry(pid))
		return;
	spin_lock(&snet_ticket_lock);
	process = snet_process_find(pid);
	if (process && !(executed && process->exec_id == current->self_exec_id))
		snet_owner_doom_locked(&process->owner);
	spin_unlock(&snet_ticket_lock);
}

/* The table is empty. */
void snet_reap_exit(void)
{
	cancel_work_sync(&doomed_work);
	cancel_delayed_work_sync(&expired_work);
}
