/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Netlink messages of the protocol: what is put into them and read out of them.
 */
#ifndef SNET_MESSAGE_H
#define SNET_MESSAGE_H

#include <net/genetlink.h>

#include "request.h"
#include "ticket.h"

extern struct genl_family snet_family;

/* Takes all attributes of a message about a call but the path, with room to spare. */
#define SNET_MESSAGE_CALL_SIZE	1024

int snet_message_send_event(const struct snet_request_view *view, u32 portid);
int snet_message_put_call(struct sk_buff *skb, const struct snet_subject *subject,
			  const struct snet_object *object);
int snet_message_put_event(struct sk_buff *skb, const struct snet_request_view *view);
int snet_message_put_ticket(struct sk_buff *skb, const struct snet_ticket_record *record);
int snet_message_put_policy(struct sk_buff *skb);
int snet_message_put_watch(struct sk_buff *skb, enum snet_operation operation);
int snet_message_put_stats(struct sk_buff *skb);

/* Whom a nested ticket is for. */
enum snet_ticket_target_kind {
	SNET_TARGET_NONE,		/* it doesn't say */
	SNET_TARGET_PROCESS,
	SNET_TARGET_PROGRAM,
};

struct snet_ticket_target {
	enum snet_ticket_target_kind kind;
	/* The process. */
	u32 tgid;
	u64 start_time;
	u64 exec_id;
	/* The program, as stat(2) shows it. */
	u64 exe_device;
	u64 exe_inode;
};

struct snet_ticket *snet_message_get_ticket(const struct nlattr *nest,
					    struct snet_ticket_target *target,
					    struct netlink_ext_ack *extack);

#endif /* SNET_MESSAGE_H */
