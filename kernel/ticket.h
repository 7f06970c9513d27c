/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tickets: verdicts that are remembered for a process.
 */
#ifndef SNET_TICKET_H
#define SNET_TICKET_H

#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/types.h>

#include "object.h"
#include "scope.h"
#include "subject.h"

struct snet_process;

struct snet_ticket {
	/* Read under RCU; constant once the ticket is in a table. */
	struct snet_scope scope;
	enum snet_verdict verdict;
	u64 rank;		/* narrower scopes have a higher one */
	u64 expires;		/* nanoseconds since boot, 0 for never */
	u64 id;
	u64 rule_id;		/* 0 for none */
	kuid_t uid;
	u64 net_cookie;
	u32 net_ns;
	u32 user_ns;
	u64 cgroup_id;
	dev_t exe_device;
	u64 exe_inode;
	/* Written by hits. */
	atomic64_t hits;
	unsigned long last_hit;	/* jiffies */
	/* Under the table's lock. */
	struct list_head node;	/* of the process, by falling rank; or of a batch */
	struct rb_node by_id;
	struct snet_process *process;
	struct rcu_head rcu;
};

/* What ticket-del names. */
struct snet_ticket_selector {
	bool by_id, by_rule, by_tgid;
	u64 id;
	u64 rule_id;
	u32 tgid;
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
	u64 id, rule_id, hits, start_time, exec_id, cgroup_id;
	u64 lifetime_ms;	/* 0 for none */
	u64 last_hit_ms;
	u32 tgid, net_ns;
	kuid_t uid;
};

void snet_tickets_exit(void);

/* 0 when no ticket decides @object for the calling process. Fills @hit when one denies it. */
enum snet_verdict snet_ticket_lookup(const struct snet_object *object,
				     struct snet_ticket_hit *hit);
int snet_tickets_install(struct list_head *batch, const struct snet_identity *who);
void snet_tickets_free(struct list_head *batch);
u32 snet_tickets_remove(const struct snet_ticket_selector *selector);
bool snet_ticket_next(u64 after, struct snet_ticket_record *record);
u32 snet_tickets_generation(void);
u32 snet_tickets_count(void);
void snet_tickets_void(bool executed);

#endif /* SNET_TICKET_H */
