/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SNET_MEDIATE_H
#define SNET_MEDIATE_H

#include <net/sock.h>

#include "uapi/snet.h"

int snet_mediate(enum snet_operation operation, const struct sock *sk, u32 flags,
		 const struct sockaddr *address, int addrlen);
int snet_mediate_accept(const struct sock *listener, const struct sock *sk, u32 flags,
			const struct sockaddr *peer, int addrlen);
int snet_refuse_source_route(struct net *net, const struct sock *sk);

#endif /* SNET_MEDIATE_H */
