// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owners of tickets. Owns the tables of processes and programs, their memory, and what links
 * a process to the program it runs.
 *
 * An owner leaves in two steps, however much it holds: it is doomed at once, whereupon no
 * look-up finds it, and taken apart bit by bit by the reaper.
 */
#include <linux/pid.h>
#include <linux/slab.h>

#include "owner.h"
#include "ticket_table.h"

DEFINE_SPINLOCK(snet_ticket_lock);

#define PROGRAM_BITS 8

struct hlist_head snet_processes[1 << SNET_PROCESS_BITS];
static struct hlist_head programs[1 << PROGRAM_BITS];
static LIST_HEAD(owners);
static LIST_HEAD(doomed);
static u32 owner_count;

/* From 1 on, so that the stamp 0 is never current. */
u64 snet_era __read_mostly = 1;
u32 snet_program_count __read_mostly;

/* Owners of an earlier epoch were flushed. */
static u64 epoch;

static void owner_init_locked(struct snet_owner *owner, bool is_program)
{
	seqcount_spinlock_init(&owner->changes, &snet_ticket_lock);
	INIT_LIST_HEAD(&owner->tickets);
	list_add_tail(&owner->node, &owners);
	owner->is_program = is_program;
	owner->epoch = epoch;
	owner_count++;
}

bool snet_owner_is_void_locked(const struct snet_owner *owner)
{
	return owner->doomed || owner->epoch != epoch;
}

static void owner_unhash_locked(struct snet_owner *owner)
{
	struct snet_program *program = snet_program_of(owner);

	if (!owner->is_program) {
		hlist_del_init_rcu(&snet_process_of(owner)->by_pid);
	} else if (!hlist_unhashed(&program->by_file)) {
		hlist_del_init(&program->by_file);
		if (owner->epoch == epoch)
			WRITE_ONCE(snet_program_count, snet_program_count - 1);
	}
}

static void owner_free(struct rcu_head *rcu)
{
	struct snet_owner *owner = container_of(rcu, struct snet_owner, rcu);

	if (owner->is_program) {
		kfree(snet_program_of(owner));
	} else {
		put_pid(snet_process_of(owner)->pid);
		kfree(snet_process_of(owner));
	}
}

/* It has no tickets left, and as a program no processes. */
static void owner_release_locked(struct snet_owner *owner)
{
	if (!owner->is_program)
		snet_process_set_program_locked(snet_process_of(owner), NULL);
	owner_unhash_locked(owner);
	list_del(&owner->node);
	owner_count--;
	call_rcu(&owner->rcu, owner_free);
}

/* Frees an owner that has become useless. Call it when something was taken from it. */
void snet_owner_settle_locked(struct snet_owner *owner)
{
	if (owner->count || snet_owner_is_void_locked(owner))
		return;
	if (owner->is_program && !list_empty(&snet_program_of(owner)->processes))
		snet_owner_doom_locked(owner);
	else if (owner->is_program || !rcu_access_pointer(snet_process_of(owner)->program))
		owner_release_locked(owner);
}

/* Nothing that it has counts any more; the reaper frees it. */
void snet_owner_doom_locked(struct snet_owner *owner)
{
	if (owner->doomed)
		return;
	owner->doomed = true;
	owner_unhash_locked(owner);
	list_move_tail(&owner->node, &doomed);
	snet_reap_soon();
}

/* The same for all at once; whoever calls it calls snet_reap_doomed(). */
void snet_owners_doom_all_locked(void)
{
	epoch++;
	WRITE_ONCE(snet_era, snet_era + 1);
	WRITE_ONCE(snet_program_count, 0);
	list_splice_tail_init(&owners, &doomed);
}

/* An owner to be taken apart, or NULL. */
struct snet_owner *snet_owner_doomed_locked(void)
{
	return list_first_entry_or_null(&doomed, struct snet_owner, node);
}

static void process_leave_program_locked(struct snet_process *process)
{
	snet_process_set_program_locked(process, NULL);
	snet_owner_settle_locked(&process->owner);
}

/* Frees up to @budget of what a doomed owner has, and then itself. True when it is gone. */
bool snet_owner_take_apart_locked(struct snet_owner *owner, u32 budget)
{
	struct snet_program *program = owner->is_program ? snet_program_of(owner) : NULL;

	for (; owner->count; budget--) {
		if (!budget)
			return false;
		snet_ticket_remove_locked(list_first_entry(&owner->tickets, struct snet_ticket,
							   of_owner));
	}
	for (; program && !list_empty(&program->processes); budget--) {
		if (!budget)
			return false;
		process_leave_program_locked(list_first_entry(&program->processes,
							      struct snet_process,
							      of_program));
	}
	owner_release_locked(owner);
	return true;
}

/* The entry of just this execution, or NULL. */
struct snet_process *snet_process_match_locked(const struct snet_identity *who)
{
	struct snet_process *process = snet_process_find(who->pid);

	if (process && !snet_owner_is_void_locked(&process->owner) &&
	    process->exec_id == who->exec_id && process->user_ns == who->user_ns &&
	    process->exe == who->exe && process->exe_inode == who->exe_inode)
		return process;
	return NULL;
}

/* The same, in place of one for an earlier execution if need be; NULL without memory. */
struct snet_process *snet_process_get_locked(const struct snet_identity *who)
{
	struct snet_process *process = snet_process_match_locked(who);

	if (process)
		return process;
	process = snet_process_find(who->pid);
	if (process)
		snet_owner_doom_locked(&process->owner);
	process = kzalloc(sizeof(*process), GFP_ATOMIC | __GFP_NOWARN);
	if (!process)
		return NULL;
	owner_init_locked(&process->owner, false);
	process->pid = get_pid(who->pid);
	process->exec_id = who->exec_id;
	process->start_time = who->start_time;
	process->user_ns = who->user_ns;
	process->exe = who->exe;
	process->exe_inode = who->exe_inode;
	/* While there are programs, the first look-up sees whether it runs one of them. */
	process->stamp = snet_program_count ? 0 : snet_era + who->exec_id;
	hlist_add_head_rcu(&process->by_pid,
			   &snet_processes[hash_ptr(process->pid, SNET_PROCESS_BITS)]);
	return process;
}

/* @program may be NULL. */
void snet_process_set_program_locked(struct snet_process *process, struct snet_program *program)
{
	if (rcu_access_pointer(process->program))
		list_del(&process->of_program);
	if (program)
		list_add(&process->of_program, &program->processes);
	rcu_assign_pointer(process->program, program);
}

static struct hlist_head *program_chain(u64 device, u64 inode)
{
	return &programs[hash_64(hash_64(device, 64) + inode, PROGRAM_BITS)];
}

/* The program with this executable, as stat(2) shows it, if it has tickets. */
struct snet_program *snet_program_find_locked(u64 device, u64 inode)
{
	struct snet_program *program;

	hlist_for_each_entry(program, program_chain(device, inode), by_file)
		if (program->device == device && program->inode == inode &&
		    !snet_owner_is_void_locked(&program->owner))
			return program;
	return NULL;
}

/* The same, made if need be; NULL without memory. */
struct snet_program *snet_program_get_locked(u64 device, u64 inode)
{
	struct snet_program *program = snet_program_find_locked(device, inode);

	if (program)
		return program;
	program = kzalloc(sizeof(*program), GFP_ATOMIC | __GFP_NOWARN);
	if (!program)
		return NULL;
	owner_init_locked(&program->owner, true);
	program->device = device;
	program->inode = inode;
	INIT_LIST_HEAD(&program->processes);
	hlist_add_head(&program->by_file, program_chain(device, inode));
	WRITE_ONCE(snet_program_count, snet_program_count + 1);
	WRITE_ONCE(snet_era, snet_era + 1);
	return program;
}

/* Processes and programs that have tickets, those included that are being freed. */
u32 snet_owners_count(void)
{
	return READ_ONCE(owner_count);
}
