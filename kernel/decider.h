/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The registered decider: one process, and the socket that events go to.
 */
#ifndef SNET_DECIDER_H
#define SNET_DECIDER_H

#include <linux/types.h>

int snet_decider_register(u32 portid);
int snet_decider_unregister(void);
void snet_decider_drop(void);
void snet_decider_void(void);
bool snet_decider_is_current(void);
u32 snet_decider_portid(void);
u32 snet_decider_tgid(void);
void snet_decider_spoke(void);
void snet_decider_missed(void);
bool snet_decider_stalled(void);

int snet_decider_init(void);
void snet_decider_exit(void);

#endif /* SNET_DECIDER_H */
