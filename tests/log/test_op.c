/* SPDX-License-Identifier: BSD-2-Clause */
/* Ops come back as they were written, and bytes that are none are refused without reading beyond them. */
#include "bare.h"

#include <errno.h>

#include "base/crc.h"
#include "log/op.h"

static void an_op_comes_back_as_it_was_written(void **state)
{
	static const struct {
		uint16_t refs, key, attributes;
		uint64_t bytes;
		bool in_line;
	} table[] = {
	    {0, 1, 0, 0, true},      {0, 1, 0, 1, true},         {0, 16, 0, 64, true},
	    {1, 16, 0, 4096, false}, {128, 1024, 0, 7, false},   {128, 1024, 256, 64, true},
	    {3, 7, 5, 11, true},     {0, 1024, 256, 1024, true},
	};
	uint8_t key[1024], attributes[256], bytes[1024], buffer[8192];
	struct extent refs[OP_REFS_MAX];
	struct sim_random random = sim_random(1);

	sim_fill(&random, key, sizeof(key));
	sim_fill(&random, attributes, sizeof(attributes));
	sim_fill(&random, bytes, sizeof(bytes));
	sim_fill(&random, refs, sizeof(refs));
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		for (uint8_t type = OP_PUT; type <= OP_DAMAGE; type++) {
			struct op_view in = {
			    .op = {.type = type,
				   .flags = table[i].in_line ? OP_INLINE : 0,
				   .key_length = table[i].key,
				   .refs = table[i].refs,
				   .attributes = table[i].attributes,
				   .version = 0x1122334455667788,
				   .length = table[i].bytes},
			    .refs = refs,
			    .key = key,
			    .attributes = attributes,
			    .bytes = bytes,
			};
			memset(buffer, 0xcc, sizeof(buffer));
			size_t size = op_encode(buffer, &in);
			assert_int_equal(size, op_size(&in.op));
			assert_int_equal(size % 8, 0);
			assert_int_equal(buffer[size], 0xcc);
			struct op_view out;
			assert_int_equal(op_decode(buffer, size, &out), size);
			assert_memory_equal(&out.op, &in.op, sizeof(in.op));
			assert_memory_equal(out.refs, refs, table[i].refs * sizeof(struct extent));
			assert_memory_equal(out.key, key, table[i].key);
			assert_memory_equal(out.attributes, attributes, table[i].attributes);
			if (table[i].in_line)
				assert_memory_equal(out.bytes, bytes, table[i].bytes);
			for (size_t less = 0; less < size; less++)
				assert_int_equal(op_decode(buffer, less, &out), -EBADMSG);
		}
	}
}

/* Whatever recovery takes for an op must fit a checkpoint page again. */
static void an_op_is_never_longer_than_a_page(void **state)
{
	static uint8_t bytes[8192];

	for (uint8_t type = 0; type < 12; type++) {
		struct op_view v;
		struct op *op = (struct op *)bytes;
		memset(bytes, 0, sizeof(bytes));
		*op = (struct op){.type = type, .flags = OP_INLINE, .key_length = 1024, .refs = OP_REFS_MAX,
				  .attributes = OP_ATTRIBUTES_MAX, .length = 1024};
		bool known = type >= OP_PUT && type <= OP_BATCH;
		int64_t size = op_decode(bytes, sizeof(bytes), &v);
		assert_true(known ? size > 0 && size <= PAGE_SIZE_CHECKPOINT - (int)sizeof(struct header) : size == -EBADMSG);
		op->length = 1025;
		assert_true((op_decode(bytes, sizeof(bytes), &v) > 0) == (type == OP_RETRY));
		op->length = OP_RETRY_BYTES_MAX + 1;
		assert_int_equal(op_decode(bytes, sizeof(bytes), &v), -EBADMSG);
	}
}

/* In memory that ends where the room ends, so that a sanitizer sees a byte read beyond. */
static void random_bytes_are_never_read_beyond_their_end(void **state)
{
	struct sim_random random = sim_random(2);
	uint32_t good = 0;

	for (int i = 0; i < 200000; i++) {
		size_t n = (size_t)sim_below(&random, i % 10 == 0 ? 5000 : 120);
		uint8_t *bytes = malloc(n + (n == 0));
		struct op_view v;
		sim_fill(&random, bytes, n);
		if (n >= sizeof(struct op) && i % 2) {
			/* Nearly sensible. */
			struct op *op = (struct op *)bytes;
			op->type = (uint8_t)sim_between(&random, 0, 10);
			op->key_length %= 200;
			op->refs %= 10;
			op->attributes %= 20;
			op->length %= 100;
		}
		int64_t size = op_decode(bytes, n, &v);
		assert_true(size == -EBADMSG || (size >= (int64_t)sizeof(struct op) && size <= (int64_t)n));
		if (size > 0) {
			volatile uint32_t sum = 0;
			for (uint16_t k = 0; k < v.op.key_length; k++)
				sum += v.key[k];
			for (uint16_t k = 0; k < v.op.refs * sizeof(struct extent); k++)
				sum += ((const uint8_t *)v.refs)[k];
			for (uint16_t k = 0; k < v.op.attributes; k++)
				sum += v.attributes[k];
			for (uint64_t k = 0; (v.op.flags & OP_INLINE) && k < v.op.length; k++)
				sum += v.bytes[k];
			(void)sum;
			(void)op_digest(&v);
			good++;
		}
		free(bytes);
	}
	assert_true(good > 1000);
}

static void keys_and_streams_of_the_same_name_have_different_digests(void **state)
{
	for (uint32_t i = 0; i < 10000; i++) {
		uint32_t key = key_digest(false, &i, sizeof(i)), stream = key_digest(true, &i, sizeof(i));
		assert_int_not_equal(key, stream);
		assert_true(key != DIGEST_NONE && key != DIGEST_MANY);
	}
	struct op_view v = {.op = {.type = OP_PUT, .key_length = 1}, .key = (const uint8_t *)"k"};
	assert_int_equal(op_digest(&v), key_digest(false, "k", 1));
	v.op.type = OP_APPEND;
	assert_int_equal(op_digest(&v), key_digest(true, "k", 1));
	v.op.flags = OP_MOVED;
	assert_int_equal(op_digest(&v), DIGEST_NONE);
}

struct seen {
	uint32_t extents, lists, stop;
};

static int count(void *arg, const struct extent *e, bool list)
{
	struct seen *seen = arg;

	seen->lists += list;
	seen->extents += !list;
	return seen->stop && seen->extents == seen->stop ? -EINTR : 0;
}

static struct extent extent_at(struct paste_region *r, uint32_t segment, uint32_t offset, uint32_t length)
{
	struct paste_ref ref = region_ref_at(r, segment, offset, length);

	return (struct extent){ref, paste_crc(0, region_ref_data(r, ref), length)};
}

static void extents_are_visited_through_their_lists_and_lies_are_refused(void **state)
{
	struct bare b;
	struct sim_random random = sim_random(4);
	struct extent inner[10], list;
	struct seen seen = {0};

	bare_begin(&b, SIM_SHM, MIB, 2048, 1);
	sim_fill(&random, region_segment_data(b.r, 0), b.r->segment_size);
	for (uint32_t i = 0; i < 10; i++)
		inner[i] = extent_at(b.r, 0, i * 100, 50 + i);
	memcpy(region_segment_data(b.r, 1) + 3, inner, sizeof(inner));
	list = extent_at(b.r, 1, 3, sizeof(inner));

	assert_int_equal(op_each_extent(b.r, inner, 10, false, count, &seen), 0);
	assert_int_equal(seen.extents, 10);
	seen = (struct seen){0};
	assert_int_equal(op_each_extent(b.r, &list, 1, true, count, &seen), 0);
	assert_true(seen.extents == 10 && seen.lists == 1);
	assert_int_equal(op_verify(b.r, &list, 1, true), 0);
	seen = (struct seen){.stop = 3};
	assert_int_equal(op_each_extent(b.r, &list, 1, true, count, &seen), -EINTR);
	assert_int_equal(seen.extents, 3);

	/* A bad byte of a value, of the list, a list that is cut, and one that leads out of the region. */
	region_segment_data(b.r, 0)[100] ^= 1;
	assert_int_equal(op_verify(b.r, &list, 1, true), -EBADMSG);
	seen = (struct seen){0};
	assert_int_equal(op_each_extent(b.r, &list, 1, true, count, &seen), 0); /* looking is not verifying */
	region_segment_data(b.r, 0)[100] ^= 1;
	region_segment_data(b.r, 1)[3 + 12 + 2] ^= 1;
	assert_int_equal(op_verify(b.r, &list, 1, true), -EBADMSG);
	region_segment_data(b.r, 1)[3 + 12 + 2] ^= 1;
	struct extent cut = extent_at(b.r, 1, 3, sizeof(inner) - 1);
	assert_int_equal(op_verify(b.r, &cut, 1, true), -EBADMSG);
	inner[5].ref.buffer = b.r->buffers;
	memcpy(region_segment_data(b.r, 1) + 3, inner, sizeof(inner));
	list = extent_at(b.r, 1, 3, sizeof(inner));
	assert_int_equal(op_verify(b.r, &list, 1, true), -EBADMSG);
	assert_int_equal(op_verify(b.r, inner, 10, false), -EBADMSG);
	list.ref.length = 0;
	assert_int_equal(op_verify(b.r, &list, 1, true), -EBADMSG);
	bare_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_op_comes_back_as_it_was_written),
	    cmocka_unit_test(an_op_is_never_longer_than_a_page),
		cmocka_unit_test(random_bytes_are_never_read_beyond_their_end),
	    cmocka_unit_test(keys_and_streams_of_the_same_name_have_different_digests),
	    cmocka_unit_test(extents_are_visited_through_their_lists_and_lies_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
