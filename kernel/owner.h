/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whom tickets are for: one execution of a program by a process, or every process that runs
 * a program. A process's entry also remembers which program's tickets count for it.
 */
#ifndef SNET_OWNER_H
#define SNET_OWNER_H

#include <linux/cred.h>
#include <linux/hash.h>
#include <linux/list.h>
#include <linux/rculist.h>
#include <linux/sched.h>
#include <linux/seqlock.h>
#include <linux/spinlock.h>

#include "shape.h"
#include "subject.h"

/*
 * Protects every change of owners, shapes and tickets, and the indexes that look-ups don't
 * use. Nests inside the request table's lock and takes no other.
 */
extern spinlock_t snet_ticket_lock;

#define snet_table_dereference(pointer) \
	rcu_dereference_protected(pointer, lockdep_is_held(&snet_ticket_lock))

struct snet_owner {
	/* Read by look-ups under RCU. */
	struct snet_shape __rcu *shapes;
	seqcount_spinlock_t changes;	/* around every change of which tickets are found */
	/* Under the table's lock. */
	struct list_head node;		/* of all owners, or of the doomed */
	struct list_head tickets;	/* those that children inherit come first */
	u32 count;
	bool is_program;
	bool doomed;			/* out of its hash table, to be freed */
	u64 epoch;
	struct rcu_head rcu;
};

struct snet_process {
	/* Read by look-ups under RCU. */
	struct hlist_node by_pid;
	struct pid *pid;		/* referenced */
	u64 stamp;			/* see snet_process_is_current() */
	struct snet_program __rcu *program;	/* which it runs, if that has tickets */
	/* Of the execution; constant. The pointers are compared, never followed. */
	const struct inode *exe;
	u64 exe_inode;
	const struct user_namespace *user_ns;
	struct snet_owner owner;
	u64 exec_id;
	u64 start_time;
	/* Under the table's lock. */
	u32 inheritable;		/* how many of its tickets a child gets */
	struct list_head of_program;
};

struct snet_program {
	struct snet_owner owner;
	/* As stat(2) shows them; constant. */
	u64 device;
	u64 inode;
	/* Under the table's lock. */
	struct hlist_node by_file;
	struct list_head processes;	/* whose entries point here */
};

#define SNET_PROCESS_BITS 12

extern struct hlist_head snet_processes[1 << SNET_PROCESS_BITS];

/* Grows with whatever makes every process's entry stale: a new program, a flush. */
extern u64 snet_era;

/* Programs that have tickets. */
extern u32 snet_program_count;

/* Under RCU, or the table's lock. */
static inline struct snet_process *snet_process_find(const struct pid *pid)
{
	struct snet_process *process;

	hlist_for_each_entry_rcu(process, &snet_processes[hash_ptr((void *)pid,
								   SNET_PROCESS_BITS)],
				 by_pid, lockdep_is_held(&snet_ticket_lock))
		if (process->pid == pid)
			return process;
	return NULL;
}

/*
 * Is this the entry of what the calling process executes now, and is its program known? Both
 * numbers in the stamp only grow, so that their sum stands for both.
 */
static inline bool snet_process_is_current(const struct snet_process *process, u64 era)
{
	return smp_load_acquire(&process->stamp) == era + READ_ONCE(current->self_exec_id) &&
	       process->user_ns == current_user_ns() &&
	       snet_exe_is(process->exe, process->exe_inode);
}

struct snet_process *snet_process_get_locked(const struct snet_identity *who);
struct snet_process *snet_process_match_locked(const struct snet_identity *who);
void snet_process_set_program_locked(struct snet_process *process,
				     struct snet_program *program);

struct snet_program *snet_program_find_locked(u64 device, u64 inode);
struct snet_program *snet_program_get_locked(u64 device, u64 inode);
bool snet_program_refresh(const struct snet_object *object);

bool snet_owner_is_void_locked(const struct snet_owner *owner);
void snet_owner_settle_locked(struct snet_owner *owner);
void snet_owner_doom_locked(struct snet_owner *owner);
void snet_owners_doom_all_locked(void);
struct snet_owner *snet_owner_doomed_locked(void);
bool snet_owner_take_apart_locked(struct snet_owner *owner, u32 budget);

static inline struct snet_process *snet_process_of(struct snet_owner *owner)
{
	return container_of(owner, struct snet_process, owner);
}

static inline struct snet_program *snet_program_of(struct snet_owner *owner)
{
	return container_of(owner, struct snet_program, owner);
}

#endif /* SNET_OWNER_H */
