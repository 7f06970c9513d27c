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

/* The process that a nested ticket names; all 0 when it names none. */
struct snet_ticket_owner {
	u32 tgid;
	u64 start_time;
	u64 exec_id;
};

struct snet_ticket *snet_message_get_ticket(const struct nlattr *nest,
					    struct snet_ticket_owner *owner,
					    struct netlink_ext_ack *extack);

#endif /* SNET_MESSAGE_H */
