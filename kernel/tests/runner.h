/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Unit tests in the kernel. A test is a function of no arguments whose name is a sentence; it
 * says with EXPECT() what must hold, and goes on when it doesn't.
 */
#ifndef SNET_TEST_RUNNER_H
#define SNET_TEST_RUNNER_H

#include <linux/delay.h>
#include <linux/types.h>

struct snet_test {
	const char *name;
	void (*run)(void);
};

/* A suite ends with an empty entry. */
extern const struct snet_test snet_scope_tests[];
extern const struct snet_test snet_request_tests[];
extern const struct snet_test snet_ticket_tests[];

#define SNET_TEST(function) { .name = #function, .run = function }

bool snet_expect(bool holds, const char *what, const char *file, int line);
void snet_expect_equal(long long actual, long long expected, const char *what, const char *file,
		       int line);

/* True when it holds, for tests that can't go on otherwise. */
#define EXPECT(condition) snet_expect(condition, #condition, __FILE__, __LINE__)
#define EXPECT_EQUAL(actual, expected) \
	snet_expect_equal(actual, expected, #actual, __FILE__, __LINE__)

/* Waits up to ten seconds of a slow machine. */
#define EXPECT_SOON(condition)						\
({									\
	int tries = 10000;						\
									\
	while (!(condition) && tries--)					\
		usleep_range(500, 1000);					\
	EXPECT(condition);						\
})

#endif /* SNET_TEST_RUNNER_H */
