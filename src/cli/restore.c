/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pst restore: a new region out of a dump, of any medium and size. A file is read twice: first to see that
 * all of it is sound, so that nothing is made of a bad one. The region gets its name when it is complete.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/dump_read.h"
#include "cli/region_options.h"
#include "paste/backup.h"
#include "paste/change.h"

#define COMMIT_BYTES (4 << 20) /* put back between two commits */

struct restore {
	const char *from;
	bool lossy;
	struct paste_create_options create;
	struct dump_read read;
	struct paste_store *store;
	struct paste_ref *slices;
	uint32_t n, room;
	uint64_t since_commit, lost;
	uint8_t stream[1024]; /* that the entries are of */
	size_t stream_length;
};

static int put_away(struct restore *r)
{
	int64_t round = paste_store_commit(r->store);
	int rc = round < 0 ? (int)round : 0;

	if (rc == 0 && (round = paste_store_wait(r->store, (uint64_t)round)) < 0)
		rc = (int)round;
	while (rc == 0 && (rc = paste_store_maintain(r->store, false)) > 0) {
		round = paste_store_commit(r->store);
		rc = round < 0 ? (int)round : 0;
		if (rc == 0 && (round = paste_store_wait(r->store, (uint64_t)round)) < 0)
			rc = (int)round;
	}
	r->since_commit = 0;
	return rc < 0 ? rc : 0;
}

static void give_back(struct restore *r)
{
	for (uint32_t i = 0; i < r->n; i++)
		paste_buffer_put(paste_store_region(r->store), r->slices[i].buffer);
	r->n = 0;
}

static int take_buffer(struct restore *r, uint32_t *buffer)
{
	struct paste_region *region = paste_store_region(r->store);
	int rc = paste_buffer_alloc(region, buffer);

	if (rc != -ENOBUFS)
		return rc;
	rc = put_away(r); /* what was superseded meanwhile may be free then */
	return rc < 0 ? rc : paste_buffer_alloc(region, buffer);
}

/* The record's value into buffers of the region. */
static int take_value(struct restore *r, struct paste_error *err)
{
	struct paste_region *region = paste_store_region(r->store);
	uint32_t size = paste_buffer_size(region), buffer;
	uint64_t wanted = (r->read.record.length + size - 1) / size;

	if (r->read.record.length > paste_store_value_max(r->store))
		return paste_fail(
		    err, -EFBIG,
		    "a value of %" PRIu64
		    " bytes is longer than a region of this size accepts; give it a larger --size",
		    r->read.record.length);
	if (wanted > r->room) {
		struct paste_ref *grown = realloc(r->slices, wanted * sizeof(*grown));

		if (!grown)
			return paste_fail(err, -ENOMEM, "out of memory");
		r->slices = grown;
		r->room = (uint32_t)wanted;
	}
	for (uint64_t i = 0; i < wanted; i++) {
		int rc = take_buffer(r, &buffer);

		if (rc < 0)
			return rc == -ENOBUFS ? -ENOSPC : rc;
		int64_t n = dump_read_value(&r->read, paste_buffer_data(region, buffer), size, err);
		r->slices[r->n++] = (struct paste_ref){buffer, 0, (uint16_t)(n > 0 ? n : 1)};
		if (n < 0)
			return (int)n;
	}
	return 0;
}

/* As in a URL: clients chose it, and whoever reads this has a terminal. */
static void print_name(const uint8_t *name, size_t length)
{
	for (size_t i = 0; i < length; i++)
		fprintf(stderr, name[i] > ' ' && name[i] < 0x7f && name[i] != '%' ? "%c" : "%%%02x", name[i]);
}

static void tell_lost(struct restore *r)
{
	const struct dump_record *e = &r->read.record;
	bool key = e->type == DUMP_KEY;

	r->lost++;
	fprintf(stderr, "pst restore: %s ", key ? "key" : "stream");
	print_name(key ? r->read.name : r->stream, key ? e->name_length : r->stream_length);
	if (key)
		fprintf(stderr, ": damaged in the dump, not restored\n");
	else
		fprintf(stderr, " entry %" PRIu64 ": damaged in the dump, restored empty\n", e->number);
}

static int put_entry(struct restore *r, uint64_t number)
{
	struct paste_result result;

	for (;;) {
		int rc = paste_store_append(r->store, r->stream, r->stream_length, r->slices, r->n, &result);
		if (rc < 0 || result.version >= number)
			return rc < 0 ? rc : result.version == number ? 0 : -EILSEQ;
		return -EILSEQ; /* entries are missing */
	}
}

static int put_record(struct restore *r)
{
	const struct dump_record *e = &r->read.record;
	bool damaged = e->flags & DUMP_DAMAGED;
	struct paste_result result;

	if (damaged)
		tell_lost(r);
	switch (e->type) {
	case DUMP_KEY:
		return damaged ? 0
			       : paste_store_restore_key(r->store, r->read.name, e->name_length, r->slices,
							 r->n, e->number, e->more, &result);
	case DUMP_STREAM:
		memcpy(r->stream, r->read.name, e->name_length);
		r->stream_length = e->name_length;
		return paste_store_restore_stream(r->store, r->stream, r->stream_length, e->number, &result);
	default:
		return put_entry(r, e->number);
	}
}

static int explain(const struct restore *r, int rc, struct paste_error *err)
{
	if (err->text[0])
		return rc;
	if (rc == -ENOSPC)
		return paste_fail(err, rc,
				  "the region is too small for what the dump holds; give it a larger --size");
	if (rc == -EILSEQ || rc == -EEXIST)
		return paste_fail(err, rc, "the dump does not fit together, near its byte %" PRIu64,
				  r->read.offset);
	return paste_fail(err, rc, "putting back: %s", strerror(-rc));
}

static int put_all(struct restore *r, struct paste_error *err)
{
	int rc = paste_store_restore_begin(r->store, r->read.header.version), more = 1;

	while (rc == 0 && (more = dump_read_next(&r->read, err)) > 0) {
		rc = take_value(r, err);
		if (rc == 0)
			rc = put_record(r);
		r->since_commit += r->read.record.length + r->read.record.name_length + 64;
		give_back(r);
		if (rc == 0 && r->since_commit >= COMMIT_BYTES)
			rc = put_away(r);
	}
	if (more < 0)
		rc = more;
	return rc < 0 ? explain(r, rc, err) : 0;
}

static int fill(struct restore *r, const char *path, struct paste_error *err)
{
	struct paste_open_options open = {.path = path, .medium = r->create.medium};
	int rc = paste_store_open(&open, &r->store, err);

	if (rc < 0)
		return rc;
	rc = put_all(r, err);
	int closed = paste_store_close(r->store);
	free(r->slices);
	return rc < 0 ? rc : closed < 0 ? paste_fail(err, closed, "closing: %s", strerror(-closed)) : 0;
}

/* A region of the dump's content at `path`. */
static int make(struct restore *r, const char *path, struct paste_error *err)
{
	struct paste_create_options create = r->create;

	create.path = path;
	int rc = paste_store_create(&create, err);
	if (rc < 0)
		return rc;
	rc = fill(r, path, err);
	if (rc < 0 && strcmp(path, r->create.path))
		unlink(path);
	return rc;
}

static bool is_device(const char *path)
{
	struct stat st;

	return !stat(path, &st) && (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode));
}

/* A file has its name when all is in it; on a device it is made in place. */
static int make_complete(struct restore *r, struct paste_error *err)
{
	const char *path = r->create.path;
	size_t size = strlen(path) + sizeof(".partial");

	if (is_device(path))
		return make(r, path, err);
	if (!r->create.force && !access(path, F_OK))
		return paste_fail(err, -EEXIST, "%s: is there already; --force overwrites it", path);
	int held = access(path, F_OK) ? -ENOENT : cli_hold(path, 0);
	if (held == -EBUSY)
		return paste_fail(err, -EBUSY, "%s: a process is writing it", path);
	char *partial = malloc(size);
	if (!partial)
		return paste_fail(err, -ENOMEM, "out of memory");
	snprintf(partial, size, "%s.partial", path);
	r->create.force = true; /* what an earlier attempt left */
	int rc = make(r, partial, err);
	if (rc == 0 && rename(partial, path))
		rc = paste_fail(err, -errno, "%s: %s", path, strerror(errno));
	free(partial);
	if (held >= 0)
		close(held);
	return rc;
}

/* All of it, before anything is made. */
static int look_through(struct restore *r, struct paste_error *err)
{
	int rc = dump_read_begin(&r->read, r->read.in, err);

	while (rc == 0 && (rc = dump_read_next(&r->read, err)) > 0)
		rc = 0;
	if (rc == 0 && r->read.damaged && !r->lossy)
		rc = paste_fail(err, -EBADMSG,
				"%" PRIu64
				" values were damaged when the dump was taken; --lossy restores without them",
				r->read.damaged);
	return rc;
}

static int restore(struct restore *r, struct paste_error *err)
{
	FILE *in = strcmp(r->from, "-") ? fopen(r->from, "r") : stdin;
	int rc = 0;

	if (!in)
		return paste_fail(err, -errno, "%s: %s", r->from, strerror(errno));
	r->read.in = in;
	if (in != stdin && (rc = look_through(r, err)) == 0 && fseek(in, 0, SEEK_SET))
		rc = paste_fail(err, -errno, "%s", strerror(errno));
	if (rc == 0)
		rc = dump_read_begin(&r->read, in, err);
	if (rc < 0) {
		struct paste_error why = *err;
		paste_fail(err, rc, "%s: %s", in == stdin ? "standard input" : r->from, why.text);
	}
	if (rc == 0 && !r->create.name)
		r->create.name = r->read.header.name;
	if (rc == 0)
		rc = make_complete(r, err);
	if (in != stdin)
		fclose(in);
	return rc;
}

static int parse(int argc, char **argv, struct restore *r)
{
	static const struct option longs[] = {
	    CLI_REGION_OPTIONS,
	    {"lossy", no_argument, NULL, 'l'},
	    {NULL},
	};
	struct paste_create_options *o = &r->create;
	int option, status;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":", longs, NULL)) != -1) {
		if (option == 'l') {
			r->lossy = true;
			continue;
		}
		if (!strchr(CLI_REGION_LETTERS, option))
			return cli_bad_option("restore", option, argv);
		if ((status = cli_region_option("restore", option, optarg, o)) != CLI_OK)
			return status;
	}
	if (argc - optind != 2 || !argv[optind][0] || !argv[optind + 1][0])
		return cli_usage("restore",
				 "a FILE and a PATH are wanted: the dump, and the region to be made");
	r->from = argv[optind];
	o->path = argv[optind + 1];
	return o->size ? CLI_OK
		       : cli_usage("restore", "--size is missing: how many bytes may the region have?");
}

int cmd_restore(int argc, char **argv)
{
	struct restore r = {.n = 0};
	struct paste_error error = {{0}};
	int status = parse(argc, argv, &r);

	if (status != CLI_OK)
		return status;
	if (restore(&r, &error) < 0)
		return cli_fail("restore", CLI_FAILED, error.text);
	printf("restored %s: %" PRIu64 " keys, streams and entries", r.create.path, r.read.records - r.lost);
	if (r.lost)
		printf(", %" PRIu64 " lost to damage", r.lost);
	putchar('\n');
	return r.lost ? CLI_FAILED : CLI_OK;
}
