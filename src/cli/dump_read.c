/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/dump_read.h"

#include <errno.h>
#include <string.h>

#include "base/crc.h"

#define NAME_MAX_BYTES 1024

static int damaged(const struct dump_read *r, struct paste_error *err, const char *what)
{
	return paste_fail(err, -EBADMSG, "%s, near byte %llu of the dump", what,
			  (unsigned long long)r->offset);
}

static int read_bytes(struct dump_read *r, void *to, size_t n, struct paste_error *err)
{
	size_t got = fread(to, 1, n, r->in);

	r->offset += got;
	if (got == n)
		return 0;
	return ferror(r->in) ? paste_fail(err, -EIO, "reading the dump: %s", strerror(errno))
			     : damaged(r, err, "it ends too soon");
}

int dump_read_begin(struct dump_read *r, FILE *in, struct paste_error *err)
{
	struct dump_header h;

	*r = (struct dump_read){.in = in};
	int rc = read_bytes(r, &h, sizeof(h), err);
	if (rc == -EBADMSG || (rc == 0 && memcmp(h.magic, DUMP_MAGIC, sizeof(h.magic))))
		return paste_fail(err, -EBADMSG, "this is no dump");
	if (rc < 0)
		return rc;
	r->header = h;
	h.crc = 0;
	if (h.format > DUMP_FORMAT)
		return paste_fail(err, -EPROTO, "a dump of format %u: a newer pst is needed", h.format);
	if (paste_crc(0, &h, sizeof(h)) != r->header.crc || memchr(h.uuid, 0, sizeof(h.uuid)) == NULL ||
	    memchr(h.name, 0, sizeof(h.name)) == NULL)
		return damaged(r, err, "its header is damaged");
	return 0;
}

int64_t dump_read_value(struct dump_read *r, void *to, uint64_t room, struct paste_error *err)
{
	uint64_t n = r->value_left < room ? r->value_left : room;

	if (n == 0)
		return 0;
	int rc = read_bytes(r, to, n, err);
	if (rc < 0)
		return rc;
	r->value_crc = paste_crc(r->value_crc, to, n);
	r->value_left -= n;
	if (r->value_left == 0 && r->value_crc != r->record.value_crc)
		return damaged(r, err, "a value is damaged");
	return (int64_t)n;
}

static int pass_over_value(struct dump_read *r, struct paste_error *err)
{
	char bytes[16384];
	int64_t n;

	do
		n = dump_read_value(r, bytes, sizeof(bytes), err);
	while (n > 0);
	return (int)n;
}

/* Records in an order that makes sense: a wrong one would be put back wrong. */
static bool makes_sense(struct dump_read *r)
{
	const struct dump_record *e = &r->record;

	if (e->flags & ~DUMP_DAMAGED || e->zero || ((e->flags & DUMP_DAMAGED) && e->length))
		return false;
	switch (e->type) {
	case DUMP_KEY:
		return e->name_length && e->number && e->number <= r->header.version && !r->in_stream;
	case DUMP_STREAM:
		r->in_stream = true;
		r->next = e->number;
		return e->name_length && e->number && e->number <= e->more && !e->length;
	case DUMP_ENTRY:
		if (e->name_length || !r->in_stream || e->number < r->next)
			return false;
		r->next = e->number + 1;
		return true;
	case DUMP_END:
		return !e->name_length && !e->length;
	default:
		return false;
	}
}

int dump_read_next(struct dump_read *r, struct paste_error *err)
{
	int rc = pass_over_value(r, err);

	if (rc == 0)
		rc = read_bytes(r, &r->record, sizeof(r->record), err);
	if (rc < 0)
		return rc;
	struct dump_record e = r->record;
	e.crc = 0;
	if (e.name_length > NAME_MAX_BYTES)
		return damaged(r, err, "a record is damaged");
	rc = read_bytes(r, r->name, e.name_length, err);
	if (rc < 0)
		return rc;
	r->name[e.name_length] = 0;
	if (paste_crc(paste_crc(0, &e, sizeof(e)), r->name, e.name_length) != r->record.crc ||
	    !makes_sense(r))
		return damaged(r, err, "a record is damaged");
	r->value_left = e.length;
	r->value_crc = 0;
	if (e.type == DUMP_END) {
		if (e.number != r->records || e.more != r->damaged)
			return damaged(r, err, "records are missing");
		return 0;
	}
	r->records++;
	r->damaged += (e.flags & DUMP_DAMAGED) != 0;
	return 1;
}
