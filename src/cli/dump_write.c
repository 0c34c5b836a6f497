/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/dump_write.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/crc.h"
#include "cli/dump_format.h"
#include "paste/backup.h"

#define STEP_BYTES (256 << 10)

struct dump_write {
	struct paste_store *store;
	bool begun; /* the header is out */
	uint64_t records, damaged;
	uint64_t written; /* in this step */
	/* A value under way: its slices, each with a user count, as far as they are not out. */
	struct paste_ref *slices;
	uint32_t n, at, room;
	uint32_t offset; /* of slices[at] */
};

int dump_write_begin(struct dump_write **w, struct paste_store *store, struct paste_error *err)
{
	uint64_t round;
	struct dump_write *d = calloc(1, sizeof(*d));

	if (!d)
		return paste_fail(err, -ENOMEM, "out of memory");
	int rc = paste_store_snapshot_begin(store, &round);
	if (rc < 0) {
		free(d);
		return paste_fail(err, rc,
				  rc == -EBUSY ? "another dump is under way" : "no snapshot can be taken: %s",
				  strerror(-rc));
	}
	d->store = store;
	*w = d;
	return 0;
}

static void put_slices(struct dump_write *d)
{
	for (; d->at < d->n; d->at++)
		paste_ref_put(paste_store_region(d->store), d->slices[d->at]);
	d->n = d->at = d->offset = 0;
}

void dump_write_end(struct dump_write *d)
{
	put_slices(d);
	paste_store_snapshot_end(d->store);
	free(d->slices);
	free(d);
}

static void write_header(struct dump_write *d, FILE *out)
{
	struct dump_header h = {.magic = DUMP_MAGIC, .format = DUMP_FORMAT, .created = (uint64_t)time(NULL)};
	struct paste_store_stats s;

	paste_store_stats(d->store, &s);
	h.version = s.version;
	h.keys = s.keys;
	h.streams = s.streams;
	h.entries = s.entries;
	h.live_bytes = s.live_bytes;
	memcpy(h.uuid, s.uuid, sizeof(s.uuid));
	memcpy(h.name, s.name, sizeof(h.name));
	h.crc = paste_crc(0, &h, sizeof(h));
	fwrite(&h, sizeof(h), 1, out);
	d->begun = true;
}

static void write_record(struct dump_write *d, struct dump_record *r, const void *name, FILE *out)
{
	r->crc = paste_crc(paste_crc(0, r, sizeof(*r)), name, r->name_length);
	fwrite(r, sizeof(*r), 1, out);
	fwrite(name, 1, r->name_length, out);
	d->records++;
	d->written += sizeof(*r) + r->name_length;
}

static uint32_t value_crc(struct dump_write *d, const struct paste_value *v)
{
	uint32_t crc = 0;

	if (v->bytes)
		return paste_crc(0, v->bytes, v->length);
	for (uint32_t i = 0; i < v->n; i++)
		crc = paste_crc(crc, paste_ref_data(paste_store_region(d->store), v->slices[i]),
				v->slices[i].length);
	return crc;
}

/* The slices become ours, to be written in this step and the next ones. */
static int take_slices(struct dump_write *d, const struct paste_value *v)
{
	if (v->n > d->room) {
		struct paste_ref *grown = realloc(d->slices, v->n * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		d->slices = grown;
		d->room = v->n;
	}
	memcpy(d->slices, v->slices, v->n * sizeof(*d->slices));
	d->n = v->n;
	d->at = d->offset = 0;
	return 0;
}

static void write_slices(struct dump_write *d, FILE *out)
{
	struct paste_region *region = paste_store_region(d->store);

	while (d->at < d->n && d->written < STEP_BYTES) {
		struct paste_ref *slice = &d->slices[d->at];
		uint32_t left = slice->length - d->offset;

		fwrite(paste_ref_data(region, *slice) + d->offset, 1, left, out);
		d->written += left;
		paste_ref_put(region, *slice);
		d->at++;
		d->offset = 0;
	}
}

static int write_item(struct dump_write *d, struct paste_snapshot_item *item, bool damaged, FILE *out)
{
	static const uint8_t types[] = {[PASTE_SNAPSHOT_KEY] = DUMP_KEY,
					[PASTE_SNAPSHOT_STREAM] = DUMP_STREAM,
					[PASTE_SNAPSHOT_ENTRY] = DUMP_ENTRY};
	struct dump_record r = {.type = types[item->kind], .flags = damaged ? DUMP_DAMAGED : 0};
	const struct paste_value *v = &item->value;
	bool has_value = item->kind != PASTE_SNAPSHOT_STREAM && !damaged;

	d->damaged += damaged;
	r.number = item->kind == PASTE_SNAPSHOT_KEY      ? v->version
		   : item->kind == PASTE_SNAPSHOT_STREAM ? item->first
							 : item->sequence;
	r.more = item->kind == PASTE_SNAPSHOT_KEY      ? item->expires
		 : item->kind == PASTE_SNAPSHOT_STREAM ? item->next
						       : 0;
	r.name_length = item->kind == PASTE_SNAPSHOT_ENTRY ? 0 : (uint16_t)item->name_length;
	if (has_value) {
		r.length = v->length;
		r.value_crc = value_crc(d, v);
	}
	write_record(d, &r, item->name, out);
	if (!has_value)
		return 0;
	if (v->bytes) {
		fwrite(v->bytes, 1, v->length, out);
		d->written += v->length;
		return 0;
	}
	int rc = take_slices(d, v);
	if (rc < 0)
		paste_value_put(d->store, v);
	else
		write_slices(d, out);
	return rc;
}

static void write_end(struct dump_write *d, FILE *out)
{
	struct dump_record r = {.type = DUMP_END, .number = d->records, .more = d->damaged};

	write_record(d, &r, "", out);
}

int dump_write_step(struct dump_write *d, FILE *out, struct paste_error *err)
{
	int rc = 0;

	d->written = 0;
	if (!d->begun)
		write_header(d, out);
	write_slices(d, out);
	while (rc == 0 && d->written < STEP_BYTES) {
		struct paste_snapshot_item item;

		rc = paste_store_snapshot_next(d->store, &item);
		if (rc == 0 || rc == -EBADMSG)
			rc = write_item(d, &item, rc != 0, out);
	}
	if (rc == -ENOENT) {
		write_end(d, out);
		return 0;
	}
	if (rc == -ESTALE)
		return paste_fail(
		    err, rc, "too much was changed meanwhile for the dump to show one moment; dump again");
	if (rc < 0 && rc != -EAGAIN)
		return paste_fail(err, rc, "reading the store: %s", strerror(-rc));
	return 1;
}
