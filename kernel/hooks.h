/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table of hooks: which operation is seen at which point of the kernel.
 */
#ifndef SNET_HOOKS_H
#define SNET_HOOKS_H

#include <linux/netlink.h>
#include <linux/types.h>

int snet_hooks_init(void);
int snet_hooks_watch(const u32 *watch, struct netlink_ext_ack *extack);
void snet_hooks_detach_all(void);

#endif /* SNET_HOOKS_H */
