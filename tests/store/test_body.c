/* SPDX-License-Identifier: BSD-2-Clause */
/* Bodies under arrival: a client that dribbles does not pin a buffer a byte. */
#include "fixture.h"

#include <errno.h>
#include <stdio.h>

/* Buffers that have a user, in bytes. */
static uint64_t held(const struct fixture *f)
{
	uint64_t n = 0;

	for (uint32_t b = 0; b < f->r->buffers; b++)
		n += f->r->buffer[b].users > 0;
	return n * f->r->buffer_size;
}

static int arrive(struct fixture *f, struct paste_body *body, const uint8_t *bytes, uint32_t n,
		  uint32_t offset)
{
	uint32_t buffer;
	int ret = paste_buffer_alloc(f->r, &buffer);

	if (ret < 0)
		return ret;
	memset(paste_buffer_data(f->r, buffer), 0x11, f->r->buffer_size);
	memcpy(paste_buffer_data(f->r, buffer) + offset, bytes, n);
	return paste_body_add(f->s, body, (struct paste_ref){buffer, (uint16_t)offset, (uint16_t)n});
}

static void expect_body(struct fixture *f, const struct paste_body *body, const uint8_t *bytes, uint64_t n)
{
	uint64_t done = 0;

	assert_int_equal(body->bytes, n);
	for (uint32_t i = 0; i < body->n; i++) {
		assert_true(body->slices[i].length <= n - done);
		assert_memory_equal(paste_ref_data(f->r, body->slices[i]), bytes + done,
				    body->slices[i].length);
		done += body->slices[i].length;
	}
	assert_int_equal(done, n);
}

struct dribble {
	const char *name;
	enum sim_kind kind;
	uint32_t total, least, most;
	bool copies;
};

static void a_dribbled_body_holds_at_most_twice_its_bytes_and_four_buffers(void **state)
{
	static const struct dribble table[] = {
	    {"a byte at a time", SIM_SHM, 100 * KIB, 1, 1, true},
	    {"a byte at a time on blocks", SIM_FILE, 100 * KIB, 1, 1, true},
	    {"a hundred bytes", SIM_SHM, 300 * KIB, 100, 100, true},
	    {"TCP segments", SIM_SHM, 500 * KIB, 1448, 1448, false},
	    {"full buffers", SIM_SHM, 500 * KIB, 2048, 2048, false},
	    {"any size", SIM_SHM, 500 * KIB, 1, 1500, true},
	    {"any size on blocks", SIM_FILE, 500 * KIB, 1, 3000, true},
	    {"one", SIM_SHM, 1, 1, 1, false},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct fixture f;
		struct paste_body body;
		struct paste_result result;
		struct sim_random random = sim_random(i);
		uint8_t *bytes = malloc(table[i].total);
		fixture_begin(&f, table[i].kind, 8 * MIB, 0, 1);
		fill_bytes(i, bytes, table[i].total);
		paste_body_init(&body);
		for (uint32_t done = 0; done < table[i].total;) {
			uint32_t n = (uint32_t)sim_between(&random, table[i].least, table[i].most);
			if (n > table[i].total - done)
				n = table[i].total - done;
			uint32_t offset = (uint32_t)sim_below(&random, f.r->buffer_size - n + 1);
			assert_int_equal(arrive(&f, &body, bytes + done, n, offset), 0);
			done += n;
			if (done % 977 < n) {
				assert_true(held(&f) <= 2ull * done + 4ull * f.r->buffer_size);
				expect_body(&f, &body, bytes, done);
			}
		}
		expect_body(&f, &body, bytes, table[i].total);
		assert_true(held(&f) <= 2ull * table[i].total + 4ull * f.r->buffer_size);
		if (!table[i].copies)
			assert_int_equal(f.s->c.copies[PASTE_COPY_COALESCE], 0);
		else
			assert_true(f.s->c.copies[PASTE_COPY_COALESCE] > 0);
		/* Each byte is copied once at most, by and large. */
		assert_true(f.s->c.copy_bytes[PASTE_COPY_COALESCE] <= table[i].total + 8192);
		assert_int_equal(paste_store_put(f.s, "k", 1, body.slices, body.n, &result), 0);
		paste_body_free(f.s, &body);
		assert_int_equal(held(&f), 0);
		settle(&f);
		fixture_crash(&f);
		fixture_open(&f);
		expect_text(&f, "k", i, table[i].total);
		free(bytes);
		fixture_end(&f);
	}
}

static void a_body_that_is_given_up_leaves_nothing(void **state)
{
	struct fixture f;
	struct paste_body body;
	uint8_t bytes[2048] = {0};

	fixture_begin(&f, SIM_SHM, 2 * MIB, 2048, 1);
	for (uint32_t n = 0; n < 40; n++) {
		paste_body_init(&body);
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(arrive(&f, &body, bytes, 1 + i * 31 % 200, i), 0);
		paste_body_free(f.s, &body);
		assert_int_equal(held(&f), 0);
		assert_int_equal(body.n, 0);
	}
	fixture_end(&f);
}

static void without_a_buffer_to_copy_into_the_body_stays_as_it_was(void **state)
{
	struct fixture f;
	struct paste_body body;
	uint8_t bytes[4096];
	uint32_t taken[4096], n = 0, done = 0;

	fixture_begin(&f, SIM_SHM, MIB, 2048, 1);
	fill_bytes(1, bytes, sizeof(bytes));
	paste_body_init(&body);
	/* The very last buffers go to the body itself. */
	while (paste_buffer_free(f.r) > 20)
		assert_int_equal(paste_buffer_alloc(f.r, &taken[n++]), 0);
	int ret;
	while ((ret = arrive(&f, &body, bytes + done, 1, 0)) == 0 && done < 5)
		done++;
	done++;
	while (paste_buffer_free(f.r) > 1)
		assert_int_equal(paste_buffer_alloc(f.r, &taken[n++]), 0);
	/* The slice that would have to be copied takes the last one. */
	ret = arrive(&f, &body, bytes + done, 1, 0);
	assert_true(ret == 0 || ret == -ENOBUFS);
	done += 1; /* taken over in any case */
	expect_body(&f, &body, bytes, done);
	paste_body_free(f.s, &body);
	while (n > 0)
		paste_buffer_put(f.r, taken[--n]);
	assert_int_equal(held(&f), 0);
	fixture_end(&f);
}

#define CRUMB 16
#define UPLOAD_MAX (64 * KIB)

/* Crumbs of many uploads at once, until no buffer is left. */
static uint32_t crumbs_fill(struct fixture *f, struct paste_body *bodies, uint32_t n, const uint8_t *bytes)
{
	for (uint32_t done = 0;; done += CRUMB) {
		assert_true(done + CRUMB <= UPLOAD_MAX);
		for (uint32_t i = 0; i < n; i++) {
			if (arrive(f, &bodies[i], bytes + done, CRUMB, 0))
				return done;
		}
	}
}

static void uploads_that_hold_all_free_buffers_are_stored_when_they_end(void **state)
{
	static const struct {
		enum sim_kind kind;
		uint64_t size;
		uint32_t uploads;
	} table[] = {{SIM_SHM, 1 * MIB, 50}, {SIM_SHM, 8 * MIB, 200}, {SIM_FILE, 8 * MIB, 200}};

	for (size_t t = 0; t < sizeof(table) / sizeof(table[0]); t++) {
		struct fixture f;
		struct paste_body *bodies = calloc(table[t].uploads, sizeof(*bodies));
		struct paste_result result;
		uint8_t bytes[UPLOAD_MAX];
		char key[24];
		fill_bytes(7, bytes, sizeof(bytes));
		fixture_begin(&f, table[t].kind, table[t].size, 0, 1);
		for (uint32_t i = 0; i < table[t].uploads; i++)
			paste_body_init(&bodies[i]);
		uint32_t whole = crumbs_fill(&f, bodies, table[t].uploads, bytes);
		assert_true(whole > 0);
		assert_true(f.s->placed_bytes < space_capacity(f.s) / 2);
		for (uint32_t i = 0; i < table[t].uploads; i++) {
			size_t length = (size_t)sprintf(key, "upload %u", i);
			int ret = paste_store_put(f.s, key, length, bodies[i].slices, bodies[i].n, &result);
			if (ret)
				print_message("case %zu, upload %u of %u\n", t, i, table[t].uploads);
			assert_int_equal(ret, 0);
			paste_body_free(f.s, &bodies[i]);
			if (i % 10 == 9)
				turn(&f);
		}
		free(bodies);
		fixture_end(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_dribbled_body_holds_at_most_twice_its_bytes_and_four_buffers),
	    cmocka_unit_test(a_body_that_is_given_up_leaves_nothing),
	    cmocka_unit_test(without_a_buffer_to_copy_into_the_body_stays_as_it_was),
	    cmocka_unit_test(uploads_that_hold_all_free_buffers_are_stored_when_they_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
