/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Puts a function of this module in the place of one of the kernel's.
 */
#ifndef SNET_ATTACH_H
#define SNET_ATTACH_H

#include <linux/ftrace.h>
#include <linux/types.h>

/* Where the hooks of this boot are, see docs/adr/0001-attach-by-ftrace.md. */
enum snet_attach_point {
	SNET_ATTACH_STUB,	/* bpf_lsm_NAME(), behind all other LSMs */
	SNET_ATTACH_SECURITY,	/* security_NAME(), where the stubs are never called */
};

struct snet_attachment {
	struct ftrace_ops ops;
	void *replacement;
	bool attached;
};

int snet_attach(struct snet_attachment *attachment, const char *function, void *replacement,
		bool wraps);
int snet_attach_try(const char *const *functions, int count);
const char *snet_attach_why(int err);
void snet_detach(struct snet_attachment *attachment);
int snet_attach_address(const char *function, void **address);
int snet_attach_choose(enum snet_attach_point *point);

#endif /* SNET_ATTACH_H */
