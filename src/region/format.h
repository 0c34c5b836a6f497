/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * format.h - the structures of a region on the medium. docs/format.md explains them; all integers little-endian.
 */
#ifndef REGION_FORMAT_H
#define REGION_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "paste/ref.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the structures are read and written as they are");

#define FORMAT_VERSION 1
#define FORMAT_MAGIC "PASTEREG"

#define SUPERBLOCK_SIZE 4096
#define SUPERBLOCK_B_OFFSET (32 * 1024)
#define AREA_START (64 * 1024)

#define REGION_SIZE_MIN (1024 * 1024)
#define SEGMENT_SIZE_MIN (16 * 1024)
#define SEGMENT_SIZE_MAX (4 * 1024 * 1024)

#define AREAS_MAX 16
#define LOGS_MAX 64
#define OBJECTS_MAX 16

/* Feature flags this version knows. */
#define FEATURES_COMPAT_KNOWN 0u
#define FEATURE_RO_COMPAT_LANDINGS 1u /* devices may have buffers: who does not know that may not write */
#define FEATURES_RO_COMPAT_KNOWN FEATURE_RO_COMPAT_LANDINGS
#define FEATURE_INCOMPAT_CHANGES 1u /* expiry, retry keys, batches: ops 7 to 9 and the attribute 1 */
#define FEATURE_INCOMPAT_UNPERSISTED 2u /* written by who made nothing durable, and not closed */
#define FEATURES_INCOMPAT_KNOWN (FEATURE_INCOMPAT_CHANGES | FEATURE_INCOMPAT_UNPERSISTED)

enum region_state {
	REGION_CLEAN = 1,
	REGION_OPEN = 2,
};

struct format_area {
	uint64_t start;
	uint64_t length;
	uint32_t buffer_size;
	uint32_t flags;
	uint64_t zero;
};

struct format_log {
	uint64_t start; /* S: sequence number to replay from */
	uint64_t end;   /* D: all up to it is durable; what is above it is of this superblock's epoch or never happened */
};

enum object_type {
	OBJECT_STORE = 1, /* keys and streams over all logs */
};

struct format_object {
	char name[48];
	uint32_t type;
	uint32_t flags;
	uint64_t argument;
};

struct format_root {
	uint64_t id;    /* 0: no checkpoint yet */
	uint32_t epoch; /* in which it was made */
	uint32_t zero;
	uint64_t pages;
	uint64_t ops;
	uint64_t time;  /* seconds since 1970 */
	uint64_t bytes;
};

#define LANDINGS_MAX 8

/* A device that was given buffers to write into and may still have them (landing.h). All zero: none. */
struct format_landing {
	uint64_t boot;  /* digest of the machine's boot id */
	uint64_t space; /* network namespace, by its inode */
	uint32_t interface;
	uint32_t first_queue, queues;
	uint32_t zero;
	char name[32];
};

struct superblock {
	char magic[8];
	uint32_t crc;
	uint32_t format;
	uint32_t features_compat, features_ro_compat, features_incompat;
	uint32_t epoch;
	uint64_t generation;
	uint8_t uuid[16];
	uint64_t size;
	uint32_t buffer_size;
	uint32_t segment_size;
	uint32_t salt;
	uint32_t unit;
	uint32_t state;
	uint32_t medium;
	uint64_t created;
	uint64_t owner_pid;
	char name[64];
	char owner_host[64];
	uint16_t areas, logs, objects, zero;
	struct format_root root;
	struct format_area area[AREAS_MAX];
	struct format_log log[LOGS_MAX];
	struct format_object object[OBJECTS_MAX];
	struct format_landing landing[LANDINGS_MAX];
	uint8_t reserved[SUPERBLOCK_SIZE - 3360];
};

static_assert(offsetof(struct superblock, epoch) == 28, "superblock layout");
static_assert(offsetof(struct superblock, name) == 104, "superblock layout");
static_assert(offsetof(struct superblock, root) == 240, "superblock layout");
static_assert(offsetof(struct superblock, area) == 288, "superblock layout");
static_assert(offsetof(struct superblock, log) == 800, "superblock layout");
static_assert(offsetof(struct superblock, object) == 1824, "superblock layout");
static_assert(offsetof(struct superblock, landing) == 2848, "superblock layout");
static_assert(sizeof(struct format_landing) == 64, "superblock layout");
static_assert(sizeof(struct superblock) == SUPERBLOCK_SIZE, "superblock layout");

#define HEADER_MAGIC 0x47455350u /* "PSEG" */
#define PAGE_SIZE_CHECKPOINT 4096

enum header_kind {
	HEADER_LOG = 1,
	HEADER_CHECKPOINT = 2,
};

/* At the start of a log segment, and of each checkpoint page. */
struct header {
	uint32_t crc;
	uint32_t magic;
	uint32_t epoch;
	uint16_t kind;
	uint16_t log;
	uint64_t id;       /* log: first sequence; checkpoint: its id */
	uint64_t index;    /* log: last sequence before; checkpoint: page number */
	uint32_t body_crc; /* checkpoint page */
	uint32_t body_length;
	uint32_t ops;
	uint32_t zero[5];
};

static_assert(sizeof(struct header) == 64, "header layout");

enum record_type {
	RECORD_CHANGE = 1,
	RECORD_OPEN = 2,
	RECORD_SEAL = 3,
};

/* Bounds what a checksum is computed over before it is known that there is a record at all: beyond the log's end stands
 * whatever clients sent before, and they could make it look like the start of a huge one at every eighth byte. */
#define RECORD_META_MAX 4096

/* Beyond what any region counts to, records or entries of a stream; sums of two stay numbers. */
#define SEQUENCE_MAX (1ull << 62)

/* Each epoch's first number is so far above all before it, that no number of a torn tail is used again. */
#define SEQUENCE_JUMP (1u << 20)

#define DIGEST_NONE 0u
#define DIGEST_MANY 0xffffffffu
#define DIGESTS_MAX 256 /* in one record */

struct record {
	uint32_t crc;
	uint32_t epoch;
	uint64_t sequence; /* of its first op; a record takes as many numbers as it has ops, and one if it has none */
	uint32_t length; /* of all, a multiple of 8 */
	uint32_t meta;   /* of header, digests and ops */
	uint32_t lag;    /* sequence - stable */
	uint32_t digest; /* of the key of the change before this record */
	uint16_t log;
	uint16_t ops;
	uint8_t type;
	uint8_t flags;
	uint16_t digests; /* that follow the header: of as many changes before this record, the newest last */
};

static_assert(sizeof(struct record) == 40, "record layout");

enum op_type {
	OP_PUT = 1,
	OP_DELETE = 2,
	OP_APPEND = 3,
	OP_TRIM = 4,
	OP_STREAM = 5,
	OP_DAMAGE = 6,
	OP_RETRY = 7,
	OP_CLOCK = 8,
	OP_BATCH = 9,
};

enum op_flags {
	OP_INLINE = 1,
	OP_INDIRECT = 2,
	OP_MOVED = 4,
	OP_LOST = 8,
	OP_OF_STREAMS = 16,
};

struct op {
	uint8_t type;
	uint8_t flags;
	uint16_t key_length;
	uint16_t refs;
	uint16_t attributes;
	uint64_t version;
	uint64_t length;
};

static_assert(sizeof(struct op) == 24, "op layout");

/* Attributes of a PUT: one behind the other, each a byte of type, a byte of length, and so many bytes. */
enum attribute_type {
	ATTRIBUTE_EXPIRES = 1, /* u64, milliseconds since 1970: absent from then on */
};

#define ATTRIBUTE_EXPIRES_SIZE 10

/* Of a RETRY. */
#define ATTRIBUTE_FINGERPRINT 2 /* u32, not 0: of what was asked for */
#define ATTRIBUTE_FINGERPRINT_SIZE 6

/* A reference on the medium, beside the checksum of its bytes. */
struct extent {
	struct paste_ref ref;
	uint32_t crc;
} __attribute__((packed, aligned(4)));

static_assert(sizeof(struct extent) == 12, "extent layout");

#define OP_REFS_MAX 128
#define OP_ATTRIBUTES_MAX 256
#define OP_INLINE_MAX 64 /* of a value */
#define OP_RETRY_BYTES_MAX 2048
#define LIST_BYTES_MAX 65532 /* 5461 extents */
#define BATCH_EXTENT_MAX 16384 /* bytes of ops that a BATCH refers to with one reference */

static_assert((uint64_t)OP_REFS_MAX * BATCH_EXTENT_MAX >= SEGMENT_SIZE_MAX / 2, "the largest batch");

#endif
