/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * churn.c - a full region that is written over and over: what room, writes and time keeping it usable costs.
 *
 *	churn [--json] [--seconds N] [--size MIB] [--fill PERCENT] [--shm DIR]
 *
 * A region on shm is loaded with keys of 16 bytes and values of 16 B to 16 KiB (every doubling as often as
 *any other) until 80 % of it is in use, then its keys are put again, half of the time each uniformly and by a
 *zipfian law of .99. Rounds of 32: put, commit, poll, maintain are timed; storing the packets into their
 *buffers is not, waiting for free buffers is. Space is what is not free, per (key + value + 32 bytes) of each
 *live entry.
 *
 * Idle is the same rounds on a region that is 20 % full, with upkeep done between them, outside of the timed
 *part; it takes turns with the churn, so that both meet the same neighbours on the machine. CPU: the time of
 *this thread alone, without what others on the machine took; "upkeep": the part of it that maintain took.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support.h"

#define KEY 16u
#define GROUP 32u
#define VALUE_MIN 16.0
#define VALUE_MAX 16384.0
#define ENTRY_OVERHEAD 32u /* of an entry, that the space ratio allows for */
#define TURN 2.0           /* seconds of churn, then a tenth of it idle */
#define MARKS 8            /* parts of the run, to see drift in */

struct times {
	float *us;
	size_t n, room;
};

struct zipf {
	double theta, alpha, zeta, eta, half;
	uint64_t n;
};

struct churn {
	struct paste_store *s;
	struct paste_region *r;
	char path[4096];
	uint32_t *length; /* of each key's value */
	uint32_t keys, room;
	uint64_t live; /* sum of key + value + 32 */
	uint64_t seed;
	struct zipf zipf;
	bool zipfian;
	struct times wall, cpu, upkeep; /* upkeep: its part of cpu */
	double seconds, maintaining; /* of all timed parts, of maintain in them */
	uint64_t operations, stalls, refused;
};

/* --- which key, which length
 * ----------------------------------------------------------------------------------- */

static double unit(uint64_t *seed)
{
	return (double)(bench_random(seed) >> 11) * 0x1p-53;
}

static uint32_t random_length(uint64_t *seed)
{
	return (uint32_t)(VALUE_MIN * exp(unit(seed) * log(VALUE_MAX / VALUE_MIN)));
}

/* Gray et al., Quickly generating billion-record synthetic databases, SIGMOD 1994. */
static void zipf_init(struct zipf *z, uint64_t n)
{
	double zeta2 = 1 + pow(0.5, 0.99);

	*z = (struct zipf){.theta = 0.99, .n = n, .half = 1 + pow(0.5, 0.99)};
	for (uint64_t i = 1; i <= n; i++)
		z->zeta += pow((double)i, -z->theta);
	z->alpha = 1 / (1 - z->theta);
	z->eta = (1 - pow(2.0 / (double)n, 1 - z->theta)) / (1 - zeta2 / z->zeta);
}

static uint64_t zipf_rank(const struct zipf *z, double u)
{
	double uz = u * z->zeta;

	if (uz < 1)
		return 0;
	if (uz < z->half)
		return 1;
	return (uint64_t)((double)z->n * pow(z->eta * u - z->eta + 1, z->alpha));
}

static uint32_t pick(struct churn *c)
{
	if (!c->zipfian)
		return (uint32_t)(bench_random(&c->seed) >> 32) % c->keys;
	/* Popular keys are not neighbours: a multiplication that is a permutation for any odd factor, modulo
	 * 2^32. */
	uint64_t rank = zipf_rank(&c->zipf, unit(&c->seed));
	return (uint32_t)((rank * 0x9e3779b97f4a7c15ull >> 16) % c->keys);
}

static void key_set(char key[KEY], uint32_t number)
{
	memcpy(key, "key-000000000000", KEY);
	for (unsigned i = KEY - 1; number > 0; i--, number /= 10)
		key[i] = (char)('0' + number % 10);
}

/* --- rounds
 * ---------------------------------------------------------------------------------------------------- */

struct request {
	uint32_t number, length;
	char key[KEY];
	struct bench_packet packet;
};

static double cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void times_add(struct times *t, double seconds)
{
	if (t->n == t->room) {
		t->room = t->room ? t->room * 2 : 65536;
		t->us = realloc(t->us, t->room * sizeof(*t->us));
		if (!t->us)
			bench_die("memory", -ENOMEM, NULL);
	}
	t->us[t->n++] = (float)(seconds * 1e6);
}

static int ascending(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return x < y ? -1 : x > y;
}

/* After times_sort(). */
static double times_at(const struct times *t, double percent)
{
	return t->n ? (double)t->us[(size_t)((double)(t->n - 1) * percent / 100)] : 0;
}

static void times_sort(struct times *t)
{
	qsort(t->us, t->n, sizeof(*t->us), ascending);
}

static int64_t commit_poll(struct paste_store *s)
{
	int64_t round = paste_store_commit(s);
	int64_t done = round < 0 ? round : paste_store_poll(s);

	if (done < round || done < 0)
		bench_die("commit", done < 0 ? (int)done : -EIO, NULL);
	return done;
}

static void request_receive(struct churn *c, struct request *q, uint32_t number)
{
	q->number = number;
	q->length = random_length(&c->seed);
	key_set(q->key, number);
	for (unsigned tries = 0; !bench_receive(c->r, q->length, c->seed, &q->packet); tries++) {
		double start = bench_now();
		if (tries == 100000)
			bench_die("no buffer becomes free", -ENOBUFS, NULL);
		if (paste_store_maintain(c->s, false) < 0)
			bench_die("maintain", -EIO, NULL);
		commit_poll(c->s);
		c->stalls++;
		c->seconds += bench_now() - start;
	}
}

static void request_put(struct churn *c, struct request *q)
{
	struct paste_result result;
	int ret = paste_store_put(c->s, q->key, KEY, q->packet.slice, q->packet.n, &result);

	if (ret == -ENOSPC)
		c->refused++;
	else if (ret < 0)
		bench_die("put", ret, NULL);
	else {
		c->live += q->length;
		c->live -= c->length[q->number];
		c->length[q->number] = q->length;
		c->operations++;
	}
}

static void run_round(struct churn *c, bool maintain)
{
	struct request q[GROUP];
	uint64_t stalls = c->stalls;

	double waited = c->seconds;
	for (unsigned i = 0; i < GROUP; i++)
		request_receive(c, &q[i], pick(c));
	waited = c->stalls > stalls ? c->seconds - waited : 0;
	double cpu = cpu_now(), start = bench_now(), upkeep = 0, upkeep_cpu = 0;
	for (unsigned i = 0; i < GROUP; i++)
		request_put(c, &q[i]);
	commit_poll(c->s);
	if (maintain) {
		double before = bench_now();
		upkeep_cpu = cpu_now();
		if (paste_store_maintain(c->s, false) < 0)
			bench_die("maintain", -EIO, NULL);
		upkeep_cpu = cpu_now() - upkeep_cpu;
		upkeep = bench_now() - before;
	}
	double wall = bench_now() - start;
	cpu = cpu_now() - cpu;
	for (unsigned i = 0; i < GROUP; i++)
		bench_release(c->r, &q[i].packet);
	c->seconds += wall;
	c->maintaining += upkeep + waited;
	times_add(&c->wall, wall + waited);
	times_add(&c->cpu, cpu + waited);
	times_add(&c->upkeep, upkeep_cpu + waited);
}

/* --- the two regions
 * ------------------------------------------------------------------------------------------- */

static uint64_t used(struct churn *c)
{
	struct paste_store_stats st;

	paste_store_stats(c->s, &st);
	return st.used_bytes;
}

/* New keys until so much of the region is in use. */
static void load(struct churn *c, uint64_t until)
{
	struct request q;

	for (unsigned n = 0; n % 1024 || used(c) < until; n++) {
		if (c->keys == c->room) {
			c->room = c->room ? c->room * 2 : 65536;
			c->length = realloc(c->length, c->room * sizeof(*c->length));
			if (!c->length)
				bench_die("memory", -ENOMEM, NULL);
		}
		c->length[c->keys] = 0;
		request_receive(c, &q, c->keys);
		uint64_t refused = c->refused;
		request_put(c, &q);
		bench_release(c->r, &q.packet);
		if (c->refused > refused)
			bench_die("the region is full before the load is done", -ENOSPC, NULL);
		c->live += KEY + ENTRY_OVERHEAD;
		c->keys++;
		if (n % GROUP == 0) {
			commit_poll(c->s);
			if (paste_store_maintain(c->s, false) < 0)
				bench_die("maintain", -EIO, NULL);
		}
	}
	zipf_init(&c->zipf, c->keys);
}

static void churn_open(struct churn *c, const char *directory, uint64_t size, double fill)
{
	c->seed = 1;
	bench_region_create(directory, size, c->path);
	c->s = bench_open(c->path);
	c->r = paste_store_region(c->s);
	load(c, (uint64_t)(fill * (double)size));
	c->seconds = 0;
	c->stalls = c->refused = c->operations = 0;
}

static void churn_close(struct churn *c)
{
	int ret = paste_store_close(c->s);

	if (ret < 0)
		bench_die("close", ret, NULL);
	bench_region_remove(c->path);
	free(c->length);
	free(c->wall.us);
	free(c->cpu.us);
	free(c->upkeep.us);
}

/* So few rounds that free room lasts without upkeep. */
static void run_idle(struct churn *c)
{
	for (unsigned i = 0; i < 500; i++)
		run_round(c, false);
	bench_settle(c->s);
}

static void run_busy(struct churn *c, double seconds)
{
	double end = bench_now() + seconds;

	while (bench_now() < end) {
		for (unsigned i = 0; i < 20; i++)
			run_round(c, true);
	}
}

/* --- figures
 * --------------------------------------------------------------------------------------------------- */

struct space {
	double ratio[MARKS], used[MARKS], free[MARKS];
	double most;
	struct paste_store_stats before, after;
};

static void space_look(struct churn *c, struct space *sp, unsigned mark)
{
	double now = (double)used(c), ratio = now / (double)c->live;

	if (ratio > sp->most)
		sp->most = ratio;
	sp->used[mark] = now;
	sp->ratio[mark] = ratio;
	sp->free[mark] = paste_buffer_free(c->r);
}

static double per_put(double bytes, const struct space *sp)
{
	return bytes / (double)(sp->after.acknowledged_bytes - sp->before.acknowledged_bytes);
}

static void report_churn(const char *name, struct churn *c, struct churn *idle, const struct space *sp,
			 double size)
{
	const struct paste_store_stats *a = &sp->after, *b = &sp->before;
	char what[96];

	times_sort(&c->wall);
	times_sort(&c->cpu);
	times_sort(&c->upkeep);
	times_sort(&idle->wall);
	times_sort(&idle->cpu);
	report_row(name);
	report_number("k puts/s", (double)c->operations / c->seconds / 1e3);
	report_number("upkeep %", 100 * c->maintaining / c->seconds);
	report_number("space/live", sp->ratio[MARKS - 1]);
	report_number("at most", sp->most);
	report_number("used %", 100 * sp->used[MARKS - 1] / size);
	report_number("live %", 100 * (double)c->live / size);
	report_number("media B/B", per_put((double)(a->media_bytes_written - b->media_bytes_written), sp));
	report_number("cleaned B/B", per_put((double)(a->cleaned_bytes - b->cleaned_bytes), sp));
	report_number("ckpt B/B", per_put((double)(a->checkpoint_bytes - b->checkpoint_bytes), sp));
	report_number("checkpoints", (double)(a->checkpoints - b->checkpoints));
	report_number("stalls", (double)c->stalls);
	report_number("refused", (double)c->refused);
	snprintf(what, sizeof(what), "%s: space per live byte", name);
	report_at_most(what, sp->most, 1.5);
	snprintf(what, sizeof(what), "%s: p99.9 of the CPU time of a round beside idle", name);
	report_at_most(what, times_at(&c->cpu, 99.9) / times_at(&idle->cpu, 99.9), 2);
	snprintf(what, sizeof(what), "%s: free buffers at the end beside a quarter of the way", name);
	report_at_least(what, sp->free[MARKS - 1] / sp->free[MARKS / 4 - 1], 0.9);
}

static void report_times(const char *name, const struct churn *c, bool maintained)
{
	static const double at[] = {50, 99, 99.9, 99.99, 100};
	static const char *const upkeep[] = {"upkeep p50", "upkeep p99", "upkeep p99.9"};
	static const char *const wall[] = {"p50 us", "p99", "p99.9", "p99.99", "most"};
	static const char *const cpu[] = {"CPU p50", "CPU p99", "CPU p99.9", "CPU p99.99", "CPU most"};

	report_row(name);
	for (unsigned i = 0; i < 5; i++)
		report_number(wall[i], times_at(&c->wall, at[i]));
	for (unsigned i = 0; i < 5; i++)
		report_number(cpu[i], times_at(&c->cpu, at[i]));
	for (unsigned i = 0; i < 3 && maintained; i++)
		report_number(upkeep[i], times_at(&c->upkeep, at[i]));
}

static void run(const char *directory, uint64_t size, double fill, double seconds, bool zipfian,
		struct churn *c, struct churn *idle, struct space *sp)
{
	churn_open(c, directory, size, fill);
	churn_open(idle, directory, size, 0.2);
	c->zipfian = idle->zipfian = zipfian;
	paste_store_stats(c->s, &sp->before);
	double busy = 0;
	for (unsigned mark = 0; mark < MARKS; mark++) {
		double part = seconds * (mark + 1) / MARKS;
		while (busy < part - 1e-9) {
			double turn = part - busy < TURN ? part - busy : TURN;
			run_idle(idle);
			run_busy(c, turn);
			busy += turn;
		}
		space_look(c, sp, mark);
	}
	paste_store_stats(c->s, &sp->after);
}

int main(int argc, char **argv)
{
	const char *shm = "/dev/shm";
	bool json = false;
	double seconds = 60, fill = 80;
	uint64_t mib = 512;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			json = true;
		} else if (i + 1 < argc && strcmp(argv[i], "--shm") == 0) {
			shm = argv[++i];
		} else if (i + 1 < argc && strcmp(argv[i], "--seconds") == 0) {
			seconds = atof(argv[++i]);
		} else if (i + 1 < argc && strcmp(argv[i], "--size") == 0) {
			mib = (uint64_t)atoi(argv[++i]);
		} else if (i + 1 < argc && strcmp(argv[i], "--fill") == 0) {
			fill = atof(argv[++i]);
		} else {
			fprintf(stderr, "usage: churn [--json] [--seconds N] [--size MIB] [--fill PERCENT] "
					"[--shm DIR]\n");
			return 2;
		}
	}
	report_begin("Churn at 80 % fill, values of 16 B to 16 KiB, rounds of 32 puts on shm", json);
	static struct churn c[2], idle[2];
	static struct space sp[2];
	static const char *const name[2] = {"uniform", "zipfian .99"};
	for (unsigned i = 0; i < 2; i++) {
		run(shm, mib << 20, fill / 100, seconds / 2, i == 1, &c[i], &idle[i], &sp[i]);
		report_churn(name[i], &c[i], &idle[i], &sp[i], (double)(mib << 20));
		fprintf(stderr, "%s: done\n", name[i]);
	}
	for (unsigned i = 0; i < 2; i++) {
		char what[64];
		snprintf(what, sizeof(what), "a round, %s", name[i]);
		report_times(what, &c[i], true);
		snprintf(what, sizeof(what), "a round, %s, idle", name[i]);
		report_times(what, &idle[i], false);
		report_note("%s: free buffers over time: %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f", name[i],
			    sp[i].free[0], sp[i].free[1], sp[i].free[2], sp[i].free[3], sp[i].free[4],
			    sp[i].free[5], sp[i].free[6], sp[i].free[7]);
		churn_close(&c[i]);
		churn_close(&idle[i]);
	}
	report_note("What limits it: the cleaner reads and writes back what survives in the segments that it "
		    "empties, and "
		    "that is the more the fuller they are.");
	report_end();
	return 0;
}
