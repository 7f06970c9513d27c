// SPDX-License-Identifier: GPL-2.0-only
/*
 * accept(), with the peer. The security hook runs before there is one, so the protocol's
 * accept() is wrapped: what it took from the queue is decided before the program gets it, and
 * reset when it is denied.
 *
 * A thread may wait long for a peer, and the module must be unloadable meanwhile. So the
 * original is never waited in: it is called non-blocking, and the wait is done here, where
 * snet_accept_release() ends it.
 */
#include <linux/list.h>
#include <linux/net.h>
#include <linux/sched/signal.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <net/inet_common.h>
#include <net/inet_sock.h>
#include <net/ipv6.h>
#include <net/sock.h>

#include "compat.h"
#include "hook.h"
#include "mediate.h"
#include "object.h"

struct waiter {
	struct list_head node;
	struct wait_queue_entry wait;
};

static DEFINE_SPINLOCK(waiters_lock);
static LIST_HEAD(waiters);
static bool released;

typedef int accept_function(struct socket *sock, struct socket *newsock,
			    struct proto_accept_arg *arg);

static void waiter_begin(struct waiter *waiter, struct sock *sk)
{
	init_waitqueue_func_entry(&waiter->wait, woken_wake_function);
	waiter->wait.private = current;
	add_wait_queue_exclusive(sk_sleep(sk), &waiter->wait);
	spin_lock(&waiters_lock);
	list_add(&waiter->node, &waiters);
	spin_unlock(&waiters_lock);
}

static void waiter_end(struct waiter *waiter, struct sock *sk)
{
	spin_lock(&waiters_lock);
	list_del(&waiter->node);
	spin_unlock(&waiters_lock);
	remove_wait_queue(sk_sleep(sk), &waiter->wait);
}

void snet_accept_release(void)
{
	struct waiter *waiter;

	spin_lock(&waiters_lock);
	WRITE_ONCE(released, true);
	list_for_each_entry(waiter, &waiters, node)
		woken_wake_function(&waiter->wait, TASK_INTERRUPTIBLE, 0, NULL);
	spin_unlock(&waiters_lock);
}

/* Has the call made again from the start, by what is then in this function's place. */
static int restart_call(void)
{
	set_thread_flag(TIF_NOTIFY_SIGNAL);
	return -ERESTARTSYS;
}

/* As a blocking @accept, but that it can be released. */
static int accept_waiting(struct socket *sock, struct socket *newsock,
			  struct proto_accept_arg *arg, accept_function *accept)
{
	long timeout = sock_rcvtimeo(sock->sk, 0);
	struct waiter waiter;
	int err;

	waiter_begin(&waiter, sock->sk);
	for (;;) {
		err = accept(sock, newsock, arg);
		if (err != -EAGAIN || !timeout)
			break;
		if (signal_pending(current)) {
			err = sock_intr_errno(timeout);
			break;
		}
		if (READ_ONCE(released)) {
			err = restart_call();
			break;
		}
		timeout = wait_woken(&waiter.wait, TASK_INTERRUPTIBLE, timeout);
	}
	waiter_end(&waiter, sock->sk);
	return err;
}

static int peer_of(const struct sock *sk, struct sockaddr_storage *peer)
{
	struct sockaddr_in *in = (void *)peer;
#if IS_ENABLED(CONFIG_IPV6)
	struct sockaddr_in6 *in6 = (void *)peer;

	if (sk->sk_family == AF_INET6) {
		*in6 = (struct sockaddr_in6) {
			.sin6_family = AF_INET6,
			.sin6_port = inet_sk(sk)->inet_dport,
			.sin6_addr = sk->sk_v6_daddr,
		};
		return sizeof(*in6);
	}
#endif
	*in = (struct sockaddr_in) {
		.sin_family = AF_INET,
		.sin_port = inet_sk(sk)->inet_dport,
		.sin_addr.s_addr = inet_sk(sk)->inet_daddr,
	};
	return sizeof(*in);
}

/* The caller closes @newsock when this fails; without lingering that sends a reset. */
static int decide_peer(enum snet_protocol protocol, struct socket *newsock, u32 flags)
{
	struct sockaddr_storage peer;
	int len = peer_of(newsock->sk, &peer);
	int err = snet_mediate_as(SNET_OP_ACCEPT, protocol, newsock->sk, flags,
				  (struct sockaddr *)&peer, len);

	if (!err)
		return 0;
	sock_no_linger(newsock->sk);
	return err == -EACCES ? -ECONNABORTED : err;
}

/*
 * Decides peers of the @protocols, as a mask: MPTCP's accept() calls that of TCP for the same
 * socket on some kernels.
 */
static int accept_decided(struct socket *sock, struct socket *newsock,
			  struct proto_accept_arg *arg, accept_function *accept, u32 protocols)
{
	enum snet_protocol protocol = snet_protocol_of(sock->sk);
	bool nonblock = arg->flags & O_NONBLOCK;
	int err;

	snet_in_flight_begin();
	arg->flags |= O_NONBLOCK;
	err = nonblock ? accept(sock, newsock, arg) : accept_waiting(sock, newsock, arg, accept);
	if (!nonblock)
		arg->flags &= ~O_NONBLOCK;
	if (!err && BIT(protocol) & protocols)
		err = decide_peer(protocol, newsock, nonblock ? SNET_CALL_NONBLOCK : 0);
	snet_in_flight_end();
	return err;
}

#define ACCEPT_HOOK(name, protocols)							\
	SNET_ORIGINAL(int, name, SNET_PARAMS(COMPAT_ACCEPT_PARAMS))			\
	static int call_##name(struct socket *sock, struct socket *newsock,		\
			       struct proto_accept_arg *arg)				\
	{										\
		return static_call(original_##name)(COMPAT_ACCEPT_ARGS);		\
	}										\
	static int wrap_##name(COMPAT_ACCEPT_PARAMS)					\
	{										\
		COMPAT_ACCEPT_ARG							\
		return accept_decided(sock, newsock, arg, call_##name, protocols);		\
	}										\
	SNET_FUNCTION_HOOK(name, .sees[SNET_OP_ACCEPT] = protocols)

/* Of the others DCCP has this accept(). */
ACCEPT_HOOK(inet_accept, (BIT(SNET_PROTO_TCP) | BIT(SNET_PROTO_SCTP) | BIT(SNET_PROTO_OTHER)));
#if IS_ENABLED(CONFIG_MPTCP)
ACCEPT_HOOK(mptcp_stream_accept, BIT(SNET_PROTO_MPTCP));
#endif

/* Is the peer decided by the hooks above? */
static bool shows_peer(const struct socket *sock)
{
	return READ_ONCE(sock->ops)->accept == inet_accept ||
	       snet_protocol_of(sock->sk) == SNET_PROTO_MPTCP;
}

/* The other families, whose peers have no address here: before they wait. */
static int hook_socket_accept(struct socket *sock, struct socket *newsock)
{
	if (!sock->sk || shows_peer(sock))
		return 0;
	return snet_mediate(SNET_OP_ACCEPT, sock->sk, 0, NULL, 0);
}
SNET_WRAP(socket_accept, SNET_PARAMS(struct socket *sock, struct socket *newsock),
	  SNET_PARAMS(sock, newsock))
SNET_SECURITY_HOOK(socket_accept, .sees[SNET_OP_ACCEPT] = SNET_EVERY);
