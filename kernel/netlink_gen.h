/* SPDX-License-Identifier: GPL-2.0-only */
/* Generated from kernel/snet.yaml by kernel/generate.py. Do not edit. */
#ifndef SNET_NETLINK_GEN_H
#define SNET_NETLINK_GEN_H

#include <net/genetlink.h>

#include "uapi/snet.h"

extern const struct nla_policy snet_watch_nl_policy[SNET_A_WATCH_MAX + 1];
extern const struct nla_policy snet_fallback_nl_policy[SNET_A_FALLBACK_MAX + 1];
extern const struct nla_policy snet_policy_nl_policy[SNET_A_POLICY_MAX + 1];
extern const struct nla_policy snet_ticket_nl_policy[SNET_A_TICKET_MAX + 1];

int snet_nl_dump_start(struct netlink_callback *cb);

#define SNET_NL_OPS_COUNT 15
extern const struct genl_ops snet_nl_ops[SNET_NL_OPS_COUNT];

int snet_nl_register_doit(struct sk_buff *skb, struct genl_info *info);
int snet_nl_unregister_doit(struct sk_buff *skb, struct genl_info *info);
int snet_nl_watch_set_doit(struct sk_buff *skb, struct genl_info *info);
int snet_nl_watch_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int snet_nl_watch_flush_doit(struct sk_buff *skb, struct genl_info *info);
int snet_nl_policy_set_doit(struct sk_buff *skb, struct genl_info *info);
int snet_nl_policy_get_doit(struct sk_buff *skb, struct genl_info *info);
int snet_nl_request_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int snet_nl_verdict_doit(struct sk_buff *skb, struct genl_info *info);
int snet_nl_defer_doit(struct sk_buff *skb, struct genl_info *info);
int snet_nl_ticket_add_doit(struct sk_buff *skb, struct genl_info *info);
int snet_nl_ticket_del_doit(struct sk_buff *skb, struct genl_info *info);
int snet_nl_ticket_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int snet_nl_ticket_flush_doit(struct sk_buff *skb, struct genl_info *info);
int snet_nl_stats_get_doit(struct sk_buff *skb, struct genl_info *info);

#endif /* SNET_NETLINK_GEN_H */
