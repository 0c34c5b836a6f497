/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_mutants --sites FILE --equivalent FILE --tests FILE [--only NAME] [--seeds N] [--jobs N]
 *
 * A suite that stays green when a flush, a fence, a check is left out proves nothing. So each site of log,
 * region and store is broken in turn (src/base/site.h) and the crash and damage tests run until a promise
 * breaks, in a child of its own: a mutant is caught if the child says so, dies, or hangs. One that survives
 * must stand in --equivalent with the reason why nobody could ever notice; one that stands there and is
 * caught fails as well. A site with a test `mutant NAME ...` in --tests (meson's list) is broken under that
 * one instead; sites of other layers must have one.
 */
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/site.h"
#include "crash.h"
#include "damage.h"

#define SITES_MAX 256
#define HANG_SECONDS 20 /* without one image looked at */

struct mutant {
	char name[64];
	bool listed; /* in the list of equivalent ones */
	bool started, done, caught;
	pid_t pid;
	int output;      /* of the child */
	char first[200]; /* line that it said */
	volatile uint64_t *progress;
	uint64_t seen;
	double begin, moved, took;
};

struct suite {
	struct mutant mutants[SITES_MAX];
	uint32_t n, jobs;
	uint64_t seeds;
	const char *only;
};

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t room = 0;

	if (!f || getdelim(&text, &room, 0, f) < 0) {
		fprintf(stderr, "%s: cannot be read\n", path);
		exit(2);
	}
	fclose(f);
	return text;
}

/* What the child does: the same seeds over and over in other shapes, the likeliest to break first. */
static void work(const struct suite *suite, const struct mutant *m)
{
	static const enum sim_kind kinds[] = {SIM_ADR, SIM_FILE, SIM_SHM};
	struct run_options o = {.program = "test_mutants", .progress = m->progress};
	struct run_coverage coverage = {0};
	struct damage_counts counts = {0};

	o.logs = 1;
	o.focus = FOCUS_SUPERBLOCK;
	crash_run(&o, 1, &coverage); /* on SIM_ADR */
	o.focus = FOCUS_ANYWHERE;
	for (uint64_t seed = 1; seed <= suite->seeds; seed++) {
		for (int i = 0; i < 3; i++) {
			o.kind = kinds[i];
			o.logs = seed % 4 == 0 ? 2 : 1;
			crash_run(&o, seed, &coverage);
		}
		for (int i = 0; i < 2; i++) {
			o.kind = kinds[i];
			o.logs = 1;
			damage_run(&o, 2 * seed + i, 60, 20, &counts);
		}
	}
}

static void start(struct suite *suite, struct mutant *m)
{
	int ends[2];

	if (pipe(ends))
		abort();
	fflush(stdout);
	m->begin = m->moved = seconds();
	m->started = true;
	m->pid = fork();
	if (m->pid < 0)
		abort();
	if (m->pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		/* "none" is the check of the check: nothing is broken. */
		paste_mutant = strcmp(m->name, "none") == 0 ? NULL : m->name;
		work(suite, m);
		_exit(0);
	}
	close(ends[1]);
	m->output = ends[0];
}

static void read_output(struct mutant *m)
{
	char text[512];
	size_t have = strlen(m->first);
	ssize_t n = read(m->output, text, sizeof(text));

	for (ssize_t i = 0; i < n && have + 1 < sizeof(m->first); i++)
		m->first[have++] = text[i];
	m->first[have] = 0;
}

static void finish(struct mutant *m, int status)
{
	struct pollfd p = {.fd = m->output, .events = POLLIN};

	while (poll(&p, 1, 0) > 0 && (p.revents & POLLIN))
		read_output(m);
	close(m->output);
	m->done = true;
	m->caught = status != 0;
	m->took = seconds() - m->begin;
	char *line = strstr(m->first, "BROKEN: ");
	if (line)
		memmove(m->first, line + 8, strlen(line + 8) + 1);
	m->first[strcspn(m->first, "\n")] = 0;
	printf("%-28s %-8s %5.1f s  %s\n", m->name, m->caught ? "caught" : "SURVIVES", m->took, m->first);
	fflush(stdout);
}

static void watch(struct mutant *m)
{
	int status;
	struct pollfd p = {.fd = m->output, .events = POLLIN};

	if (poll(&p, 1, 0) > 0 && (p.revents & POLLIN) && strlen(m->first) + 1 < sizeof(m->first))
		read_output(m);
	if (waitpid(m->pid, &status, WNOHANG) == m->pid) {
		finish(m, status);
		return;
	}
	if (*m->progress != m->seen) {
		m->seen = *m->progress;
		m->moved = seconds();
	}
	if (seconds() - m->moved > HANG_SECONDS) {
		snprintf(m->first, sizeof(m->first), "hangs");
		kill(m->pid, SIGKILL);
		waitpid(m->pid, &status, 0);
		finish(m, 1);
	}
}

static void run_all(struct suite *suite)
{
	uint32_t running = 0, done = 0;

	while (done < suite->n) {
		for (uint32_t i = 0; i < suite->n; i++) {
			struct mutant *m = &suite->mutants[i];

			if (m->started && !m->done) {
				watch(m);
				running -= m->done;
				done += m->done;
			} else if (!m->started && running < suite->jobs) {
				start(suite, m);
				running++;
			}
		}
		usleep(5000);
	}
}

static void add(struct suite *suite, const char *name)
{
	if (suite->only && strcmp(suite->only, name) != 0)
		return;
	if (suite->n == SITES_MAX)
		abort();
	struct mutant *m = &suite->mutants[suite->n++];
	snprintf(m->name, sizeof(m->name), "%s", name);
	m->progress = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (m->progress == MAP_FAILED)
		abort();
}

static bool ours(const char *where)
{
	return strncmp(where, "src/log/", 8) == 0 || strncmp(where, "src/region/", 11) == 0 ||
	       strncmp(where, "src/store/", 10) == 0;
}

/* Lines of `file:line name`. Returns how many of other layers nobody breaks. */
static int add_sites(struct suite *suite, char *sites, const char *tests)
{
	int missing = 0;

	for (char *line = strtok(sites, "\n"); line; line = strtok(NULL, "\n")) {
		char *name = strchr(line, ' ');
		char wanted[100];

		if (!name)
			continue;
		name++;
		snprintf(wanted, sizeof(wanted), "\"mutant %s ", name);
		if (strstr(tests, wanted))
			continue; /* has a test of its own, which must fail */
		if (ours(line)) {
			add(suite, name);
		} else {
			printf("%-28s no test breaks it: there is none named `mutant %s ...`\n", name, name);
			missing++;
		}
	}
	return missing;
}

/* Lines of `name: reason`; # begins a comment. Returns how many name no site. */
static int read_equivalent(struct suite *suite, char *text)
{
	int unknown = 0;

	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		char *colon = strchr(line, ':');
		bool found = suite->only != NULL;

		if (line[0] == '#' || !colon)
			continue;
		*colon = 0;
		for (uint32_t i = 0; i < suite->n; i++) {
			if (strcmp(suite->mutants[i].name, line) == 0)
				suite->mutants[i].listed = found = true;
		}
		if (!found) {
			printf("%-28s is listed as equivalent, but there is no such site\n", line);
			unknown++;
		}
	}
	return unknown;
}

static int judge(const struct suite *suite)
{
	uint32_t caught = 0, equivalent = 0, wrong = 0;

	for (uint32_t i = 0; i < suite->n; i++) {
		const struct mutant *m = &suite->mutants[i];

		if (strcmp(m->name, "none") == 0) {
			wrong += m->caught;
			if (m->caught)
				printf("with nothing broken, a promise is: %s\n", m->first);
			continue;
		}
		caught += m->caught;
		equivalent += !m->caught && m->listed;
		if (!m->caught && !m->listed)
			printf("%s: nobody notices when it is left out\n", m->name);
		if (m->caught && m->listed)
			printf("%s: is listed as equivalent, and was caught\n", m->name);
		wrong += m->caught == m->listed;
	}
	printf("%u mutants caught, %u equivalent, %u wrong\n", caught, equivalent, wrong);
	return wrong ? 1 : 0;
}

int main(int argc, char **argv)
{
	static struct suite suite;
	const char *sites = NULL, *equivalent = NULL, *tests = NULL;

	suite.jobs = 2;
	suite.seeds = getenv("SIM_SEEDS") ? strtoull(getenv("SIM_SEEDS"), NULL, 0) : 24;
	mallopt(M_MMAP_THRESHOLD, 64 << 20);
	mallopt(M_TRIM_THRESHOLD, 512 << 20);
	for (int i = 1; i + 1 < argc; i += 2) {
		const char *value = argv[i + 1];

		if (strcmp(argv[i], "--sites") == 0)
			sites = value;
		else if (strcmp(argv[i], "--equivalent") == 0)
			equivalent = value;
		else if (strcmp(argv[i], "--tests") == 0)
			tests = value;
		else if (strcmp(argv[i], "--only") == 0)
			suite.only = value;
		else if (strcmp(argv[i], "--seeds") == 0)
			suite.seeds = strtoull(value, NULL, 0);
		else if (strcmp(argv[i], "--jobs") == 0)
			suite.jobs = strtoul(value, NULL, 0);
	}
	if (!sites || !equivalent || !tests) {
		fprintf(stderr,
			"usage: %s --sites FILE --equivalent FILE --tests FILE [--only NAME] [--seeds N] "
			"[--jobs N]\n",
			argv[0]);
		return 2;
	}
	char *site_text = read_file(sites), *test_text = read_file(tests), *listed = read_file(equivalent);
	add(&suite, "none");
	int missing = add_sites(&suite, site_text, test_text);
	missing += read_equivalent(&suite, listed);
	run_all(&suite);
	free(site_text);
	free(test_text);
	free(listed);
	return judge(&suite) || missing;
}
