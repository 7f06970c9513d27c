// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attaches by ftrace with IPMODIFY: the traced function's entry goes on in a replacement of
 * this module, with the same arguments. Owns the ways of ftrace and the self-test which
 * shows that a hook is really called; the table of hooks is in hooks.c.
 *
 * Unregistering waits until every task has slept or left the kernel once (RCU tasks), so
 * that afterwards only a task that sleeps inside a replacement can still be in it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/in.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/slab.h>
#include <net/net_namespace.h>

#include "attach.h"
#include "compat.h"

static void notrace redirect(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
			     struct ftrace_regs *fregs)
{
	struct snet_attachment *attachment = container_of(ops, struct snet_attachment, ops);

	compat_set_instruction_pointer(fregs, (unsigned long)attachment->replacement);
}

/*
 * A replacement that wraps its function calls it, which passes here again: the call from this
 * module is let through. Kernel threads act for nobody, and may wait in what they call for as
 * long as they live: they don't enter this module.
 */
static void notrace redirect_others(unsigned long ip, unsigned long parent_ip,
				    struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	if (!compat_is_own_code(parent_ip) && !(current->flags & PF_KTHREAD))
		redirect(ip, parent_ip, ops, fregs);
}

/* Without PERMANENT the sysctl kernel.ftrace_enabled=0 would detach silently. */
static void ops_init(struct ftrace_ops *ops, ftrace_func_t func)
{
	memset(ops, 0, sizeof(*ops));
	ops->func = func;
	ops->flags = FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_DYNAMIC | FTRACE_OPS_FL_PERMANENT;
	if (!IS_ENABLED(CONFIG_HAVE_DYNAMIC_FTRACE_WITH_ARGS))
		ops->flags |= FTRACE_OPS_FL_SAVE_REGS;
}

/* How far @address is behind the beginning of its function. */
static int offset_in_function(const void *address, unsigned long *offset)
{
	char *symbol = kasprintf(GFP_KERNEL, "%pS", address);
	const char *plus;
	int err = 0;

	if (!symbol)
		return -ENOMEM;
	*offset = 0;
	plus = strchr(symbol, '+');
	if (plus && sscanf(plus, "+0x%lx/", offset) != 1)
		err = -EINVAL;
	kfree(symbol);
	return err;
}

/**
 * snet_attach_address - find a function that isn't exported
 * @function: its name
 * @address: written when 0 is returned
 *
 * By way of a probe that is never armed. May sleep. Returns 0; -EINVAL when the kernel has no
 * such function, or none that can be probed; -ENOMEM.
 */
int snet_attach_address(const char *function, void **address)
{
	struct kprobe probe = { .symbol_name = function, .flags = KPROBE_FLAG_DISABLED };
	unsigned long offset;
	int err;

	err = register_kprobe(&probe);
	if (err)
		return err == -ENOMEM ? err : -EINVAL;
	/* The probe sits behind the landing instruction, where there is one. */
	err = offset_in_function(probe.addr, &offset);
	if (!err)
		*address = (void *)probe.addr - offset;
	unregister_kprobe(&probe);
	return err;
}

/* By address: ftrace finds a name by comparing it with those of all traceable functions. */
static int ops_add_function(struct ftrace_ops *ops, const char *function)
{
	void *address;
	int err = snet_attach_address(function, &address);

	return err ?: ftrace_set_filter_ip(ops, (unsigned long)address, 0, 0);
}

/**
 * snet_attach - put a replacement in the place of a function
 * @attachment: lives until snet_detach()
 * @function: name of a traceable function
 * @replacement: of the same type
 * @wraps: the replacement calls the function
 *
 * May sleep. Returns 0; -EBUSY when somebody else (a livepatch, another module) has replaced
 * the function, or ftrace is switched off; -EINVAL when the kernel has no such function, or
 * can't trace it.
 */
int snet_attach(struct snet_attachment *attachment, const char *function, void *replacement,
		bool wraps)
{
	struct ftrace_ops *ops = &attachment->ops;
	int err;

	ops_init(ops, wraps ? redirect_others : redirect);
	attachment->replacement = replacement;
	err = ops_add_function(ops, function);
	if (!err)
		err = register_ftrace_function(ops);
	if (err)
		ftrace_free_filter(ops);
	attachment->attached = !err;
	return err;
}

static void notrace leave_as_it_is(unsigned long ip, unsigned long parent_ip,
				   struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
}

/**
 * snet_attach_try - find out whether functions could be attached to
 * @functions: their names
 * @count: how many
 *
 * Attaches to them for a moment, all in one go, and changes nothing. May sleep. Returns as
 * snet_attach().
 */
int snet_attach_try(const char *const *functions, int count)
{
	struct ftrace_ops ops;
	int i, err = 0;

	ops_init(&ops, leave_as_it_is);
	for (i = 0; i < count && !err; i++)
		err = ops_add_function(&ops, functions[i]);
	if (!err)
		err = register_ftrace_function(&ops);
	if (!err)
		unregister_ftrace_function(&ops);
	ftrace_free_filter(&ops);
	return err;
}

/* What an error of snet_attach() means, for people. */
const char *snet_attach_why(int err)
{
	switch (err) {
	case -EBUSY:
		return "a livepatch or another module has it, or kernel.ftrace_enabled is 0";
	case -EINVAL:
		return "this kernel doesn't have the function, or can't trace it";
	case -ENODEV:
		return "ftrace has shut itself down, see earlier messages";
	default:
		return "ftrace refused";
	}
}

/* Afterwards nothing enters the replacement any more; who sleeps in it still leaves through it. */
void snet_detach(struct snet_attachment *attachment)
{
	if (!attachment->attached)
		return;
	attachment->attached = false;
	unregister_ftrace_function(&attachment->ops);
	/* Exactly once: the pointers aren't reset by all kernels, and leak without it. */
	ftrace_free_filter(&attachment->ops);
}

static atomic_t self_test_calls;

static int self_test_replacement(int family, int type, int protocol, int kern)
{
	atomic_inc(&self_test_calls);
	return 0;
}

/* Is a stub called when its operation happens? Other tasks' calls count as well. */
static int stubs_are_called(bool *called)
{
	struct snet_attachment attachment = {};
	struct socket *sock;
	int err;

	err = snet_attach(&attachment, "bpf_lsm_socket_create", self_test_replacement, false);
	if (err)
		return err;
	err = sock_create_kern(&init_net, AF_INET, SOCK_DGRAM, IPPROTO_UDP, &sock);
	if (!err)
		sock_release(sock);
	snet_detach(&attachment);
	*called = atomic_read(&self_test_calls);
	return err;
}

/**
 * snet_attach_choose - find out where hooks are called on this boot
 * @point: written when 0 is returned
 *
 * The BPF LSM's stubs exist, and can be attached to, also when "bpf" isn't among the active
 * LSMs; then they are never called. So one is tried.
 */
int snet_attach_choose(enum snet_attach_point *point)
{
	bool called = false;
	int err = stubs_are_called(&called);

	if (err && err != -EINVAL) {
		pr_err("can't find out whether the BPF LSM is active, by bpf_lsm_socket_create: %d (%s)\n",
		       err, snet_attach_why(err));
		return err;
	}
	*point = called ? SNET_ATTACH_STUB : SNET_ATTACH_SECURITY;
	return 0;
}
