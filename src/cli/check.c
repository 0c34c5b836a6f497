/* SPDX-License-Identifier: BSD-2-Clause */
/* pst check: read a region whole, and name everything in it that is damaged. */
#include "cli/cli.h"
#include "cli/control_client.h"
#include "cli/json.h"
#include "cli/json_read.h"
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

static void summarize(const struct findings *f, const char *path, const struct paste_store_stats *s, bool live)
{
	if (f->json) {
		json_end_list(f->json);
		json_bool(f->json, "sound", !f->damaged && !f->repaired);
		json_bool(f->json, "live", live);
		json_bool(f->json, "no_persist", s->no_persist || s->was_no_persist);
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
	printf("%" PRIu64 " key%s, %" PRIu64 " stream%s with %" PRIu64 " entr%s%s\n", s->keys, s->keys == 1 ? "" : "s",
	       s->streams, s->streams == 1 ? "" : "s", s->entries, s->entries == 1 ? "y" : "ies",
	       live ? "; it is being served: every value was read, but not who owns each buffer" : "");
	if (s->no_persist || s->was_no_persist)
		printf("%s: %s, or undone\n", path,
		       live ? "served with --no-persist: after a crash what is acknowledged may be missing"
			    : "served with --no-persist, and not closed: what was acknowledged then may be missing");
}

/* What a service that checks its own region has said so far. */
struct live {
	const char *path;
	struct json *json; /* NULL: lines for people */
	bool progress, done, sound;
};

static void tell_progress(const struct live *l, const struct json_table *t)
{
	uint64_t at = json_find_unsigned(t, "progress"), of = json_find_unsigned(t, "of");

	if (l->progress && of)
		fprintf(stderr, "\r%3" PRIu64 " %% of %" PRIu64 " values%s \r", 100 * (at < of ? at : of) / of, of,
			json_find_unsigned(t, "passes_left") > 1 ? ", to be read again" : "");
}

static void copy_item(const struct live *l, const struct json_table *t)
{
	bool repaired = !strcmp(json_find(t, "repaired"), "true");
	struct paste_damage damage = {.offset = json_find_unsigned(t, "offset"), .repaired = repaired};
	struct findings f = {.json = l->json};

	snprintf(damage.what, sizeof(damage.what), "%s", json_find(t, "what"));
	report(&f, &damage);
}

static void copy_result(struct live *l, const struct json_table *t)
{
	struct findings f = {l->json, json_find_unsigned(t, "damaged"), json_find_unsigned(t, "repaired")};
	struct paste_store_stats s = {.keys = json_find_unsigned(t, "keys"),
				      .streams = json_find_unsigned(t, "streams"),
				      .entries = json_find_unsigned(t, "entries")};

	l->done = true;
	l->sound = !strcmp(json_find(t, "sound"), "true");
	summarize(&f, l->path, &s, true);
}

static int live_lines(struct live *l, char *text)
{
	for (char *line = text, *end; *line; line = end + 1) {
		struct json_table t;

		end = strchr(line, '\n');
		if (!end)
			return -EPROTO;
		int rc = json_read(&t, line, (size_t)(end - line));
		if (rc == 0 && json_find(&t, "what")[0])
			copy_item(l, &t);
		else if (rc == 0 && json_find(&t, "sound")[0])
			copy_result(l, &t);
		else if (rc == 0)
			tell_progress(l, &t);
		json_free(&t);
		if (rc < 0)
			return rc;
	}
	return 0;
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
	summarize(&findings, path, &stats, false);
	if (left < 0) {
		fprintf(stderr, "pst check: %s could not be read to its end: %s\n", path,
			strerror((int)-left));
		return CLI_USAGE;
	}
	return left || findings.damaged || findings.repaired ? CLI_FAILED : CLI_OK;
}

/* The service that has it open looks itself. Lines, each a JSON object. -1: it does not answer. */
static int check_live(const char *path, bool as_json)
{
	struct paste_error error = {{0}};
	struct control_client client;
	struct json json = {.out = stdout};
	struct live live = {.path = path, .json = as_json ? &json : NULL, .progress = isatty(STDERR_FILENO)};

	if (control_connect(path, &client, &error) < 0)
		return -1;
	if (as_json) {
		json_object(&json, NULL);
		json_string(&json, "path", path);
		json_list(&json, "items");
	}
	int rc = control_send(&client, "check", &error);
	while (rc == 0 && (rc = control_next(&client, &error)) >= 0) {
		int more = rc;

		rc = live_lines(&live, client.text);
		if (!more)
			break;
	}
	control_disconnect(&client);
	if (rc < 0 || !live.done) {
		fprintf(stderr, "pst check: %s: %s\n", path, rc < 0 && error.text[0] ? error.text : "no answer that is understood");
		return CLI_USAGE;
	}
	return live.sound ? CLI_OK : CLI_FAILED;
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
	int told = held == -EBUSY ? check_live(path, as_json) : -1;
	if (told >= 0)
		return told;
	if (held == -EBUSY) {
		fprintf(stderr, "pst check: %s: a process is writing it, and it cannot be asked; stop that first\n", path);
		return CLI_USAGE;
	}
	int status = check(path, as_json);
	if (held >= 0)
		close(held);
	return status;
}
