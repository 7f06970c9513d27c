// SPDX-License-Identifier: GPL-2.0-only
/* Generated from kernel/snet.yaml by kernel/generate.py. Do not edit. */

#include "netlink_gen.h"

static struct netlink_range_validation policy_deadline_range = {
	.min = 1, .max = 600000,
};

static struct netlink_range_validation policy_nonblock_deadline_range = {
	.min = 1, .max = 600000,
};

static struct netlink_range_validation policy_max_requests_range = {
	.min = 1, .max = 65536,
};

static struct netlink_range_validation policy_max_requests_per_process_range = {
	.min = 1, .max = 65536,
};

static struct netlink_range_validation policy_max_tickets_range = {
	.min = 1, .max = 1048576,
};

static struct netlink_range_validation policy_max_tickets_per_process_range = {
	.min = 1, .max = 65536,
};

static struct netlink_range_validation defer_deadline_range = {
	.min = 1, .max = 600000,
};

const struct nla_policy snet_watch_nl_policy[SNET_A_WATCH_MAX + 1] = {
	[SNET_A_WATCH_OPERATION] = NLA_POLICY_RANGE(NLA_U32, 0, 6),
	[SNET_A_WATCH_PROTOCOLS] = NLA_POLICY_MASK(NLA_U32, 0x3ff),
};

const struct nla_policy snet_fallback_nl_policy[SNET_A_FALLBACK_MAX + 1] = {
	[SNET_A_FALLBACK_OPERATION] = NLA_POLICY_RANGE(NLA_U32, 0, 6),
	[SNET_A_FALLBACK_VERDICT] = NLA_POLICY_RANGE(NLA_U32, 1, 2),
};

const struct nla_policy snet_policy_nl_policy[SNET_A_POLICY_MAX + 1] = {
	[SNET_A_POLICY_DEADLINE] = NLA_POLICY_FULL_RANGE(NLA_U32, &policy_deadline_range),
	[SNET_A_POLICY_NONBLOCK_DEADLINE] = NLA_POLICY_FULL_RANGE(NLA_U32, &policy_nonblock_deadline_range),
	[SNET_A_POLICY_FALLBACK] = NLA_POLICY_NESTED(snet_fallback_nl_policy),
	[SNET_A_POLICY_MAX_REQUESTS] = NLA_POLICY_FULL_RANGE(NLA_U32, &policy_max_requests_range),
	[SNET_A_POLICY_MAX_REQUESTS_PER_PROCESS] = NLA_POLICY_FULL_RANGE(NLA_U32, &policy_max_requests_per_process_range),
	[SNET_A_POLICY_MAX_TICKETS] = NLA_POLICY_FULL_RANGE(NLA_U32, &policy_max_tickets_range),
	[SNET_A_POLICY_MAX_TICKETS_PER_PROCESS] = NLA_POLICY_FULL_RANGE(NLA_U32, &policy_max_tickets_per_process_range),
};

const struct nla_policy snet_ticket_nl_policy[SNET_A_TICKET_MAX + 1] = {
	[SNET_A_TICKET_ID] = { .type = NLA_U64 },
	[SNET_A_TICKET_TGID] = { .type = NLA_U32 },
	[SNET_A_TICKET_EXEC_ID] = { .type = NLA_U64 },
	[SNET_A_TICKET_OPERATIONS] = NLA_POLICY_MASK(NLA_U32, 0x7f),
	[SNET_A_TICKET_PROTOCOLS] = NLA_POLICY_MASK(NLA_U32, 0x3ff),
	[SNET_A_TICKET_NUMBER] = { .type = NLA_U16 },
	[SNET_A_TICKET_REMOTE_ADDR] = { .type = NLA_BINARY, .len = 16 },
	[SNET_A_TICKET_REMOTE_PREFIX] = NLA_POLICY_MAX(NLA_U8, 128),
	[SNET_A_TICKET_REMOTE_PORT_MIN] = { .type = NLA_U16 },
	[SNET_A_TICKET_REMOTE_PORT_MAX] = { .type = NLA_U16 },
	[SNET_A_TICKET_LOCAL_PORT_MIN] = { .type = NLA_U16 },
	[SNET_A_TICKET_LOCAL_PORT_MAX] = { .type = NLA_U16 },
	[SNET_A_TICKET_VERDICT] = NLA_POLICY_RANGE(NLA_U32, 1, 2),
	[SNET_A_TICKET_LIFETIME] = NLA_POLICY_MIN(NLA_U64, 1),
	[SNET_A_TICKET_RULE_ID] = { .type = NLA_U64 },
	[SNET_A_TICKET_HITS] = { .type = NLA_U64 },
	[SNET_A_TICKET_LAST_HIT] = { .type = NLA_U64 },
	[SNET_A_TICKET_START_TIME] = { .type = NLA_U64 },
	[SNET_A_TICKET_UID] = { .type = NLA_U32 },
	[SNET_A_TICKET_NET_NS] = { .type = NLA_U32 },
	[SNET_A_TICKET_CGROUP_ID] = { .type = NLA_U64 },
	[SNET_A_TICKET_USES] = NLA_POLICY_MIN(NLA_U32, 1),
	[SNET_A_TICKET_INHERIT] = { .type = NLA_FLAG },
	[SNET_A_TICKET_ORIGIN] = { .type = NLA_U64 },
	[SNET_A_TICKET_EXE_DEVICE] = { .type = NLA_U64 },
	[SNET_A_TICKET_EXE_INODE] = { .type = NLA_U64 },
};

static const struct nla_policy watch_set_nl_policy[SNET_A_MAIN_WATCH + 1] = {
	[SNET_A_MAIN_WATCH] = NLA_POLICY_NESTED(snet_watch_nl_policy),
};

static const struct nla_policy policy_set_nl_policy[SNET_A_MAIN_POLICY + 1] = {
	[SNET_A_MAIN_POLICY] = NLA_POLICY_NESTED(snet_policy_nl_policy),
};

static const struct nla_policy verdict_nl_policy[SNET_A_MAIN_TICKET + 1] = {
	[SNET_A_MAIN_REQUEST_ID] = { .type = NLA_U64 },
	[SNET_A_MAIN_VERDICT] = NLA_POLICY_RANGE(NLA_U32, 1, 2),
	[SNET_A_MAIN_TICKET] = NLA_POLICY_NESTED(snet_ticket_nl_policy),
};

static const struct nla_policy defer_nl_policy[SNET_A_MAIN_DEADLINE + 1] = {
	[SNET_A_MAIN_REQUEST_ID] = { .type = NLA_U64 },
	[SNET_A_MAIN_DEADLINE] = NLA_POLICY_FULL_RANGE(NLA_U32, &defer_deadline_range),
};

static const struct nla_policy ticket_add_nl_policy[SNET_A_MAIN_TICKET + 1] = {
	[SNET_A_MAIN_TICKET] = NLA_POLICY_NESTED(snet_ticket_nl_policy),
};

static const struct nla_policy ticket_del_nl_policy[SNET_A_MAIN_TGID + 1] = {
	[SNET_A_MAIN_TICKET_ID] = { .type = NLA_U64 },
	[SNET_A_MAIN_RULE_ID] = { .type = NLA_U64 },
	[SNET_A_MAIN_TGID] = { .type = NLA_U32 },
};

const struct genl_ops snet_nl_ops[SNET_NL_OPS_COUNT] = {
	{
		.cmd = SNET_CMD_REGISTER,
		.doit = snet_nl_register_doit,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = SNET_CMD_UNREGISTER,
		.doit = snet_nl_unregister_doit,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = SNET_CMD_WATCH_SET,
		.doit = snet_nl_watch_set_doit,
		.policy = watch_set_nl_policy,
		.maxattr = ARRAY_SIZE(watch_set_nl_policy) - 1,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = SNET_CMD_WATCH_GET,
		.start = snet_nl_dump_start,
		.dumpit = snet_nl_watch_get_dumpit,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = SNET_CMD_WATCH_FLUSH,
		.doit = snet_nl_watch_flush_doit,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = SNET_CMD_POLICY_SET,
		.doit = snet_nl_policy_set_doit,
		.policy = policy_set_nl_policy,
		.maxattr = ARRAY_SIZE(policy_set_nl_policy) - 1,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = SNET_CMD_POLICY_GET,
		.doit = snet_nl_policy_get_doit,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = SNET_CMD_REQUEST_GET,
		.start = snet_nl_dump_start,
		.dumpit = snet_nl_request_get_dumpit,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = SNET_CMD_VERDICT,
		.doit = snet_nl_verdict_doit,
		.policy = verdict_nl_policy,
		.maxattr = ARRAY_SIZE(verdict_nl_policy) - 1,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = SNET_CMD_DEFER,
		.doit = snet_nl_defer_doit,
		.policy = defer_nl_policy,
		.maxattr = ARRAY_SIZE(defer_nl_policy) - 1,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = SNET_CMD_TICKET_ADD,
		.doit = snet_nl_ticket_add_doit,
		.policy = ticket_add_nl_policy,
		.maxattr = ARRAY_SIZE(ticket_add_nl_policy) - 1,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = SNET_CMD_TICKET_DEL,
		.doit = snet_nl_ticket_del_doit,
		.policy = ticket_del_nl_policy,
		.maxattr = ARRAY_SIZE(ticket_del_nl_policy) - 1,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = SNET_CMD_TICKET_GET,
		.start = snet_nl_dump_start,
		.dumpit = snet_nl_ticket_get_dumpit,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = SNET_CMD_TICKET_FLUSH,
		.doit = snet_nl_ticket_flush_doit,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = SNET_CMD_STATS_GET,
		.doit = snet_nl_stats_get_doit,
		.flags = GENL_ADMIN_PERM,
	},
};
