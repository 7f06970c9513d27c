/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SNET_LIFECYCLE_H
#define SNET_LIFECYCLE_H

int snet_lifecycle_init(void);
void snet_lifecycle_exit(void);

#endif /* SNET_LIFECYCLE_H */
