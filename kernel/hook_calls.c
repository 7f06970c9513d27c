// SPDX-License-Identifier: GPL-2.0-only
/*
 * The calls that begin something and name at most one address: create, bind, listen, connect.
 */
#include <linux/net.h>
#include <linux/sctp.h>
#include <linux/socket.h>
#include <uapi/linux/sctp.h>

#include "hook.h"
#include "mediate.h"

static int hook_socket_post_create(struct socket *sock, int family, int type, int protocol,
				   int kern)
{
	return kern ? 0 : snet_mediate(SNET_OP_CREATE, sock->sk, 0, NULL, 0);
}
SNET_WRAP(socket_post_create,
	  SNET_PARAMS(struct socket *sock, int family, int type, int protocol, int kern),
	  SNET_PARAMS(sock, family, type, protocol, kern))
SNET_SECURITY_HOOK(socket_post_create, .sees[SNET_OP_CREATE] = SNET_EVERY);

static int hook_socket_bind(struct socket *sock, struct sockaddr *address, int addrlen)
{
	return snet_mediate(SNET_OP_BIND, sock->sk, 0, address, addrlen);
}
SNET_WRAP(socket_bind, SNET_PARAMS(struct socket *sock, struct sockaddr *address, int addrlen),
	  SNET_PARAMS(sock, address, addrlen))
SNET_SECURITY_HOOK(socket_bind, .sees[SNET_OP_BIND] = SNET_EVERY);

static int hook_socket_listen(struct socket *sock, int backlog)
{
	return snet_mediate(SNET_OP_LISTEN, sock->sk, 0, NULL, 0);
}
SNET_WRAP(socket_listen, SNET_PARAMS(struct socket *sock, int backlog),
	  SNET_PARAMS(sock, backlog))
SNET_SECURITY_HOOK(socket_listen, .sees[SNET_OP_LISTEN] = SNET_EVERY);

static int hook_socket_connect(struct socket *sock, struct sockaddr *address, int addrlen)
{
	return snet_mediate(SNET_OP_CONNECT, sock->sk, 0, address, addrlen);
}
SNET_WRAP(socket_connect,
	  SNET_PARAMS(struct socket *sock, struct sockaddr *address, int addrlen),
	  SNET_PARAMS(sock, address, addrlen))
SNET_SECURITY_HOOK(socket_connect, .sees[SNET_OP_CONNECT] = SNET_EVERY);

/*
 * setsockopt() with addresses, which passes no other hook. The socket is locked meanwhile, by a
 * lock that may be slept under. What comes from the network (SCTP_PARAM_*) comes in softirq
 * and isn't a call.
 */
static int hook_sctp_bind_connect(struct sock *sk, int optname, struct sockaddr *address,
				  int addrlen)
{
	int err = 0;

	if (optname != SCTP_SOCKOPT_BINDX_ADD && optname != SCTP_SOCKOPT_CONNECTX)
		return 0;
	snet_in_flight_begin();
	/* What is left over is refused behind this hook. */
	while (addrlen >= (int)sizeof(sa_family_t) && !err) {
		int size = address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) :
							    sizeof(struct sockaddr_in);

		err = snet_mediate(optname == SCTP_SOCKOPT_CONNECTX ? SNET_OP_CONNECT :
								      SNET_OP_BIND,
				   sk, SNET_CALL_LOCKED, address, min(size, addrlen));
		address = (void *)address + size;
		addrlen -= size;
	}
	snet_in_flight_end();
	return err;
}
SNET_WRAP(sctp_bind_connect,
	  SNET_PARAMS(struct sock *sk, int optname, struct sockaddr *address, int addrlen),
	  SNET_PARAMS(sk, optname, address, addrlen))
SNET_SECURITY_HOOK(sctp_bind_connect,
		   .sees[SNET_OP_BIND] = BIT(SNET_PROTO_SCTP),
		   .sees[SNET_OP_CONNECT] = BIT(SNET_PROTO_SCTP));
