// SPDX-License-Identifier: GPL-2.0-only
/*
 * The commands of the family that carry verdicts and tickets.
 */
#include <net/genetlink.h>

#include "decider.h"
#include "message.h"
#include "netlink.h"
#include "netlink_gen.h"
#include "request.h"
#include "ticket.h"

/* Reads a ticket into @batch. */
static int get_ticket(struct list_head *batch, struct snet_ticket_owner *owner,
		      const struct nlattr *nest, struct netlink_ext_ack *extack)
{
	struct snet_ticket *ticket = snet_message_get_ticket(nest, owner, extack);

	if (IS_ERR(ticket))
		return PTR_ERR(ticket);
	list_add_tail(&ticket->node, batch);
	return 0;
}

static int count_tickets(struct genl_info *info)
{
	const struct nlattr *attr;
	int count = 0, rem;

	snet_for_each_attr(attr, info, rem)
		count += nla_type(attr) == SNET_A_MAIN_TICKET;
	if (count > SNET_MAX_TICKETS_PER_MESSAGE) {
		GENL_SET_ERR_MSG(info, "more tickets than one message may carry");
		return -E2BIG;
	}
	return count;
}

static const char *install_error(int err)
{
	switch (err) {
	case -EEXIST:
		return "a ticket with this id exists";
	case -ENOSPC:
		return "the table of tickets, or the process's part of it, is full";
	case -ESRCH:
		return "the process has ended";
	default:
		return "the ticket can't be kept";
	}
}

/* NL_SET_ERR_MSG() wants a literal. */
static int refuse_tickets(struct genl_info *info, int err)
{
	if (info->extack)
		info->extack->_msg = install_error(err);
	return err;
}

static int get_verdict_tickets(struct list_head *batch, struct genl_info *info)
{
	const struct nlattr *attr;
	int err = count_tickets(info), rem;

	if (err < 0)
		return err;
	snet_for_each_attr(attr, info, rem) {
		struct snet_ticket_owner owner;

		if (nla_type(attr) != SNET_A_MAIN_TICKET)
			continue;
		err = get_ticket(batch, &owner, attr, info->extack);
		if (err)
			return err;
		if (owner.tgid || owner.start_time || owner.exec_id) {
			NL_SET_ERR_MSG_ATTR(info->extack, attr,
					    "a ticket of a verdict is for the process that asked");
			return -EINVAL;
		}
	}
	return 0;
}

int snet_nl_verdict_doit(struct sk_buff *skb, struct genl_info *info)
{
	LIST_HEAD(batch);
	int err, ticket_err = 0;

	if (!snet_decider_is_current()) {
		GENL_SET_ERR_MSG(info, "only the registered decider gives verdicts");
		return -EPERM;
	}
	snet_decider_spoke();
	if (GENL_REQ_ATTR_CHECK(info, SNET_A_MAIN_REQUEST_ID) ||
	    GENL_REQ_ATTR_CHECK(info, SNET_A_MAIN_VERDICT))
		return -EINVAL;
	err = get_verdict_tickets(&batch, info);
	if (!err)
		err = snet_request_decide(nla_get_u64(info->attrs[SNET_A_MAIN_REQUEST_ID]),
					  nla_get_u32(info->attrs[SNET_A_MAIN_VERDICT]), &batch,
					  &ticket_err);
	if (err == -ENOENT)
		GENL_SET_ERR_MSG(info, "nothing is held under this request-id any more");
	if (!err && ticket_err)
		err = refuse_tickets(info, ticket_err);
	snet_tickets_free(&batch);
	return err;
}

int snet_nl_defer_doit(struct sk_buff *skb, struct genl_info *info)
{
	int err;

	if (!snet_decider_is_current()) {
		GENL_SET_ERR_MSG(info, "only the registered decider defers");
		return -EPERM;
	}
	snet_decider_spoke();
	if (GENL_REQ_ATTR_CHECK(info, SNET_A_MAIN_REQUEST_ID) ||
	    GENL_REQ_ATTR_CHECK(info, SNET_A_MAIN_DEADLINE))
		return -EINVAL;
	err = snet_request_defer(nla_get_u64(info->attrs[SNET_A_MAIN_REQUEST_ID]),
				 nla_get_u32(info->attrs[SNET_A_MAIN_DEADLINE]));
	if (err == -ENOENT)
		GENL_SET_ERR_MSG(info, "nothing is held under this request-id any more");
	if (err == -EINVAL)
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[SNET_A_MAIN_DEADLINE],
				    "non-blocking, io_uring and locked calls are held no longer than nonblock-deadline in all");
	return err;
}

static int add_ticket(const struct nlattr *attr, struct netlink_ext_ack *extack,
		      struct genl_info *info)
{
	struct snet_ticket_owner owner;
	struct snet_identity who;
	LIST_HEAD(batch);
	int err;

	err = get_ticket(&batch, &owner, attr, extack);
	if (err)
		return err;
	err = snet_identity_of(&who, owner.tgid, owner.start_time, owner.exec_id);
	if (err) {
		NL_SET_ERR_MSG_ATTR(extack, attr,
				    "tgid, start-time and exec-id name no running program");
		goto out_free;
	}
	err = snet_tickets_install(&batch, &who);
	if (err)
		refuse_tickets(info, err);
	put_pid(who.pid);
out_free:
	snet_tickets_free(&batch);
	return err;
}

/* Tickets in front of the first that is refused are kept; the error tells which one it was. */
int snet_nl_ticket_add_doit(struct sk_buff *skb, struct genl_info *info)
{
	const struct nlattr *attr;
	int err, rem;

	if (GENL_REQ_ATTR_CHECK(info, SNET_A_MAIN_TICKET))
		return -EINVAL;
	err = count_tickets(info);
	if (err < 0)
		return err;
	snet_for_each_attr(attr, info, rem) {
		if (nla_type(attr) != SNET_A_MAIN_TICKET)
			continue;
		err = add_ticket(attr, info->extack, info);
		if (err) {
			if (info->extack)
				NL_SET_BAD_ATTR(info->extack, attr);
			return err;
		}
	}
	return 0;
}

int snet_nl_ticket_del_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct snet_ticket_selector selector = {};
	struct nlattr **attrs = info->attrs;

	if (!attrs[SNET_A_MAIN_TICKET_ID] && !attrs[SNET_A_MAIN_RULE_ID] && !attrs[SNET_A_MAIN_TGID]) {
		GENL_SET_ERR_MSG(info, "ticket-id, rule-id or tgid is needed; ticket-flush removes all");
		return -EINVAL;
	}
	selector.by_id = attrs[SNET_A_MAIN_TICKET_ID];
	if (selector.by_id)
		selector.id = nla_get_u64(attrs[SNET_A_MAIN_TICKET_ID]);
	selector.by_rule = attrs[SNET_A_MAIN_RULE_ID];
	if (selector.by_rule)
		selector.rule_id = nla_get_u64(attrs[SNET_A_MAIN_RULE_ID]);
	selector.by_tgid = attrs[SNET_A_MAIN_TGID];
	if (selector.by_tgid)
		selector.tgid = nla_get_u32(attrs[SNET_A_MAIN_TGID]);
	if (snet_tickets_remove(&selector))
		return 0;
	GENL_SET_ERR_MSG(info, "no such ticket");
	return -ENOENT;
}

int snet_nl_ticket_flush_doit(struct sk_buff *skb, struct genl_info *info)
{
	const struct snet_ticket_selector all = {};

	snet_tickets_remove(&all);
	return 0;
}

/* By rising id, so that tickets that come and go meanwhile move no others. */
int snet_nl_ticket_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct snet_ticket_record record;

	while (snet_ticket_next(cb->args[0], &record)) {
		void *header = snet_dump_header(skb, cb, SNET_CMD_TICKET_GET);

		if (!header || snet_dump_end(skb, header, snet_message_put_ticket(skb, &record)))
			break;
		cb->args[0] = record.id;
	}
	return skb->len;
}
