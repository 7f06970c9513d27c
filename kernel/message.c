// SPDX-License-Identifier: GPL-2.0-only
/*
 * Turns the module's structures into netlink attributes.
 */
#include <linux/user_namespace.h>

#include "decider.h"
#include "message.h"
#include "policy.h"
#include "stats.h"

static int put_u64(struct sk_buff *skb, int type, u64 value, int pad)
{
	return nla_put_u64_64bit(skb, type, value, pad);
}

static int put_subject(struct sk_buff *skb, const struct snet_subject *subject)
{
	const struct snet_identity *identity = &subject->identity;
	struct nlattr *nest = nla_nest_start(skb, SNET_A_MAIN_SUBJECT);
	const int pad = SNET_A_SUBJECT_PAD;

	if (!nest || nla_put_u32(skb, SNET_A_SUBJECT_TGID, subject->tgid) ||
	    nla_put_u32(skb, SNET_A_SUBJECT_TID, subject->tid) ||
	    put_u64(skb, SNET_A_SUBJECT_START_TIME, identity->start_time, pad) ||
	    put_u64(skb, SNET_A_SUBJECT_EXEC_ID, identity->exec_id, pad) ||
	    nla_put_u32(skb, SNET_A_SUBJECT_UID, from_kuid(&init_user_ns, identity->uid)) ||
	    nla_put_u32(skb, SNET_A_SUBJECT_GID, from_kgid(&init_user_ns, subject->gid)) ||
	    nla_put_u32(skb, SNET_A_SUBJECT_LOGIN_UID,
			from_kuid(&init_user_ns, subject->login_uid)) ||
	    nla_put_string(skb, SNET_A_SUBJECT_COMM, subject->comm) ||
	    nla_put_u32(skb, SNET_A_SUBJECT_PARENT_TGID, subject->parent_tgid) ||
	    put_u64(skb, SNET_A_SUBJECT_CGROUP_ID, identity->cgroup_id, pad) ||
	    nla_put_u32(skb, SNET_A_SUBJECT_NET_NS, identity->net_ns) ||
	    nla_put_u32(skb, SNET_A_SUBJECT_MNT_NS, subject->mnt_ns) ||
	    nla_put_u32(skb, SNET_A_SUBJECT_PID_NS, subject->pid_ns) ||
	    nla_put_u32(skb, SNET_A_SUBJECT_USER_NS, subject->user_ns))
		return -EMSGSIZE;
	if (subject->exe &&
	    (nla_put_string(skb, SNET_A_SUBJECT_EXE, subject->exe) ||
	     put_u64(skb, SNET_A_SUBJECT_EXE_DEVICE, subject->exe_device, pad) ||
	     put_u64(skb, SNET_A_SUBJECT_EXE_INODE, subject->exe_inode, pad)))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int put_addr(struct sk_buff *skb, const struct snet_addr *addr, int type, int port_type)
{
	if (!addr->len)
		return 0;
	return nla_put(skb, type, addr->len, addr->bytes) ?:
	       nla_put_u16(skb, port_type, addr->port);
}

static int put_object(struct sk_buff *skb, const struct snet_object *object)
{
	struct nlattr *nest = nla_nest_start(skb, SNET_A_MAIN_OBJECT);

	if (!nest || nla_put_u32(skb, SNET_A_OBJECT_OPERATION, object->operation) ||
	    nla_put_u32(skb, SNET_A_OBJECT_PROTOCOL, object->protocol) ||
	    nla_put_u16(skb, SNET_A_OBJECT_FAMILY, object->family) ||
	    nla_put_u16(skb, SNET_A_OBJECT_TYPE, object->type) ||
	    nla_put_u16(skb, SNET_A_OBJECT_NUMBER, object->number) ||
	    put_addr(skb, &object->remote, SNET_A_OBJECT_REMOTE_ADDR,
		     SNET_A_OBJECT_REMOTE_PORT) ||
	    put_addr(skb, &object->local, SNET_A_OBJECT_LOCAL_ADDR, SNET_A_OBJECT_LOCAL_PORT) ||
	    nla_put_u32(skb, SNET_A_OBJECT_FLAGS, object->flags))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

int snet_message_put_call(struct sk_buff *skb, const struct snet_subject *subject,
			  const struct snet_object *object)
{
	return put_subject(skb, subject) ?: put_object(skb, object);
}

int snet_message_put_event(struct sk_buff *skb, const struct snet_request_view *view)
{
	if (put_u64(skb, SNET_A_MAIN_REQUEST_ID, view->id, SNET_A_MAIN_PAD) ||
	    snet_message_put_call(skb, view->subject, view->object) ||
	    nla_put_u32(skb, SNET_A_MAIN_DEADLINE, view->deadline_ms))
		return -EMSGSIZE;
	return 0;
}

/* Returns 0; -EAGAIN when the decider's socket is full, -ECONNREFUSED when it is gone. */
int snet_message_send_event(const struct snet_request_view *view, u32 portid)
{
	size_t path = view->subject->exe ? strlen(view->subject->exe) : 0;
	struct sk_buff *skb = genlmsg_new(SNET_MESSAGE_CALL_SIZE + path, GFP_KERNEL);
	void *header;

	if (!skb)
		return -ENOMEM;
	header = genlmsg_put(skb, 0, 0, &snet_family, 0, SNET_CMD_EVENT);
	if (!header || snet_message_put_event(skb, view)) {
		nlmsg_free(skb);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, header);
	return genlmsg_unicast(&init_net, skb, portid);
}

static int put_ticket_u64(struct sk_buff *skb, int type, u64 value)
{
	return put_u64(skb, type, value, SNET_A_TICKET_PAD);
}

static int put_scope(struct sk_buff *skb, const struct snet_scope *scope)
{
	if (nla_put_u32(skb, SNET_A_TICKET_OPERATIONS, scope->operations) ||
	    nla_put_u32(skb, SNET_A_TICKET_PROTOCOLS, scope->protocols) ||
	    (scope->conditions & SNET_SCOPE_NUMBER &&
	     nla_put_u16(skb, SNET_A_TICKET_NUMBER, scope->number)) ||
	    nla_put_u16(skb, SNET_A_TICKET_REMOTE_PORT_MIN, scope->remote_port_min) ||
	    nla_put_u16(skb, SNET_A_TICKET_REMOTE_PORT_MAX, scope->remote_port_max) ||
	    nla_put_u16(skb, SNET_A_TICKET_LOCAL_PORT_MIN, scope->local_port_min) ||
	    nla_put_u16(skb, SNET_A_TICKET_LOCAL_PORT_MAX, scope->local_port_max))
		return -EMSGSIZE;
	if (!scope->remote.len)
		return 0;
	return nla_put(skb, SNET_A_TICKET_REMOTE_ADDR, scope->remote.len, scope->remote.bytes) ?:
	       nla_put_u8(skb, SNET_A_TICKET_REMOTE_PREFIX, scope->remote_prefix);
}

static int put_owner(struct sk_buff *skb, const struct snet_ticket_record *record)
{
	if (record->of_program)
		return put_ticket_u64(skb, SNET_A_TICKET_EXE_DEVICE, record->exe_device) ?:
		       put_ticket_u64(skb, SNET_A_TICKET_EXE_INODE, record->exe_inode);
	if (nla_put_u32(skb, SNET_A_TICKET_TGID, record->tgid) ||
	    put_ticket_u64(skb, SNET_A_TICKET_EXEC_ID, record->exec_id) ||
	    put_ticket_u64(skb, SNET_A_TICKET_START_TIME, record->start_time) ||
	    nla_put_u32(skb, SNET_A_TICKET_NET_NS, record->net_ns) ||
	    put_ticket_u64(skb, SNET_A_TICKET_CGROUP_ID, record->cgroup_id))
		return -EMSGSIZE;
	return 0;
}

static int put_optional(struct sk_buff *skb, const struct snet_ticket_record *record)
{
	if ((record->for_user && nla_put_u32(skb, SNET_A_TICKET_UID,
					     from_kuid(&init_user_ns, record->uid))) ||
	    (record->lifetime_ms &&
	     put_ticket_u64(skb, SNET_A_TICKET_LIFETIME, record->lifetime_ms)) ||
	    (record->rule_id && put_ticket_u64(skb, SNET_A_TICKET_RULE_ID, record->rule_id)) ||
	    (record->hits && put_ticket_u64(skb, SNET_A_TICKET_LAST_HIT, record->last_hit_ms)) ||
	    (record->limited && nla_put_u32(skb, SNET_A_TICKET_USES, record->uses)) ||
	    (record->inherit && nla_put_flag(skb, SNET_A_TICKET_INHERIT)) ||
	    (record->origin && put_ticket_u64(skb, SNET_A_TICKET_ORIGIN, record->origin)))
		return -EMSGSIZE;
	return 0;
}

int snet_message_put_ticket(struct sk_buff *skb, const struct snet_ticket_record *record)
{
	struct nlattr *nest = nla_nest_start(skb, SNET_A_MAIN_TICKET);

	if (!nest || put_ticket_u64(skb, SNET_A_TICKET_ID, record->id) ||
	    put_owner(skb, record) || put_scope(skb, &record->scope) ||
	    nla_put_u32(skb, SNET_A_TICKET_VERDICT, record->verdict) ||
	    put_ticket_u64(skb, SNET_A_TICKET_HITS, record->hits) || put_optional(skb, record))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int put_fallback(struct sk_buff *skb, enum snet_operation operation)
{
	struct nlattr *nest = nla_nest_start(skb, SNET_A_POLICY_FALLBACK);

	if (!nest || nla_put_u32(skb, SNET_A_FALLBACK_OPERATION, operation) ||
	    nla_put_u32(skb, SNET_A_FALLBACK_VERDICT, snet_fallback(operation)))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

int snet_message_put_policy(struct sk_buff *skb)
{
	struct nlattr *nest = nla_nest_start(skb, SNET_A_MAIN_POLICY);
	const struct snet_policy *policy = &snet_policy;
	int operation;

	if (!nest ||
	    nla_put_u32(skb, SNET_A_POLICY_DEADLINE, READ_ONCE(policy->deadline_ms)) ||
	    nla_put_u32(skb, SNET_A_POLICY_NONBLOCK_DEADLINE,
			READ_ONCE(policy->nonblock_deadline_ms)) ||
	    nla_put_u32(skb, SNET_A_POLICY_MAX_REQUESTS, READ_ONCE(policy->max_requests)) ||
	    nla_put_u32(skb, SNET_A_POLICY_MAX_REQUESTS_PER_PROCESS,
			READ_ONCE(policy->max_requests_per_process)) ||
	    nla_put_u32(skb, SNET_A_POLICY_MAX_TICKETS, snet_policy_max_tickets()) ||
	    nla_put_u32(skb, SNET_A_POLICY_MAX_TICKETS_PER_PROCESS,
			snet_policy_max_tickets_per_process()))
		return -EMSGSIZE;
	for (operation = 0; operation < SNET_OPS; operation++)
		if (put_fallback(skb, operation))
			return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

int snet_message_put_watch(struct sk_buff *skb, enum snet_operation operation)
{
	struct nlattr *nest = nla_nest_start(skb, SNET_A_MAIN_WATCH);

	if (!nest || nla_put_u32(skb, SNET_A_WATCH_OPERATION, operation) ||
	    nla_put_u32(skb, SNET_A_WATCH_PROTOCOLS, READ_ONCE(snet_watch[operation])))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

int snet_message_put_stats(struct sk_buff *skb)
{
	struct nlattr *nest = nla_nest_start(skb, SNET_A_MAIN_STATS);
	u32 tgid = snet_decider_tgid();
	int counter;

	if (!nest)
		return -EMSGSIZE;
	for (counter = 0; counter < SNET_COUNTERS; counter++)
		if (put_u64(skb, SNET_A_STATS_CALLS + counter, snet_counter_sum(counter),
			    SNET_A_STATS_PAD))
			return -EMSGSIZE;
	if (nla_put_u32(skb, SNET_A_STATS_HELD, snet_requests_count()) ||
	    nla_put_u32(skb, SNET_A_STATS_TICKETS, snet_tickets_count()) ||
	    nla_put_u32(skb, SNET_A_STATS_OWNERS, snet_owners_count()) ||
	    (tgid && nla_put_u32(skb, SNET_A_STATS_DECIDER, tgid)))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}
