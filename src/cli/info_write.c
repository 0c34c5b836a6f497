/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/info_write.h"

#include <inttypes.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/json.h"

/* Bytes that went to the medium for each byte that was acknowledged; counted since this opening. */
static double amplification(const struct paste_store_stats *s)
{
	return s->acknowledged_bytes ? (double)s->media_bytes_written / (double)s->acknowledged_bytes : 0;
}

/* Bytes of the medium in use for each byte that is live. */
static double space_amplification(const struct paste_store_stats *s)
{
	return s->live_bytes ? (double)s->used_bytes / (double)s->live_bytes : 0;
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void write_table(FILE *out, const char *path, const struct paste_store_stats *s, enum info_state state)
{
	char text[CLI_SIZE_TEXT];

	cli_row_to(out, "path", "%s", path);
	cli_row_to(out, "name", "%s", s->name);
	cli_row_to(out, "uuid", "%s", s->uuid);
	cli_row_to(out, "epoch", "%" PRIu64, s->epoch);
	cli_row_to(out, "format",
		   "%" PRIu32 ", features: compatible 0x%" PRIx32 ", read-only compatible 0x%" PRIx32
		   ", incompatible 0x%" PRIx32,
		   s->format, s->features_compat, s->features_ro_compat, s->features_incompat);
	cli_row_to(out, "medium", "%s (%s), %s", s->medium, s->backing, s->instruction);
	cli_row_to(out, "survives", "%s", s->survives);
	if (state == INFO_LIVE)
		cli_row_to(out, "in use", "by process %ld, which says this", (long)getpid());
	else if (state == INFO_IN_USE)
		cli_row_to(out, "in use",
			   "a process is writing it: the figures are of one moment, and may not agree");
	else
		cli_row_to(out, "last time", "%s", s->clean ? "closed clean" : "crashed");
	if (state == INFO_LIVE ? s->no_persist : s->was_no_persist)
		cli_row_to(out, "not durable", "%s",
			   state == INFO_NOT_IN_USE
			       ? "it was served with --no-persist: what was acknowledged since may be missing or undone"
			       : "NOTHING IS MADE DURABLE (--no-persist): a crash may take or undo what is acknowledged");
	cli_row_to(out, "size", "%s", cli_size_text(text, s->size));
	cli_row_to(out, "segments", "%" PRIu64 " of %" PRIu64 " bytes, %" PRIu64 " free", s->segments,
		   s->segment_size, s->segments_free);
	cli_row_to(out, "buffers", "%" PRIu64 " of %" PRIu32 " bytes, %" PRIu64 " free, %" PRIu64 " live",
		   s->buffers, s->buffer_size, s->buffers_free, s->buffers_live);
	cli_row_to(out, "logs", "%" PRIu32 ", %" PRIu64 " bytes since the checkpoint", s->logs, s->log_bytes);
	cli_row_to(out, "objects", "%" PRIu64 " keys, %" PRIu64 " streams with %" PRIu64 " entries", s->keys,
		   s->streams, s->entries);
	cli_row_to(out, "live", "%s, %.1f %% of what fits", cli_size_text(text, s->live_bytes),
		   percent(s->live_bytes, s->capacity_bytes));
	cli_row_to(out, "occupied", "%s, %.2f times the live bytes", cli_size_text(text, s->used_bytes),
		   space_amplification(s));
	if (s->acknowledged_bytes)
		cli_row_to(out, "written", "%.2f bytes for each acknowledged one", amplification(s));
	else
		cli_row_to(out, "written", "nothing acknowledged in this opening to compare it with");
	cli_row_to(out, "opening",
		   "%" PRIu64 " us: %" PRIu64 " entries, %" PRIu64 " records after them, %" PRIu64
		   " torn ones cut off",
		   s->recovery_us, s->recovered_entries, s->recovered_records, s->torn_records);
	cli_row_to(out, "damage", "%" PRIu64 " found while opening%s", s->damage,
		   s->damage ? "; see 'pst check'" : "");
}

static void write_json(FILE *out, const char *path, const struct paste_store_stats *s, enum info_state state)
{
	struct json j = {.out = out};

	json_object(&j, NULL);
	json_string(&j, "path", path);
	json_string(&j, "name", s->name);
	json_string(&j, "uuid", s->uuid);
	json_unsigned(&j, "epoch", s->epoch);
	json_unsigned(&j, "format", s->format);
	json_unsigned(&j, "features_compat", s->features_compat);
	json_unsigned(&j, "features_ro_compat", s->features_ro_compat);
	json_unsigned(&j, "features_incompat", s->features_incompat);
	json_string(&j, "medium", s->medium);
	json_string(&j, "backing", s->backing);
	json_string(&j, "instruction", s->instruction);
	json_string(&j, "survives", s->survives);
	json_bool(&j, "in_use", state != INFO_NOT_IN_USE);
	json_bool(&j, "live", state == INFO_LIVE);
	json_bool(&j, "clean", s->clean);
	json_bool(&j, "no_persist", s->no_persist);
	json_bool(&j, "was_no_persist", s->was_no_persist);
	json_unsigned(&j, "size", s->size);
	json_unsigned(&j, "segment_size", s->segment_size);
	json_unsigned(&j, "segments", s->segments);
	json_unsigned(&j, "segments_free", s->segments_free);
	json_unsigned(&j, "buffer_size", s->buffer_size);
	json_unsigned(&j, "buffers", s->buffers);
	json_unsigned(&j, "buffers_free", s->buffers_free);
	json_unsigned(&j, "buffers_live", s->buffers_live);
	json_unsigned(&j, "logs", s->logs);
	json_unsigned(&j, "log_bytes", s->log_bytes);
	json_unsigned(&j, "keys", s->keys);
	json_unsigned(&j, "streams", s->streams);
	json_unsigned(&j, "entries", s->entries);
	json_unsigned(&j, "live_bytes", s->live_bytes);
	json_unsigned(&j, "used_bytes", s->used_bytes);
	json_unsigned(&j, "capacity_bytes", s->capacity_bytes);
	json_real(&j, "space_amplification", space_amplification(s));
	json_unsigned(&j, "acknowledged_bytes", s->acknowledged_bytes);
	json_unsigned(&j, "media_bytes_written", s->media_bytes_written);
	json_real(&j, "write_amplification", amplification(s));
	json_unsigned(&j, "recovery_us", s->recovery_us);
	json_unsigned(&j, "recovered_entries", s->recovered_entries);
	json_unsigned(&j, "recovered_records", s->recovered_records);
	json_unsigned(&j, "torn_records", s->torn_records);
	json_unsigned(&j, "damage", s->damage);
	json_end_object(&j);
}

void info_write(FILE *out, const char *path, const struct paste_store_stats *s, enum info_state state,
		bool as_json)
{
	if (as_json)
		write_json(out, path, s, state);
	else
		write_table(out, path, s, state);
}
