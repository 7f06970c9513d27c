// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages that begin something: those sent to an address, and those received on a socket
 * that isn't connected. What passes over a connection was decided when it was made.
 */
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/random.h>
#include <linux/sctp.h>
#include <linux/socket.h>
#include <net/af_unix.h>
#include <net/tcp_states.h>
#include <uapi/linux/sctp.h>

#include "hook.h"
#include "mediate.h"
#include "object.h"

/* Reads an address that a message adds to the peer it names; false when it adds none. */
static bool get_added_peer(struct sockaddr_storage *peer, struct cmsghdr *cmsg, __be16 port)
{
	struct sockaddr_in *in = (void *)peer;
	struct sockaddr_in6 *in6 = (void *)peer;
	size_t size = cmsg->cmsg_len - sizeof(*cmsg);

	if (cmsg->cmsg_level != IPPROTO_SCTP)
		return false;
	memset(peer, 0, sizeof(*peer));
	if (cmsg->cmsg_type == SCTP_DSTADDRV4 && size >= sizeof(in->sin_addr)) {
		in->sin_family = AF_INET;
		in->sin_port = port;
		memcpy(&in->sin_addr, CMSG_DATA(cmsg), sizeof(in->sin_addr));
		return true;
	}
	if (cmsg->cmsg_type == SCTP_DSTADDRV6 && size >= sizeof(in6->sin6_addr)) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = port;
		memcpy(&in6->sin6_addr, CMSG_DATA(cmsg), sizeof(in6->sin6_addr));
		return true;
	}
	return false;
}

/*
 * sendmmsg() asks no security module about a message to the same name as the one before, and
 * its control messages may differ. So the name is made one that no other is equal to, by
 * what nobody can guess behind it: SCTP reads the socket address and no more. The kernel's copy of
 * a name has the size of a sockaddr_storage (move_addr_to_kernel()).
 */
static void make_name_unique(const struct sock *sk, struct msghdr *msg)
{
	u64 tail = get_random_u64();
	size_t end = min_t(size_t, msg->msg_namelen,
			   sizeof(struct sockaddr_storage) - sizeof(tail));

	/* The kernel's own messages have names of any size. */
	if (end < sizeof(struct sockaddr_in) || sk->sk_kern_sock || current->flags & PF_KTHREAD)
		return;
	memcpy(msg->msg_name + end, &tail, sizeof(tail));
	msg->msg_namelen = end + sizeof(tail);
}

/*
 * A named message of SCTP may begin an association, and its control messages (the kernel's
 * copies) may name further addresses of the peer.
 */
static int mediate_sctp(const struct sock *sk, struct msghdr *msg, u32 flags)
{
	/* The port is at the same place in both families. */
	const struct sockaddr_in *name = msg->msg_name;
	__be16 port = msg->msg_namelen >= (int)sizeof(*name) ? name->sin_port : 0;
	struct sockaddr_storage peer;
	struct cmsghdr *cmsg;
	int err;

	snet_in_flight_begin();
	err = snet_mediate(SNET_OP_CONNECT, sk, flags, msg->msg_name, msg->msg_namelen);
	for_each_cmsghdr(cmsg, msg) {
		if (err || !CMSG_OK(msg, cmsg))
			break;
		if (get_added_peer(&peer, cmsg, port))
			err = snet_mediate(SNET_OP_CONNECT, sk, flags, (struct sockaddr *)&peer,
					   sizeof(peer));
	}
	make_name_unique(sk, msg);
	snet_in_flight_end();
	return err;
}

/* On stream sockets a name counts with MSG_FASTOPEN only, and then connects. */
static int hook_socket_sendmsg(struct socket *sock, struct msghdr *msg, int size)
{
	u32 flags = msg->msg_flags & MSG_DONTWAIT ? SNET_CALL_NONBLOCK : 0;
	const struct sockaddr *name = msg->msg_name;
	const struct sock *sk = sock->sk;

	if (likely(!name) || !msg->msg_namelen || !sk)
		return 0;
	switch (snet_protocol_of(sk)) {
	case SNET_PROTO_TCP:
	case SNET_PROTO_MPTCP:
		if (!(msg->msg_flags & MSG_FASTOPEN))
			return 0;
		return snet_mediate(SNET_OP_CONNECT, sk, flags | SNET_CALL_FASTOPEN, name,
				    msg->msg_namelen);
	case SNET_PROTO_SCTP:
		return mediate_sctp(sk, msg, flags);
	case SNET_PROTO_UDP:
	case SNET_PROTO_UDPLITE:
		/* Of IPv6 these alone take a name of AF_UNSPEC for none. */
		if (sk->sk_family == AF_INET6 && name->sa_family == AF_UNSPEC)
			return 0;
		break;
	default:
		break;
	}
	return snet_mediate(SNET_OP_SEND, sk, flags, name, msg->msg_namelen);
}
SNET_WRAP(socket_sendmsg, SNET_PARAMS(struct socket *sock, struct msghdr *msg, int size),
	  SNET_PARAMS(sock, msg, size))
SNET_SECURITY_HOOK(socket_sendmsg,
		   .sees[SNET_OP_SEND] = SNET_EVERY & ~SNET_STREAMS,
		   .sees[SNET_OP_CONNECT] = SNET_STREAMS);

static bool is_connected(const struct sock *sk)
{
	switch (sk->sk_family) {
	case AF_INET:
	case AF_INET6:
		/* A one-to-many socket of SCTP takes associations from whoever comes. */
		return sk->sk_type == SOCK_STREAM ||
		       (sk->sk_type != SOCK_SEQPACKET && sk->sk_state == TCP_ESTABLISHED);
	case AF_UNIX:
		/* Not by sk_state, which a peer that connects to this socket changes. */
		return sk->sk_type != SOCK_DGRAM || READ_ONCE(unix_sk(sk)->peer);
	case AF_PACKET:
		return false;
	default:
		return sk->sk_type == SOCK_STREAM || sk->sk_type == SOCK_SEQPACKET;
	}
}

/* Before the message is there: who sent it can't be told. */
static int hook_socket_recvmsg(struct socket *sock, struct msghdr *msg, int size, int flags)
{
	const struct sock *sk = sock->sk;

	if (!sk || is_connected(sk))
		return 0;
	return snet_mediate(SNET_OP_RECV, sk, flags & MSG_DONTWAIT ? SNET_CALL_NONBLOCK : 0, NULL,
			    0);
}
SNET_WRAP(socket_recvmsg,
	  SNET_PARAMS(struct socket *sock, struct msghdr *msg, int size, int flags),
	  SNET_PARAMS(sock, msg, size, flags))
SNET_SECURITY_HOOK(socket_recvmsg,
		   .sees[SNET_OP_RECV] = SNET_EVERY & ~(BIT(SNET_PROTO_TCP) |
							BIT(SNET_PROTO_MPTCP)));
