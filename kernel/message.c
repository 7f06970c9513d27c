// SPDX-License-Identifier: GPL-2.0-only
/*
 * Turns the module's structures into netlink attributes and back. Lengths, ranges and
 * unknown attributes are refused by the generated policies before anything here reads them;
 * this file refuses what only shows between attributes.
 */
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/slab.h>
#include <linux/user_namespace.h>

#include "decider.h"
#include "message.h"
#include "netlink_gen.h"
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
	    nla_put_u32(skb, SNET_A_SUBJECT_USER_NS, identity->user_ns))
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

static int put_scope(struct sk_buff *skb, const struct snet_scope *scope)
{
	if (nla_put_u32(skb, SNET_A_TICKET_OPERATIONS, scope->operations) ||
	    nla_put_u32(skb, SNET_A_TICKET_PROTOCOLS, scope->protocols) ||
	    (scope->has_number && nla_put_u16(skb, SNET_A_TICKET_NUMBER, scope->number)) ||
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

int snet_message_put_ticket(struct sk_buff *skb, const struct snet_ticket_record *record)
{
	struct nlattr *nest = nla_nest_start(skb, SNET_A_MAIN_TICKET);
	const int pad = SNET_A_TICKET_PAD;

	if (!nest || put_u64(skb, SNET_A_TICKET_ID, record->id, pad) ||
	    nla_put_u32(skb, SNET_A_TICKET_TGID, record->tgid) ||
	    put_u64(skb, SNET_A_TICKET_EXEC_ID, record->exec_id, pad) ||
	    put_u64(skb, SNET_A_TICKET_START_TIME, record->start_time, pad) ||
	    put_scope(skb, &record->scope) ||
	    nla_put_u32(skb, SNET_A_TICKET_VERDICT, record->verdict) ||
	    put_u64(skb, SNET_A_TICKET_HITS, record->hits, pad) ||
	    nla_put_u32(skb, SNET_A_TICKET_UID, from_kuid(&init_user_ns, record->uid)) ||
	    nla_put_u32(skb, SNET_A_TICKET_NET_NS, record->net_ns) ||
	    put_u64(skb, SNET_A_TICKET_CGROUP_ID, record->cgroup_id, pad))
		return -EMSGSIZE;
	if ((record->lifetime_ms &&
	     put_u64(skb, SNET_A_TICKET_LIFETIME, record->lifetime_ms, pad)) ||
	    (record->rule_id && put_u64(skb, SNET_A_TICKET_RULE_ID, record->rule_id, pad)) ||
	    (record->hits && put_u64(skb, SNET_A_TICKET_LAST_HIT, record->last_hit_ms, pad)))
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
	    (tgid && nla_put_u32(skb, SNET_A_STATS_DECIDER, tgid)))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int get_remote(struct snet_scope *scope, struct nlattr **tb,
		      struct netlink_ext_ack *extack)
{
	const struct nlattr *addr = tb[SNET_A_TICKET_REMOTE_ADDR];
	const struct nlattr *prefix = tb[SNET_A_TICKET_REMOTE_PREFIX];
	unsigned int bit, bits;

	if (!addr && !prefix)
		return 0;
	if (!addr || !prefix) {
		NL_SET_ERR_MSG_ATTR(extack, addr ?: prefix,
				    "remote-addr and remote-prefix go together");
		return -EINVAL;
	}
	if (nla_len(addr) != sizeof(scope->remote.v4) &&
	    nla_len(addr) != sizeof(scope->remote.v6)) {
		NL_SET_ERR_MSG_ATTR(extack, addr, "remote-addr must have 4 or 16 bytes");
		return -EINVAL;
	}
	scope->remote.len = nla_len(addr);
	scope->remote_prefix = nla_get_u8(prefix);
	memcpy(scope->remote.bytes, nla_data(addr), scope->remote.len);
	bits = scope->remote.len * 8;
	if (scope->remote_prefix > bits) {
		NL_SET_ERR_MSG_ATTR(extack, prefix, "remote-prefix is longer than the address");
		return -EINVAL;
	}
	for (bit = scope->remote_prefix; bit < bits; bit++) {
		if (scope->remote.bytes[bit / 8] & (0x80 >> (bit % 8))) {
			NL_SET_ERR_MSG_ATTR(extack, addr,
					    "remote-addr has bits behind its prefix");
			return -EINVAL;
		}
	}
	return 0;
}

static u16 get_port(const struct nlattr *attr, u16 otherwise)
{
	return attr ? nla_get_u16(attr) : otherwise;
}

static int get_scope(struct snet_scope *scope, struct nlattr **tb, const struct nlattr *nest,
		     struct netlink_ext_ack *extack)
{
	if (!tb[SNET_A_TICKET_OPERATIONS] || !tb[SNET_A_TICKET_PROTOCOLS]) {
		NL_SET_ERR_MSG_ATTR(extack, nest, "ticket needs operations and protocols");
		return -EINVAL;
	}
	scope->operations = nla_get_u32(tb[SNET_A_TICKET_OPERATIONS]);
	scope->protocols = nla_get_u32(tb[SNET_A_TICKET_PROTOCOLS]);
	if (!scope->operations || !scope->protocols) {
		NL_SET_ERR_MSG_ATTR(extack, nest, "ticket covers no operation or no protocol");
		return -EINVAL;
	}
	scope->has_number = tb[SNET_A_TICKET_NUMBER];
	if (scope->has_number)
		scope->number = nla_get_u16(tb[SNET_A_TICKET_NUMBER]);
	scope->remote_port_min = get_port(tb[SNET_A_TICKET_REMOTE_PORT_MIN], 0);
	scope->remote_port_max = get_port(tb[SNET_A_TICKET_REMOTE_PORT_MAX], U16_MAX);
	scope->local_port_min = get_port(tb[SNET_A_TICKET_LOCAL_PORT_MIN], 0);
	scope->local_port_max = get_port(tb[SNET_A_TICKET_LOCAL_PORT_MAX], U16_MAX);
	if (scope->remote_port_min > scope->remote_port_max ||
	    scope->local_port_min > scope->local_port_max) {
		NL_SET_ERR_MSG_ATTR(extack, nest, "ticket has an empty port range");
		return -EINVAL;
	}
	return get_remote(scope, tb, extack);
}

static int get_expiry(struct snet_ticket *ticket, const struct nlattr *lifetime,
		      struct netlink_ext_ack *extack)
{
	u64 now = ktime_get_boottime_ns(), ms;

	if (!lifetime)
		return 0;
	ms = nla_get_u64(lifetime);
	if (ms > (U64_MAX - now) / NSEC_PER_MSEC) {
		NL_SET_ERR_MSG_ATTR(extack, lifetime, "lifetime is too long");
		return -ERANGE;
	}
	ticket->expires = now + ms * NSEC_PER_MSEC;
	return 0;
}

static int get_ticket(struct snet_ticket *ticket, struct snet_ticket_owner *owner,
		      const struct nlattr *nest, struct netlink_ext_ack *extack)
{
	struct nlattr *tb[SNET_A_TICKET_MAX + 1];
	int err;

	err = nla_parse_nested(tb, SNET_A_TICKET_MAX, nest, snet_ticket_nl_policy, extack);
	if (err)
		return err;
	if (!tb[SNET_A_TICKET_ID] || !nla_get_u64(tb[SNET_A_TICKET_ID])) {
		NL_SET_ERR_MSG_ATTR(extack, nest, "ticket needs an id that isn't 0");
		return -EINVAL;
	}
	if (!tb[SNET_A_TICKET_VERDICT]) {
		NL_SET_ERR_MSG_ATTR(extack, nest, "ticket needs a verdict");
		return -EINVAL;
	}
	ticket->id = nla_get_u64(tb[SNET_A_TICKET_ID]);
	ticket->verdict = nla_get_u32(tb[SNET_A_TICKET_VERDICT]);
	if (tb[SNET_A_TICKET_RULE_ID])
		ticket->rule_id = nla_get_u64(tb[SNET_A_TICKET_RULE_ID]);
	if (tb[SNET_A_TICKET_TGID])
		owner->tgid = nla_get_u32(tb[SNET_A_TICKET_TGID]);
	if (tb[SNET_A_TICKET_START_TIME])
		owner->start_time = nla_get_u64(tb[SNET_A_TICKET_START_TIME]);
	if (tb[SNET_A_TICKET_EXEC_ID])
		owner->exec_id = nla_get_u64(tb[SNET_A_TICKET_EXEC_ID]);
	return get_scope(&ticket->scope, tb, nest, extack) ?:
	       get_expiry(ticket, tb[SNET_A_TICKET_LIFETIME], extack);
}

/* The ticket in @nest, to be freed with snet_tickets_free(), or an ERR_PTR. */
struct snet_ticket *snet_message_get_ticket(const struct nlattr *nest,
					    struct snet_ticket_owner *owner,
					    struct netlink_ext_ack *extack)
{
	struct snet_ticket *ticket = kzalloc(sizeof(*ticket), GFP_KERNEL);
	int err;

	if (!ticket)
		return ERR_PTR(-ENOMEM);
	memset(owner, 0, sizeof(*owner));
	err = get_ticket(ticket, owner, nest, extack);
	if (err) {
		kfree(ticket);
		return ERR_PTR(err);
	}
	return ticket;
}
