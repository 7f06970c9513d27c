// SPDX-License-Identifier: GPL-2.0-only
/*
 * Load and unload. Each stage of the load is undone by its mirror image.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/module.h>
#include <linux/rcupdate.h>

#include "decider.h"
#include "hook.h"
#include "hooks.h"
#include "lifecycle.h"
#include "netlink.h"
#include "request.h"
#include "ticket.h"

static bool disable;
module_param(disable, bool, 0444);
MODULE_PARM_DESC(disable, "refuse to load; snet.disable=1 on the kernel's command line brings a "
			  "machine back that its rules have locked");

static int __init snet_init(void)
{
	int err;

	if (disable) {
		pr_notice("not loaded: the parameter disable is set\n");
		return -EPERM;
	}
	err = snet_tickets_init();
	if (err)
		return err;
	err = snet_decider_init();
	if (err)
		goto out_tickets;
	err = snet_lifecycle_init();
	if (err)
		goto out_decider;
	err = snet_hooks_init();
	if (err)
		goto out_lifecycle;
	err = snet_netlink_init();
	if (err)
		goto out_lifecycle;
	return 0;

out_lifecycle:
	snet_lifecycle_exit();
out_decider:
	snet_decider_exit();
out_tickets:
	snet_tickets_exit();
	return err;
}

/*
 * Held threads don't keep the module in memory: they are released, and waited for. The wait
 * ends at their last decrement of a counter; synchronize_rcu_tasks() sees them past the few
 * instructions behind it.
 */
static void __exit snet_exit(void)
{
	snet_netlink_exit();
	snet_hooks_detach_all();
	snet_requests_close();
	snet_accept_release();
	snet_requests_wait_empty();
	synchronize_rcu_tasks();
	snet_lifecycle_exit();
	snet_decider_exit();
	snet_tickets_exit();
}

module_init(snet_init);
module_exit(snet_exit);

/*
 * No alias of the netlink family: whoever asks for a family by name makes the kernel load what
 * has it, without any privilege. This module is loaded by who means to.
 */
MODULE_DESCRIPTION("Application firewall that decides at the system call");
MODULE_AUTHOR("The snet authors");
MODULE_LICENSE("GPL");
MODULE_VERSION(SNET_VERSION);
