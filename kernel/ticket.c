// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of tickets. Owns their memory, their bounds and the choice among them.
 *
 * Processes are hashed by the address of their struct pid; each has a list of tickets, the
 * narrowest first. Look-ups run under RCU alone. All changes take table_lock, which nests
 * inside the request table's lock and takes no other. What ends (processes, expired
 * tickets) is only marked where it is noticed, and freed by the reaper.
 */
#include <linux/cred.h>
#include <linux/hashtable.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/pid_namespace.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/user_namespace.h>
#include <linux/workqueue.h>

#include "policy.h"
#include "ticket.h"

struct snet_process {
	struct hlist_node node;
	struct pid *pid;
	u64 exec_id;
	u64 start_time;
	struct list_head tickets;
	u32 count;
	bool ended;	/* set without the lock: READ_ONCE()/WRITE_ONCE() */
	struct rcu_head rcu;
};

static DEFINE_SPINLOCK(table_lock);
static DEFINE_HASHTABLE(processes, 10);
static struct rb_root tickets_by_id = RB_ROOT;
static u32 ticket_count;
static u32 generation;
static u64 next_reap = U64_MAX;	/* nanoseconds since boot */

/* Two occasions for the same work, so that a later one never replaces a sooner one. */
static void reap(struct work_struct *work);
static DECLARE_DELAYED_WORK(reap_expired, reap);
static DECLARE_WORK(reap_ended, reap);

static struct snet_process *process_find(const struct pid *pid)
{
	struct snet_process *process;

	hash_for_each_possible_rcu(processes, process, node, (unsigned long)pid,
				   lockdep_is_held(&table_lock))
		if (process->pid == pid)
			return process;
	return NULL;
}

static bool ticket_expired(const struct snet_ticket *ticket, u64 now)
{
	return ticket->expires && now >= ticket->expires;
}

static bool exe_matches(const struct snet_ticket *ticket)
{
	const struct inode *inode;
	const struct file *exe;

	if (!current->mm)
		return false;
	exe = rcu_dereference(current->mm->exe_file);
	/* A file may be reused under RCU; then it is another one, and so is its inode. */
	inode = exe ? READ_ONCE(exe->f_inode) : NULL;
	return inode && inode->i_ino == ticket->exe_inode &&
	       inode->i_sb->s_dev == ticket->exe_device;
}

/* Is the calling process still what the ticket was issued for? */
static bool ticket_counts(const struct snet_ticket *ticket, const struct snet_object *object)
{
	return uid_eq(ticket->uid, current_euid()) &&
	       ticket->net_cookie == object->net->net_cookie &&
	       ticket->user_ns == current_user_ns()->ns.inum &&
	       ticket->cgroup_id == snet_cgroup_id(current) && exe_matches(ticket) &&
	       !ticket_expired(ticket, ktime_get_coarse_boottime_ns());
}

enum snet_verdict snet_ticket_lookup(const struct snet_object *object,
				     struct snet_ticket_hit *hit)
{
	enum snet_verdict verdict = 0;
	struct snet_process *process;
	struct snet_ticket *ticket;

	rcu_read_lock();
	process = process_find(task_tgid(current));
	if (!process || process->exec_id != READ_ONCE(current->self_exec_id))
		goto out_unlock;
	list_for_each_entry_rcu(ticket, &process->tickets, node) {
		if (!snet_scope_covers(&ticket->scope, object) || !ticket_counts(ticket, object))
			continue;
		verdict = ticket->verdict;
		if (verdict == SNET_VERDICT_DENY)
			*hit = (struct snet_ticket_hit) { ticket->id, ticket->rule_id };
		atomic64_inc(&ticket->hits);
		WRITE_ONCE(ticket->last_hit, jiffies);
		break;
	}
out_unlock:
	rcu_read_unlock();
	return verdict;
}

static struct snet_ticket *ticket_find(u64 id)
{
	struct rb_node *node = tickets_by_id.rb_node;

	while (node) {
		struct snet_ticket *ticket = rb_entry(node, struct snet_ticket, by_id);

		if (id == ticket->id)
			return ticket;
		node = id < ticket->id ? node->rb_left : node->rb_right;
	}
	return NULL;
}

static bool ticket_before(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct snet_ticket, by_id)->id <
	       rb_entry(b, struct snet_ticket, by_id)->id;
}

static void process_release(struct rcu_head *rcu)
{
	struct snet_process *process = container_of(rcu, struct snet_process, rcu);

	put_pid(process->pid);
	kfree(process);
}

static void process_unlink_locked(struct snet_process *process)
{
	hash_del_rcu(&process->node);
	call_rcu(&process->rcu, process_release);
}

/* Leaves an empty process in the table: the caller unlinks it when it is done. */
static void ticket_remove_locked(struct snet_ticket *ticket)
{
	list_del_rcu(&ticket->node);
	rb_erase(&ticket->by_id, &tickets_by_id);
	ticket->process->count--;
	ticket_count--;
	generation++;
	kfree_rcu(ticket, rcu);
}

static void process_remove_locked(struct snet_process *process)
{
	struct snet_ticket *ticket, *next;

	list_for_each_entry_safe(ticket, next, &process->tickets, node)
		ticket_remove_locked(ticket);
	process_unlink_locked(process);
}

static struct snet_process *process_add_locked(const struct snet_identity *who)
{
	struct snet_process *process = process_find(who->pid);

	if (process && process->exec_id == who->exec_id)
		return process;
	if (process)
		process_remove_locked(process);
	process = kzalloc(sizeof(*process), GFP_ATOMIC | __GFP_NOWARN);
	if (!process)
		return NULL;
	process->pid = get_pid(who->pid);
	process->exec_id = who->exec_id;
	process->start_time = who->start_time;
	INIT_LIST_HEAD(&process->tickets);
	hash_add_rcu(processes, &process->node, (unsigned long)process->pid);
	return process;
}

static void reap_at_locked(u64 when)
{
	u64 now = ktime_get_boottime_ns();

	if (when >= next_reap)
		return;
	next_reap = when;
	mod_delayed_work(system_wq, &reap_expired, when > now ? nsecs_to_jiffies(when - now) + 1 : 0);
}

static void ticket_insert_locked(struct snet_ticket *ticket, struct snet_process *process,
				 const struct snet_identity *who)
{
	struct snet_ticket *narrower;
	struct list_head *place = &process->tickets;

	ticket->process = process;
	ticket->uid = who->uid;
	ticket->net_cookie = who->net_cookie;
	ticket->net_ns = who->net_ns;
	ticket->user_ns = who->user_ns;
	ticket->cgroup_id = who->cgroup_id;
	ticket->exe_device = who->exe_device;
	ticket->exe_inode = who->exe_inode;
	ticket->rank = snet_scope_rank(&ticket->scope, ticket->verdict);
	list_for_each_entry(narrower, &process->tickets, node) {
		if (narrower->rank < ticket->rank)
			break;
		place = &narrower->node;
	}
	list_add_rcu(&ticket->node, place);
	rb_add(&ticket->by_id, &tickets_by_id, ticket_before);
	process->count++;
	ticket_count++;
	generation++;
	if (ticket->expires)
		reap_at_locked(ticket->expires);
}

static int batch_check_locked(struct list_head *batch, const struct snet_identity *who)
{
	const struct snet_process *process = process_find(who->pid);
	const struct snet_ticket *ticket, *other;
	u32 held = process && process->exec_id == who->exec_id ? process->count : 0;
	u32 count = 0;

	list_for_each_entry(ticket, batch, node) {
		count++;
		if (ticket_find(ticket->id))
			return -EEXIST;
		list_for_each_entry(other, batch, node)
			if (other != ticket && other->id == ticket->id)
				return -EEXIST;
	}
	if (ticket_count + count > snet_policy_max_tickets() ||
	    held + count > snet_policy_max_tickets_per_process())
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

/**
 * snet_tickets_install - keep tickets for a process
 * @batch: tickets with scope, verdict, id and expiry; taken over when 0 is returned
 * @who: the process
 *
 * All or none are kept. Returns 0, -EEXIST when an id is in use, -ENOSPC past a bound or
 * without memory, -ESRCH when the process has ended. Doesn't sleep.
 */
int snet_tickets_install(struct list_head *batch, const struct snet_identity *who)
{
	struct snet_process *process;
	struct snet_ticket *ticket, *next;
	int err;

	spin_lock(&table_lock);
	err = batch_check_locked(batch, who);
	if (err)
		goto out_unlock;
	process = process_add_locked(who);
	if (!process) {
		err = -ENOSPC;
		goto out_unlock;
	}
	list_for_each_entry_safe(ticket, next, batch, node) {
		list_del(&ticket->node);
		ticket_insert_locked(ticket, process, who);
	}
	if (process_is_gone(who->pid)) {
		process_remove_locked(process);
		err = -ESRCH;
	}
out_unlock:
	spin_unlock(&table_lock);
	return err;
}

/* Frees tickets that were never installed. */
void snet_tickets_free(struct list_head *batch)
{
	struct snet_ticket *ticket, *next;

	list_for_each_entry_safe(ticket, next, batch, node)
		kfree(ticket);
	INIT_LIST_HEAD(batch);
}

static bool selector_matches(const struct snet_ticket_selector *selector,
			     const struct snet_ticket *ticket)
{
	return (!selector->by_id || ticket->id == selector->id) &&
	       (!selector->by_rule || ticket->rule_id == selector->rule_id) &&
	       (!selector->by_tgid ||
		pid_nr(ticket->process->pid) == (pid_t)selector->tgid);
}

static u32 remove_matching_locked(struct snet_ticket *ticket,
				  const struct snet_ticket_selector *selector)
{
	struct snet_process *process = ticket->process;

	if (!selector_matches(selector, ticket))
		return 0;
	ticket_remove_locked(ticket);
	if (!process->count)
		process_unlink_locked(process);
	return 1;
}

/* Removes the tickets that match every condition given; with none, all. Returns how many. */
u32 snet_tickets_remove(const struct snet_ticket_selector *selector)
{
	struct snet_ticket *ticket;
	struct rb_node *node, *next;
	u32 removed = 0;

	spin_lock(&table_lock);
	if (selector->by_id) {
		ticket = ticket_find(selector->id);
		if (ticket)
			removed = remove_matching_locked(ticket, selector);
	} else {
		for (node = rb_first(&tickets_by_id); node; node = next) {
			next = rb_next(node);
			ticket = rb_entry(node, struct snet_ticket, by_id);
			removed += remove_matching_locked(ticket, selector);
		}
	}
	spin_unlock(&table_lock);
	return removed;
}

static void record_fill(struct snet_ticket_record *record, const struct snet_ticket *ticket)
{
	u64 now = ktime_get_boottime_ns();

	*record = (struct snet_ticket_record) {
		.scope = ticket->scope,
		.verdict = ticket->verdict,
		.id = ticket->id,
		.rule_id = ticket->rule_id,
		.hits = atomic64_read(&ticket->hits),
		.last_hit_ms = jiffies_to_msecs(jiffies - READ_ONCE(ticket->last_hit)),
		.start_time = ticket->process->start_time,
		.exec_id = ticket->process->exec_id,
		.cgroup_id = ticket->cgroup_id,
		.tgid = pid_nr(ticket->process->pid),
		.net_ns = ticket->net_ns,
		.uid = ticket->uid,
	};
	if (ticket->expires)
		record->lifetime_ms = div_u64(ticket->expires - now, NSEC_PER_MSEC) + 1;
}

/* The live ticket with the smallest id above @after; false when there is none. */
bool snet_ticket_next(u64 after, struct snet_ticket_record *record)
{
	u64 now = ktime_get_boottime_ns();
	struct rb_node *node, *found = NULL;
	bool live = false;

	spin_lock(&table_lock);
	for (node = tickets_by_id.rb_node; node;) {
		if (rb_entry(node, struct snet_ticket, by_id)->id > after) {
			found = node;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	for (; found && !live; found = rb_next(found)) {
		struct snet_ticket *ticket = rb_entry(found, struct snet_ticket, by_id);

		if (READ_ONCE(ticket->process->ended) || ticket_expired(ticket, now))
			continue;
		record_fill(record, ticket);
		live = true;
	}
	spin_unlock(&table_lock);
	return live;
}

u32 snet_tickets_generation(void)
{
	return READ_ONCE(generation);
}

u32 snet_tickets_count(void)
{
	return READ_ONCE(ticket_count);
}

/* The calling process has ended, or it has executed another program. Any context. */
void snet_tickets_void(bool executed)
{
	struct snet_process *process;

	rcu_read_lock();
	process = process_find(task_tgid(current));
	if (process && !(executed && process->exec_id == current->self_exec_id)) {
		WRITE_ONCE(process->ended, true);
		schedule_work(&reap_ended);
	}
	rcu_read_unlock();
}

/* Frees what has ended, and comes again when the next ticket expires. */
static void reap(struct work_struct *work)
{
	u64 now = ktime_get_boottime_ns(), soonest = U64_MAX;
	struct snet_ticket *ticket, *next;
	struct snet_process *process;
	struct hlist_node *tmp;
	int bucket;

	spin_lock(&table_lock);
	next_reap = U64_MAX;
	hash_for_each_safe(processes, bucket, tmp, process, node) {
		if (READ_ONCE(process->ended)) {
			process_remove_locked(process);
			continue;
		}
		list_for_each_entry_safe(ticket, next, &process->tickets, node) {
			if (ticket_expired(ticket, now))
				ticket_remove_locked(ticket);
			else if (ticket->expires)
				soonest = min(soonest, ticket->expires);
		}
		if (!process->count)
			process_unlink_locked(process);
	}
	reap_at_locked(soonest);
	spin_unlock(&table_lock);
}

/* No hook, tracepoint or netlink command may run any more. */
void snet_tickets_exit(void)
{
	const struct snet_ticket_selector all = {};

	cancel_work_sync(&reap_ended);
	cancel_delayed_work_sync(&reap_expired);
	snet_tickets_remove(&all);
	rcu_barrier();
}
