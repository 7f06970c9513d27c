/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SNET_NETLINK_H
#define SNET_NETLINK_H

#include <net/genetlink.h>

/* Multicast groups, by their place in the family. */
enum snet_nl_group {
	SNET_NL_GROUP_AUDIT,
	SNET_NL_GROUPS,
};

#define snet_for_each_attr(attr, info, rem) \
	nlmsg_for_each_attr(attr, (info)->nlhdr, GENL_HDRLEN, rem)

void *snet_dump_header(struct sk_buff *skb, struct netlink_callback *cb, u8 cmd);
int snet_dump_end(struct sk_buff *skb, void *header, int err);

int snet_netlink_init(void);
void snet_netlink_exit(void);

#endif /* SNET_NETLINK_H */
