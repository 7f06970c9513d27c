// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A process that does what Python can't, on command. Each line on standard input is VERB WORD PORT; the answer is one
 * line, `ok` or the name of an errno.
 *
 * connect ADDRESS PORT: plainly. vfork: in a child that shares this memory. int80: by the 32-bit entry, from 64-bit
 * code. moving: while another thread writes another address (10.77.0.3) over the buffer, until the call returns.
 * exe FILE 0: become FILE as /proc/PID/exe shows it, by prctl(PR_SET_MM_EXE_FILE).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define I386_SOCKET 359
#define I386_CONNECT 362
#define I386_CLOSE 6

static struct sockaddr_in target(const char *address, int port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };

	inet_pton(AF_INET, address, &in.sin_addr);
	return in;
}

static int attempt(const struct sockaddr_in *in)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int err = connect(fd, (void *)in, sizeof(*in)) ? errno : 0;

	close(fd);
	return err;
}

static int in_vfork_child(const struct sockaddr_in *in)
{
	volatile int err = ECHILD;
	pid_t child = vfork();

	if (!child) {
		err = attempt(in);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	return err;
}

static long entry_32(long number, long a, long b, long c)
{
	asm volatile("int $0x80" : "+a"(number) : "b"(a), "c"(b), "d"(c), "S"(0), "D"(0) : "memory", "r8", "r9", "r10", "r11");
	return number;
}

static int by_entry_32(const struct sockaddr_in *in)
{
	struct sockaddr_in *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	int fd, err;

	if (low == MAP_FAILED)
		return errno;
	*low = *in;
	fd = entry_32(I386_SOCKET, AF_INET, SOCK_STREAM, 0);
	if (fd < 0)
		return -fd;
	err = -entry_32(I386_CONNECT, fd, (long)low, sizeof(*in));
	entry_32(I386_CLOSE, fd, 0, 0);
	munmap(low, 4096);
	return err;
}

static volatile struct sockaddr_in moving;
static volatile int moved;

static void *move(void *unused)
{
	struct in_addr own = moving.sin_addr, other;

	inet_pton(AF_INET, "10.77.0.3", &other);
	/* First when the call has surely been entered and is held. */
	usleep(100000);
	while (!moved) {
		moving.sin_addr = other;
		usleep(1000);
	}
	moving.sin_addr = own;
	return unused;
}

/* 0 only if the socket is connected where the call said when it was made. */
static int while_it_moves(const struct sockaddr_in *in)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), err = 0;
	struct sockaddr_in peer = {};
	socklen_t size = sizeof(peer);
	pthread_t mover;

	moving = *in;
	moved = 0;
	pthread_create(&mover, NULL, move, NULL);
	if (connect(fd, (void *)&moving, sizeof(moving)))
		err = errno;
	else if (getpeername(fd, (void *)&peer, &size) || peer.sin_addr.s_addr != in->sin_addr.s_addr)
		err = EADDRNOTAVAIL;
	moved = 1;
	pthread_join(mover, NULL);
	close(fd);
	return err;
}

/* Puts a copy of the same bytes in the place of each mapping of the executable, which may not be mapped. */
static int leave_executable(const char *own)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512], access[8];
	unsigned long begin, end;

	while (maps && fgets(line, sizeof(line), maps)) {
		if (!strstr(line, own) || sscanf(line, "%lx-%lx %7s", &begin, &end, access) != 3)
			continue;
		int protection = PROT_READ | (access[1] == 'w' ? PROT_WRITE : 0) | (access[2] == 'x' ? PROT_EXEC : 0);
		void *copy = mmap(NULL, end - begin, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		memcpy(copy, (void *)begin, end - begin);
		mprotect(copy, end - begin, protection);
		if (mremap(copy, end - begin, end - begin, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)begin) == MAP_FAILED)
			return errno;
	}
	return maps ? fclose(maps) : errno;
}

static int become(const char *file)
{
	char own[256] = "";
	int fd = open(file, O_RDONLY), err;

	if (fd < 0 || readlink("/proc/self/exe", own, sizeof(own) - 1) < 0)
		return errno;
	err = leave_executable(own);
	if (!err && prctl(PR_SET_MM, PR_SET_MM_EXE_FILE, fd, 0, 0))
		err = errno;
	close(fd);
	return err;
}

int main(void)
{
	char verb[32], word[256];
	int port, err;

	setlinebuf(stdout);
	puts("ready");
	while (scanf("%31s %255s %d", verb, word, &port) == 3) {
		struct sockaddr_in in = target(word, port);

		if (!strcmp(verb, "exe"))
			err = become(word);
		else if (!strcmp(verb, "vfork"))
			err = in_vfork_child(&in);
		else if (!strcmp(verb, "int80"))
			err = by_entry_32(&in);
		else if (!strcmp(verb, "moving"))
			err = while_it_moves(&in);
		else
			err = attempt(&in);
		puts(err ? strerrorname_np(err) : "ok");
	}
	return 0;
}
