// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sees processes fork, so that children get what they inherit; and execute and end, so that
 * the memory of their tickets is freed, and that a decider's registration ends with it. Whether
 * a ticket counts, and whether a call is the decider's, doesn't depend on it: both compare the
 * execution themselves.
 *
 * The probes may run with preemption disabled.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/binfmts.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/tracepoint.h>

#include "compat.h"
#include "decider.h"
#include "lifecycle.h"
#include "ticket.h"

static void probe_fork(void *data, struct task_struct *parent, struct task_struct *child)
{
	snet_tickets_inherit(child);
}

static void probe_exit(COMPAT_EXIT_PROBE_PARAMS)
{
	if (atomic_read(&task->signal->live))
		return;
	snet_tickets_void(false);
	snet_decider_void();
}

static void probe_exec(void *data, struct task_struct *task, pid_t old_pid,
		       struct linux_binprm *bprm)
{
	snet_tickets_void(true);
	snet_decider_void();
}

static struct {
	const char *name;
	void *probe;
	struct tracepoint *tracepoint;
} probes[] = {
	{ "sched_process_fork", probe_fork },
	{ "sched_process_exit", probe_exit },
	{ "sched_process_exec", probe_exec },
};

static void note_tracepoint(struct tracepoint *tracepoint, void *unused)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(probes); i++)
		if (!strcmp(tracepoint->name, probes[i].name))
			probes[i].tracepoint = tracepoint;
}

static void unregister_first(int count)
{
	while (count--)
		tracepoint_probe_unregister(probes[count].tracepoint, probes[count].probe, NULL);
	tracepoint_synchronize_unregister();
}

int snet_lifecycle_init(void)
{
	int i, err;

	for_each_kernel_tracepoint(note_tracepoint, NULL);
	for (i = 0; i < ARRAY_SIZE(probes); i++) {
		err = probes[i].tracepoint ?
		      tracepoint_probe_register(probes[i].tracepoint, probes[i].probe, NULL) :
		      -ENOENT;
		if (err) {
			pr_err("can't see processes come and go: tracepoint %s: %d\n", probes[i].name,
			       err);
			unregister_first(i);
			return err;
		}
	}
	return 0;
}

void snet_lifecycle_exit(void)
{
	unregister_first(ARRAY_SIZE(probes));
}
