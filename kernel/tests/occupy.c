// SPDX-License-Identifier: GPL-2.0-only
/*
 * Takes a function for itself as a livepatch does (ftrace with IPMODIFY), without changing what
 * it does: snet must then say that it can't have it.
 */
#include <linux/ftrace.h>
#include <linux/module.h>
#include <linux/string.h>

static char *function = "";
module_param(function, charp, 0444);
MODULE_PARM_DESC(function, "name of the function");

static void notrace leave_as_is(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
				struct ftrace_regs *fregs)
{
}

static struct ftrace_ops occupier = {
	.func = leave_as_is,
	.flags = FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_DYNAMIC,
};

static int __init occupy_init(void)
{
	int err = ftrace_set_filter(&occupier, function, strlen(function), 1);

	if (!err)
		err = register_ftrace_function(&occupier);
	if (err)
		ftrace_free_filter(&occupier);
	return err;
}

static void __exit occupy_exit(void)
{
	unregister_ftrace_function(&occupier);
	ftrace_free_filter(&occupier);
}

module_init(occupy_init);
module_exit(occupy_exit);

MODULE_DESCRIPTION("Takes a function that snet needs");
MODULE_AUTHOR("The snet authors");
MODULE_LICENSE("GPL");
