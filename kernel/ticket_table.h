/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files that make up the table of tickets share. For nobody else.
 */
#ifndef SNET_TICKET_TABLE_H
#define SNET_TICKET_TABLE_H

#include <linux/rbtree.h>

#include "owner.h"
#include "ticket.h"

/* Where there may be many tickets, the lock is dropped after this many. */
#define SNET_TICKET_STEP 32

static inline bool snet_ticket_expired(const struct snet_ticket *ticket, u64 now)
{
	return ticket->expires && now >= ticket->expires;
}

struct snet_ticket *snet_ticket_find_locked(u64 id);
struct snet_ticket *snet_ticket_above_locked(u64 id);
struct snet_ticket *snet_ticket_of_rule_locked(u64 rule_id);
struct snet_ticket *snet_ticket_copy_of_locked(u64 origin);
struct snet_ticket *snet_ticket_soonest_locked(void);

bool snet_tickets_fit_locked(u32 count);
int snet_tickets_keep_locked(struct list_head *batch, struct snet_owner *owner);
void snet_ticket_remove_locked(struct snet_ticket *ticket);

void snet_reap_soon(void);
void snet_reap_at_locked(u64 when);
void snet_reap_doomed(void);
void snet_reap_exit(void);

#endif /* SNET_TICKET_TABLE_H */
