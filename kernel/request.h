/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Requests: calls that are held until someone decides them.
 */
#ifndef SNET_REQUEST_H
#define SNET_REQUEST_H

#include <linux/list.h>
#include <linux/types.h>

#include "object.h"
#include "subject.h"

/* How a request ended. Each has exactly one, set once under the table's lock. */
enum snet_outcome {
	SNET_OUTCOME_NONE,
	SNET_OUTCOME_ALLOWED,
	SNET_OUTCOME_DENIED,
	SNET_OUTCOME_DEADLINE,
	SNET_OUTCOME_NO_DECIDER,
	SNET_OUTCOME_DECIDER_GONE,
	SNET_OUTCOME_STALLED,
	SNET_OUTCOME_BOUNDS,
	SNET_OUTCOME_LOST,
	SNET_OUTCOME_KILLED,
	SNET_OUTCOMES,
};

/* A request as an event shows it. The subject is lent for the length of the call. */
struct snet_request_view {
	u64 id;
	const struct snet_subject *subject;
	const struct snet_object *object;
	u32 deadline_ms;
};

/* Around whatever of this module may sleep: unload waits for it. They nest. */
void snet_in_flight_begin(void);
void snet_in_flight_end(void);

int snet_request_hold(const struct snet_object *object);
int snet_request_decide(u64 id, enum snet_verdict verdict, struct list_head *tickets,
			int *ticket_err);
int snet_request_defer(u64 id, u32 deadline_ms);
int snet_request_next(u64 after,
		      int (*show)(const struct snet_request_view *view, void *data), void *data);
void snet_requests_orphan(void);
u32 snet_requests_count(void);

void snet_requests_close(void);
void snet_requests_wait_empty(void);

#endif /* SNET_REQUEST_H */
