/* SPDX-License-Identifier: BSD-2-Clause */
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "log/log.h"
#include "region/region.h"

double bench_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double bench_middle(double *values, unsigned n)
{
	qsort(values, n, sizeof(*values), ascending);
	return values[n / 2];
}

_Noreturn void bench_die(const char *what, int error, const struct paste_error *err)
{
	fprintf(stderr, "%s: %s\n", what,
		err && err->text[0] ? err->text : strerror(error < 0 ? -error : errno));
	exit(1);
}

/* --- regions
 * --------------------------------------------------------------------------------------------------- */

static struct {
	char path[4096]; /* "": free */
	pid_t owner;     /* a child of a benchmark removes its own only */
} regions[4];

static void remove_all(void)
{
	for (unsigned i = 0; i < 4; i++) {
		if (regions[i].path[0] && regions[i].owner == getpid())
			unlink(regions[i].path);
	}
}

/* Also when it takes too long for whoever has called it. Everything in it may be called in a signal's handler. */
static void on_signal(int number)
{
	remove_all();
	raise(number); /* its default is restored (SA_RESETHAND) and ends us when this returns */
}

static void remove_at_the_end(void)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND}, before;

	atexit(remove_all);
	for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
			sigaction(numbers[i], &action, NULL);
	}
}

void bench_region_create(const char *directory, uint64_t size, char *path)
{
	static unsigned number;
	struct paste_error err = {{0}};
	unsigned slot = 0;

	while (slot < 4 && regions[slot].path[0])
		slot++;
	if (slot == 4)
		bench_die("too many regions at once", -EMFILE, NULL);
	if (number == 0)
		remove_at_the_end();
	snprintf(path, 4096, "%s/paste-bench-%d-%u", directory, (int)getpid(), number++);
	regions[slot].owner = getpid();
	memcpy(regions[slot].path, path, 4096);
	struct paste_create_options options = {.path = path, .size = size};
	int ret = paste_store_create(&options, &err);
	if (ret < 0)
		bench_die("create", ret, &err);
}

void bench_region_remove(const char *path)
{
	unlink(path);
	for (unsigned i = 0; i < 4; i++) {
		if (strcmp(regions[i].path, path) == 0)
			regions[i].path[0] = 0;
	}
}

struct paste_store *bench_open(const char *path)
{
	struct paste_open_options options = {.path = path};
	struct paste_error err = {{0}};
	struct paste_store *s;
	int ret = paste_store_open(&options, &s, &err);

	if (ret < 0)
		bench_die("open", ret, &err);
	return s;
}

struct paste_region *bench_log_open(const char *directory, uint64_t size, char *path, struct log *log)
{
	struct media_options o = {.path = path};
	struct paste_region *r = NULL;
	struct paste_error err;
	struct media *m;

	bench_region_create(directory, size, path);
	int ret = media_open(&o, &m, &err);
	if (ret == 0)
		ret = region_open(m, &r, &err);
	if (ret < 0)
		bench_die("region", ret, &err);
	region_settle(r);
	log_init(log, r, 0, 1);
	return r;
}

const char *bench_disk(void)
{
	struct stat st;

	return stat("build", &st) == 0 && S_ISDIR(st.st_mode) ? "build" : ".";
}

void bench_settle(struct paste_store *s)
{
	int more;

	do {
		more = paste_store_maintain(s, true);
		int64_t round = more < 0 ? more : paste_store_commit(s);
		int64_t done = round < 0 ? round : paste_store_wait(s, (uint64_t)round);
		if (done < 0)
			bench_die("maintain", (int)done, NULL);
	} while (more);
}

/* --- packets
 * --------------------------------------------------------------------------------------------------- */

bool bench_receive(struct paste_region *r, uint32_t bytes, uint64_t fill, struct bench_packet *p)
{
	uint32_t size = paste_buffer_size(r), offset = BENCH_HEAD, buffer;

	p->n = 0;
	while (bytes > 0) {
		if (p->n == BENCH_SLICES)
			bench_die("a packet of too many slices", -E2BIG, NULL);
		if (paste_buffer_alloc(r, &buffer) < 0) {
			bench_release(r, p);
			return false;
		}
		uint32_t take = bytes < size - offset ? bytes : size - offset;
		struct paste_ref ref = {buffer, (uint16_t)offset, (uint16_t)take};
		memset(paste_ref_data(r, ref), (int)(fill++ | 1), take);
		p->slice[p->n++] = ref;
		bytes -= take;
		offset = 0;
	}
	return true;
}

void bench_release(struct paste_region *r, const struct bench_packet *p)
{
	for (uint32_t i = 0; i < p->n; i++)
		paste_ref_put(r, p->slice[i]);
}

/* --- output
 * ---------------------------------------------------------------------------------------------------- */

#define ROWS 48
#define COLUMNS 16

struct row {
	char name[96];
	char column[COLUMNS][40];
	double value[COLUMNS];
	unsigned n;
};

struct bound {
	char what[128];
	double value, limit;
	bool least;
};

static struct {
	const char *title;
	bool json;
	struct row row[ROWS];
	struct bound bound[ROWS];
	char note[ROWS][1024];
	unsigned rows, bounds, notes;
} out;

void report_begin(const char *title, bool json)
{
	out.title = title;
	out.json = json;
}

void report_row(const char *name)
{
	if (out.rows == ROWS)
		bench_die("too many rows", -E2BIG, NULL);
	snprintf(out.row[out.rows++].name, sizeof(out.row[0].name), "%s", name);
}

void report_number(const char *column, double value)
{
	struct row *row = &out.row[out.rows - 1];

	if (row->n == COLUMNS)
		bench_die("too many columns", -E2BIG, NULL);
	snprintf(row->column[row->n], sizeof(row->column[0]), "%s", column);
	row->value[row->n++] = value;
}

static void add_bound(const char *what, double value, double limit, bool least)
{
	if (out.bounds == ROWS)
		bench_die("too many bounds", -E2BIG, NULL);
	struct bound *b = &out.bound[out.bounds++];
	snprintf(b->what, sizeof(b->what), "%s", what);
	b->value = value;
	b->limit = limit;
	b->least = least;
}

void report_at_most(const char *what, double value, double limit)
{
	add_bound(what, value, limit, false);
}

void report_at_least(const char *what, double value, double limit)
{
	add_bound(what, value, limit, true);
}

void report_note(const char *format, ...)
{
	va_list args;

	if (out.notes == ROWS)
		bench_die("too many notes", -E2BIG, NULL);
	va_start(args, format);
	vsnprintf(out.note[out.notes++], sizeof(out.note[0]), format, args);
	va_end(args);
}

static void end_json(void)
{
	/* No text here has quotes or backslashes in it. */
	printf("{\"title\":\"%s\",\"rows\":[", out.title);
	for (unsigned i = 0; i < out.rows; i++) {
		const struct row *row = &out.row[i];
		printf("%s{\"case\":\"%s\"", i ? "," : "", row->name);
		for (unsigned k = 0; k < row->n; k++)
			printf(",\"%s\":%.6g", row->column[k], row->value[k]);
		printf("}");
	}
	printf("],\"bounds\":[");
	for (unsigned i = 0; i < out.bounds; i++) {
		const struct bound *b = &out.bound[i];
		printf("%s{\"what\":\"%s\",\"value\":%.6g,\"%s\":%g}", i ? "," : "", b->what, b->value,
		       b->least ? "at_least" : "at_most", b->limit);
	}
	printf("],\"notes\":[");
	for (unsigned i = 0; i < out.notes; i++)
		printf("%s\"%s\"", i ? "," : "", out.note[i]);
	printf("]}\n");
}

static void end_table(void)
{
	printf("%s\n", out.title);
	for (unsigned i = 0; i < out.rows; i++) {
		const struct row *row = &out.row[i];
		/* The names of the columns again where they change. */
		bool same = i > 0 && row[-1].n == row->n &&
			    memcmp(row[-1].column, row->column, sizeof(row->column)) == 0;
		if (!same) {
			printf("%-44s", "");
			for (unsigned k = 0; k < row->n; k++)
				printf(" %11s", row->column[k]);
			printf("\n");
		}
		printf("%-44s", row->name);
		for (unsigned k = 0; k < row->n; k++)
			printf(" %*.*f", strlen(row->column[k]) > 11 ? (int)strlen(row->column[k]) : 11,
			       row->value[k] < 100 && row->value[k] > -100 ? 2 : 0, row->value[k]);
		printf("\n");
	}
	for (unsigned i = 0; i < out.bounds; i++) {
		const struct bound *b = &out.bound[i];
		bool kept = b->least ? b->value >= b->limit : b->value <= b->limit;
		printf("%s %s: %.3g, at %s %g\n", kept ? "kept  " : "MISSED", b->what, b->value,
		       b->least ? "least" : "most", b->limit);
	}
	for (unsigned i = 0; i < out.notes; i++)
		printf("%s\n", out.note[i]);
}

void report_end(void)
{
	if (out.json)
		end_json();
	else
		end_table();
	fflush(stdout);
}
