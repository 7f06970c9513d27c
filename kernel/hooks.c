// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of hooks. Owns which are attached: those whose operation is watched. What each
 * does is in the hook_*.c.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include "hook.h"
#include "hooks.h"

/* Under the mutex of the settings; at load and unload nobody else runs. */
static struct snet_hook *const hooks[] = {
	&snet_socket_post_create,
	&snet_socket_bind,
	&snet_socket_listen,
	&snet_socket_connect,
	&snet_sctp_bind_connect,
	&snet_socket_sendmsg,
	&snet_socket_recvmsg,
	&snet_socket_accept,
	&snet_inet_accept,
#if IS_ENABLED(CONFIG_MPTCP)
	&snet_mptcp_stream_accept,
#endif
	&snet_ip_options_get,
#if IS_ENABLED(CONFIG_IPV6)
	&snet_ipv6_renew_options,
	&snet_ip6_datagram_send_ctl,
#endif
};

static enum snet_attach_point point;

static bool uses_stub(const struct snet_hook *hook)
{
	return hook->stub && point == SNET_ATTACH_STUB;
}

static const char *function_of(const struct snet_hook *hook)
{
	return uses_stub(hook) ? hook->stub : hook->function;
}

static void report(const char *function, int err)
{
	pr_err("can't attach to %s: %d (%s)\n", function, err, snet_attach_why(err));
}

static int hook_attach(struct snet_hook *hook)
{
	bool wraps = !uses_stub(hook);
	int err;

	err = snet_attach(&hook->attachment, function_of(hook), wraps ? hook->wrap : hook->hook,
			  wraps);
	if (err)
		report(function_of(hook), err);
	return err;
}

static bool is_needed(const struct snet_hook *hook, const u32 *watch)
{
	int operation;

	for (operation = 0; operation < SNET_OPS; operation++)
		if (watch[operation] & (hook->sees[operation] | hook->guards[operation]))
			return true;
	return false;
}

static void detach_unneeded(const u32 *watch)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(hooks); i++)
		if (!is_needed(hooks[i], watch))
			snet_detach(&hooks[i]->attachment);
}

/* Refuses what no hook sees, which would look watched and never be. */
static int check_seen(const u32 *watch, struct netlink_ext_ack *extack)
{
	int operation, i;

	for (operation = 0; operation < SNET_OPS; operation++) {
		u32 unseen = watch[operation];

		for (i = 0; i < ARRAY_SIZE(hooks); i++)
			unseen &= ~hooks[i]->sees[operation];
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
		if (is_needed(hooks[i], watch) && !hooks[i]->attachment.attached)
			err = hook_attach(hooks[i]);
	if (err == -EBUSY)
		NL_SET_ERR_MSG(extack,
			       "a livepatch or another module has a hook, or kernel.ftrace_enabled is 0");
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

static int find_originals(void)
{
	int i, err = 0;

	for (i = 0; i < ARRAY_SIZE(hooks) && !err; i++) {
		void *address;

		if (uses_stub(hooks[i]))
			continue;
		err = snet_attach_address(hooks[i]->function, &address);
		if (err)
			pr_err("can't find %s: %d\n", hooks[i]->function, err);
		else
			hooks[i]->set_original(address);
	}
	return err;
}

/* All at once, since each attaching takes a while; one by one only to name what failed. */
static int try_all(void)
{
	const char *functions[ARRAY_SIZE(hooks)];
	int i, err, single;

	for (i = 0; i < ARRAY_SIZE(hooks); i++)
		functions[i] = function_of(hooks[i]);
	err = snet_attach_try(functions, ARRAY_SIZE(hooks));
	for (i = 0; err && i < ARRAY_SIZE(hooks); i++) {
		single = snet_attach_try(&functions[i], 1);
		if (single)
			report(functions[i], single);
	}
	return err;
}

/*
 * Chooses where to attach, and tries every hook, so that a kernel on which one can't be had is
 * refused at load and not when it is first needed.
 */
int snet_hooks_init(void)
{
	int err = snet_attach_choose(&point) ?: find_originals() ?: try_all();

	if (!err)
		pr_info("hooks at %s\n", point == SNET_ATTACH_STUB ? "the BPF LSM's stubs" :
			"security_*(), since the BPF LSM isn't active");
	return err;
}
