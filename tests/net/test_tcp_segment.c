/* SPDX-License-Identifier: BSD-2-Clause */
/* TCP headers: built and parsed again, refused, and options as strangers write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "naive.h"
#include "net/tcp_segment.h"

#define FRAME 2048

static struct packet_path path_of(bool six)
{
	struct packet_path p = {.mac_source = {2, 0, 0, 0, 0, 1}, .mac_destination = {2, 0, 0, 0, 0, 2}};

	assert_int_equal(net_address_parse(six ? "fd00::1" : "10.0.0.1", &p.source), 0);
	assert_int_equal(net_address_parse(six ? "fd00::2" : "10.0.0.2", &p.destination), 0);
	return p;
}

static enum packet_check parse(const uint8_t *frame, uint32_t first, uint32_t length, bool bare,
			       struct packet *p, struct tcp_segment *s)
{
	struct packet_piece piece[2] = {{frame, first}, {frame + first, length - first}};
	struct packet_options o = {.vlan = PACKET_VLAN_ANY};
	uint32_t n = first < length ? 2 : 1;
	enum packet_check bad = packet_parse(piece, n, &o, p);

	return bad ? bad : tcp_segment_parse(piece, n, bare, p, s);
}

static uint32_t build(uint8_t *frame, bool six, struct tcp_segment *s, bool offload)
{
	struct packet_path path = path_of(six);
	uint8_t payload[1460];

	for (uint32_t i = 0; i < s->length; i++)
		payload[i] = (uint8_t)(i * 7);
	/* In two pieces, the first of odd length. */
	uint32_t first = s->length > 3 ? 3 : s->length;
	struct packet_piece piece[2] = {{payload, first}, {payload + first, s->length - first}};
	uint32_t header = tcp_segment_build(frame, &path, s, piece, 2, offload);
	memcpy(frame + header, payload, s->length);
	return header + s->length;
}

static void expect_equal(const struct tcp_segment *a, const struct tcp_segment *b)
{
	assert_int_equal(a->seq, b->seq);
	assert_int_equal(a->ack, b->ack);
	assert_int_equal(a->length, b->length);
	assert_int_equal(a->source_port, b->source_port);
	assert_int_equal(a->destination_port, b->destination_port);
	assert_int_equal(a->window, b->window);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->mss, b->mss);
	assert_int_equal(a->scale, b->scale);
	assert_int_equal(a->sack_permitted, b->sack_permitted);
	assert_int_equal(a->timestamps, b->timestamps);
	if (a->timestamps) {
		assert_int_equal(a->ts_value, b->ts_value);
		assert_int_equal(a->ts_echo, b->ts_echo);
	}
	assert_int_equal(a->sacks, b->sacks);
	for (uint32_t i = 0; i < a->sacks; i++)
		assert_memory_equal(&a->sack[i], &b->sack[i], sizeof(a->sack[i]));
}

static struct tcp_segment made(uint32_t options, uint32_t length)
{
	struct tcp_segment s = {.seq = 0xfffffff0,
				.ack = 77,
				.length = length,
				.source_port = 1234,
				.destination_port = 80,
				.window = 4321,
				.flags = TCP_ACK | TCP_PSH,
				.scale = TCP_SCALE_NONE};

	if (options & 1) {
		s.flags |= TCP_SYN;
		s.mss = 1460;
		s.scale = 7;
		s.sack_permitted = true;
	}
	if (options & 2) {
		s.timestamps = true;
		s.ts_value = 0x12345678;
		s.ts_echo = 0x9abcdef0;
	}
	if ((options & 4) && !(options & 1)) {
		s.sacks = options & 2 ? 3 : 4;
		for (uint32_t i = 0; i < s.sacks; i++)
			s.sack[i] = (struct tcp_range){1000 * i, 1000 * i + 500};
	}
	return s;
}

static void what_is_built_is_parsed(void **state)
{
	for (uint32_t options = 0; options < 8; options++) {
		for (uint32_t length = 0; length < 1400; length += 1 + length / 3) {
			for (int six = 0; six < 2; six++) {
				struct tcp_segment s = made(options, length), back;
				uint8_t frame[FRAME];
				struct packet p;
				uint32_t n = build(frame, six, &s, false);
				uint32_t header = packet_header_bytes(
						      &(struct packet_path){.source = path_of(six).source}) +
						  tcp_segment_header(&s);
				assert_int_equal(n, header + length);
				assert_int_equal(parse(frame, n, n, false, &p, &back), PACKET_ACCEPTED);
				expect_equal(&s, &back);
				assert_int_equal(back.payload, header);
				/* The payload may be anywhere, the header may not. */
				assert_int_equal(parse(frame, header, n, false, &p, &back), PACKET_ACCEPTED);
				assert_int_equal(parse(frame, header - 1, n, false, &p, &back),
						 PACKET_HEADERS_SPLIT);
			}
		}
	}
}

static void any_flipped_bit_behind_the_addresses_is_noticed(void **state)
{
	struct tcp_segment s = made(6, 33), back;
	uint8_t frame[FRAME];
	struct packet p;
	uint32_t n = build(frame, false, &s, false);

	for (uint32_t bit = 34 * 8; bit < n * 8; bit++) {
		frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
		enum packet_check bad = parse(frame, n, n, false, &p, &back);
		assert_true(bad == PACKET_TCP_CHECKSUM || bad == PACKET_TCP_OFFSET);
		frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void pseudo_header_sums_are_accepted_where_asked_for(void **state)
{
	for (int six = 0; six < 2; six++) {
		struct tcp_segment s = made(2, 100), back;
		uint8_t frame[FRAME];
		struct packet p;
		uint32_t n = build(frame, six, &s, true);
		assert_int_equal(parse(frame, n, n, false, &p, &back), PACKET_TCP_CHECKSUM);
		assert_int_equal(parse(frame, n, n, true, &p, &back), PACKET_ACCEPTED);
		assert_true(p.bare_sum);
		n = build(frame, six, &s, false);
		assert_int_equal(parse(frame, n, n, true, &p, &back), PACKET_ACCEPTED);
		assert_false(p.bare_sum);
	}
}

/* A segment with these option bytes, its checksum made right. */
static enum packet_check with_options(const uint8_t *bytes, uint32_t n, uint8_t flags, uint32_t offset_words,
				      struct tcp_segment *s)
{
	struct tcp_segment plain = {.flags = flags, .scale = TCP_SCALE_NONE, .length = n};
	struct packet_path path = path_of(false);
	struct packet_piece piece = {bytes, n};
	uint8_t frame[FRAME];
	struct packet p;
	uint32_t header = tcp_segment_build(frame, &path, &plain, &piece, 1, false);

	memcpy(frame + header, bytes, n);
	/* The payload becomes options: header length and checksum change by the same. */
	uint8_t *tcp = frame + 34;
	tcp[12] = (uint8_t)(offset_words << 4);
	tcp[16] = tcp[17] = 0;
	uint8_t rest[4] = {0, 6, 0, (uint8_t)(20 + n)};
	uint16_t sum =
	    naive_sum(naive_sum(naive_sum(0, path.source.byte, 16), path.destination.byte, 16), rest, 4);
	sum = (uint16_t)~naive_sum(sum, tcp, 20 + n);
	tcp[16] = (uint8_t)(sum >> 8);
	tcp[17] = (uint8_t)sum;
	return parse(frame, header + n, header + n, false, &p, s);
}

static void header_lengths_are_checked(void **state)
{
	uint8_t none[8] = {1, 1, 1, 1, 1, 1, 1, 1};
	struct tcp_segment s;

	assert_int_equal(with_options(none, 8, TCP_ACK, 7, &s), PACKET_ACCEPTED);
	assert_int_equal(s.length, 0);
	assert_int_equal(with_options(none, 8, TCP_ACK, 6, &s), PACKET_ACCEPTED);
	assert_int_equal(s.length, 4);
	for (uint32_t words = 0; words < 16; words++) {
		enum packet_check want = words >= 5 && words <= 7 ? PACKET_ACCEPTED : PACKET_TCP_OFFSET;
		assert_int_equal(with_options(none, 8, TCP_ACK, words, &s), want);
	}
	/* An IP packet that ends before a TCP header does. */
	uint8_t frame[FRAME];
	struct packet_path path = path_of(false);
	struct packet p;
	uint32_t ip = packet_build_ip(frame, &path, PACKET_PROTOCOL_TCP, 19);
	assert_int_equal(parse(frame, ip + 19, ip + 19, false, &p, &s), PACKET_TCP_SHORT);
	ip = packet_build_ip(frame, &path, PACKET_PROTOCOL_UDP, 20);
	assert_int_equal(parse(frame, ip + 20, ip + 20, false, &p, &s), PACKET_PROTOCOL_OTHER);
}

static void options_are_read_as_far_as_they_are_sound(void **state)
{
	struct tcp_segment s;

	/* unknown ones are stepped over */
	assert_int_equal(with_options((const uint8_t[]){254, 4, 9, 9, 2, 4, 5, 0xb4}, 8, TCP_SYN, 7, &s), 0);
	assert_int_equal(s.mss, 1460);
	/* the end is the end */
	assert_int_equal(with_options((const uint8_t[]){0, 1, 1, 1, 2, 4, 5, 0xb4}, 8, TCP_SYN, 7, &s), 0);
	assert_int_equal(s.mss, 0);
	/* a length that is none: the rest is not looked at */
	for (uint8_t length = 0; length < 2; length++) {
		uint8_t bad[8] = {254, length, 1, 1, 2, 4, 5, 0xb4};
		assert_int_equal(with_options(bad, 8, TCP_SYN, 7, &s), 0);
		assert_int_equal(s.mss, 0);
	}
	/* one that runs over the end */
	assert_int_equal(with_options((const uint8_t[]){1, 1, 1, 1, 2, 5, 5, 0xb4}, 8, TCP_SYN, 7, &s), 0);
	assert_int_equal(s.mss, 0);
	/* of the wrong length for its kind */
	assert_int_equal(with_options((const uint8_t[]){2, 3, 5, 3, 3, 7, 1, 1}, 8, TCP_SYN, 7, &s), 0);
	assert_int_equal(s.mss, 0);
	assert_int_equal(s.scale, 7);
	/* a scale beyond 14 counts as 14 (RFC 7323, section 2.3) */
	assert_int_equal(with_options((const uint8_t[]){1, 3, 3, 200}, 4, TCP_SYN, 6, &s), 0);
	assert_int_equal(s.scale, TCP_SCALE_MAX);
	/* those of a SYN count in a SYN only */
	assert_int_equal(
	    with_options((const uint8_t[]){2, 4, 5, 0xb4, 3, 3, 7, 4, 2, 1, 1, 1}, 12, TCP_ACK, 8, &s), 0);
	assert_int_equal(s.mss, 0);
	assert_int_equal(s.scale, TCP_SCALE_NONE);
	assert_false(s.sack_permitted);
	/* timestamps as nobody aligns them */
	assert_int_equal(
	    with_options((const uint8_t[]){8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1}, 12, TCP_ACK, 8, &s), 0);
	assert_true(s.timestamps);
	assert_int_equal(s.ts_value, 1);
	assert_int_equal(s.ts_echo, 2);
	/* half a SACK block */
	assert_int_equal(with_options((const uint8_t[]){5, 6, 0, 0, 0, 1, 1, 1}, 8, TCP_ACK, 7, &s), 0);
	assert_int_equal(s.sacks, 0);
	/* a lone kind at the very end */
	assert_int_equal(with_options((const uint8_t[]){1, 1, 1, 2}, 4, TCP_SYN, 6, &s), 0);
	assert_int_equal(s.mss, 0);
}

static void windows_accept_what_section_3_4_says(void **state)
{
	static const struct {
		uint32_t seq, length, next, window;
		bool accepted;
	} rows[] = {
	    {100, 0, 100, 0, true},
	    {101, 0, 100, 0, false},
	    {99, 0, 100, 0, false},
	    {100, 0, 100, 10, true},
	    {109, 0, 100, 10, true},
	    {110, 0, 100, 10, false},
	    {99, 0, 100, 10, false},
	    {100, 1, 100, 0, false},
	    {100, 1, 100, 10, true},
	    {99, 1, 100, 10, false},
	    {99, 2, 100, 10, true},
	    {90, 200, 100, 10, false},
	    {109, 50, 100, 10, true},
	    {110, 50, 100, 10, false},
	    {0xfffffffe, 0, 0xfffffff0, 100, true},
	    {5, 1, 0xfffffff0, 100, true},
	    {84, 1, 0xfffffff0, 100, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(seq_acceptable(rows[i].seq, rows[i].length, rows[i].next, rows[i].window),
				 rows[i].accepted);
	assert_true(seq_before(0xffffffff, 0) && seq_after(0, 0xffffffff) && !seq_before(1, 1) &&
		    seq_upto(1, 1));
	assert_int_equal(seq_max(0xffffffff, 1), 1);
	assert_int_equal(seq_min(0xffffffff, 1), 0xffffffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_built_is_parsed),
	    cmocka_unit_test(any_flipped_bit_behind_the_addresses_is_noticed),
	    cmocka_unit_test(pseudo_header_sums_are_accepted_where_asked_for),
	    cmocka_unit_test(header_lengths_are_checked),
	    cmocka_unit_test(options_are_read_as_far_as_they_are_sound),
	    cmocka_unit_test(windows_accept_what_section_3_4_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
