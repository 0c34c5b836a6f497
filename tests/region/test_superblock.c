/* SPDX-License-Identifier: BSD-2-Clause */
/* The two copies of the superblock: either alone opens the region, and nonsense does not. */
#include "bare.h"

#include <errno.h>

#include "base/crc.h"

static struct superblock *copy_of(struct bare *b, int which)
{
	return (struct superblock *)(b->image + (which ? SUPERBLOCK_B_OFFSET : 0));
}

static void begin_closed(struct bare *b)
{
	bare_begin(b, SIM_SHM, MIB, 2048, 1);
	bare_close(b);
}

/* As whoever wrote it would have: the field as zero. */
static void seal(struct superblock *sb)
{
	sb->crc = 0;
	sb->crc = paste_crc(0, sb, sizeof(*sb));
}

static void change_both(struct bare *b, void (*change)(struct superblock *sb))
{
	for (int i = 0; i < 2; i++) {
		change(copy_of(b, i));
		seal(copy_of(b, i));
	}
}

static void both_copies_are_the_same_after_a_rewrite(void **state)
{
	struct bare b;

	bare_begin(&b, SIM_FILE, MIB, 4096, 1);
	b.r->sb.epoch = 77;
	assert_int_equal(superblock_rewrite(&b.r->sb, b.m, 0), 0);
	bare_close(&b);
	assert_memory_equal(copy_of(&b, 0), copy_of(&b, 1), SUPERBLOCK_SIZE);
	assert_int_equal(copy_of(&b, 0)->epoch, 77);
	bare_end(&b);
}

static void either_copy_alone_opens_the_region(void **state)
{
	for (int which = 0; which < 2; which++) {
		struct bare b;
		struct superblock sb;
		struct superblock_health health;
		begin_closed(&b);
		memset(copy_of(&b, which), 0xa5, SUPERBLOCK_SIZE);
		assert_int_equal(bare_try_open(&b, &sb, &health), 0);
		assert_true(health.bad[which]);
		assert_false(health.repaired[which]);
		assert_false(health.bad[!which]);
		assert_int_equal(health.older, which);
		assert_string_equal(sb.name, "bare");
		bare_end(&b);
	}
}

static void every_single_bit_of_a_lone_copy_is_mended(void **state)
{
	struct bare b;
	struct superblock sb, good;
	struct superblock_health health;

	begin_closed(&b);
	memset(copy_of(&b, 1), 0, SUPERBLOCK_SIZE);
	good = *copy_of(&b, 0);
	for (uint32_t bit = 0; bit < SUPERBLOCK_SIZE * 8; bit += bit < 400 * 8 ? 3 : 97) {
		uint8_t *byte = (uint8_t *)copy_of(&b, 0) + bit / 8;
		*byte ^= (uint8_t)(1u << bit % 8);
		struct media m = {.base = b.image, .length = b.size, .unit = 64};
		assert_int_equal(superblock_load(&m, &sb, &health, NULL), 0);
		assert_true(health.bad[0] && health.repaired[0]);
		assert_memory_equal(&sb, &good, sizeof(sb));
		*byte ^= (uint8_t)(1u << bit % 8);
	}
	bare_end(&b);
}

static void two_flipped_bits_in_each_copy_are_too_many(void **state)
{
	struct bare b;
	struct superblock sb;
	struct superblock_health health;

	begin_closed(&b);
	for (int i = 0; i < 2; i++) {
		copy_of(&b, i)->root.pages ^= 4;
		copy_of(&b, i)->uuid[3] ^= 1;
	}
	assert_int_equal(bare_try_open(&b, &sb, &health), -EBADMSG);
	bare_end(&b);
}

static void a_foreign_file_is_not_talked_into_being_a_region(void **state)
{
	struct bare b;
	struct superblock sb;
	struct superblock_health health;
	struct sim_random random = sim_random(5);

	begin_closed(&b);
	memset(b.image, 0, b.size);
	assert_int_equal(bare_try_open(&b, &sb, &health), -EBADMSG);
	for (int i = 0; i < 200; i++) {
		sim_fill(&random, b.image, SUPERBLOCK_SIZE);
		sim_fill(&random, b.image + SUPERBLOCK_B_OFFSET, SUPERBLOCK_SIZE);
		if (i % 2)
			memcpy(b.image, "PASTEREX", 8);
		assert_int_equal(bare_try_open(&b, &sb, &health), -EBADMSG);
	}
	bare_end(&b);
}

static void of_two_whole_copies_the_newer_counts(void **state)
{
	for (int newer = 0; newer < 2; newer++) {
		struct bare b;
		struct superblock sb;
		struct superblock_health health;
		begin_closed(&b);
		copy_of(&b, newer)->generation++;
		copy_of(&b, newer)->root.id = 42;
		seal(copy_of(&b, newer));
		assert_int_equal(bare_try_open(&b, &sb, &health), 0);
		assert_int_equal(sb.root.id, 42);
		assert_int_equal(health.older, !newer);
		bare_end(&b);
	}
}

static void of_two_equal_copies_the_one_that_was_mended_is_rewritten_first(void **state)
{
	for (int damaged = 0; damaged < 2; damaged++) {
		struct bare b;
		struct superblock sb;
		struct superblock_health health;
		begin_closed(&b);
		copy_of(&b, damaged)->root.time ^= 1u << 9;
		assert_int_equal(bare_try_open(&b, &sb, &health), 0);
		assert_true(health.repaired[damaged]);
		assert_int_equal(health.older, damaged);
		bare_end(&b);
	}
}

/* At each moment of a rewrite, on a medium that tears blocks, one copy or the other opens the region. */
struct watch {
	struct bare *b;
	uint8_t *out;
	uint64_t old_generation;
	uint32_t images, new_seen, damaged;
	bool first_only; /* the second copy must still be the old one */
};

static void look(void *arg, struct media *m, enum sim_event event)
{
	struct watch *w = arg;
	struct sim_crash *c = sim_crash_begin(m);
	struct sim_random random = sim_random(w->images);
	struct sim_image images[24];
	uint32_t n = sim_crash_plan(c, &random, images, 24);

	for (uint32_t i = 0; i < n; i++) {
		struct superblock sb;
		struct superblock_health health;
		struct media image = {.base = w->out, .length = w->b->size, .unit = 4096};
		sim_crash_image(c, &images[i], w->out);
		assert_int_equal(superblock_load(&image, &sb, &health, NULL), 0);
		assert_true(sb.generation == w->old_generation || sb.generation == w->old_generation + 1);
		w->images++;
		w->new_seen += sb.generation > w->old_generation;
		w->damaged += health.bad[0] || health.bad[1];
		assert_false(health.bad[0] && health.bad[1]);
	}
	sim_crash_end(c);
}

static void at_each_moment_of_a_rewrite_one_copy_is_whole(void **state)
{
	for (int first = 0; first < 2; first++) {
		struct bare b;
		bare_begin(&b, SIM_FILE, MIB, 4096, 1);
		struct watch w = {.b = &b, .out = malloc(b.size), .old_generation = b.r->sb.generation};
		sim_set_hook(b.m, look, &w);
		assert_int_equal(superblock_rewrite(&b.r->sb, b.m, first), 0);
		sim_set_hook(b.m, NULL, NULL);
		assert_true(w.images > 20 && w.damaged > 0 && w.new_seen > 0 && w.new_seen < w.images);
		free(w.out);
		bare_end(&b);
	}
}

static void the_first_copy_rewritten_is_the_one_asked_for(void **state)
{
	for (int first = 0; first < 2; first++) {
		struct bare b;
		struct superblock_rewrite w;
		bare_begin(&b, SIM_FILE, MIB, 4096, 1);
		superblock_begin(&w, &b.r->sb, first);
		assert_int_equal(superblock_step(&w, b.m), 0);
		assert_memory_equal(b.m->base + (first ? SUPERBLOCK_B_OFFSET : 0), &w.content,
				    SUPERBLOCK_SIZE);
		assert_memory_not_equal(b.m->base + (first ? 0 : SUPERBLOCK_B_OFFSET), &w.content,
					SUPERBLOCK_SIZE);
		int ret;
		while ((ret = superblock_step(&w, b.m)) == 0)
			;
		assert_int_equal(ret, 1);
		assert_memory_equal(b.m->base, b.m->base + SUPERBLOCK_B_OFFSET, SUPERBLOCK_SIZE);
		bare_end(&b);
	}
}

static void a_rewrite_says_that_the_medium_failed(void **state)
{
	for (unsigned int commits = 0; commits < 2; commits++) {
		struct bare b;
		bare_begin(&b, SIM_FILE, MIB, 4096, 1);
		sim_fail(b.m, commits, -EIO);
		assert_int_equal(superblock_rewrite(&b.r->sb, b.m, 0), -EIO);
		bare_close(&b);
		bare_end(&b);
	}
}

static void newer_format(struct superblock *sb)
{
	sb->format = FORMAT_VERSION + 1;
}
static void incompatible(struct superblock *sb)
{
	sb->features_incompat = 8;
}
static void read_only_compatible(struct superblock *sb)
{
	sb->features_ro_compat = 1u << 31;
}
static void compatible(struct superblock *sb)
{
	sb->features_compat = 0xffffffff;
}
static void longer(struct superblock *sb)
{
	sb->size *= 2;
}
static void tiny(struct superblock *sb)
{
	sb->size = AREA_START;
}
static void odd_buffers(struct superblock *sb)
{
	sb->buffer_size = sb->area[0].buffer_size = 1024;
}
static void other_buffers(struct superblock *sb)
{
	sb->buffer_size = 4096;
}
static void no_segment_size(struct superblock *sb)
{
	sb->segment_size = 0;
}
static void odd_segments(struct superblock *sb)
{
	sb->segment_size = SEGMENT_SIZE_MIN + 2048;
}
static void huge_segments(struct superblock *sb)
{
	sb->segment_size = 2 * SEGMENT_SIZE_MAX;
}
static void odd_unit(struct superblock *sb)
{
	sb->unit = 512;
}
static void unit_above_buffer(struct superblock *sb)
{
	sb->unit = 4096;
}
static void no_areas(struct superblock *sb)
{
	sb->areas = 0;
}
static void many_areas(struct superblock *sb)
{
	sb->areas = 2;
}
static void no_logs(struct superblock *sb)
{
	sb->logs = 0;
}
static void many_logs(struct superblock *sb)
{
	sb->logs = LOGS_MAX + 1;
}
static void many_objects(struct superblock *sb)
{
	sb->objects = OBJECTS_MAX + 1;
}
static void area_elsewhere(struct superblock *sb)
{
	sb->area[0].start = 0;
}
static void area_too_long(struct superblock *sb)
{
	sb->area[0].length = sb->size;
}
static void area_wraps(struct superblock *sb)
{
	sb->area[0].length = UINT64_MAX;
}
static void area_too_short(struct superblock *sb)
{
	sb->area[0].length = 2048;
}
static void log_from_zero(struct superblock *sb)
{
	sb->log[0].start = 0;
}
static void log_far_out(struct superblock *sb)
{
	sb->log[0].end = UINT64_MAX;
}
static void endless_name(struct superblock *sb)
{
	memset(sb->name, 'x', sizeof(sb->name));
}

static void what_a_right_checksum_vouches_for_must_still_make_sense(void **state)
{
	static const struct {
		void (*change)(struct superblock *sb);
		int expected;
	} table[] = {
	    {newer_format, -ENOTSUP},
	    {incompatible, -ENOTSUP},
	    {read_only_compatible, -EROFS},
	    {compatible, 0},
	    {longer, -EFBIG},
	    {tiny, -EBADMSG},
	    {odd_buffers, -EBADMSG},
	    {other_buffers, -EBADMSG},
	    {no_segment_size, -EBADMSG},
	    {odd_segments, -EBADMSG},
	    {huge_segments, -EBADMSG},
	    {odd_unit, -EBADMSG},
	    {unit_above_buffer, -EBADMSG},
	    {no_areas, -EBADMSG},
	    {many_areas, -EBADMSG},
	    {no_logs, -EBADMSG},
	    {many_logs, -EBADMSG},
	    {many_objects, -EBADMSG},
	    {area_elsewhere, -EBADMSG},
	    {area_too_long, -EBADMSG},
	    {area_wraps, -EBADMSG},
	    {area_too_short, -EBADMSG},
	    {log_from_zero, -EBADMSG},
	    {log_far_out, -EBADMSG},
	    {endless_name, -EBADMSG},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct bare b;
		struct superblock sb;
		struct superblock_health health;
		begin_closed(&b);
		change_both(&b, table[i].change);
		int ret = bare_try_open(&b, &sb, &health);
		if (ret != table[i].expected)
			fail_msg("row %zu: %d, not %d", i, ret, table[i].expected);
		bare_end(&b);
	}
}

static void unknown_read_only_compatible_features_are_read(void **state)
{
	struct bare b;
	struct superblock sb;
	struct superblock_health health;

	begin_closed(&b);
	change_both(&b, read_only_compatible);
	struct media m = {.base = b.image, .length = b.size, .unit = 64, .read_only = true};
	assert_int_equal(superblock_load(&m, &sb, &health, NULL), 0);
	bare_end(&b);
}

static void a_region_made_for_lines_is_not_opened_on_blocks(void **state)
{
	struct bare b;
	struct superblock sb;
	struct superblock_health health;

	begin_closed(&b);
	b.kind = SIM_FILE;
	assert_int_equal(bare_try_open(&b, &sb, &health), -ENOTSUP);
	bare_end(&b);
}

static void a_truncated_medium_is_refused(void **state)
{
	static const struct {
		uint64_t length;
		int expected;
	} table[] = {{0, -EBADMSG}, {4096, -EBADMSG},      {MIB - 1, -EBADMSG},
		     {MIB, -EFBIG}, {2 * MIB - 1, -EFBIG}, {2 * MIB, 0}};
	struct bare b;

	bare_begin(&b, SIM_SHM, 2 * MIB, 2048, 1);
	bare_close(&b);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct superblock sb;
		struct superblock_health health;
		struct media m = {.base = b.image, .length = table[i].length, .unit = 64};
		assert_int_equal(superblock_load(&m, &sb, &health, NULL), table[i].expected);
	}
	bare_end(&b);
}

static void creation_refuses_what_cannot_work(void **state)
{
	static const struct {
		enum sim_kind kind;
		uint64_t size;
		uint32_t buffer_size;
		const char *name;
		int expected;
	} table[] = {
	    {SIM_SHM, MIB, 0, "a", 0},
	    {SIM_FILE, MIB, 0, "a", 0},
	    {SIM_SHM, MIB - 4096, 0, "a", -EINVAL},
	    {SIM_SHM, MIB, 1024, "a", -EINVAL},
	    {SIM_SHM, MIB, 3000, "a", -EINVAL},
	    {SIM_FILE, MIB, 2048, "a", -EINVAL},
	    {SIM_SHM, MIB, 0, "0123456789012345678901234567890123456789012345678901234567890123",
	     -ENAMETOOLONG},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct sim_options o = {.kind = table[i].kind, .size = MIB, .seed = 1};
		struct media *m = sim_open(&o);
		struct paste_error err = {{0}};
		assert_int_equal(
		    region_format(m, table[i].name, table[i].size, table[i].buffer_size, 1, &err),
		    table[i].expected);
		media_close(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(both_copies_are_the_same_after_a_rewrite),
	    cmocka_unit_test(either_copy_alone_opens_the_region),
	    cmocka_unit_test(every_single_bit_of_a_lone_copy_is_mended),
	    cmocka_unit_test(two_flipped_bits_in_each_copy_are_too_many),
	    cmocka_unit_test(a_foreign_file_is_not_talked_into_being_a_region),
	    cmocka_unit_test(of_two_whole_copies_the_newer_counts),
	    cmocka_unit_test(of_two_equal_copies_the_one_that_was_mended_is_rewritten_first),
	    cmocka_unit_test(at_each_moment_of_a_rewrite_one_copy_is_whole),
	    cmocka_unit_test(the_first_copy_rewritten_is_the_one_asked_for),
	    cmocka_unit_test(a_rewrite_says_that_the_medium_failed),
	    cmocka_unit_test(what_a_right_checksum_vouches_for_must_still_make_sense),
	    cmocka_unit_test(unknown_read_only_compatible_features_are_read),
	    cmocka_unit_test(a_region_made_for_lines_is_not_opened_on_blocks),
	    cmocka_unit_test(a_truncated_medium_is_refused),
	    cmocka_unit_test(creation_refuses_what_cannot_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
