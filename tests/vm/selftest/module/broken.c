// SPDX-License-Identifier: GPL-2.0-only
/* A stand-in for snet.ko that misbehaves on request, so that the harness can be seen to notice. */
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

static int misbehave(const char *how, const struct kernel_param *param)
{
	u8 *bytes;

	if (sysfs_streq(how, "warn")) {
		WARN(1, "asked to\n");
	} else if (sysfs_streq(how, "oops")) {
		*(volatile int *)NULL = 1;
	} else if (sysfs_streq(how, "pin")) {
		__module_get(THIS_MODULE);
	} else if (sysfs_streq(how, "overrun")) {
		bytes = kzalloc(64, GFP_KERNEL);
		if (!bytes)
			return -ENOMEM;
		OPTIMIZER_HIDE_VAR(bytes);
		bytes[64] = 1;
		kfree(bytes);
	} else {
		return -EINVAL;
	}
	return 0;
}

static const struct kernel_param_ops misbehave_ops = { .set = misbehave };
module_param_cb(misbehave, &misbehave_ops, NULL, 0200);

static int __init broken_init(void)
{
	return 0;
}
module_init(broken_init);

static void __exit broken_exit(void)
{
}
module_exit(broken_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("misbehaves on request");
