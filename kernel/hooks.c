// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of hooks, and for each the two functions that may take its place: hook_NAME()
 * for the stub bpf_lsm_NAME(), whose body is only "return 0", and wrap_NAME() for
 * security_NAME(), which asks the LSMs first. Owns which hooks are attached: those whose
 * operation is watched.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/net.h>
#include <linux/socket.h>
#include <linux/static_call.h>

#include "attach.h"
#include "hooks.h"
#include "mediate.h"
#include "policy.h"

/* Defines wrap_NAME() and original_NAME, the call of what it wraps. */
#define SNET_WRAP(name, params, args)						\
	typedef int original_type_##name params;				\
	DEFINE_STATIC_CALL_NULL(original_##name, original_type_##name);		\
	static int wrap_##name params						\
	{									\
		int err = static_call(original_##name)args;			\
										\
		return err ? err : hook_##name args;				\
	}									\
	static void set_original_##name(void *address)				\
	{									\
		static_call_update(original_##name,				\
				   (original_type_##name *)address);		\
	}

#define PARAMS(...) (__VA_ARGS__)

static int hook_socket_bind(struct socket *sock, struct sockaddr *address, int addrlen)
{
	return snet_mediate(SNET_OP_BIND, sock, address, addrlen);
}
SNET_WRAP(socket_bind, PARAMS(struct socket *sock, struct sockaddr *address, int addrlen),
	  PARAMS(sock, address, addrlen))

static int hook_socket_connect(struct socket *sock, struct sockaddr *address, int addrlen)
{
	return snet_mediate(SNET_OP_CONNECT, sock, address, addrlen);
}
SNET_WRAP(socket_connect, PARAMS(struct socket *sock, struct sockaddr *address, int addrlen),
	  PARAMS(sock, address, addrlen))

static int hook_socket_listen(struct socket *sock, int backlog)
{
	return snet_mediate(SNET_OP_LISTEN, sock, NULL, 0);
}
SNET_WRAP(socket_listen, PARAMS(struct socket *sock, int backlog), PARAMS(sock, backlog))

struct hook {
	enum snet_operation operation;
	const char *stub;
	const char *security;
	void *hook;
	void *wrap;
	void (*set_original)(void *address);
	struct snet_attachment attachment;
};

#define HOOK(op, name)					\
	{						\
		.operation = op,			\
		.stub = "bpf_lsm_" #name,		\
		.security = "security_" #name,		\
		.hook = hook_##name,			\
		.wrap = wrap_##name,			\
		.set_original = set_original_##name,	\
	}

/* Under the mutex of the settings; at load and unload nobody else runs. */
static struct hook hooks[] = {
	HOOK(SNET_OP_BIND, socket_bind),
	HOOK(SNET_OP_LISTEN, socket_listen),
	HOOK(SNET_OP_CONNECT, socket_connect),
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

static void detach_unwatched(const u32 *watch)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(hooks); i++)
		if (!watch[hooks[i].operation])
			snet_detach(&hooks[i].attachment);
}

static bool has_hook(enum snet_operation operation)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(hooks); i++)
		if (hooks[i].operation == operation)
			return true;
	return false;
}

static int check_operations(const u32 *watch, struct netlink_ext_ack *extack)
{
	int operation;

	for (operation = 0; operation < SNET_OPS; operation++) {
		if (!watch[operation] || has_hook(operation))
			continue;
		NL_SET_ERR_MSG(extack, "this module doesn't mediate that operation");
		return -EOPNOTSUPP;
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
	int i, err = check_operations(watch, extack);

	for (i = 0; i < ARRAY_SIZE(hooks) && !err; i++)
		if (watch[hooks[i].operation] && !hooks[i].attachment.attached)
			err = hook_attach(&hooks[i]);
	if (err == -EBUSY)
		NL_SET_ERR_MSG(extack, "a hook is taken by a livepatch or another module");
	if (!err)
		for (i = 0; i < SNET_OPS; i++)
			WRITE_ONCE(snet_watch[i], watch[i]);
	detach_unwatched(snet_watch);
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
	detach_unwatched(snet_watch);
	if (!err)
		pr_info("hooks at %s\n", point == SNET_ATTACH_STUB ? "the BPF LSM's stubs" :
			"security_*(), since the BPF LSM isn't active");
	return err;
}
