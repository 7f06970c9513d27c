// SPDX-License-Identifier: GPL-2.0-only
/*
 * The commands of the generic netlink family: each reads its attributes, calls what owns
 * the matter, and answers. Those about verdicts and tickets are in netlink_tickets.c. They
 * run side by side (parallel_ops), so that a verdict never waits for a dump or for another
 * family.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/mutex.h>
#include <net/genetlink.h>

#include "audit.h"
#include "compat.h"
#include "decider.h"
#include "hooks.h"
#include "message.h"
#include "netlink.h"
#include "netlink_gen.h"
#include "policy.h"
#include "request.h"

/* Serialises changes of policy and watch set against each other; may sleep under it. */
static DEFINE_MUTEX(settings_mutex);

/* Joining needs the capability in the user namespace of init_net, where alone it is sent to. */
static const struct genl_multicast_group groups[SNET_NL_GROUPS] = {
	[SNET_NL_GROUP_AUDIT] = { .name = SNET_MCGRP_AUDIT, .flags = COMPAT_MCGRP_ADMIN },
};

struct genl_family snet_family __ro_after_init = {
	.name = SNET_FAMILY_NAME,
	.version = SNET_FAMILY_VERSION,
	.netnsok = false,
	.parallel_ops = true,
	.module = THIS_MODULE,
	.ops = snet_nl_ops,
	.n_ops = SNET_NL_OPS_COUNT,
	.mcgrps = groups,
	.n_mcgrps = SNET_NL_GROUPS,
	.resv_start_op = SNET_CMD_REGISTER,
};

/* Answers @info with what @put puts. */
static int reply(struct genl_info *info, int (*put)(struct sk_buff *skb))
{
	struct sk_buff *skb = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
	void *header;

	if (!skb)
		return -ENOMEM;
	header = genlmsg_put_reply(skb, info, &snet_family, 0, info->genlhdr->cmd);
	if (!header || put(skb)) {
		nlmsg_free(skb);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, header);
	return genlmsg_reply(skb, info);
}

static int put_registered(struct sk_buff *skb)
{
	return nla_put_u32(skb, SNET_A_MAIN_ABI_VERSION, SNET_ABI_VERSION) ?:
	       snet_message_put_policy(skb);
}

int snet_nl_register_doit(struct sk_buff *skb, struct genl_info *info)
{
	int err = snet_decider_register(info->snd_portid);

	if (err) {
		GENL_SET_ERR_MSG(info, "another decider is registered");
		return err;
	}
	err = reply(info, put_registered);
	if (err)
		snet_decider_drop();
	return err;
}

int snet_nl_unregister_doit(struct sk_buff *skb, struct genl_info *info)
{
	int err = snet_decider_unregister();

	if (err)
		GENL_SET_ERR_MSG(info, "only the registered decider can unregister");
	return err;
}

static int get_watch(u32 *watch, const struct nlattr *nest, struct netlink_ext_ack *extack)
{
	struct nlattr *tb[SNET_A_WATCH_MAX + 1];
	int err = nla_parse_nested(tb, SNET_A_WATCH_MAX, nest, snet_watch_nl_policy, extack);

	if (err)
		return err;
	if (!tb[SNET_A_WATCH_OPERATION] || !tb[SNET_A_WATCH_PROTOCOLS]) {
		NL_SET_ERR_MSG_ATTR(extack, nest, "watch needs operation and protocols");
		return -EINVAL;
	}
	watch[nla_get_u32(tb[SNET_A_WATCH_OPERATION])] = nla_get_u32(tb[SNET_A_WATCH_PROTOCOLS]);
	return 0;
}

int snet_nl_watch_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	const struct nlattr *attr;
	u32 watch[SNET_OPS];
	int err = 0, rem;

	if (GENL_REQ_ATTR_CHECK(info, SNET_A_MAIN_WATCH))
		return -EINVAL;
	mutex_lock(&settings_mutex);
	memcpy(watch, snet_watch, sizeof(watch));
	snet_for_each_attr(attr, info, rem) {
		if (nla_type(attr) == SNET_A_MAIN_WATCH)
			err = get_watch(watch, attr, info->extack);
		if (err)
			goto out_unlock;
	}
	err = snet_hooks_watch(watch, info->extack);
out_unlock:
	mutex_unlock(&settings_mutex);
	return err;
}

int snet_nl_watch_flush_doit(struct sk_buff *skb, struct genl_info *info)
{
	const u32 nothing[SNET_OPS] = {};
	int err;

	mutex_lock(&settings_mutex);
	err = snet_hooks_watch(nothing, info->extack);
	mutex_unlock(&settings_mutex);
	return err;
}

static int get_fallback(u32 *fallback, const struct nlattr *nest, struct netlink_ext_ack *extack)
{
	struct nlattr *tb[SNET_A_FALLBACK_MAX + 1];
	int err = nla_parse_nested(tb, SNET_A_FALLBACK_MAX, nest, snet_fallback_nl_policy, extack);

	if (err)
		return err;
	if (!tb[SNET_A_FALLBACK_OPERATION] || !tb[SNET_A_FALLBACK_VERDICT]) {
		NL_SET_ERR_MSG_ATTR(extack, nest, "fallback needs operation and verdict");
		return -EINVAL;
	}
	fallback[nla_get_u32(tb[SNET_A_FALLBACK_OPERATION])] =
		nla_get_u32(tb[SNET_A_FALLBACK_VERDICT]);
	return 0;
}

static void get_u32(u32 *value, const struct nlattr *attr)
{
	if (attr)
		*value = nla_get_u32(attr);
}

static int get_policy(struct snet_policy *policy, const struct nlattr *nest,
		      struct netlink_ext_ack *extack)
{
	struct nlattr *tb[SNET_A_POLICY_MAX + 1];
	const struct nlattr *attr;
	int err, rem;

	err = nla_parse_nested(tb, SNET_A_POLICY_MAX, nest, snet_policy_nl_policy, extack);
	if (err)
		return err;
	get_u32(&policy->deadline_ms, tb[SNET_A_POLICY_DEADLINE]);
	get_u32(&policy->nonblock_deadline_ms, tb[SNET_A_POLICY_NONBLOCK_DEADLINE]);
	get_u32(&policy->max_requests, tb[SNET_A_POLICY_MAX_REQUESTS]);
	get_u32(&policy->max_requests_per_process, tb[SNET_A_POLICY_MAX_REQUESTS_PER_PROCESS]);
	get_u32(&policy->max_tickets, tb[SNET_A_POLICY_MAX_TICKETS]);
	get_u32(&policy->max_tickets_per_process, tb[SNET_A_POLICY_MAX_TICKETS_PER_PROCESS]);
	nla_for_each_nested(attr, nest, rem) {
		if (nla_type(attr) == SNET_A_POLICY_FALLBACK)
			err = get_fallback(policy->fallback, attr, extack);
		if (err)
			return err;
	}
	return 0;
}

int snet_nl_policy_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct snet_policy policy;
	int err;

	snet_decider_spoke();
	if (GENL_REQ_ATTR_CHECK(info, SNET_A_MAIN_POLICY))
		return -EINVAL;
	mutex_lock(&settings_mutex);
	policy = snet_policy;
	err = get_policy(&policy, info->attrs[SNET_A_MAIN_POLICY], info->extack);
	if (!err)
		snet_policy = policy;
	mutex_unlock(&settings_mutex);
	return err;
}

int snet_nl_policy_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	return reply(info, snet_message_put_policy);
}

int snet_nl_stats_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	snet_decider_spoke();
	return reply(info, snet_message_put_stats);
}

/* The longest event, with a path of PATH_MAX, must fit into an empty buffer. */
int snet_nl_dump_start(struct netlink_callback *cb)
{
	cb->min_dump_alloc = 2 * PATH_MAX;
	return 0;
}

void *snet_dump_header(struct sk_buff *skb, struct netlink_callback *cb, u8 cmd)
{
	return genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, &snet_family,
			   NLM_F_MULTI, cmd);
}

/* Ends the message, or takes it back when it didn't fit. */
int snet_dump_end(struct sk_buff *skb, void *header, int err)
{
	if (err)
		genlmsg_cancel(skb, header);
	else
		genlmsg_end(skb, header);
	return err;
}

int snet_nl_watch_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	for (; cb->args[0] < SNET_OPS; cb->args[0]++) {
		void *header = snet_dump_header(skb, cb, SNET_CMD_WATCH_GET);

		if (!header || snet_dump_end(skb, header, snet_message_put_watch(skb, cb->args[0])))
			break;
	}
	return skb->len;
}

struct event_dump {
	struct sk_buff *skb;
	struct netlink_callback *cb;
	u64 shown;
};

static int show_request(const struct snet_request_view *view, void *data)
{
	struct event_dump *dump = data;
	void *header = snet_dump_header(dump->skb, dump->cb, SNET_CMD_REQUEST_GET);

	if (!header)
		return -EMSGSIZE;
	dump->shown = view->id;
	return snet_dump_end(dump->skb, header, snet_message_put_event(dump->skb, view));
}

int snet_nl_request_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct event_dump dump = { .skb = skb, .cb = cb };

	snet_decider_spoke();
	while (!snet_request_next(cb->args[0], show_request, &dump))
		cb->args[0] = dump.shown;
	return skb->len;
}

static bool somebody_listens(void)
{
	return genl_has_listeners(&snet_family, &init_net, SNET_NL_GROUP_AUDIT);
}

/*
 * Netlink lets anybody join the number of a group that no family has yet, and who did would
 * hear what is sent to it later. Unregistering throws them out. One who joins again and again
 * could win each time; then the group stays silent.
 */
int snet_netlink_init(void)
{
	int err = genl_register_family(&snet_family), tries;

	for (tries = 0; !err && somebody_listens() && tries < 16; tries++) {
		genl_unregister_family(&snet_family);
		err = genl_register_family(&snet_family);
	}
	if (err)
		return err;
	if (somebody_listens())
		pr_warn("no audit messages: a process keeps joining the group as it is made; load again\n");
	else
		snet_audit_open();
	return 0;
}

void snet_netlink_exit(void)
{
	snet_audit_close();
	genl_unregister_family(&snet_family);
}
