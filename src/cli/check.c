/* SPDX-License-Identifier: BSD-2-Clause */
/* pst check: read a region whole, and name everything in it that is damaged. */
#include "cli/cli.h"
#include "cli/json.h"
#include "paste/store.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define DEAD_WRITER_MS 1000

struct findings {
	struct json *json; /* NULL: lines for people */
	uint64_t damaged, repaired;
};

static void report(void *arg, const struct paste_damage *damage)
{
	struct findings *f = arg;

	if (damage->repaired)
		f->repaired++;
	else
		f->damaged++;
	if (!f->json) {
		printf("%s: %s, at offset %" PRIu64 "\n", damage->repaired ? "repaired" : "damaged",
		       damage->what, damage->offset);
		return;
	}
	json_object(f->json, NULL);
	json_string(f->json, "what", damage->what);
	json_unsigned(f->json, "offset", damage->offset);
	json_bool(f->json, "repaired", damage->repaired);
	json_end_object(f->json);
}

static void summarize(const struct findings *f, const char *path, const struct paste_store_stats *s)
{
	if (f->json) {
		json_end_list(f->json);
		json_bool(f->json, "sound", !f->damaged && !f->repaired);
		json_unsigned(f->json, "damaged", f->damaged);
		json_unsigned(f->json, "repaired", f->repaired);
		json_unsigned(f->json, "keys", s->keys);
		json_unsigned(f->json, "streams", s->streams);
		json_unsigned(f->json, "entries", s->entries);
		json_end_object(f->json);
		return;
	}
	printf("%s: %s: ", path, f->damaged || f->repaired ? "damage" : "sound");
	if (f->damaged || f->repaired)
		printf("%" PRIu64 " damaged, %" PRIu64 " repaired in memory; ", f->damaged, f->repaired);
	printf("%" PRIu64 " keys, %" PRIu64 " streams with %" PRIu64 " entries\n", s->keys, s->streams,
	       s->entries);
}

static int check(const char *path, bool as_json)
{
	struct paste_open_options options = {.path = path, .read_only = true};
	struct paste_error error = {{0}};
	struct paste_store_stats stats;
	struct paste_store *store;
	struct json json = {.out = stdout};
	struct findings findings = {.json = as_json ? &json : NULL};

	if (paste_store_open(&options, &store, &error) < 0)
		return cli_fail("check", CLI_USAGE, error.text);
	if (as_json) {
		json_object(&json, NULL);
		json_string(&json, "path", path);
		json_list(&json, "items");
	}
	int64_t left = paste_store_check(store, report, &findings);
	paste_store_stats(store, &stats);
	paste_store_close(store);
	summarize(&findings, path, &stats);
	if (left < 0) {
		fprintf(stderr, "pst check: %s could not be read to its end: %s\n", path,
			strerror((int)-left));
		return CLI_USAGE;
	}
	return left || findings.damaged || findings.repaired ? CLI_FAILED : CLI_OK;
}

int cmd_check(int argc, char **argv)
{
	static const struct option longs[] = {{"json", no_argument, NULL, 'j'}, {NULL}};
	bool as_json = false;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":", longs, NULL)) != -1) {
		if (option != 'j')
			return cli_bad_option("check", option, argv);
		as_json = true;
	}
	const char *path = cli_one_path("check", argc, argv);
	if (!path)
		return CLI_USAGE;
	/* What changes while it is read would look damaged. */
	int held = cli_hold(path, DEAD_WRITER_MS);
	if (held == -EBUSY) {
		fprintf(stderr, "pst check: %s: a process is writing it; stop that first\n", path);
		return CLI_USAGE;
	}
	int status = check(path, as_json);
	if (held >= 0)
		close(held);
	return status;
}
