/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tickets: verdicts that are remembered for a process, or for all that run a program.
 */
#ifndef SNET_TICKET_H
#define SNET_TICKET_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/percpu.h>
#include <linux/rbtree.h>
#include <linux/types.h>

#include "object.h"
#include "scope.h"
#include "subject.h"

struct snet_owner;
struct snet_shape;

/* Ids with this bit are of copies, which the kernel makes when a process forks. */
#define SNET_TICKET_ID_COPY	BIT_ULL(63)

/* Inheritable tickets of one process: a fork copies all in one go. */
#define SNET_MAX_INHERITABLE	256

struct snet_hits {
	u64 count;
	unsigned long last;	/* jiffies */
};

struct snet_ticket {
	/* Read under RCU; constant once the ticket is in the table. */
	struct hlist_node by_key;	/* of its shape, the narrowest first */
	struct snet_shape *shape;
	struct snet_scope scope;
	u64 rank;			/* narrower scopes have a higher one */
	enum snet_verdict verdict;
	bool for_user;			/* counts for @uid only */
	bool for_place;			/* counts in @net_cookie and @cgroup_id only */
	bool limited;			/* counts while there are @uses */
	bool inherit;
	kuid_t uid;
	u32 net_ns;
	u64 net_cookie;
	u64 cgroup_id;
	u64 expires;			/* nanoseconds since boot, 0 for never */
	u64 id;
	u64 rule_id;			/* 0 for none */
	u64 origin;			/* 0 unless it is a copy */
	struct snet_hits __percpu *shared;	/* of a program ticket: many processes hit it */
	/* Under the table's lock. */
	struct snet_owner *owner;
	struct list_head of_owner;	/* or of a batch; empty when it was removed */
	struct rb_node by_id;
	struct rb_node by_rule;
	struct rb_node by_origin;
	struct rb_node by_expiry;
	struct rcu_head rcu;
	/* Written by hits. */
	atomic64_t hits ____cacheline_aligned_in_smp;
	unsigned long last_hit;		/* jiffies */
	atomic_t uses;			/* left */
};

/* What ticket-del names: one of these. */
enum snet_ticket_selection {
	SNET_TICKETS_WITH_ID,		/* copies of it included */
	SNET_TICKETS_OF_RULE,
	SNET_TICKETS_OF_PROCESS,	/* by tgid */
	SNET_TICKETS_ALL,
};

/* Which ticket denied a call. */
struct snet_ticket_hit {
	u64 id;
	u64 rule_id;	/* 0 for none */
};

/* A ticket as a dump shows it. */
struct snet_ticket_record {
	struct snet_scope scope;
	enum snet_verdict verdict;
	u64 id, rule_id, origin, hits;
	u64 lifetime_ms;	/* 0 for none */
	u64 last_hit_ms;
	bool limited;
	u32 uses;		/* left, if limited */
	bool inherit;
	bool for_user;
	kuid_t uid;
	bool of_program;
	/* Of a process ticket. */
	u64 start_time, exec_id, cgroup_id;
	u32 tgid, net_ns;
	/* Of a program ticket, as stat(2) shows them. */
	u64 exe_device, exe_inode;
};

int snet_tickets_init(void);
void snet_tickets_exit(void);

struct snet_ticket *snet_ticket_new(gfp_t gfp);
void snet_tickets_free(struct list_head *batch);

/* 0 when no ticket decides @object for the calling process. Fills @hit when one denies it. */
enum snet_verdict snet_ticket_lookup(const struct snet_object *object,
				     struct snet_ticket_hit *hit);
int snet_tickets_install(struct list_head *batch, const struct snet_identity *who);
int snet_tickets_install_program(struct list_head *batch, u64 exe_device, u64 exe_inode);
u32 snet_tickets_remove(enum snet_ticket_selection which, u64 number);
bool snet_ticket_next(u64 after, struct snet_ticket_record *record);
u32 snet_tickets_count(void);
u32 snet_owners_count(void);

/* The calling process has forked @child, which hasn't run yet. */
void snet_tickets_inherit(struct task_struct *child);
void snet_tickets_void(bool executed);

#endif /* SNET_TICKET_H */
