// SPDX-License-Identifier: GPL-2.0-only
/*
 * Builds the object of a call. Owns the reading of socket addresses: which family they
 * are of, what the unspecified address stands for, and that IPv4 looks the same whichever
 * socket speaks it. Without this a rule for an address would miss its other spellings.
 */
#include <linux/file.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <linux/in.h>
#include <linux/sched.h>
#include <net/inet_sock.h>
#include <net/ipv6.h>

#include "object.h"
#include "request.h"

#define PROTOCOL_SMC 256	/* IPPROTO_SMC, since 6.11 */

static enum snet_protocol stream_protocol(const struct sock *sk)
{
	switch (sk->sk_protocol) {
	case IPPROTO_TCP:
	case PROTOCOL_SMC: /* connects by TCP from inside the kernel */
		return SNET_PROTO_TCP;
	case IPPROTO_MPTCP:
		return SNET_PROTO_MPTCP;
	case IPPROTO_SCTP:
		return SNET_PROTO_SCTP;
	default:
		return SNET_PROTO_OTHER;
	}
}

static enum snet_protocol datagram_protocol(const struct sock *sk)
{
	switch (sk->sk_protocol) {
	case IPPROTO_UDP:
		return SNET_PROTO_UDP;
	case IPPROTO_UDPLITE:
		return SNET_PROTO_UDPLITE;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return SNET_PROTO_ICMP;
	default:
		return SNET_PROTO_OTHER;
	}
}

static enum snet_protocol inet_protocol(const struct sock *sk)
{
	switch (sk->sk_type) {
	case SOCK_STREAM:
	case SOCK_SEQPACKET:
		return stream_protocol(sk);
	case SOCK_DGRAM:
		return datagram_protocol(sk);
	case SOCK_RAW:
		return SNET_PROTO_RAW;
	default:
		return SNET_PROTO_OTHER;
	}
}

enum snet_protocol snet_protocol_of_any(const struct sock *sk)
{
	switch (sk->sk_family) {
	case AF_INET:
	case AF_INET6:
		return inet_protocol(sk);
	case AF_SMC:
		/* SMC opens its TCP connection from inside the kernel, past every hook. */
		return SNET_PROTO_TCP;
	case AF_PACKET:
	case AF_XDP:
		return SNET_PROTO_PACKET;
	case AF_UNIX:
		return SNET_PROTO_UNIX;
	default:
		return SNET_PROTO_OTHER;
	}
}

static void addr_set_v4(struct snet_addr *addr, __be32 v4, u16 port)
{
	addr->len = sizeof(v4);
	addr->v4 = v4;
	addr->port = port;
}

static void addr_set_v6(struct snet_addr *addr, const struct in6_addr *v6, u16 port)
{
	if (ipv6_addr_v4mapped(v6)) {
		addr_set_v4(addr, v6->s6_addr32[3], port);
		return;
	}
	addr->len = sizeof(*v6);
	addr->v6 = *v6;
	addr->port = port;
}

/*
 * @address is the kernel's own copy. What is shorter than the network stack itself would
 * take stays without an address: the stack refuses it behind this hook.
 */
static __always_inline void addr_read(struct snet_addr *addr, const struct sock *sk,
				      const struct sockaddr *address, int addrlen)
{
	const struct sockaddr_in *in = (const void *)address;
	const struct sockaddr_in6 *in6 = (const void *)address;
	sa_family_t family;

	if (addrlen < (int)sizeof(sa_family_t))
		return;
	/* AF_UNSPEC stands for the socket's own family, but in connect(), which never gets here. */
	family = address->sa_family == AF_UNSPEC ? sk->sk_family : address->sa_family;
	if (family == AF_INET && addrlen >= (int)sizeof(*in))
		addr_set_v4(addr, in->sin_addr.s_addr, ntohs(in->sin_port));
	else if (family == AF_INET6 && addrlen >= SIN6_LEN_RFC2133)
		addr_set_v6(addr, &in6->sin6_addr, ntohs(in6->sin6_port));
}

static bool is_inet(const struct sock *sk)
{
	return sk->sk_family == AF_INET || sk->sk_family == AF_INET6;
}

static bool is_smc(const struct sock *sk)
{
	return sk->sk_family == AF_SMC ||
	       (is_inet(sk) && sk->sk_type == SOCK_STREAM && sk->sk_protocol == PROTOCOL_SMC);
}

/* The address is with the TCP socket inside, which alone its own getname() can reach. May sleep. */
static void local_of_smc(struct snet_addr *local, const struct sock *sk)
{
	struct sockaddr_storage address;
	int len;

	snet_in_flight_begin();
	len = kernel_getsockname(sk->sk_socket, (struct sockaddr *)&address);
	snet_in_flight_end();
	if (len > 0)
		addr_read(local, sk, (struct sockaddr *)&address, len);
}

static u16 inet_port(const struct sock *sk)
{
	/* Of a raw socket inet_num is the protocol number. */
	return sk->sk_type == SOCK_RAW ? 0 : READ_ONCE(inet_sk(sk)->inet_num);
}

/* 0 when the socket has none, or is of no family that has. */
u16 snet_local_port(const struct sock *sk)
{
	if (unlikely(is_smc(sk))) {
		struct snet_addr local = {};

		local_of_smc(&local, sk);
		return local.port;
	}
	return is_inet(sk) ? inet_port(sk) : 0;
}

static void local_from_socket(struct snet_addr *local, const struct sock *sk)
{
	const u16 port = inet_port(sk);

#if IS_ENABLED(CONFIG_IPV6)
	if (sk->sk_family == AF_INET6) {
		addr_set_v6(local, &sk->sk_v6_rcv_saddr, port);
		return;
	}
#endif
	addr_set_v4(local, inet_sk(sk)->inet_rcv_saddr, port);
}

/*
 * Connecting or sending to the unspecified address reaches the own machine: the address
 * that the socket sends from, or else loopback (ip_route_output_key_hash_rcu(),
 * tcp_v6_connect()). It sends from none when it is bound to a group.
 */
static void remote_resolve_any(struct snet_addr *remote, const struct snet_addr *local,
			       const struct sock *sk)
{
	if (remote->len == sizeof(remote->v4) && !remote->v4) {
		remote->v4 = is_inet(sk) ? READ_ONCE(inet_sk(sk)->inet_saddr) : 0;
		if (!remote->v4)
			remote->v4 = htonl(INADDR_LOOPBACK);
	} else if (remote->len == sizeof(remote->v6) && ipv6_addr_any(&remote->v6)) {
		/* An IPv6 socket that is bound to IPv4, be it to any address of it. */
		if (local->len == sizeof(local->v4))
			addr_set_v4(remote, htonl(INADDR_LOOPBACK), remote->port);
		else
			remote->v6 = in6addr_loopback;
	}
}

static bool addr_equal(const struct snet_addr *a, const struct snet_addr *b)
{
	return a->len == b->len && a->port == b->port && !memcmp(a->bytes, b->bytes, a->len);
}

bool snet_object_equal(const struct snet_object *a, const struct snet_object *b)
{
	return a->operation == b->operation && a->protocol == b->protocol &&
	       a->family == b->family && a->type == b->type && a->number == b->number &&
	       a->flags == b->flags && a->net == b->net && addr_equal(&a->remote, &b->remote) &&
	       addr_equal(&a->local, &b->local);
}

/* enum snet_call_flag, as far as the socket and the thread tell them. */
u32 snet_call_flags(const struct sock *sk)
{
	const struct socket *sock = sk->sk_socket;
	u32 flags = 0;

	if (sock && sock->file && sock->file->f_flags & O_NONBLOCK)
		flags |= SNET_CALL_NONBLOCK;
	if (current->flags & PF_IO_WORKER)
		flags |= SNET_CALL_IO_URING;
	return flags;
}

/**
 * snet_object_fill - say what a call attempts
 * @object: written whole, but for the flags, which are the caller's to set
 * @operation: the operation
 * @protocol: what snet_protocol_of() said of the socket
 * @sk: the socket
 * @address: the address that the call names, in kernel memory, or NULL
 * @addrlen: its length
 */
void snet_object_fill(struct snet_object *object, enum snet_operation operation,
		      enum snet_protocol protocol, const struct sock *sk,
		      const struct sockaddr *address, int addrlen)
{
	const bool inet = is_inet(sk), smc = is_smc(sk);

	/* One by one: clearing all of it first would take longer than filling it. */
	object->operation = operation;
	object->protocol = protocol;
	object->family = sk->sk_family;
	object->type = sk->sk_type;
	object->number = sk->sk_protocol;
	object->net = sock_net(sk);
	memset(&object->remote, 0, sizeof(object->remote));
	memset(&object->local, 0, sizeof(object->local));
	if (unlikely(smc))
		local_of_smc(&object->local, sk);
	else if (likely(inet))
		local_from_socket(&object->local, sk);
	if (!address || !(inet || smc))
		return;
	if (operation == SNET_OP_BIND) {
		memset(&object->local, 0, sizeof(object->local));
		addr_read(&object->local, sk, address, addrlen);
	} else {
		addr_read(&object->remote, sk, address, addrlen);
		remote_resolve_any(&object->remote, &object->local, sk);
	}
}
