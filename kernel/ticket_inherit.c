// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a child has of its parent: a copy of each ticket that says so, bound to what the
 * original is bound to. All or none, since a wide ticket without a narrower one would decide
 * otherwise than both.
 */
#include <linux/ktime.h>
#include <linux/sched/signal.h>

#include "ticket.h"
#include "ticket_table.h"

/* Under the table's lock. */
static u64 last_copy;

static struct snet_ticket *copy_locked(const struct snet_ticket *ticket)
{
	struct snet_ticket *copy = snet_ticket_new(GFP_ATOMIC | __GFP_NOWARN);

	if (!copy)
		return NULL;
	copy->scope = ticket->scope;
	copy->rank = ticket->rank;
	copy->verdict = ticket->verdict;
	copy->for_user = ticket->for_user;
	copy->for_place = ticket->for_place;
	copy->inherit = true;
	copy->uid = ticket->uid;
	copy->net_ns = ticket->net_ns;
	copy->net_cookie = ticket->net_cookie;
	copy->cgroup_id = ticket->cgroup_id;
	copy->expires = ticket->expires;
	copy->rule_id = ticket->rule_id;
	copy->origin = ticket->origin ?: ticket->id;
	copy->id = SNET_TICKET_ID_COPY | ++last_copy;
	return copy;
}

/* False when not all could be copied. */
static bool copy_all_locked(struct list_head *copies, const struct snet_process *parent)
{
	u64 now = ktime_get_boottime_ns();
	struct snet_ticket *ticket, *copy;

	list_for_each_entry(ticket, &parent->owner.tickets, of_owner) {
		if (!ticket->inherit)
			break;	/* they come first */
		if (snet_ticket_expired(ticket, now))
			continue;
		copy = copy_locked(ticket);
		if (!copy)
			return false;
		list_add_tail(&copy->of_owner, copies);
	}
	return !list_empty(copies);
}

/* The child runs what its parent runs, and counts as the same until it executes. */
static void give_locked(struct list_head *copies, const struct snet_process *parent,
			struct task_struct *child)
{
	const struct snet_identity who = {
		.pid = task_tgid(child),
		.exec_id = child->self_exec_id,
		.start_time = child->start_boottime,
		.user_ns = parent->user_ns,
		.exe = parent->exe,
		.exe_inode = parent->exe_inode,
	};
	struct snet_process *process = snet_process_get_locked(&who);

	if (!process)
		return;
	snet_process_set_program_locked(process, snet_table_dereference(parent->program));
	process->stamp = parent->stamp;
	snet_tickets_keep_locked(copies, &process->owner);
	snet_owner_settle_locked(&process->owner);
}

static void inherit_locked(struct list_head *copies, const struct snet_process *parent,
			   struct task_struct *child)
{
	if (snet_owner_is_void_locked(&parent->owner) ||
	    parent->exec_id != child->self_exec_id ||
	    !snet_tickets_fit_locked(parent->inheritable))
		return;
	if (copy_all_locked(copies, parent))
		give_locked(copies, parent, child);
}

static bool has_inheritable(const struct pid *pid)
{
	const struct snet_process *process;
	bool has;

	rcu_read_lock();
	process = snet_process_find(pid);
	has = process && READ_ONCE(process->inheritable);
	rcu_read_unlock();
	return has;
}

/* In the parent, before the child runs. A thread isn't a child. Doesn't sleep. */
void snet_tickets_inherit(struct task_struct *child)
{
	const struct snet_process *parent;
	LIST_HEAD(copies);

	if (same_thread_group(child, current) || !has_inheritable(task_tgid(current)))
		return;
	spin_lock(&snet_ticket_lock);
	parent = snet_process_find(task_tgid(current));
	if (parent)
		inherit_locked(&copies, parent, child);
	spin_unlock(&snet_ticket_lock);
	snet_tickets_free(&copies);
}
