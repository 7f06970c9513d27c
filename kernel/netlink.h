/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SNET_NETLINK_H
#define SNET_NETLINK_H

int snet_netlink_init(void);
void snet_netlink_exit(void);

#endif /* SNET_NETLINK_H */
