// SPDX-License-Identifier: GPL-2.0-only
/*
 * The flow of every call: watched? ticket? request. Owns nothing.
 */
#include <linux/sched.h>
#include <net/sock.h>

#include "audit.h"
#include "decider.h"
#include "mediate.h"
#include "object.h"
#include "policy.h"
#include "request.h"
#include "stats.h"
#include "ticket.h"

/* The kernel's own sockets and threads act for nobody. io_uring workers act for a process. */
static bool is_kernels_own(const struct sock *sk)
{
	return !sk || sk->sk_kern_sock || current->flags & PF_KTHREAD || !current->mm;
}

/* connect() with AF_UNSPEC dissolves an association; it begins nothing. */
static bool is_disconnect(enum snet_operation operation, const struct sockaddr *address,
			  int addrlen)
{
	return operation == SNET_OP_CONNECT && addrlen >= (int)sizeof(sa_family_t) &&
	       address->sa_family == AF_UNSPEC;
}

/**
 * snet_mediate - decide a call in the thread that makes it
 * @operation: the operation
 * @sk: the socket
 * @flags: enum snet_call_flag, as far as the hook knows them
 * @address: the address that the call names, in kernel memory, or NULL
 * @addrlen: its length
 *
 * Returns 0 when the call may go on, -EACCES when it may not, -EINTR when the thread is being
 * killed. Doesn't sleep when a ticket allows.
 */
int snet_mediate(enum snet_operation operation, const struct sock *sk, u32 flags,
		 const struct sockaddr *address, int addrlen)
{
	enum snet_protocol protocol;
	struct snet_ticket_hit hit;
	struct snet_object object;

	if (is_kernels_own(sk) || sk->sk_family == AF_NETLINK)
		return 0;
	protocol = snet_protocol_of(sk);
	if (!snet_watched(operation, protocol) || is_disconnect(operation, address, addrlen) ||
	    snet_decider_is_current())
		return 0;
	snet_count(SNET_COUNT_CALLS);
	snet_object_fill(&object, operation, protocol, sk, address, addrlen);
	object.flags |= flags;
	switch (snet_ticket_lookup(&object, &hit)) {
	case SNET_VERDICT_ALLOW:
		snet_count(SNET_COUNT_TICKET_ALLOWED);
		return 0;
	case SNET_VERDICT_DENY:
		snet_count(SNET_COUNT_TICKET_DENIED);
		snet_audit(&object, SNET_CAUSE_TICKET, SNET_VERDICT_DENY, &hit);
		return -EACCES;
	default:
		return snet_request_hold(&object);
	}
}
