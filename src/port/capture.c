/* SPDX-License-Identifier: BSD-2-Clause */
#include "port/capture.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "media/file_io.h"

#define BUFFER_DEFAULT (4u << 20)
#define WRITE_LEAST (128u << 10) /* bytes: less waits, but not longer than */
#define WRITE_LATEST_NS 100000000ull
#define WRITE_MOST (1u << 20)

/* pcapng: blocks, options, all in our byte order, which the first one tells. */
#define BLOCK_SECTION 0x0a0d0d0au
#define BLOCK_INTERFACE 1u
#define BLOCK_STATISTICS 5u
#define BLOCK_PACKET 6u
#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define LINKTYPE_ETHERNET 1
#define OPTION_END 0
#define OPTION_USER_APPLICATION 4 /* of a section */
#define OPTION_NAME 2             /* of an interface */
#define OPTION_RESOLUTION 9
#define OPTION_FLAGS 2    /* of a packet */
#define OPTION_RECEIVED 4 /* of statistics */
#define OPTION_DROPPED 5
#define INBOUND 1u
#define OUTBOUND 2u

struct packet_block {
	uint32_t type, length;
	uint32_t interface, time_high, time_low, captured, original;
};

_Static_assert(sizeof(struct packet_block) == 28, "as in the file");

#define PACKET_END (4 + 4 + 4 + 4) /* the option of flags, the end of options, the length again */

struct capture {
	struct file_io *io;
	int fd;
	uint32_t size, under_way; /* bytes of the buffer; of a write that was begun */
	uint64_t written, filled; /* bytes since the beginning: the buffer holds what is between them */
	uint64_t begun_ns;        /* when the last write was */
	struct capture_stats stats;
	uint8_t *buffer;
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint32_t padded(uint32_t length)
{
	return (length + 3) & ~3u;
}

/* --- into the buffer */

static uint32_t room(const struct capture *t)
{
	return t->size - (uint32_t)(t->filled - t->written);
}

static void put(struct capture *t, const void *bytes, uint32_t length)
{
	uint32_t at = (uint32_t)t->filled & (t->size - 1),
		 first = t->size - at < length ? t->size - at : length;

	memcpy(t->buffer + at, bytes, first);
	memcpy(t->buffer, (const uint8_t *)bytes + first, length - first);
	t->filled += length;
}

static void put32(struct capture *t, uint32_t value)
{
	put(t, &value, sizeof(value));
}

static void pad(struct capture *t, uint32_t length)
{
	static const uint8_t zeroes[4];

	put(t, zeroes, padded(length) - length);
}

static void put_option(struct capture *t, uint16_t code, const void *value, uint16_t length)
{
	put32(t, code | (uint32_t)length << 16);
	put(t, value, length);
	pad(t, length);
}

static void put_section(struct capture *t)
{
	static const char by[] = "pst serve";
	uint32_t length = 28 + 4 + padded(sizeof(by) - 1) + 4;

	put32(t, BLOCK_SECTION);
	put32(t, length);
	put32(t, BYTE_ORDER_MAGIC);
	put32(t, 1); /* version 1.0 */
	put32(t, UINT32_MAX);
	put32(t, UINT32_MAX); /* the section's length is not known */
	put_option(t, OPTION_USER_APPLICATION, by, sizeof(by) - 1);
	put32(t, OPTION_END);
	put32(t, length);
}

static void put_interface(struct capture *t, const char *name)
{
	uint16_t name_length = (uint16_t)strnlen(name, 63);
	uint32_t length = 20 + 4 + padded(name_length) + 8 + 4;
	static const uint8_t nanoseconds = 9;

	put32(t, BLOCK_INTERFACE);
	put32(t, length);
	put32(t, LINKTYPE_ETHERNET);
	put32(t, 0); /* packets are whole */
	put_option(t, OPTION_NAME, name, name_length);
	put_option(t, OPTION_RESOLUTION, &nanoseconds, 1);
	put32(t, OPTION_END);
	put32(t, length);
}

static void put_statistics(struct capture *t)
{
	uint64_t now = now_ns(CLOCK_REALTIME), all = t->stats.packets + t->stats.dropped;
	uint32_t length = 24 + 12 + 12 + 4;

	put32(t, BLOCK_STATISTICS);
	put32(t, length);
	put32(t, 0);
	put32(t, (uint32_t)(now >> 32));
	put32(t, (uint32_t)now);
	put_option(t, OPTION_RECEIVED, &all, sizeof(all));
	put_option(t, OPTION_DROPPED, &t->stats.dropped, sizeof(t->stats.dropped));
	put32(t, OPTION_END);
	put32(t, length);
}

/* A packet in the ring's slots from `at` on, before `end`; how many slots it has. */
static uint32_t put_packet(struct capture *t, const struct paste_port *port, const struct paste_ring *ring,
			   uint32_t at, uint32_t end, uint32_t direction, uint64_t time)
{
	uint32_t slots = 0, bytes = 0;

	do
		bytes += paste_ring_slot(ring, at + slots)->length;
	while ((paste_ring_slot(ring, at + slots++)->flags & PASTE_SLOT_MORE) && at + slots != end);
	uint32_t length = (uint32_t)sizeof(struct packet_block) + padded(bytes) + PACKET_END;
	if (length > room(t) || t->stats.error) {
		t->stats.dropped++;
		return slots;
	}
	struct packet_block head = {.type = BLOCK_PACKET,
				    .length = length,
				    .time_high = (uint32_t)(time >> 32),
				    .time_low = (uint32_t)time,
				    .captured = bytes,
				    .original = bytes};
	put(t, &head, sizeof(head));
	for (uint32_t i = 0; i < slots; i++) {
		const struct paste_slot *slot = paste_ring_slot(ring, at + i);
		struct paste_ref ref = {slot->buffer, slot->offset, slot->length};
		put(t, paste_ref_data(port->region, ref), slot->length);
	}
	pad(t, bytes);
	put_option(t, OPTION_FLAGS, &direction, sizeof(direction));
	put32(t, OPTION_END);
	put32(t, length);
	t->stats.packets++;
	return slots;
}

/* --- out of it */

static void written(struct capture *t, int result)
{
	t->under_way = 0;
	if (result > 0)
		t->written += (uint32_t)result;
	else if (result != -EAGAIN && result != -EINTR)
		t->stats.error = result < 0 ? result : -EIO;
}

static void finish_write(struct capture *t, bool wait)
{
	struct file_io_done done;
	int n;

	do
		n = t->io->ops->complete(t->io, &done, 1, wait);
	while (wait && n == 0);
	if (n == 1)
		written(t, done.result);
	else if (n < 0)
		t->stats.error = n;
}

static void begin_write(struct capture *t)
{
	uint64_t waits = t->filled - t->written;
	uint32_t at = (uint32_t)t->written & (t->size - 1);
	uint32_t now = waits < t->size - at ? (uint32_t)waits : t->size - at;

	t->under_way = now < WRITE_MOST ? now : WRITE_MOST;
	t->io->ops->write(t->io, t->buffer + at, t->under_way, t->written, false, 0);
	int rc = t->io->ops->submit(t->io);
	if (rc < 0)
		t->stats.error = rc;
}

/* Now and then, cheaply. */
static void work(struct capture *t, uint64_t now)
{
	if (t->stats.error)
		return;
	if (t->under_way) {
		t->io->ops->submit(t->io); /* what the kernel was too busy to take */
		finish_write(t, false);
	}
	uint64_t waits = t->filled - t->written;
	if (t->under_way || !waits || t->stats.error)
		return;
	if (waits >= WRITE_LEAST || now - t->begun_ns >= WRITE_LATEST_NS) {
		t->begun_ns = now;
		begin_write(t);
	}
}

static void drain(struct capture *t)
{
	while (!t->stats.error && (t->under_way || t->filled != t->written)) {
		if (!t->under_way)
			begin_write(t);
		if (!t->stats.error)
			finish_write(t, true);
	}
}

/* --- the tap */

struct tap {
	struct paste_port port;
	struct paste_port *below;
	struct capture *trace;
	uint32_t *received, *sent; /* slots of each queue's rings before them were looked at */
};

static struct tap *tap_of(struct paste_port *p)
{
	return (struct tap *)p;
}

static void copy_slots(struct tap *t, const struct paste_ring *ring, uint32_t *from, uint32_t to,
		       uint32_t direction)
{
	if (*from == to)
		return;
	uint64_t time = now_ns(CLOCK_REALTIME);
	while (*from != to)
		*from += put_packet(t->trace, t->below, ring, *from, to, direction, time);
}

static int tap_sync_receive(struct paste_port *p, uint32_t queue)
{
	struct tap *t = tap_of(p);
	int rc = paste_port_sync_receive(t->below, queue);

	copy_slots(t, &p->receive[queue], &t->received[queue], p->receive[queue].tail, INBOUND);
	work(t->trace, now_ns(CLOCK_MONOTONIC_COARSE));
	return rc;
}

static int tap_sync_transmit(struct paste_port *p, uint32_t queue)
{
	struct tap *t = tap_of(p);

	/* After the sync the slots may have other buffers. */
	copy_slots(t, &p->transmit[queue], &t->sent[queue], p->transmit[queue].head, OUTBOUND);
	return paste_port_sync_transmit(t->below, queue);
}

static int tap_poll(struct paste_port *p, int64_t timeout_us)
{
	return paste_port_poll(tap_of(p)->below, timeout_us);
}

static int tap_fd(struct paste_port *p)
{
	return tap_of(p)->below->ops->fd(tap_of(p)->below);
}

static void tap_stats(struct paste_port *p, uint32_t queue, struct paste_ring_stats *receive,
		      struct paste_ring_stats *transmit)
{
	tap_of(p)->below->ops->stats(tap_of(p)->below, queue, receive, transmit);
}

static uint32_t tap_posted(struct paste_port *p, uint32_t queue)
{
	return tap_of(p)->below->ops->posted(tap_of(p)->below, queue);
}

static void tap_close(struct paste_port *p)
{
	free(tap_of(p)->received);
	free(p);
}

static const struct paste_port_ops tap_ops = {
    .sync_receive = tap_sync_receive,
    .sync_transmit = tap_sync_transmit,
    .poll = tap_poll,
    .fd = tap_fd,
    .stats = tap_stats,
    .posted = tap_posted,
    .close = tap_close,
};

int capture_tap(struct capture *trace, struct paste_port *below, struct paste_port **tap,
		struct paste_error *err)
{
	struct tap *t = calloc(1, sizeof(*t));
	uint32_t queues = below->info.queues;

	if (t)
		t->received = calloc(2 * queues, sizeof(*t->received));
	if (!t || !t->received) {
		free(t);
		return paste_fail(err, -ENOMEM, "out of memory");
	}
	t->port = *below;
	t->port.ops = &tap_ops;
	t->below = below;
	t->trace = trace;
	t->sent = t->received + queues;
	for (uint32_t q = 0; q < queues; q++) {
		t->received[q] = below->receive[q].tail;
		t->sent[q] = below->transmit[q].head;
	}
	*tap = &t->port;
	return 0;
}

/* --- opening and closing */

static int discard(struct capture *t, int rc)
{
	if (t->fd >= 0)
		close(t->fd);
	free(t->buffer);
	free(t);
	return rc;
}

int capture_open(const char *path, const char *interface, uint32_t buffer, struct capture **trace,
		 struct paste_error *err)
{
	struct capture *t = calloc(1, sizeof(*t));

	if (!t)
		return paste_fail(err, -ENOMEM, "out of memory");
	t->fd = -1;
	t->size = buffer ? buffer : BUFFER_DEFAULT;
	assert((t->size & (t->size - 1)) == 0 && t->size >= 4096);
	t->buffer = malloc(t->size);
	if (!t->buffer)
		return discard(t, paste_fail(err, -ENOMEM, "out of memory"));
	t->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (t->fd < 0)
		return discard(t, paste_fail(err, -errno, "%s: %s", path, strerror(errno)));
	int rc = file_io_uring(t->fd, 2, path, &t->io, err);
	if (rc < 0)
		return discard(t, rc);
	put_section(t);
	put_interface(t, interface);
	*trace = t;
	return 0;
}

void capture_close(struct capture *t, struct capture_stats *stats)
{
	*stats = (struct capture_stats){0};
	if (!t)
		return;
	drain(t);
	put_statistics(t);
	drain(t);
	*stats = t->stats;
	t->io->ops->close(t->io);
	discard(t, 0);
}
