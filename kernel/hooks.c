// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of hooks, and for each the two functions that may take its place: hook_NAME()
 * for the stub bpf_lsm_NAME(), whose body is only "return 0", and wrap_NAME() for
 * security_NAME(), which asks the LSMs first. Owns which hooks are attached: those whose
 * operation is watched.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/net.h>
#include <linux/sctp.h>
#include <linux/socket.h>
#include <linux/static_call.h>
#include <uapi/linux/sctp.h>

#include "attach.h"
#include "hooks.h"
#include "mediate.h"
#include "object.h"
#include "policy.h"
#include "request.h"

/* Defines wrap_NAME() and original_NAME, the call of what it wraps. */
#define SNET_WRAP(name, params, args)						\
	typedef int original_type_##name params;				\
	DEFINE_STATIC_CALL_NULL(original_##name, original_type_##name);		\
	static int wrap_##name params						\
	{									\
		int err;							\
										\
		snet_in_flight_begin();						\
		err = static_call(original_##name)args;				\
		if (!err)							\
			err = hook_##name args;					\
		snet_in_flight_end();						\
		return err;							\
	}									\
	static void set_original_##name(void *address)				\
	{									\
		static_call_update(original_##name,				\
				   (original_type_##name *)address);		\
	}

#define PARAMS(...) (__VA_ARGS__)

static int hook_socket_post_create(struct socket *sock, int family, int type, int protocol,
				   int kern)
{
	return kern ? 0 : snet_mediate(SNET_OP_CREATE, sock->sk, 0, NULL, 0);
}
SNET_WRAP(socket_post_create,
	  PARAMS(struct socket *sock, int family, int type, int protocol, int kern),
	  PARAMS(sock, family, type, protocol, kern))

static int hook_socket_bind(struct socket *sock, struct sockaddr *address, int addrlen)
{
	return snet_mediate(SNET_OP_BIND, sock->sk, 0, address, addrlen);
}
SNET_WRAP(socket_bind, PARAMS(struct socket *sock, struct sockaddr *address, int addrlen),
	  PARAMS(sock, address, addrlen))

static int hook_socket_connect(struct socket *sock, struct sockaddr *address, int addrlen)
{
	return snet_mediate(SNET_OP_CONNECT, sock->sk, 0, address, addrlen);
}
SNET_WRAP(socket_connect, PARAMS(struct socket *sock, struct sockaddr *address, int addrlen),
	  PARAMS(sock, address, addrlen))

static int hook_socket_listen(struct socket *sock, int backlog)
{
	return snet_mediate(SNET_OP_LISTEN, sock->sk, 0, NULL, 0);
}
SNET_WRAP(socket_listen, PARAMS(struct socket *sock, int backlog), PARAMS(sock, backlog))

/*
 * Only a message that names its receiver begins anything; one without goes where the socket
 * is connected. On stream sockets the name counts with MSG_FASTOPEN only, and then connects,
 * as any named message of SCTP may.
 */
static int hook_socket_sendmsg(struct socket *sock, struct msghdr *msg, int size)
{
	u32 flags = msg->msg_flags & MSG_DONTWAIT ? SNET_CALL_NONBLOCK : 0;
	const struct sockaddr *name = msg->msg_name;
	const struct sock *sk = sock->sk;
	enum snet_operation operation = SNET_OP_SEND;

	if (likely(!name) || !msg->msg_namelen || !sk)
		return 0;
	switch (snet_protocol_of(sk)) {
	case SNET_PROTO_TCP:
	case SNET_PROTO_MPTCP:
		if (!(msg->msg_flags & MSG_FASTOPEN))
			return 0;
		flags |= SNET_CALL_FASTOPEN;
		fallthrough;
	case SNET_PROTO_SCTP:
		operation = SNET_OP_CONNECT;
		break;
	case SNET_PROTO_UDP:
	case SNET_PROTO_UDPLITE:
		/* Of IPv6 these alone take a name of AF_UNSPEC for none. */
		if (sk->sk_family == AF_INET6 && name->sa_family == AF_UNSPEC)
			return 0;
		break;
	default:
		break;
	}
	return snet_mediate(operation, sk, flags, name, msg->msg_namelen);
}
SNET_WRAP(socket_sendmsg, PARAMS(struct socket *sock, struct msghdr *msg, int size),
	  PARAMS(sock, msg, size))

/*
 * setsockopt() with addresses, which passes no other hook. The socket is locked meanwhile, by a
 * lock that may be slept under: whoever wants it waits at most nonblock-deadline for each
 * address. What comes from the network (SCTP_PARAM_*) comes in softirq and isn't a call.
 */
static int hook_sctp_bind_connect(struct sock *sk, int optname, struct sockaddr *address,
				  int addrlen)
{
	int err = 0;

	if (optname != SCTP_SOCKOPT_BINDX_ADD && optname != SCTP_SOCKOPT_CONNECTX)
		return 0;
	snet_in_flight_begin();
	while (addrlen > 0 && !err) {
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
	  PARAMS(struct sock *sk, int optname, struct sockaddr *address, int addrlen),
	  PARAMS(sk, optname, address, addrlen))

#define EVERY	((1u << (SNET_PROTO_MAX + 1)) - 1)
#define STREAMS	(BIT(SNET_PROTO_TCP) | BIT(SNET_PROTO_MPTCP) | BIT(SNET_PROTO_SCTP))
#define SCTP	BIT(SNET_PROTO_SCTP)

/* @sees: for each operation the protocols for which this hook is needed. */
struct hook {
	u32 sees[SNET_OPS];
	const char *stub;
	const char *security;
	void *hook;
	void *wrap;
	void (*set_original)(void *address);
	struct snet_attachment attachment;
};

#define HOOK(name, ...)					\
	{						\
		.sees = { __VA_ARGS__ },		\
		.stub = "bpf_lsm_" #name,		\
		.security = "security_" #name,		\
		.hook = hook_##name,			\
		.wrap = wrap_##name,			\
		.set_original = set_original_##name,	\
	}

/* Under the mutex of the settings; at load and unload nobody else runs. */
static struct hook hooks[] = {
	HOOK(socket_post_create, [SNET_OP_CREATE] = EVERY),
	HOOK(socket_bind, [SNET_OP_BIND] = EVERY),
	HOOK(socket_listen, [SNET_OP_LISTEN] = EVERY),
	HOOK(socket_connect, [SNET_OP_CONNECT] = EVERY),
	HOOK(socket_sendmsg, [SNET_OP_SEND] = EVERY & ~STREAMS, [SNET_OP_CONNECT] = STREAMS),
	HOOK(sctp_bind_connect, [SNET_OP_BIND] = SCTP, [SNET_OP_CONNECT] = SCTP),
};

static enum snet_attach_point point;

static int hook_attach(struct hook *hook)
{
	const char *function = point == SNET_ATTACH_STUB ? hook->stub : hook->security;
	int err;

	err = snet_attach(&hook->attachment, function,
			  point == SNET_ATTACH_STUB ? hook->hook : hook->wrap);
	if (err)
		pr_err("can't attach to %s: %d%s\n", function, err, err == -EBUSY ?
		       " (a livepatch or another module has it)" : "");
	return err;
}

static bool is_needed(const struct hook *hook, const u32 *watch)
{
	int operation;

	for (operation = 0; operation < SNET_OPS; operation++)
		if (watch[operation] & hook->sees[operation])
			return true;
	return false;
}

static void detach_unneeded(const u32 *watch)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(hooks); i++)
		if (!is_needed(&hooks[i], watch))
			snet_detach(&hooks[i].attachment);
}

/* Refuses what no hook sees, which would look watched and never be. */
static int check_seen(const u32 *watch, struct netlink_ext_ack *extack)
{
	int operation, i;

	for (operation = 0; operation < SNET_OPS; operation++) {
		u32 unseen = watch[operation];

		for (i = 0; i < ARRAY_SIZE(hooks); i++)
			unseen &= ~hooks[i].sees[operation];
		if (unseen) {
			NL_SET_ERR_MSG(extack,
				       "this module doesn't mediate that operation of that protocol");
			return -EOPNOTSUPP;
		}
	}
	return 0;
}

/**
 * snet_hooks_watch - make a watch set take effect
 * @watch: a mask of protocols for each operation
 * @extack: told what went wrong
 *
 * May sleep long. On an error the watch set and the hooks are as they were.
 */
int snet_hooks_watch(const u32 *watch, struct netlink_ext_ack *extack)
{
	int i, err = check_seen(watch, extack);

	for (i = 0; i < ARRAY_SIZE(hooks) && !err; i++)
		if (is_needed(&hooks[i], watch) && !hooks[i].attachment.attached)
			err = hook_attach(&hooks[i]);
	if (err == -EBUSY)
		NL_SET_ERR_MSG(extack, "a hook is taken by a livepatch or another module");
	if (!err)
		for (i = 0; i < SNET_OPS; i++)
			WRITE_ONCE(snet_watch[i], watch[i]);
	detach_unneeded(snet_watch);
	return err;
}

void snet_hooks_detach_all(void)
{
	const u32 nothing[SNET_OPS] = {};

	snet_hooks_watch(nothing, NULL);
}

/*
 * Chooses where to attach, and tries every hook once, so that a kernel on which one can't be
 * had is refused at load and not when it is first needed.
 */
int snet_hooks_init(void)
{
	int i, err = snet_attach_choose(&point);

	for (i = 0; i < ARRAY_SIZE(hooks) && !err; i++) {
		if (point == SNET_ATTACH_SECURITY) {
			void *address;

			err = snet_attach_address(hooks[i].security, &address);
			if (err)
				break;
			hooks[i].set_original(address);
		}
		err = hook_attach(&hooks[i]);
	}
	detach_unneeded(snet_watch);
	if (!err)
		pr_info("hooks at %s\n", point == SNET_ATTACH_STUB ? "the BPF LSM's stubs" :
			"security_*(), since the BPF LSM isn't active");
	return err;
}
