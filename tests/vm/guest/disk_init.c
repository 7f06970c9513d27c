// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * First program of a guest whose root is a disk: loads what the kernel needs to see it, mounts it, and goes on with
 * /snet/start there. /snet stays what the host gave to this boot; everything else is as the boot before left it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MODULES "/modules"

/* An end of PID 1 is a panic, which the host sees at once. */
static void check(int result, const char *what)
{
	if (result == 0)
		return;
	fprintf(stderr, "disk_init: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void load_modules(void)
{
	struct dirent **found;
	int count = scandir(MODULES, &found, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		int fd;

		if (found[i]->d_name[0] == '.')
			continue;
		check(chdir(MODULES), MODULES);
		fd = open(found[i]->d_name, O_RDONLY | O_CLOEXEC);
		check(fd < 0, found[i]->d_name);
		check(syscall(SYS_finit_module, fd, "", 0), found[i]->d_name);
		close(fd);
	}
}

int main(void)
{
	check(mount("dev", "/dev", "devtmpfs", 0, NULL), "/dev");
	load_modules();
	for (int tries = 100; access("/dev/vda", F_OK) && tries; tries--)
		usleep(100000);
	check(mount("/dev/vda", "/disk", "ext4", 0, NULL), "mounting /dev/vda");
	check(mount("/snet", "/disk/snet", NULL, MS_BIND, NULL), "/snet");
	check(mount("/dev", "/disk/dev", NULL, MS_MOVE, NULL), "/dev");
	check(chdir("/disk"), "/disk");
	check(mount(".", "/", NULL, MS_MOVE, NULL), "the new root");
	check(chroot("."), "chroot");
	execl("/bin/sh", "sh", "/snet/start", NULL);
	check(1, "/snet/start");
}
