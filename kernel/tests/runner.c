// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs the unit tests when the module is loaded, and says in the kernel log how each went:
 * "ok" or "not ok", and at the end how many. A load with failures is refused with EINVAL.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/string.h>

#include "../ticket.h"
#include "runner.h"

static const struct {
	const char *name;
	const struct snet_test *tests;
	int (*init)(void);
	void (*exit)(void);
} suites[] = {
	{ "scope", snet_scope_tests },
	{ "request", snet_request_tests },
	{ "ticket", snet_ticket_tests, snet_tickets_init, snet_tickets_exit },
};

static atomic_t failures;	/* of the running test; its threads may fail it as well */

bool snet_expect(bool holds, const char *what, const char *file, int line)
{
	if (!holds) {
		atomic_inc(&failures);
		pr_notice("# %s:%d: expected %s\n", kbasename(file), line, what);
	}
	return holds;
}

void snet_expect_equal(long long actual, long long expected, const char *what, const char *file,
		       int line)
{
	if (actual == expected)
		return;
	atomic_inc(&failures);
	pr_notice("# %s:%d: expected %s to be %lld, is %lld\n", kbasename(file), line, what,
		  expected, actual);
}

static bool passes(const char *suite, const struct snet_test *test)
{
	atomic_set(&failures, 0);
	test->run();
	pr_notice("%s %s: %s\n", atomic_read(&failures) ? "not ok" : "ok", suite, test->name);
	return !atomic_read(&failures);
}

static int __init runner_init(void)
{
	const struct snet_test *test;
	int i, passed = 0, failed = 0;

	for (i = 0; i < ARRAY_SIZE(suites); i++) {
		if (suites[i].init && suites[i].init())
			return -ENOMEM;
		for (test = suites[i].tests; test->run; test++) {
			if (passes(suites[i].name, test))
				passed++;
			else
				failed++;
		}
		if (suites[i].exit)
			suites[i].exit();
	}
	pr_notice("%d passed, %d failed\n", passed, failed);
	return failed ? -EINVAL : 0;
}

/* A module without an exit function can't be unloaded. */
static void __exit runner_exit(void)
{
}

module_init(runner_init);
module_exit(runner_exit);

MODULE_DESCRIPTION("Unit tests of snet");
MODULE_AUTHOR("The snet authors");
MODULE_LICENSE("GPL");
