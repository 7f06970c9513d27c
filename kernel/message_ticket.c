// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads tickets from netlink attributes. Lengths, ranges and unknown attributes are refused
 * by the generated policies before anything here reads them; this file refuses what only
 * shows between attributes.
 */
#include <linux/ktime.h>
#include <linux/user_namespace.h>

#include "message.h"
#include "netlink_gen.h"

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
	int err;

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
	if (tb[SNET_A_TICKET_NUMBER]) {
		scope->conditions = SNET_SCOPE_NUMBER;
		scope->number = nla_get_u16(tb[SNET_A_TICKET_NUMBER]);
	}
	scope->remote_port_min = get_port(tb[SNET_A_TICKET_REMOTE_PORT_MIN], 0);
	scope->remote_port_max = get_port(tb[SNET_A_TICKET_REMOTE_PORT_MAX], U16_MAX);
	scope->local_port_min = get_port(tb[SNET_A_TICKET_LOCAL_PORT_MIN], 0);
	scope->local_port_max = get_port(tb[SNET_A_TICKET_LOCAL_PORT_MAX], U16_MAX);
	if (scope->remote_port_min > scope->remote_port_max ||
	    scope->local_port_min > scope->local_port_max) {
		NL_SET_ERR_MSG_ATTR(extack, nest, "ticket has an empty port range");
		return -EINVAL;
	}
	err = get_remote(scope, tb, extack);
	if (!err)
		snet_scope_seal(scope);
	return err;
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

static int get_id(struct snet_ticket *ticket, struct nlattr **tb, const struct nlattr *nest,
		  struct netlink_ext_ack *extack)
{
	if (!tb[SNET_A_TICKET_ID] || !nla_get_u64(tb[SNET_A_TICKET_ID])) {
		NL_SET_ERR_MSG_ATTR(extack, nest, "ticket needs an id that isn't 0");
		return -EINVAL;
	}
	ticket->id = nla_get_u64(tb[SNET_A_TICKET_ID]);
	if (ticket->id & SNET_TICKET_ID_COPY) {
		NL_SET_ERR_MSG_ATTR(extack, tb[SNET_A_TICKET_ID],
				    "ids with the highest bit set are of the kernel's copies");
		return -EINVAL;
	}
	return 0;
}

static int get_process(struct snet_ticket_target *target, struct nlattr **tb,
		       const struct nlattr *nest, struct netlink_ext_ack *extack)
{
	if (!tb[SNET_A_TICKET_TGID] || !tb[SNET_A_TICKET_START_TIME] ||
	    !tb[SNET_A_TICKET_EXEC_ID]) {
		NL_SET_ERR_MSG_ATTR(extack, nest, "tgid, start-time and exec-id go together");
		return -EINVAL;
	}
	target->kind = SNET_TARGET_PROCESS;
	target->tgid = nla_get_u32(tb[SNET_A_TICKET_TGID]);
	target->start_time = nla_get_u64(tb[SNET_A_TICKET_START_TIME]);
	target->exec_id = nla_get_u64(tb[SNET_A_TICKET_EXEC_ID]);
	return 0;
}

static int get_program(struct snet_ticket_target *target, struct nlattr **tb,
		       const struct nlattr *nest, struct netlink_ext_ack *extack)
{
	if (!tb[SNET_A_TICKET_EXE_DEVICE] || !tb[SNET_A_TICKET_EXE_INODE]) {
		NL_SET_ERR_MSG_ATTR(extack, nest, "exe-device and exe-inode go together");
		return -EINVAL;
	}
	target->kind = SNET_TARGET_PROGRAM;
	target->exe_device = nla_get_u64(tb[SNET_A_TICKET_EXE_DEVICE]);
	target->exe_inode = nla_get_u64(tb[SNET_A_TICKET_EXE_INODE]);
	return 0;
}

static int get_target(struct snet_ticket_target *target, struct nlattr **tb,
		      const struct nlattr *nest, struct netlink_ext_ack *extack)
{
	bool process = tb[SNET_A_TICKET_TGID] || tb[SNET_A_TICKET_START_TIME] ||
		       tb[SNET_A_TICKET_EXEC_ID];
	bool program = tb[SNET_A_TICKET_EXE_DEVICE] || tb[SNET_A_TICKET_EXE_INODE];

	memset(target, 0, sizeof(*target));
	if (process && program) {
		NL_SET_ERR_MSG_ATTR(extack, nest,
				    "a ticket is for a process or for a program, not for both");
		return -EINVAL;
	}
	if (process)
		return get_process(target, tb, nest, extack);
	return program ? get_program(target, tb, nest, extack) : 0;
}

static int get_user_id(struct snet_ticket *ticket, const struct nlattr *uid, bool of_program,
		       struct netlink_ext_ack *extack)
{
	if (!uid)
		return 0;
	if (!of_program) {
		NL_SET_ERR_MSG_ATTR(extack, uid,
				    "uid is for program tickets; a process has its own");
		return -EINVAL;
	}
	ticket->for_user = true;
	ticket->uid = make_kuid(&init_user_ns, nla_get_u32(uid));
	if (!uid_valid(ticket->uid)) {
		NL_SET_ERR_MSG_ATTR(extack, uid, "uid is no user id");
		return -EINVAL;
	}
	return 0;
}

static int get_uses(struct snet_ticket *ticket, struct nlattr **tb, bool of_program,
		    struct netlink_ext_ack *extack)
{
	const struct nlattr *inherit = tb[SNET_A_TICKET_INHERIT];
	const struct nlattr *uses = tb[SNET_A_TICKET_USES];

	ticket->inherit = inherit;
	ticket->limited = uses;
	if (uses && nla_get_u32(uses) > INT_MAX) {
		NL_SET_ERR_MSG_ATTR(extack, uses, "uses must be below 2^31");
		return -ERANGE;
	}
	if (uses)
		atomic_set(&ticket->uses, nla_get_u32(uses));
	if (inherit && of_program) {
		NL_SET_ERR_MSG_ATTR(extack, inherit, "a program ticket is for children already");
		return -EINVAL;
	}
	if (inherit && uses) {
		NL_SET_ERR_MSG_ATTR(extack, uses, "uses and inherit don't go together");
		return -EINVAL;
	}
	return 0;
}

static int get_ticket(struct snet_ticket *ticket, struct snet_ticket_target *target,
		      const struct nlattr *nest, struct netlink_ext_ack *extack)
{
	struct nlattr *tb[SNET_A_TICKET_MAX + 1];
	bool of_program;
	int err;

	err = nla_parse_nested(tb, SNET_A_TICKET_MAX, nest, snet_ticket_nl_policy, extack);
	if (err)
		return err;
	err = get_id(ticket, tb, nest, extack);
	if (err)
		return err;
	if (!tb[SNET_A_TICKET_VERDICT]) {
		NL_SET_ERR_MSG_ATTR(extack, nest, "ticket needs a verdict");
		return -EINVAL;
	}
	ticket->verdict = nla_get_u32(tb[SNET_A_TICKET_VERDICT]);
	if (tb[SNET_A_TICKET_RULE_ID])
		ticket->rule_id = nla_get_u64(tb[SNET_A_TICKET_RULE_ID]);
	err = get_target(target, tb, nest, extack);
	if (err)
		return err;
	of_program = target->kind == SNET_TARGET_PROGRAM;
	return get_user_id(ticket, tb[SNET_A_TICKET_UID], of_program, extack) ?:
	       get_uses(ticket, tb, of_program, extack) ?:
	       get_scope(&ticket->scope, tb, nest, extack) ?:
	       get_expiry(ticket, tb[SNET_A_TICKET_LIFETIME], extack);
}

/* The ticket in @nest, to be freed with snet_tickets_free(), or an ERR_PTR. May sleep. */
struct snet_ticket *snet_message_get_ticket(const struct nlattr *nest,
					    struct snet_ticket_target *target,
					    struct netlink_ext_ack *extack)
{
	struct snet_ticket *ticket = snet_ticket_new(GFP_KERNEL);
	int err;

	if (!ticket)
		return ERR_PTR(-ENOMEM);
	err = get_ticket(ticket, target, nest, extack);
	if (err) {
		LIST_HEAD(batch);

		list_add(&ticket->of_owner, &batch);
		snet_tickets_free(&batch);
		return ERR_PTR(err);
	}
	return ticket;
}
