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
static int get_ticket(struct list_head *batch, struct snet_ticket_target *target,
		      const struct nlattr *nest, struct netlink_ext_ack *extack)
{
	struct snet_ticket *ticket = snet_message_get_ticket(nest, target, extack);

	if (IS_ERR(ticket))
		return PTR_ERR(ticket);
	list_add_tail(&ticket->of_owner, batch);
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
		return "the table of tickets, or its owner's part of it, is full";
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
		struct snet_ticket_target target;

		if (nla_type(attr) != SNET_A_MAIN_TICKET)
			continue;
		err = get_ticket(batch, &target, attr, info->extack);
		if (err)
			return err;
		if (target.kind != SNET_TARGET_NONE) {
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

static int add_for_process(struct list_head *batch, const struct snet_ticket_target *target,
			   const struct nlattr *attr, struct genl_info *info)
{
	struct snet_identity who;
	int err;

	err = snet_identity_of(&who, target->tgid, target->start_time, target->exec_id);
	if (err) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr,
				    "tgid, start-time and exec-id name no running program");
		return err;
	}
	err = snet_tickets_install(batch, &who);
	put_pid(who.pid);
	return err ? refuse_tickets(info, err) : 0;
}

static int add_for_program(struct list_head *batch, const struct snet_ticket_target *target,
			   struct genl_info *info)
{
	int err = snet_tickets_install_program(batch, target->exe_device, target->exe_inode);

	return err ? refuse_tickets(info, err) : 0;
}

static int add_ticket(const struct nlattr *attr, struct genl_info *info)
{
	struct snet_ticket_target target;
	LIST_HEAD(batch);
	int err;

	err = get_ticket(&batch, &target, attr, info->extack);
	if (err)
		return err;
	switch (target.kind) {
	case SNET_TARGET_PROCESS:
		err = add_for_process(&batch, &target, attr, info);
		break;
	case SNET_TARGET_PROGRAM:
		err = add_for_program(&batch, &target, info);
		break;
	default:
		NL_SET_ERR_MSG_ATTR(info->extack, attr,
				    "ticket needs a process or a program that it is for");
		err = -EINVAL;
	}
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
		err = add_ticket(attr, info);
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
	const struct nlattr *id = info->attrs[SNET_A_MAIN_TICKET_ID];
	const struct nlattr *rule = info->attrs[SNET_A_MAIN_RULE_ID];
	const struct nlattr *tgid = info->attrs[SNET_A_MAIN_TGID];
	u32 removed;

	if (!!id + !!rule + !!tgid != 1) {
		GENL_SET_ERR_MSG(info,
				 "one of ticket-id, rule-id and tgid is needed; ticket-flush removes all");
		return -EINVAL;
	}
	if (id)
		removed = snet_tickets_remove(SNET_TICKETS_WITH_ID, nla_get_u64(id));
	else if (rule)
		removed = snet_tickets_remove(SNET_TICKETS_OF_RULE, nla_get_u64(rule));
	else
		removed = snet_tickets_remove(SNET_TICKETS_OF_PROCESS, nla_get_u32(tgid));
	if (removed)
		return 0;
	GENL_SET_ERR_MSG(info, "no such ticket");
	return -ENOENT;
}

int snet_nl_ticket_flush_doit(struct sk_buff *skb, struct genl_info *info)
{
	snet_tickets_remove(SNET_TICKETS_ALL, 0);
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
