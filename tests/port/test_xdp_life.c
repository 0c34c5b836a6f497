/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of an AF_XDP port on an interface that it shares with the kernel (veth.h has the picture): what is
 * not ours goes on as before, refusals say what to do, and a port leaves nothing behind, also when its
 * process is killed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "landing.h"
#include "paste/port.h"
#include "port/steer.h"
#include "port/xdp_interface.h"
#include "port/xdp_landing.h"
#include "port/xdp_memory.h"
#include "port/xdp_socket.h"
#include "veth.h"

#define REGION_BYTES (4 << 20)

static struct veth veth;

static struct paste_xdp_rule rule(const char *mapped, uint16_t port, uint8_t protocol)
{
	struct paste_xdp_rule r = {.port = port, .protocol = protocol};

	assert_int_equal(inet_pton(AF_INET6, mapped, r.address), 1);
	return r;
}

static struct paste_port *must_open(struct paste_region *r, struct paste_xdp_options o)
{
	struct paste_error err = {{0}};
	struct paste_port *port;

	o.ifname = VETH_HERE;
	o.slots = 64;
	if (paste_xdp_open(r, &o, &port, &err) < 0)
		fail_msg("%s", err.text);
	return port;
}

/* The error, of which the sentence must have `word`. */
static int refused(struct paste_region *r, struct paste_xdp_options o, const char *word)
{
	struct paste_error err = {{0}};
	struct paste_port *port;

	if (!o.ifname)
		o.ifname = VETH_HERE;
	int ret = paste_xdp_open(r, &o, &port, &err);
	assert_true(ret < 0);
	if (!strstr(err.text, word))
		fail_msg("no '%s' in: %s", word, err.text);
	return ret;
}

/* --- beside the kernel --- */

static uint16_t sum16(const uint16_t *words, size_t n)
{
	uint32_t sum = 0;

	while (n-- > 0)
		sum += *words++;
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

/* An echo request from there to here; true if it is answered. */
static bool ping(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(0x0a010101)}};
	struct icmphdr echo = {.type = ICMP_ECHO, .un.echo = {.id = htons(7), .sequence = htons(1)}};
	struct pollfd polled = {.events = POLLIN,
				.fd = veth_socket(&veth, veth.there, AF_INET, SOCK_RAW, IPPROTO_ICMP)};
	uint8_t reply[256];
	bool answered = false;

	echo.checksum = sum16((const uint16_t *)&echo, sizeof(echo) / 2);
	assert_int_equal(sendto(polled.fd, &echo, sizeof(echo), 0, (struct sockaddr *)&to, sizeof(to)),
			 sizeof(echo));
	while (!answered && poll(&polled, 1, 2000) > 0) {
		ssize_t n = recv(polled.fd, reply, sizeof(reply), 0);
		answered = n >= 28 && reply[20] == ICMP_ECHOREPLY;
	}
	close(polled.fd);
	return answered;
}

/* A TCP connection from there to a kernel socket here, with bytes both ways. IPv6 if `six`. */
static bool talk(bool six, uint16_t port)
{
	struct sockaddr_in6 to6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in to4 = {
	    .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(0x0a010101)}};
	struct sockaddr *to = six ? (struct sockaddr *)&to6 : (struct sockaddr *)&to4;
	socklen_t size = six ? sizeof(to6) : sizeof(to4);
	struct timeval patience = {.tv_sec = 3};
	static uint8_t bytes[100000], got[100000];
	size_t n = 0;
	int one = 1;

	inet_pton(AF_INET6, "fd00::1", &to6.sin6_addr);
	int listener = veth_socket(&veth, veth.here, to->sa_family, SOCK_STREAM, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(listener, to, size), 0);
	assert_int_equal(listen(listener, 1), 0);
	int client = veth_socket(&veth, veth.there, to->sa_family, SOCK_STREAM, 0);
	setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(client, to, size) < 0) {
		close(client);
		close(listener);
		return false;
	}
	int server = accept(listener, NULL, NULL);
	setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	/* Larger than a frame: segmentation has to be right too. */
	bool good = send(client, bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes);
	while (good && n < sizeof(got)) {
		ssize_t now = recv(server, got + n, sizeof(got) - n, 0);
		good = now > 0;
		n += good ? (size_t)now : 0;
	}
	close(client);
	close(server);
	close(listener);
	return good && !memcmp(bytes, got, sizeof(got));
}

static void the_kernel_keeps_everything_else(void **state)
{
	struct paste_region *r = landing_open(REGION_BYTES, 2048);
	struct paste_xdp_rule ours[] = {rule("::ffff:0.0.0.0", 7000, IPPROTO_TCP),
					rule("::", 7000, IPPROTO_TCP)};
	struct paste_xdp_stats stats;

	veth_make(&veth, 1, 1500);
	for (int mode = PASTE_XDP_COPY; mode <= PASTE_XDP_GENERIC; mode++) {
		/* Large segments pass the generic hook, too: only what is ours has to fit. */
		struct paste_port *port =
		    must_open(r, (struct paste_xdp_options){
				     .mode = (enum paste_xdp_mode)mode, .rules = ours, .rules_n = 2});
		assert_true(ping());
		assert_true(talk(false, 22));
		assert_true(talk(true, 22));
		paste_xdp_stats(port, 0, &stats);
		assert_true(stats.passed > 0);
		assert_int_equal(stats.steered, 0);
		assert_int_equal(stats.absent, 0);
		paste_port_close(port);
	}
	assert_true(talk(false, 7000));
	landing_close(r);
}

static void our_port_is_ours_alone(void **state)
{
	struct paste_region *r = landing_open(REGION_BYTES, 2048);
	struct paste_xdp_rule ours = rule("::ffff:10.1.1.1", 7000, IPPROTO_TCP);
	struct paste_port *port = must_open(r, (struct paste_xdp_options){0});

	assert_true(talk(false, 7000));
	assert_int_equal(paste_xdp_take(port, &ours), 0);
	/* Nobody answers, not even with a reset, which would end connect() at once with another error. */
	struct sockaddr_in to = {
	    .sin_family = AF_INET, .sin_port = htons(7000), .sin_addr = {htonl(0x0a010101)}};
	struct timeval patience = {.tv_usec = 300000};
	int client = veth_socket(&veth, veth.there, AF_INET, SOCK_STREAM, 0);
	setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof(to)), -1);
	assert_int_equal(errno, EINPROGRESS);
	assert_true(paste_port_sync_receive(port, 0) >= 1);
	const struct paste_slot *slot = paste_ring_slot(&port->receive[0], port->receive[0].head);
	assert_true(slot->length >= 54);
	close(client);
	/* The same port at the other address stays the kernel's. */
	assert_true(talk(true, 7000));
	assert_int_equal(paste_xdp_leave(port, &ours), 0);
	assert_true(talk(false, 7000));
	paste_port_close(port);
	landing_close(r);
}

/* --- what a port leaves behind --- */

static int attached(void)
{
	struct steer_attached other;

	return steer_find_attached((int)if_nametoindex(VETH_HERE), &other);
}

/* A process that has a port, and says so with a byte. */
static pid_t child_with_port(int queues)
{
	int ready[2];
	char byte;

	assert_int_equal(pipe(ready), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct paste_region *r = landing_open(REGION_BYTES, 2048);
		struct paste_xdp_rule ours = rule("::ffff:10.1.1.1", 7000, IPPROTO_UDP);
		must_open(
		    r, (struct paste_xdp_options){.rules = &ours, .rules_n = 1, .queues = (uint32_t)queues});
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return child;
}

static void nothing_stays_when_the_process_is_killed(void **state)
{
	struct paste_region *r = landing_open(REGION_BYTES, 2048);

	veth_make(&veth, 2, 1500);
	for (int round = 0; round < 10; round++) {
		pid_t child = child_with_port(0);
		assert_int_equal(attached(), 1);
		assert_int_equal(kill(child, SIGKILL), 0);
		assert_int_equal(waitpid(child, NULL, 0), child);
		assert_int_equal(attached(), 0);
		/* At once, not after a while. */
		struct paste_port *port = must_open(r, (struct paste_xdp_options){0});
		assert_int_equal(attached(), 1);
		paste_port_close(port);
		assert_int_equal(attached(), 0);
	}
	landing_close(r);
	veth_make(&veth, 1, 1500);
}

static void a_port_can_be_opened_again_and_again(void **state)
{
	struct paste_region *r = landing_open(REGION_BYTES, 4096);

	for (int round = 0; round < 20; round++) {
		struct paste_port *port = must_open(r, (struct paste_xdp_options){0});
		paste_port_close(port);
	}
	landing_close(r);
}

/* --- refusals --- */

static void refusals_say_what_to_do(void **state)
{
	struct paste_region *r = landing_open(REGION_BYTES, 2048);
	struct paste_xdp_options o = {.ifname = "no-such-if"};

	assert_int_equal(refused(r, o, "ip link"), -ENODEV);
	o.ifname = "lo";
	assert_int_equal(refused(r, o, "Ethernet"), -EOPNOTSUPP);
	o.ifname = NULL;
	o.queues = 2;
	assert_int_equal(refused(r, o, "1 queue"), -EINVAL);
	o.queues = 0;
	o.first_queue = 1;
	assert_int_equal(refused(r, o, "1 queue"), -EINVAL);
	o.first_queue = 0;
	o.slots = 100;
	assert_int_equal(refused(r, o, "power of two"), -EINVAL);
	o.slots = 0;
	o.mode = PASTE_XDP_ZERO_COPY;
	assert_int_equal(refused(r, o, "copy mode"), -EOPNOTSUPP);
	o.mode = PASTE_XDP_AUTO;
	o.slots = 4096;
	assert_int_equal(refused(r, o, "buffers"), -ENOBUFS);
	assert_int_equal(attached(), 0);
	landing_close(r);
}

static void another_program_is_named(void **state)
{
	struct paste_region *r = landing_open(REGION_BYTES, 2048);
	struct paste_port *port = must_open(r, (struct paste_xdp_options){0});
	struct paste_xdp_options o = {0};

	assert_int_equal(refused(r, o, "'steer', native"), -EBUSY);
	o.mode = PASTE_XDP_GENERIC;
	assert_int_equal(refused(r, o, "'steer', native"), -EBUSY);
	paste_port_close(port);
	port = must_open(r, o);
	assert_int_equal(refused(r, o, "'steer', generic"), -EBUSY);
	paste_port_close(port);
	landing_close(r);
}

/* A socket of somebody else's, with no program of its own. */
static void a_taken_queue_is_named(void **state)
{
	struct paste_region *r = landing_open(REGION_BYTES, 2048);
	static uint8_t memory[65536] __attribute__((aligned(4096)));
	struct xdp_memory_area area = {.start = memory, .bytes = sizeof(memory), .chunk = 4096};
	unsigned index = if_nametoindex(VETH_HERE);
	struct xdp_socket other;

	assert_int_equal(xdp_socket_open(&other, 64, NULL), 0);
	assert_int_equal(xdp_socket_register(&other, &area, NULL), 0);
	assert_int_equal(xdp_socket_bind(&other, &other, index, 0, XDP_COPY), 0);
	assert_int_equal(refused(r, (struct paste_xdp_options){0}, "queue 0 belongs to another"), -EBUSY);
	assert_false(xdp_queue_wait_released(index, 0, 20));
	xdp_socket_close(&other);
	assert_true(xdp_queue_wait_released(index, 0, 2000));
	paste_port_close(must_open(r, (struct paste_xdp_options){0}));
	landing_close(r);
}

/* The superblock names the interface while a port is open; a successor asks it. */
static void who_opens_after_a_crash_asks_the_interface(void **state)
{
	struct paste_region *r = landing_open(REGION_BYTES, 2048);
	unsigned index = if_nametoindex(VETH_HERE);
	struct paste_error err = {{0}};
	struct paste_landing l;

	assert_int_equal(r->sb.landing[0].queues, 0);
	struct paste_port *port = must_open(r, (struct paste_xdp_options){0});
	assert_int_equal(r->sb.landing[0].interface, index);
	assert_int_equal(r->sb.landing[0].queues, port->info.queues);
	assert_string_equal(r->sb.landing[0].name, VETH_HERE);
	paste_port_close(port);
	assert_int_equal(r->sb.landing[0].queues, 0);
	landing_close(r);

	assert_int_equal(xdp_landing_make(&l, VETH_HERE, index, 0, 1), 0);
	assert_int_equal(paste_xdp_released(NULL, &l, &err), 0);
	l.interface = 9999; /* gone */
	assert_int_equal(paste_xdp_released(NULL, &l, &err), 0);
	l.space++;
	assert_int_equal(paste_xdp_released(NULL, &l, &err), -EBUSY);
	assert_non_null(strstr(err.text, "namespace"));
	l.boot++; /* before the machine was restarted */
	assert_int_equal(paste_xdp_released(NULL, &l, &err), 0);
}

static void memory_that_cannot_receive_is_refused(void **state)
{
	struct media m = {.kind = MEDIA_PMEM, .backing = "DAX file"};
	struct paste_error err = {{0}};

	assert_int_equal(xdp_memory_check(&m, NULL, 1 << 20, 2048, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "devdax"));
	m.backing = "device DAX";
	assert_int_equal(xdp_memory_check(&m, NULL, 1 << 20, 2048, &err), 0);
	m.kind = MEDIA_FILE;
	assert_int_equal(xdp_memory_check(&m, NULL, 1 << 20, 2048, &err), 0);
	m.kind = MEDIA_SHM;
	assert_int_equal(xdp_memory_check(&m, (void *)64, 1 << 20, 2048, &err), -EINVAL);
	/* The kernel keeps 128 bytes a chunk in one piece of at most 2^31 - 1. */
	assert_int_equal(xdp_memory_check(&m, NULL, (32ull << 30) - 2 * 4096, 2048, &err), 0);
	assert_int_equal(xdp_memory_check(&m, NULL, 32ull << 30, 2048, &err), -EFBIG);
	assert_non_null(strstr(err.text, "--buffer-size 4096"));
	assert_int_equal(xdp_memory_check(&m, NULL, 32ull << 30, 4096, &err), 0);
	assert_int_equal(xdp_memory_check(&m, NULL, 64ull << 30, 4096, &err), -EFBIG);
	assert_true(xdp_memory_per_queue(1 << 30, 2048, 2048) >= (1u << 19) * 128u);
}

/* --- the interface goes --- */

static void an_interface_that_goes_is_told(void **state)
{
	struct paste_region *r = landing_open(REGION_BYTES, 2048);
	struct paste_port *port = must_open(r, (struct paste_xdp_options){0});

	assert_int_equal(paste_port_poll(port, 0), 0);
	assert_int_equal(veth_ip(veth.here, "link del dev " VETH_HERE), 0);
	assert_int_equal(paste_port_poll(port, -1), -ENETDOWN);
	assert_int_equal(paste_port_sync_receive(port, 0), -ENETDOWN);
	assert_int_equal(paste_port_sync_transmit(port, 0), -ENETDOWN);
	paste_port_close(port);
	landing_close(r);
	veth_make(&veth, 1, 1500);
}

static void an_interface_that_is_down_comes_back(void **state)
{
	struct paste_region *r = landing_open(REGION_BYTES, 2048);
	struct paste_port *port = must_open(r, (struct paste_xdp_options){0});

	assert_int_equal(veth_ip(veth.here, "link set dev " VETH_HERE " down"), 0);
	struct paste_slot *slot = paste_ring_slot(&port->transmit[0], port->transmit[0].head++);
	slot->length = 60;
	slot->offset = 0;
	memset(paste_buffer_data(r, slot->buffer), 0xff, 60);
	assert_int_equal(paste_port_sync_transmit(port, 0), 63);
	assert_int_equal(paste_port_sync_receive(port, 0), 0);
	assert_int_equal(veth_ip(veth.here, "link set dev " VETH_HERE " up"), 0);
	for (int i = 0; i < 200 && paste_port_sync_transmit(port, 0) < 64; i++)
		usleep(5000);
	assert_int_equal(paste_port_sync_transmit(port, 0), 64);
	paste_port_close(port);
	landing_close(r);
}

/* --- looking without touching --- */

static void an_interface_tells_what_it_is(void **state)
{
	struct xdp_interface i;
	struct paste_error err = {{0}};

	veth_make(&veth, 3, 1400);
	assert_int_equal(xdp_interface_find(VETH_HERE, &i, &err), 0);
	assert_string_equal(i.driver, "veth");
	assert_int_equal(i.queues, 3);
	assert_int_equal(i.mtu, 1400);
	assert_true(i.up && i.ethernet);
	assert_memory_equal(i.mac, VETH_HERE_MAC, 6);
	assert_true(i.transmit_checksum);
	veth_plain_offloads(&veth, veth.here, VETH_HERE);
	assert_int_equal(xdp_interface_find(VETH_HERE, &i, &err), 0);
	assert_false(i.transmit_checksum || i.segmentation);
	if (i.features_known) {
		assert_true(i.native && i.redirect);
		assert_false(i.zero_copy);
	}
	struct paste_region *r = landing_open(REGION_BYTES, 2048);
	assert_true(xdp_interface_queue_taken(i.index, 1) <= 0);
	struct paste_port *port = must_open(r, (struct paste_xdp_options){.first_queue = 1, .queues = 1});
	print_message("queue 1 taken: %d, queue 2: %d\n", xdp_interface_queue_taken(i.index, 1),
		      xdp_interface_queue_taken(i.index, 2));
	assert_true(xdp_interface_queue_taken(i.index, 2) <= 0);
	paste_port_close(port);
	landing_close(r);
	assert_int_equal(xdp_interface_find("lo", &i, &err), 0);
	assert_false(i.ethernet);
	veth_make(&veth, 1, 1500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_kernel_keeps_everything_else),
	    cmocka_unit_test(our_port_is_ours_alone),
	    cmocka_unit_test(nothing_stays_when_the_process_is_killed),
	    cmocka_unit_test(a_port_can_be_opened_again_and_again),
	    cmocka_unit_test(refusals_say_what_to_do),
	    cmocka_unit_test(another_program_is_named),
	    cmocka_unit_test(a_taken_queue_is_named),
	    cmocka_unit_test(who_opens_after_a_crash_asks_the_interface),
	    cmocka_unit_test(memory_that_cannot_receive_is_refused),
	    cmocka_unit_test(an_interface_that_goes_is_told),
	    cmocka_unit_test(an_interface_that_is_down_comes_back),
	    cmocka_unit_test(an_interface_tells_what_it_is),
	};
	const char *why;

	if (!veth_namespaces(&veth, &why)) {
		printf("skipped: %s\n", why);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
