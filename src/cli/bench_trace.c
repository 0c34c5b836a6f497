/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file. Numbers are little-endian.
 *
 *	0                                             64         96        128
 *	+---------------------------------------------+----------+----------+----
 *	| "pst-bench-trace 1 id=<16 hex> seed=<16 hex>|  record  |  record  | ...
 *	|  ...spaces...\n"                             |          |          |
 *	+---------------------------------------------+----------+----------+----
 *
 *	record   0    1    2     4        8         16       24           28
 *	         +----+----+-----+--------+---------+--------+------------+-------+
 *	         |type|kind| 0   | target | request | value  | connection | check |     struct trace_record
 *	         +----+----+-----+--------+---------+--------+------------+-------+
 *
 * Keys and streams are named after the id (bench_name.h), bodies follow from seed, request and length
 * (bench_body.h). What the records mean together is in bench_ledger.h.
 *
 * The end may be torn: less than a record, or zeroes where the machine died before the bytes came. A record
 * that is bad with anything but that behind it is damage, and the file is refused: it would prove too little.
 */
#include "cli/bench_trace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc.h"

#define HEADER_BYTES 64
#define HEADER_START "pst-bench-trace "
#define READ_RECORDS 8192
#define FIRST_ROOM 1024

static uint32_t check_of(const struct trace_record *r)
{
	return paste_crc(0, r, offsetof(struct trace_record, check));
}

static int write_all(int fd, const void *data, size_t length)
{
	const uint8_t *p = data;

	while (length) {
		ssize_t n = write(fd, p, length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		length -= (size_t)n;
	}
	return 0;
}

static ssize_t read_all(int fd, void *data, size_t length, off_t offset)
{
	size_t done = 0;

	while (done < length) {
		ssize_t n = pread(fd, (uint8_t *)data + done, length - done, offset + (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static int open_and_lock(struct trace *t, const char *path, enum trace_mode mode, bool sync,
			 struct paste_error *err)
{
	int flags = O_CLOEXEC | O_APPEND | (sync ? O_DSYNC : 0);

	t->fd = open(path, flags | O_RDWR | (mode == TRACE_LOAD ? O_CREAT : 0), 0666);
	if (t->fd < 0 && mode == TRACE_CHECK && (errno == EACCES || errno == EROFS || errno == EPERM)) {
		t->read_only = true;
		t->fd = open(path, flags | O_RDONLY);
	}
	if (t->fd < 0)
		return paste_fail(err, -errno, "%s: cannot open it: %s", path, strerror(errno));
	if (flock(t->fd, (t->read_only ? LOCK_SH : LOCK_EX) | LOCK_NB))
		return paste_fail(err, -EBUSY, "%s: another pst bench is using it", path);
	return 0;
}

static int make_header(struct trace *t, uint64_t seed, struct paste_error *err)
{
	char header[HEADER_BYTES + 1];

	t->seed = seed;
	if (getrandom(&t->id, sizeof(t->id), 0) != sizeof(t->id) || !t->id)
		return paste_fail(err, -EIO, "%s: no random bytes for its id", t->path);
	int n = snprintf(header, sizeof(header), HEADER_START "1 id=%016" PRIx64 " seed=%016" PRIx64, t->id,
			 t->seed);
	memset(header + n, ' ', (size_t)(HEADER_BYTES - n));
	header[HEADER_BYTES - 1] = '\n';
	int error = ftruncate(t->fd, 0) ? -errno : write_all(t->fd, header, HEADER_BYTES);
	return error ? paste_fail(err, error, "%s: cannot write it: %s", t->path, strerror(-error)) : 0;
}

/* Sets id and seed; returns 1 if there is no header yet, because nothing was ever written. */
static int read_header(struct trace *t, struct paste_error *err)
{
	char header[HEADER_BYTES + 1] = {0};
	unsigned int version;
	ssize_t n = read_all(t->fd, header, HEADER_BYTES, 0);

	if (n < 0)
		return paste_fail(err, (int)n, "%s: cannot read it: %s", t->path, strerror((int)-n));
	size_t compare = (size_t)n < sizeof(HEADER_START) - 1 ? (size_t)n : sizeof(HEADER_START) - 1;
	if (memcmp(header, HEADER_START, compare))
		return paste_fail(err, -EBADMSG, "%s: it is no file of pst bench --verify", t->path);
	if (n < HEADER_BYTES)
		return 1;
	if (sscanf(header + compare, "%u id=%16" SCNx64 " seed=%16" SCNx64, &version, &t->id, &t->seed) !=
		3 ||
	    version != 1)
		return paste_fail(err, -EBADMSG, "%s: it is of another version of pst bench", t->path);
	return 0;
}

static bool all_zero(const void *data, size_t length)
{
	const uint8_t *p = data;

	return !length || (!p[0] && !memcmp(p, p + 1, length - 1));
}

/* Zeroes from `offset` to the end of the file? */
static bool zero_tail(const struct trace *t, off_t offset)
{
	uint8_t block[4096];
	ssize_t n;

	for (; (n = read_all(t->fd, block, sizeof(block), offset)) > 0; offset += n)
		if (!all_zero(block, (size_t)n))
			return false;
	return n == 0;
}

/* Returns where the whole records end, or a negative errno. */
static off_t replay_all(struct trace *t, int (*replay)(void *arg, const struct trace_record *), void *arg,
			struct paste_error *err)
{
	struct trace_record *block = malloc(READ_RECORDS * sizeof(*block));
	off_t at = HEADER_BYTES;
	off_t result = 0;

	if (!block)
		return paste_fail(err, -ENOMEM, "%s: out of memory", t->path);
	while (!result) {
		ssize_t n = read_all(t->fd, block, READ_RECORDS * sizeof(*block), at);
		if (n < (ssize_t)sizeof(*block)) {
			result = n < 0 ? paste_fail(err, (int)n, "%s: cannot read it", t->path) : at;
			break;
		}
		for (size_t i = 0; i < (size_t)n / sizeof(*block) && !result; i++) {
			if (block[i].check != check_of(&block[i]))
				result = zero_tail(t, at)
					     ? at
					     : paste_fail(err, -EBADMSG, "%s: damaged at byte %lld", t->path,
							  (long long)at);
			else if (replay(arg, &block[i]))
				result =
				    paste_fail(err, -EBADMSG, "%s: the record at byte %lld makes no sense",
					       t->path, (long long)at);
			else
				at += (off_t)sizeof(*block);
		}
	}
	free(block);
	return result;
}

int trace_open(struct trace *t, const char *path, enum trace_mode mode, uint64_t seed, bool sync,
	       int (*replay)(void *arg, const struct trace_record *), void *arg, struct paste_error *err)
{
	*t = (struct trace){.fd = -1};
	snprintf(t->path, sizeof(t->path), "%s", path);
	int error = open_and_lock(t, path, mode, sync, err);
	if (!error)
		error = read_header(t, err);
	if (error == 1)
		error = mode == TRACE_LOAD ? make_header(t, seed, err)
					   : paste_fail(err, -EBADMSG, "%s: it is empty", path);
	if (!error) {
		off_t end = replay_all(t, replay, arg, err);
		if (end < 0)
			error = (int)end;
		else if (!t->read_only && ftruncate(t->fd, end))
			error =
			    paste_fail(err, -errno, "%s: cannot cut its torn end: %s", path, strerror(errno));
	}
	if (error)
		trace_close(t);
	return error;
}

void trace_close(struct trace *t)
{
	if (t->fd >= 0)
		close(t->fd);
	free(t->pending);
	*t = (struct trace){.fd = -1};
}

int trace_add(struct trace *t, struct trace_record record)
{
	if (t->read_only)
		return 0;
	if (t->count == t->room) {
		size_t room = t->room ? 2 * t->room : FIRST_ROOM;
		struct trace_record *larger = realloc(t->pending, room * sizeof(*larger));
		if (!larger)
			return -ENOMEM;
		t->pending = larger;
		t->room = room;
	}
	record.zero = 0;
	record.check = check_of(&record);
	t->pending[t->count++] = record;
	return 0;
}

int trace_flush(struct trace *t)
{
	if (!t->count)
		return 0;
	int error = write_all(t->fd, t->pending, t->count * sizeof(*t->pending));
	t->count = 0;
	return error;
}
