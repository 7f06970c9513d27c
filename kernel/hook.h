/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A hook: a function of the kernel whose place one of this module takes while an operation
 * is watched. Two kinds:
 *
 * - Of a security hook NAME, hook_NAME() takes the place of the stub bpf_lsm_NAME(), whose
 *   body is only "return 0", or wrap_NAME() that of security_NAME(), which asks the LSMs first.
 * - Of any other function NAME, wrap_NAME() takes the place, and calls the original.
 */
#ifndef SNET_HOOK_H
#define SNET_HOOK_H

#include <linux/static_call.h>

#include "attach.h"
#include "policy.h"
#include "request.h"

#define SNET_EVERY	((1u << (SNET_PROTO_MAX + 1)) - 1)
#define SNET_STREAMS	(BIT(SNET_PROTO_TCP) | BIT(SNET_PROTO_MPTCP) | BIT(SNET_PROTO_SCTP))
#define SNET_INET	(SNET_EVERY & ~(BIT(SNET_PROTO_PACKET) | BIT(SNET_PROTO_UNIX)))

struct snet_hook {
	u32 sees[SNET_OPS];	/* for each operation the protocols that it mediates */
	u32 guards[SNET_OPS];	/* those for which it is needed besides, but doesn't mediate */
	const char *stub;	/* NULL: not a security hook */
	const char *function;
	void *hook;
	void *wrap;
	void (*set_original)(void *address);
	struct snet_attachment attachment;
};

#define SNET_PARAMS(...) (__VA_ARGS__)

/* Defines original_NAME, for static_call(), and what sets it. */
#define SNET_ORIGINAL(type, name, params)					\
	typedef type original_type_##name params;				\
	DEFINE_STATIC_CALL_NULL(original_##name, original_type_##name);		\
	static void set_original_##name(void *address)				\
	{									\
		static_call_update(original_##name,				\
				   (original_type_##name *)address);		\
	}

/* Defines wrap_NAME() for security_NAME(). */
#define SNET_WRAP(name, params, args)						\
	SNET_ORIGINAL(int, name, params)					\
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
	}

/* The further arguments are initialisers of .sees and .guards. */
#define SNET_SECURITY_HOOK(name, ...)			\
	struct snet_hook snet_##name = {		\
		__VA_ARGS__,				\
		.stub = "bpf_lsm_" #name,		\
		.function = "security_" #name,		\
		.hook = hook_##name,			\
		.wrap = wrap_##name,			\
		.set_original = set_original_##name,	\
	}

#define SNET_FUNCTION_HOOK(name, ...)			\
	struct snet_hook snet_##name = {		\
		__VA_ARGS__,				\
		.function = #name,			\
		.wrap = wrap_##name,			\
		.set_original = set_original_##name,	\
	}

/* hook_calls.c */
extern struct snet_hook snet_socket_post_create, snet_socket_bind, snet_socket_listen,
	snet_socket_connect, snet_sctp_bind_connect;
/* hook_messages.c */
extern struct snet_hook snet_socket_sendmsg, snet_socket_recvmsg;
/* hook_accept.c */
extern struct snet_hook snet_socket_accept, snet_inet_accept, snet_mptcp_stream_accept;
/* hook_routes.c */
extern struct snet_hook snet_ip_options_get, snet_ipv6_renew_options, snet_ip6_datagram_send_ctl;

/* Wakes the threads that wait in accept() in this module; they leave it. At unload. */
void snet_accept_release(void);

/* Does what is sent on this socket go by way of a host that the sender chose? */
bool snet_is_source_routed(const struct sock *sk);

#endif /* SNET_HOOK_H */
