// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Socket calls of a 32-bit program, on command. Each line on standard input is WAY CALL ADDRESS PORT (IPv4); the answer
 * is one line, `ok` or the name of an errno. `route` is a source route by way of ADDRESS. Ways: socketcall (one system
 * call for all of them, with the arguments in memory) and direct (one each). Freestanding: there is no library for 32
 * bits, so this owns its start and its words.
 */

#define SYS_EXIT 1
#define SYS_READ 3
#define SYS_WRITE 4
#define SYS_CLOSE 6
#define SYS_SOCKETCALL 102
#define AF_INET 2
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOL_SOCKET 1
#define SO_REUSEADDR 2
#define SOL_IP 0
#define IP_OPTIONS 4

/* Numbers of socketcall(), and of the system call of its own; 0 where i386 has none. */
enum call { SOCKET = 1, BIND, CONNECT, LISTEN, ACCEPT, SENDTO = 11, RECVFROM, SETSOCKOPT = 14, SENDMSG = 16,
	    ACCEPT4 = 18, SENDMMSG = 20 };
static const short direct_number[] = {
	[SOCKET] = 359, [BIND] = 361, [CONNECT] = 362, [LISTEN] = 363, [ACCEPT] = 0, [SENDTO] = 369, [RECVFROM] = 371,
	[SETSOCKOPT] = 366, [SENDMSG] = 370, [ACCEPT4] = 364, [SENDMMSG] = 345,
};

struct sockaddr_in {
	unsigned short family, port;
	unsigned int address;
	char zero[8];
};

struct iovec { void *base; unsigned int len; };
struct msghdr { void *name; unsigned int namelen; struct iovec *iov; unsigned int iovlen; void *control;
		unsigned int controllen, flags; };
struct mmsghdr { struct msghdr header; unsigned int len; };

static int kernel(int number, long a, long b, long c, long d, long e, long f)
{
	struct { long bx, bp; } pair = { a, f };
	int result;

	/* The sixth argument goes into ebp, which the compiler doesn't give away. */
	asm volatile("push %%ebx; push %%ebp; mov 4(%%ebx), %%ebp; mov (%%ebx), %%ebx; int $0x80; pop %%ebp; pop %%ebx"
		     : "=a"(result)
		     : "b"(&pair), "0"(number), "c"(b), "d"(c), "S"(d), "D"(e)
		     : "memory");
	return result;
}

static int by_socketcall;

static int call(enum call what, long a, long b, long c, long d, long e, long f)
{
	long arguments[] = { a, b, c, d, e, f };

	if (by_socketcall || !direct_number[what])
		return kernel(SYS_SOCKETCALL, what, (long)arguments, 0, 0, 0, 0);
	return kernel(direct_number[what], a, b, c, d, e, f);
}

static int is(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static unsigned int number(const char **text)
{
	unsigned int value = 0;

	while (**text >= '0' && **text <= '9')
		value = value * 10 + *(*text)++ - '0';
	return value;
}

static unsigned int address_of(const char *text)
{
	unsigned int value = 0, i;

	for (i = 0; i < 4; i++, text++)
		value |= number(&text) << 8 * i;
	return value;
}

static int option_set(int fd, struct sockaddr_in *to)
{
	unsigned char route[8] = { 131, 7, 4 };

	for (int i = 0; i < 4; i++)
		route[3 + i] = to->address >> 8 * i;
	route[7] = 1;
	return call(SETSOCKOPT, fd, SOL_IP, IP_OPTIONS, (long)route, sizeof(route), 0);
}

static int attempt(const char *what, struct sockaddr_in *to)
{
	int datagram = is(what, "sendto") || is(what, "sendmsg") || is(what, "sendmmsg") || is(what, "recvfrom");
	struct iovec iov = { "x", 1 };
	struct mmsghdr message = { { to, sizeof(*to), &iov, 1, 0, 0, 0 }, 0 };
	long fd, on = 1, result = 0, size = sizeof(*to), made = -1;

	fd = call(SOCKET, AF_INET, datagram ? SOCK_DGRAM : SOCK_STREAM, 0, 0, 0, 0);
	if (fd < 0 || is(what, "socket"))
		goto out;
	call(SETSOCKOPT, fd, SOL_SOCKET, SO_REUSEADDR, (long)&on, sizeof(on), 0);
	if (is(what, "bind") || is(what, "accept") || is(what, "accept4") || is(what, "recvfrom"))
		result = call(BIND, fd, (long)to, size, 0, 0, 0);
	if (!result && (is(what, "listen") || is(what, "accept") || is(what, "accept4")))
		result = call(LISTEN, fd, 8, 0, 0, 0, 0);
	if (result)
		goto out_close;
	if (is(what, "connect"))
		result = call(CONNECT, fd, (long)to, size, 0, 0, 0);
	else if (is(what, "accept"))
		result = made = call(ACCEPT, fd, 0, 0, 0, 0, 0);
	else if (is(what, "accept4"))
		result = made = call(ACCEPT4, fd, 0, 0, 0, 0, 0);
	else if (is(what, "sendto"))
		result = call(SENDTO, fd, (long)"x", 1, 0, (long)to, size);
	else if (is(what, "sendmsg"))
		result = call(SENDMSG, fd, (long)&message.header, 0, 0, 0, 0);
	else if (is(what, "sendmmsg"))
		result = call(SENDMMSG, fd, (long)&message, 1, 0, 0, 0);
	else if (is(what, "route"))
		result = option_set(fd, to);
	else if (is(what, "recvfrom"))
		result = call(RECVFROM, fd, (long)&iov, 1, 0, 0, 0);
out_close:
	if (made >= 0)
		kernel(SYS_CLOSE, made, 0, 0, 0, 0, 0);
	kernel(SYS_CLOSE, fd, 0, 0, 0, 0, 0);
out:
	return fd < 0 ? fd : result;
}

static void say(const char *text)
{
	const char *end = text;

	while (*end)
		end++;
	kernel(SYS_WRITE, 1, (long)text, end - text, 0, 0, 0);
}

/* The next line of standard input, cut into words; 0 at its end. */
static int words_read(char *line, int size, char **words, int count)
{
	int length = 0, i = 0;
	char byte;

	while (length < size - 1 && kernel(SYS_READ, 0, (long)&byte, 1, 0, 0, 0) == 1 && byte != '\n')
		line[length++] = byte;
	line[length] = 0;
	for (char *at = line; i < count && *at;) {
		words[i++] = at;
		while (*at && *at != ' ')
			at++;
		if (*at)
			*at++ = 0;
	}
	return i == count;
}

__attribute__((noreturn, used, force_align_arg_pointer)) void _start(void)
{
	char line[128], *words[4];

	say("ready\n");
	while (words_read(line, sizeof(line), words, 4)) {
		const char *port = words[3];
		unsigned int host_order = number(&port);
		struct sockaddr_in to = { AF_INET, host_order >> 8 | (host_order & 255) << 8, address_of(words[2]), "" };
		int result;

		by_socketcall = is(words[0], "socketcall");
		result = attempt(words[1], &to);
		say(result >= 0 ? "ok\n" : result == -13 ? "EACCES\n" : result == -103 ? "ECONNABORTED\n" : "other\n");
	}
	kernel(SYS_EXIT, 0, 0, 0, 0, 0, 0);
	for (;;)
		;
}
