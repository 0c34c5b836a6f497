/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The XDP program, run by the kernel over a table of packets (BPF_PROG_RUN): nothing is attached to anything.
 *
 * Ours in these tests: UDP 7000 at 10.1.1.1 and at fd00::1, TCP 80 at every IPv4 and every IPv6 address, UDP
 * 5353 at the group 224.0.0.251.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <netinet/in.h>

#include "port/steer.h"
#include "port/xdp_compat.h"

#define PASS XDP_PASS
#define DROP XDP_DROP
#define TAKE XDP_REDIRECT

struct frame {
	uint8_t bytes[1024];
	size_t n;
};

static void put(struct frame *f, const void *bytes, size_t n)
{
	memcpy(f->bytes + f->n, bytes, n);
	f->n += n;
}

static void put8(struct frame *f, uint8_t value)
{
	put(f, &value, 1);
}

static void put16(struct frame *f, uint16_t value)
{
	put8(f, (uint8_t)(value >> 8));
	put8(f, (uint8_t)value);
}

/* --- a packet in words --- */

struct packet {
	const char *to; /* IP address; its form says the family */
	uint16_t port;
	uint8_t protocol;
	bool group;               /* to a group of stations */
	int tag, tag2;            /* VLAN tags, type in the upper half; 0: none */
	uint8_t options;          /* IPv4: words of options */
	uint16_t fragment;        /* IPv4: flags and offset */
	uint8_t extension[12];    /* IPv6: headers in order, up to the first 0xff ... */
	uint8_t extension_length; /* ... each so long (units of 8 beyond the first) */
	uint8_t segments_left;    /* of routing headers */
	uint16_t fragment6;       /* of fragment headers */
	uint8_t version;          /* 0: the right one */
	uint16_t type;            /* Ethernet type, 0: the right one */
	uint8_t header_length;    /* IPv4: words, 0: the right number */
	int cut;                  /* bytes that are missing at the end */
};

#define TAG(type, id) ((type) << 16 | (id))
#define NO_MORE 0xff

static void put_ipv4(struct frame *f, const struct packet *p)
{
	uint8_t version = p->version ? p->version : 4;
	uint8_t words = p->header_length ? p->header_length : (uint8_t)(5 + p->options);
	struct in_addr to;

	put8(f, (uint8_t)(version << 4 | words));
	put8(f, 0);
	put16(f, (uint16_t)(20 + p->options * 4 + 12));
	put16(f, 1);
	put16(f, p->fragment);
	put8(f, 64);
	put8(f, p->protocol);
	put16(f, 0);
	put(f, "\x0a\x01\x01\x02", 4);
	assert_int_equal(inet_pton(AF_INET, p->to, &to), 1);
	put(f, &to, 4);
	for (int i = 0; i < p->options * 4; i++)
		put8(f, 1);
}

static void put_extension(struct frame *f, const struct packet *p, uint8_t kind, uint8_t next)
{
	size_t length = kind == 51 ? (p->extension_length + 2u) * 4 : (p->extension_length + 1u) * 8;
	size_t start = f->n;

	put8(f, next);
	if (kind == 44) {
		put8(f, 0);
		put16(f, p->fragment6);
		put(f, "abcd", 4);
		return;
	}
	put8(f, p->extension_length);
	put8(f, 0);
	put8(f, kind == 43 ? p->segments_left : 0);
	while (f->n < start + length)
		put8(f, 0);
}

static void put_ipv6(struct frame *f, const struct packet *p)
{
	uint8_t version = p->version ? p->version : 6;
	struct in6_addr to;
	unsigned n = 0;

	while (p->extension_length != NO_MORE && n < sizeof(p->extension) && p->extension[n] != NO_MORE)
		n++;
	put8(f, (uint8_t)(version << 4));
	put(f, "\0\0\0", 3);
	put16(f, 12);
	put8(f, n ? p->extension[0] : p->protocol);
	put8(f, 64);
	put(f, "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2", 16);
	assert_int_equal(inet_pton(AF_INET6, p->to, &to), 1);
	put(f, &to, 16);
	for (unsigned i = 0; i < n; i++)
		put_extension(f, p, p->extension[i], i + 1 < n ? p->extension[i + 1] : p->protocol);
}

static void build(struct frame *f, const struct packet *p)
{
	bool six = strchr(p->to, ':') != NULL;

	f->n = 0;
	put(f, p->group ? "\x01\0\x5e\0\0\xfb" : "\x02\0\0\0\0\1", 6);
	put(f, "\x02\0\0\0\0\2", 6);
	if (p->tag) {
		put16(f, (uint16_t)(p->tag >> 16));
		put16(f, (uint16_t)p->tag);
	}
	if (p->tag2) {
		put16(f, (uint16_t)(p->tag2 >> 16));
		put16(f, (uint16_t)p->tag2);
	}
	put16(f, p->type ? p->type : six ? 0x86dd : 0x0800);
	if (six)
		put_ipv6(f, p);
	else
		put_ipv4(f, p);
	put16(f, 4000);
	put16(f, p->port);
	put16(f, 12);
	put16(f, 0);
	put(f, "data", 4);
	f->n -= (size_t)p->cut;
}

/* --- running it --- */

struct fixture {
	struct steer *steer;
	int socket;
};

static struct paste_xdp_rule rule(const char *to, uint8_t protocol, uint16_t port)
{
	struct paste_xdp_rule r = {.port = port, .protocol = protocol};

	if (strchr(to, ':')) {
		assert_int_equal(inet_pton(AF_INET6, to, r.address), 1);
	} else {
		r.address[10] = r.address[11] = 0xff;
		assert_int_equal(inet_pton(AF_INET, to, r.address + 12), 1);
	}
	return r;
}

static void take(struct steer *s, const char *to, uint8_t protocol, uint16_t port)
{
	struct paste_xdp_rule r = rule(to, protocol, port);

	assert_int_equal(steer_take(s, &r), 0);
}

static uint32_t verdict(struct fixture *f, const struct frame *frame)
{
	uint8_t out[2048];
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame->bytes, .data_size_in = (uint32_t)frame->n,
		    .data_out = out, .data_size_out = sizeof(out), .repeat = 1);

	assert_int_equal(bpf_prog_test_run_opts(steer_program(f->steer), &run), 0);
	/* What goes on is what came. */
	assert_int_equal(run.data_size_out, frame->n);
	assert_memory_equal(out, frame->bytes, frame->n);
	return run.retval;
}

static int setup(void **state)
{
	static struct fixture fixture;
	struct steer_options options = {.ifname = "none", .queues = 1};
	struct paste_error err = {{0}};
	int ret = steer_open(&options, &fixture.steer, &err);

	if (ret < 0) {
		printf("skipped: %s\n", err.text);
		exit(ret == -EPERM || ret == -ENOSYS ? 77 : 1);
	}
	take(fixture.steer, "10.1.1.1", IPPROTO_UDP, 7000);
	take(fixture.steer, "fd00::1", IPPROTO_UDP, 7000);
	take(fixture.steer, "0.0.0.0", IPPROTO_TCP, 80);
	take(fixture.steer, "::", IPPROTO_TCP, 80);
	take(fixture.steer, "224.0.0.251", IPPROTO_UDP, 5353);
	fixture.socket = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fixture.socket < 0) {
		printf("skipped: AF_XDP sockets cannot be had: %s\n", strerror(errno));
		exit(77);
	}
	assert_int_equal(steer_socket(fixture.steer, 0, fixture.socket), 0);
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->socket);
	steer_close(f->steer);
	return 0;
}

static const struct {
	const char *name;
	uint32_t verdict;
	struct packet packet;
} table[] = {
    /* whose it is */
    {"our UDP port at our address", TAKE, {"10.1.1.1", 7000, 17, .extension_length = NO_MORE}},
    {"our UDP port at our IPv6 address", TAKE, {"fd00::1", 7000, 17, .extension_length = NO_MORE}},
    {"another port", PASS, {"10.1.1.1", 7001, 17}},
    {"the port with its bytes swapped", PASS, {"10.1.1.1", 0x581b, 17}},
    {"our port of the other protocol", PASS, {"10.1.1.1", 7000, 6}},
    {"our port at another address", PASS, {"10.1.1.3", 7000, 17}},
    {"our port at another IPv6 address", PASS, {"fd00::3", 7000, 17, .extension_length = NO_MORE}},
    {"our address as an IPv6 one, mapped", TAKE, {"::ffff:10.1.1.1", 7000, 17, .extension_length = NO_MORE}},
    {"TCP 80 anywhere", TAKE, {"10.9.9.9", 80, 6}},
    {"TCP 80 anywhere, IPv6", TAKE, {"2001:db8::77", 80, 6, .extension_length = NO_MORE}},
    {"UDP 80 anywhere", PASS, {"10.9.9.9", 80, 17}},
    {"ICMP", PASS, {"10.1.1.1", 7000, 1}},
    {"ICMPv6", PASS, {"fd00::1", 7000, 58, .extension_length = NO_MORE}},
    {"SCTP to our port's number", PASS, {"10.1.1.1", 7000, 132}},
    /* groups */
    {"a group that a rule names", TAKE, {"224.0.0.251", 5353, 17, .group = true}},
    {"a group, and a rule for all addresses", PASS, {"224.0.0.252", 80, 6, .group = true}},
    {"our address, sent to a group of stations", TAKE, {"10.1.1.1", 7000, 17, .group = true}},
    /* other things than IP */
    {"ARP", PASS, {"10.1.1.1", 7000, 17, .type = 0x0806}},
    {"LLDP", PASS, {"10.1.1.1", 7000, 17, .type = 0x88cc, .group = true}},
    {"IPv4 in the name of IPv6", PASS, {"10.1.1.1", 7000, 17, .type = 0x86dd}},
    {"IPv6 in the name of IPv4", PASS, {"fd00::1", 7000, 17, .type = 0x0800, .extension_length = NO_MORE}},
    {"IP version 5", PASS, {"10.1.1.1", 7000, 17, .version = 5}},
    {"IP version 7", PASS, {"fd00::1", 7000, 17, .version = 7, .extension_length = NO_MORE}},
    /* VLANs */
    {"a VLAN", PASS, {"10.1.1.1", 7000, 17, .tag = TAG(0x8100, 5)}},
    {"a priority tag", TAKE, {"10.1.1.1", 7000, 17, .tag = TAG(0x8100, 0xe000)}},
    {"a priority tag, IPv6",
     TAKE,
     {"fd00::1", 7000, 17, .tag = TAG(0x8100, 0xe000), .extension_length = NO_MORE}},
    {"a priority tag, then a VLAN",
     PASS,
     {"10.1.1.1", 7000, 17, .tag = TAG(0x8100, 0xe000), .tag2 = TAG(0x8100, 5)}},
    {"a provider's VLAN", PASS, {"10.1.1.1", 7000, 17, .tag = TAG(0x88a8, 5), .tag2 = TAG(0x8100, 6)}},
    {"a tag and nothing", PASS, {"10.1.1.1", 7000, 17, .tag = TAG(0x8100, 0), .cut = 32 + 2}},
    /* IPv4 headers */
    {"options", TAKE, {"10.1.1.1", 7000, 17, .options = 3}},
    {"as many options as there can be", TAKE, {"10.1.1.1", 7000, 17, .options = 10}},
    {"options, another port", PASS, {"10.1.1.1", 7001, 17, .options = 3}},
    {"a header of four words", PASS, {"10.1.1.1", 7000, 17, .header_length = 4}},
    {"a header longer than the packet", PASS, {"10.1.1.1", 7000, 17, .header_length = 15}},
    /* IPv4 fragments */
    {"do not fragment", TAKE, {"10.1.1.1", 7000, 17, .fragment = 0x4000}},
    {"a first fragment of ours", DROP, {"10.1.1.1", 7000, 17, .fragment = 0x2000}},
    {"a first fragment of others", PASS, {"10.1.1.1", 7001, 17, .fragment = 0x2000}},
    {"a middle fragment", PASS, {"10.1.1.1", 7000, 17, .fragment = 0x2001}},
    {"a last fragment", PASS, {"10.1.1.1", 7000, 17, .fragment = 0x00b9}},
    /* IPv6 extension headers */
    {"hop-by-hop options", TAKE, {"fd00::1", 7000, 17, .extension = {0, NO_MORE}}},
    {"long destination options",
     TAKE,
     {"fd00::1", 7000, 17, .extension = {60, NO_MORE}, .extension_length = 9}},
    {"authentication", TAKE, {"fd00::1", 7000, 17, .extension = {51, NO_MORE}, .extension_length = 4}},
    {"all of them",
     TAKE,
     {"fd00::1", 7000, 17, .extension = {0, 60, 43, 51, 60, NO_MORE}, .extension_length = 2}},
    {"extension headers, another port", PASS, {"fd00::1", 7001, 17, .extension = {0, 60, NO_MORE}}},
    {"a routing header at its end", TAKE, {"fd00::1", 7000, 17, .extension = {43, NO_MORE}}},
    {"a routing header with segments left",
     PASS,
     {"fd00::1", 7000, 17, .extension = {43, NO_MORE}, .segments_left = 1}},
    {"eight headers", TAKE, {"fd00::1", 7000, 17, .extension = {60, 60, 60, 60, 60, 60, 60, 60, NO_MORE}}},
    {"nine headers", PASS, {"fd00::1", 7000, 17, .extension = {60, 60, 60, 60, 60, 60, 60, 60, 60, NO_MORE}}},
    {"a header that is not known", PASS, {"fd00::1", 7000, 17, .extension = {135, NO_MORE}}},
    {"no next header", PASS, {"fd00::1", 7000, 59, .extension = {60, NO_MORE}}},
    {"an extension longer than the packet",
     PASS,
     {"fd00::1", 7000, 17, .extension = {60, NO_MORE}, .extension_length = 40, .cut = 300}},
    /* IPv6 fragments */
    {"a whole packet with a fragment header", TAKE, {"fd00::1", 7000, 17, .extension = {44, NO_MORE}}},
    {"a first fragment of ours, IPv6",
     DROP,
     {"fd00::1", 7000, 17, .extension = {44, NO_MORE}, .fragment6 = 1}},
    {"a first fragment of others, IPv6",
     PASS,
     {"fd00::1", 7001, 17, .extension = {44, NO_MORE}, .fragment6 = 1}},
    {"a later fragment, IPv6", PASS, {"fd00::1", 7000, 17, .extension = {44, NO_MORE}, .fragment6 = 8}},
    {"options, then a first fragment",
     DROP,
     {"fd00::1", 7000, 17, .extension = {0, 44, 60, NO_MORE}, .fragment6 = 1}},
    /* cut short: payload 4, the rest of the UDP header 4, then ports */
    {"without payload", TAKE, {"10.1.1.1", 7000, 17, .cut = 4}},
    {"ports and no more", TAKE, {"10.1.1.1", 7000, 17, .cut = 8}},
    {"half of the ports", PASS, {"10.1.1.1", 7000, 17, .cut = 9}},
    {"half of the IPv4 header", PASS, {"10.1.1.1", 7000, 17, .cut = 20}},
    {"half of the IPv6 header", PASS, {"fd00::1", 7000, 17, .extension_length = NO_MORE, .cut = 20}},
    {"half of the IPv6 ports", PASS, {"fd00::1", 7000, 17, .extension_length = NO_MORE, .cut = 10}},
};

static void every_packet_goes_where_it_belongs(void **state)
{
	struct fixture *f = *state;
	struct steer_counts before, after;
	uint64_t expected[4] = {0}, n = sizeof(table) / sizeof(*table);
	unsigned wrong = 0;

	steer_counts(f->steer, 0, &before);
	for (unsigned i = 0; i < n; i++) {
		struct frame frame;
		build(&frame, &table[i].packet);
		uint32_t got = verdict(f, &frame);
		if (got != table[i].verdict) {
			print_error("%s: %u instead of %u\n", table[i].name, got, table[i].verdict);
			wrong++;
		}
		expected[table[i].verdict == TAKE ? 0 : table[i].verdict == DROP ? 1 : 2]++;
	}
	assert_int_equal(wrong, 0);
	steer_counts(f->steer, 0, &after);
	assert_int_equal(after.taken - before.taken, expected[0]);
	assert_int_equal(after.fragments - before.fragments, expected[1]);
	assert_int_equal(after.passed - before.passed, expected[2]);
	assert_int_equal(after.absent, before.absent);
}

static void a_packet_may_end_anywhere(void **state)
{
	struct fixture *f = *state;

	/* Whatever its length, it is never dropped; less than the Ethernet header the kernel does not run. */
	for (unsigned i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct frame frame;
		build(&frame, &table[i].packet);
		for (size_t n = frame.n; n >= 14; n--) {
			frame.n = n;
			uint32_t got = verdict(f, &frame);
			assert_true(got == PASS || got == table[i].verdict);
		}
	}
}

static void without_a_socket_our_packets_are_dropped(void **state)
{
	struct fixture *f = *state;
	struct packet ours = {"10.1.1.1", 7000, 17}, other = {"10.1.1.1", 7001, 17};
	struct steer_counts before, after;
	struct frame frame;

	close(f->socket);
	steer_counts(f->steer, 0, &before);
	build(&frame, &ours);
	assert_int_equal(verdict(f, &frame), DROP);
	build(&frame, &other);
	assert_int_equal(verdict(f, &frame), PASS);
	steer_counts(f->steer, 0, &after);
	assert_int_equal(after.absent - before.absent, 1);
	assert_int_equal(after.taken, before.taken);
	f->socket = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	assert_int_equal(steer_socket(f->steer, 0, f->socket), 0);
	build(&frame, &ours);
	assert_int_equal(verdict(f, &frame), TAKE);
}

static void rules_come_and_go(void **state)
{
	struct fixture *f = *state;
	struct packet packet = {"10.1.1.1", 9, 17};
	struct paste_xdp_rule r = rule("10.1.1.1", IPPROTO_UDP, 9);
	struct frame frame;

	build(&frame, &packet);
	assert_int_equal(verdict(f, &frame), PASS);
	assert_int_equal(steer_take(f->steer, &r), 0);
	assert_int_equal(steer_take(f->steer, &r), 0);
	assert_int_equal(verdict(f, &frame), TAKE);
	assert_int_equal(steer_leave(f->steer, &r), 0);
	assert_int_equal(verdict(f, &frame), PASS);
	assert_int_equal(steer_leave(f->steer, &r), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_packet_goes_where_it_belongs),
	    cmocka_unit_test(a_packet_may_end_anywhere),
	    cmocka_unit_test(without_a_socket_our_packets_are_dropped),
	    cmocka_unit_test(rules_come_and_go),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
