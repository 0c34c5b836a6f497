/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rig.h - one log on a bare region: lives of it, as the store would lead them, and what a scan finds.
 *
 * Records carry one PUT of the key "k<sequence>" with an inline value, or a value in a slice of its own.
 */
#ifndef TESTS_LOG_RIG_H
#define TESTS_LOG_RIG_H

#include "bare.h"
#include "log/log.h"
#include "log/scan.h"

struct rig {
	struct bare b;
	struct log l;
	struct scan s;
	struct headers h;
	uint64_t segments_at_open;
};

void rig_begin(struct rig *g, enum sim_kind kind, uint64_t size);
void rig_end(struct rig *g);

/* A record with `inline_bytes` in the op and `body` bytes behind it that a reference names. Its number; 0: no
 * room. */
uint64_t rig_put(struct rig *g, uint32_t inline_bytes, uint32_t body);
/* A change in a record that others share, of a key or, if `stream`, an append to one stream. Its number; 0: no room. */
uint64_t rig_add(struct rig *g, uint32_t inline_bytes, bool stream);
/* All so far is durable, and a later record may say so. */
void rig_commit(struct rig *g);

/* Scan what the medium holds, as the superblock says. */
void rig_scan(struct rig *g);
/* The process died (what was committed is there): the region is opened again and scanned. */
void rig_crash(struct rig *g);
/* Begin a life after rig_crash() as the store does: epoch, superblock with the log's end, OPEN. */
void rig_begin_life(struct rig *g);

/* Where record i of the scan stands, in the region. */
uint64_t rig_record(struct rig *g, size_t i);
/* Flip bits of a byte on the medium, now. */
void rig_flip(struct rig *g, uint64_t offset, uint8_t bits);
/* The scan found so many records, not counting SEALs, which come by themselves, up to this number. */
void rig_expect(struct rig *g, size_t records, uint64_t last);
size_t rig_records(const struct rig *g);

#endif
