/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SNET_MEDIATE_H
#define SNET_MEDIATE_H

#include <net/sock.h>

#include "object.h"
#include "policy.h"

int snet_decide(enum snet_operation operation, enum snet_protocol protocol,
		const struct sock *sk, u32 flags, const struct sockaddr *address, int addrlen);

/**
 * snet_mediate_as - decide a call in the thread that makes it, if it is watched
 * @operation: the operation
 * @protocol: of the socket that the call is made on
 * @sk: the socket whose addresses count
 * @flags: enum snet_call_flag, as far as the hook knows them
 * @address: the address that the call names, in kernel memory, or NULL
 * @addrlen: its length
 *
 * Returns 0 when the call may go on, -EACCES when it may not, -EINTR when the thread is being
 * killed. Doesn't sleep when a ticket allows.
 */
static __always_inline int snet_mediate_as(enum snet_operation operation,
					   enum snet_protocol protocol, const struct sock *sk,
					   u32 flags, const struct sockaddr *address, int addrlen)
{
	if (!snet_watched(operation, protocol))
		return 0;
	return snet_decide(operation, protocol, sk, flags, address, addrlen);
}

/* The usual call, which is about the socket that it is made on, if there is one. */
static __always_inline int snet_mediate(enum snet_operation operation, const struct sock *sk,
					u32 flags, const struct sockaddr *address, int addrlen)
{
	if (!sk)
		return 0;
	return snet_mediate_as(operation, snet_protocol_of(sk), sk, flags, address, addrlen);
}

int snet_refuse_source_route(struct net *net, const struct sock *sk);

#endif /* SNET_MEDIATE_H */
