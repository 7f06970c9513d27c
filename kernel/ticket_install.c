// SPDX-License-Identifier: GPL-2.0-only
/*
 * Puts the decider's tickets into the table: checks ids and bounds, and that a process still
 * lives.
 */
#include <linux/ktime.h>
#include <linux/sched/signal.h>

#include "policy.h"
#include "ticket.h"
#include "ticket_table.h"

/* An id is free again as soon as its ticket doesn't count any more. */
static bool id_is_taken_locked(u64 id)
{
	struct snet_ticket *ticket = snet_ticket_find_locked(id);
	struct snet_owner *owner;

	if (!ticket)
		return false;
	owner = ticket->owner;
	if (!snet_owner_is_void_locked(owner) &&
	    !snet_ticket_expired(ticket, ktime_get_boottime_ns()))
		return true;
	snet_ticket_remove_locked(ticket);
	snet_owner_settle_locked(owner);
	return false;
}

static int check_ids_locked(const struct list_head *batch)
{
	const struct snet_ticket *ticket, *other;

	list_for_each_entry(ticket, batch, of_owner) {
		if (id_is_taken_locked(ticket->id))
			return -EEXIST;
		list_for_each_entry(other, batch, of_owner)
			if (other != ticket && other->id == ticket->id)
				return -EEXIST;
	}
	return 0;
}

static int check_bounds_locked(const struct list_head *batch, u32 held, u32 held_inheritable)
{
	u32 most = snet_policy_max_tickets_per_process(), count = 0, inheritable = 0;
	const struct snet_ticket *ticket;

	list_for_each_entry(ticket, batch, of_owner) {
		count++;
		inheritable += ticket->inherit;
	}
	if (!snet_tickets_fit_locked(count) || held + count > most ||
	    held_inheritable + inheritable > SNET_MAX_INHERITABLE)
		return -ENOSPC;
	return 0;
}

/* Has the process ended since its exit was last looked for? Pairs with snet_tickets_void(). */
static bool process_is_gone(struct pid *pid)
{
	struct task_struct *task;
	bool gone;

	smp_mb(); /* the table was written before this read; an exit does it the other way round */
	rcu_read_lock();
	task = pid_task(pid, PIDTYPE_TGID);
	gone = !task || !atomic_read(&task->signal->live);
	rcu_read_unlock();
	return gone;
}

static int install_locked(struct list_head *batch, const struct snet_identity *who)
{
	struct snet_process *process;
	int err = check_ids_locked(batch);

	if (err)
		return err;
	process = snet_process_match_locked(who);
	err = check_bounds_locked(batch, process ? process->owner.count : 0,
				  process ? process->inheritable : 0);
	if (err)
		return err;
	process = snet_process_get_locked(who);
	if (!process)
		return -ENOSPC;
	err = snet_tickets_keep_locked(batch, &process->owner);
	if (err)
		snet_owner_settle_locked(&process->owner);
	else if (process_is_gone(who->pid))
		err = -ESRCH;
	if (err == -ESRCH)
		snet_owner_doom_locked(&process->owner);
	return err;
}

/**
 * snet_tickets_install - keep tickets for a process
 * @batch: tickets with scope, verdict, id and expiry; emptied when 0 or -ESRCH is returned
 * @who: the process
 *
 * All or none are kept, and look-ups find them all at once. Returns 0, -EEXIST when an id is
 * in use, -ENOSPC past a bound or without memory, -ESRCH when the process has ended. Doesn't
 * sleep.
 */
int snet_tickets_install(struct list_head *batch, const struct snet_identity *who)
{
	struct snet_ticket *ticket;
	int err;

	list_for_each_entry(ticket, batch, of_owner) {
		ticket->rank = snet_scope_rank(&ticket->scope, ticket->verdict);
		ticket->for_user = true;
		ticket->uid = who->uid;
		ticket->for_place = true;
		ticket->net_cookie = who->net_cookie;
		ticket->net_ns = who->net_ns;
		ticket->cgroup_id = who->cgroup_id;
	}
	spin_lock(&snet_ticket_lock);
	err = install_locked(batch, who);
	spin_unlock(&snet_ticket_lock);
	return err;
}

static int install_program_locked(struct list_head *batch, u64 exe_device, u64 exe_inode)
{
	struct snet_program *program;
	int err = check_ids_locked(batch);

	if (err)
		return err;
	program = snet_program_find_locked(exe_device, exe_inode);
	err = check_bounds_locked(batch, program ? program->owner.count : 0, 0);
	if (err)
		return err;
	program = snet_program_get_locked(exe_device, exe_inode);
	if (!program)
		return -ENOSPC;
	err = snet_tickets_keep_locked(batch, &program->owner);
	if (err)
		snet_owner_settle_locked(&program->owner);
	return err;
}

/**
 * snet_tickets_install_program - keep tickets for all that run a program
 * @batch: as for snet_tickets_install(); @for_user and @uid may be set
 * @exe_device: of the executable, as stat(2) shows it, in the kernel's huge encoding
 * @exe_inode: the same
 *
 * Returns 0, -EEXIST when an id is in use, -ENOSPC past a bound or without memory. May sleep.
 */
int snet_tickets_install_program(struct list_head *batch, u64 exe_device, u64 exe_inode)
{
	struct snet_ticket *ticket;
	int err;

	list_for_each_entry(ticket, batch, of_owner) {
		ticket->rank = snet_scope_rank(&ticket->scope, ticket->verdict);
		ticket->shared = alloc_percpu(struct snet_hits);
		if (!ticket->shared)
			return -ENOSPC;
	}
	spin_lock(&snet_ticket_lock);
	err = install_program_locked(batch, exe_device, exe_inode);
	spin_unlock(&snet_ticket_lock);
	return err;
}
