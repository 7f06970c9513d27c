/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is attempted: operation, kind of socket, addresses.
 */
#ifndef SNET_OBJECT_H
#define SNET_OBJECT_H

#include <linux/in.h>
#include <linux/in6.h>
#include <linux/net.h>
#include <net/sock.h>

#include "uapi/snet.h"

/* @len is 0 (no address), 4 or 16; @bytes in network order, zero behind @len. */
struct snet_addr {
	u8 len;
	u16 port;
	union {
		u8 bytes[16];
		__be32 v4;
		struct in6_addr v6;
		u64 words[2];
	};
};

struct snet_object {
	u8 operation;		/* enum snet_operation */
	u8 protocol;		/* enum snet_protocol */
	u16 family;
	u16 type;
	u16 number;
	u32 flags;		/* enum snet_call_flag */
	struct snet_addr remote;
	struct snet_addr local;
	struct net *net;	/* of the socket; valid during the call */
};

enum snet_protocol snet_protocol_of_any(const struct sock *sk);

/* What nearly all calls are about is told where it is asked. */
static inline enum snet_protocol snet_protocol_of(const struct sock *sk)
{
	if (likely(sk->sk_family == AF_INET || sk->sk_family == AF_INET6)) {
		if (sk->sk_type == SOCK_DGRAM && sk->sk_protocol == IPPROTO_UDP)
			return SNET_PROTO_UDP;
		if (sk->sk_type == SOCK_STREAM && sk->sk_protocol == IPPROTO_TCP)
			return SNET_PROTO_TCP;
	}
	return snet_protocol_of_any(sk);
}

bool snet_object_equal(const struct snet_object *a, const struct snet_object *b);
u16 snet_local_port(const struct sock *sk);
u32 snet_call_flags(const struct sock *sk);
void snet_object_fill(struct snet_object *object, enum snet_operation operation,
		      enum snet_protocol protocol, const struct sock *sk,
		      const struct sockaddr *address, int addrlen);

#endif /* SNET_OBJECT_H */
