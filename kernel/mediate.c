// SPDX-License-Identifier: GPL-2.0-only
/*
 * The flow of every call: watched? ticket? request. Owns nothing.
 */
#include <linux/sched.h>
#include <net/sock.h>

#include "audit.h"
#include "decider.h"
#include "hook.h"
#include "mediate.h"
#include "object.h"
#include "policy.h"
#include "request.h"
#include "stats.h"
#include "ticket.h"

/* How often a call is decided anew because its socket was changed while it was held. */
#define MAX_DECISIONS 4

/* The kernel's own sockets and threads act for nobody. io_uring workers act for a process. */
static bool is_kernels_own(const struct sock *sk)
{
	return sk->sk_kern_sock || current->flags & PF_KTHREAD || !current->mm;
}

/* connect() with AF_UNSPEC dissolves an association; it begins nothing. */
static bool is_disconnect(enum snet_operation operation, const struct sockaddr *address,
			  int addrlen)
{
	return operation == SNET_OP_CONNECT && addrlen >= (int)sizeof(sa_family_t) &&
	       address->sa_family == AF_UNSPEC;
}

static int refuse_source_route(const struct snet_object *object)
{
	snet_count(SNET_COUNT_REFUSED);
	snet_audit(object, SNET_CAUSE_SOURCE_ROUTE, SNET_VERDICT_DENY, NULL);
	return -EACCES;
}

/**
 * snet_refuse_source_route - refuse a program that prepares a source route
 * @net: the network namespace
 * @sk: the socket, or NULL when it isn't known
 *
 * Returns -EACCES, or 0 for the decider. May sleep.
 */
int snet_refuse_source_route(struct net *net, const struct sock *sk)
{
	struct snet_object object = {
		.operation = SNET_OP_SEND,
		.protocol = SNET_PROTO_OTHER,
		.family = AF_INET,
		.net = net,
	};

	if (snet_decider_is_current())
		return 0;
	if (sk) {
		enum snet_protocol protocol = snet_protocol_of(sk);

		snet_object_fill(&object, BIT(protocol) & SNET_STREAMS ? SNET_OP_CONNECT :
				 SNET_OP_SEND, protocol, sk, NULL, 0);
		object.flags = snet_call_flags(sk);
	}
	return refuse_source_route(&object);
}

/* A call that no ticket allows; @hit is of the one that denies it, or NULL. */
static int decide_otherwise(const struct snet_object *object, const struct snet_ticket_hit *hit)
{
	if (snet_decider_is_current())
		return 0;
	snet_count(SNET_COUNT_CALLS);
	if (!hit)
		return snet_request_hold(object);
	snet_count(SNET_COUNT_TICKET_DENIED);
	snet_audit(object, SNET_CAUSE_TICKET, SNET_VERDICT_DENY, hit);
	return -EACCES;
}

/* Has another thread bound the socket elsewhere since @object was filled? */
static bool is_outdated(const struct snet_object *object, const struct sock *sk)
{
	return (object->operation == SNET_OP_LISTEN || object->operation == SNET_OP_CONNECT) &&
	       object->local.port != snet_local_port(sk);
}

static bool is_routed(enum snet_operation operation, const struct sock *sk)
{
	return (operation == SNET_OP_CONNECT || operation == SNET_OP_SEND) &&
	       unlikely(snet_is_source_routed(sk));
}

/*
 * The part of snet_mediate_as() for calls that are watched. What needn't be known of a call
 * that a ticket allows (how it was made, whether the decider makes it) is asked behind that.
 */
int snet_decide(enum snet_operation operation, enum snet_protocol protocol,
		const struct sock *sk, u32 flags, const struct sockaddr *address, int addrlen)
{
	struct snet_object object __uninitialized;
	struct snet_ticket_hit hit __uninitialized;
	enum snet_verdict verdict = 0;
	int i, err;

	if (is_kernels_own(sk) || sk->sk_family == AF_NETLINK ||
	    is_disconnect(operation, address, addrlen))
		return 0;
	for (i = 0; i < MAX_DECISIONS; i++) {
		bool routed = is_routed(operation, sk);

		snet_object_fill(&object, operation, protocol, sk, address, addrlen);
		if (!routed)
			verdict = snet_ticket_lookup(&object, &hit);
		if (likely(verdict == SNET_VERDICT_ALLOW)) {
			snet_count(SNET_COUNT_CALLS);
			snet_count(SNET_COUNT_TICKET_ALLOWED);
			return 0;
		}
		object.flags = flags | snet_call_flags(sk);
		if (routed)
			return snet_decider_is_current() ? 0 : refuse_source_route(&object);
		err = decide_otherwise(&object, verdict ? &hit : NULL);
		if (err || !is_outdated(&object, sk))
			return err;
	}
	return -EACCES;
}
