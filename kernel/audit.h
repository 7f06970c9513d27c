/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tells the multicast group `audit` what the kernel decided alone.
 */
#ifndef SNET_AUDIT_H
#define SNET_AUDIT_H

#include "object.h"
#include "ticket.h"

void snet_audit(const struct snet_object *object, enum snet_cause cause,
		enum snet_verdict verdict, const struct snet_ticket_hit *hit);

void snet_audit_open(void);
void snet_audit_close(void);

#endif /* SNET_AUDIT_H */
