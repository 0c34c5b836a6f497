/* SPDX-License-Identifier: BSD-2-Clause */
/* The live counters of a running service's ports, asked for by `pst port IFACE --region PATH` on the control
 * socket. */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cli/json.h"
#include "cli/serve_run.h"

struct queue_counters {
	struct paste_ring_stats receive, transmit;
	struct paste_xdp_stats kernel;
	uint64_t posted;
};

struct counter {
	const char *name;
	size_t at; /* in what holds it; a uint64_t */
};

#define RING(name) {#name, offsetof(struct paste_ring_stats, name)}
#define KERNEL(name) {#name, offsetof(struct queue_counters, kernel.name)}

/* Both forms show all of them, whatever they are: a zero says something, too. */
static const struct counter ring_counters[] = {
    RING(packets), RING(bytes),    RING(slots),    RING(dropped),
    RING(starved), RING(replaced), RING(gathered), RING(gathered_bytes),
};
static const struct counter kernel_counters[] = {
    KERNEL(steered),   KERNEL(passed),     KERNEL(absent),  KERNEL(ip_fragments), KERNEL(no_room),
    KERNEL(ring_full), KERNEL(fill_empty), KERNEL(invalid), {"posted", offsetof(struct queue_counters, posted)},
};

#define RING_COUNTERS (sizeof(ring_counters) / sizeof(ring_counters[0]))
#define KERNEL_COUNTERS (sizeof(kernel_counters) / sizeof(kernel_counters[0]))

static uint64_t value_of(const struct counter *c, const void *holder)
{
	uint64_t value;

	memcpy(&value, (const uint8_t *)holder + c->at, sizeof(value));
	return value;
}

static void read_queue(struct paste_port *p, uint32_t queue, struct queue_counters *c)
{
	p->ops->stats(p, queue, &c->receive, &c->transmit);
	paste_xdp_stats(p, queue, &c->kernel);
	c->posted = c->kernel.posted;
}

static void counters_json(struct json *j, const char *key, const struct counter *c, size_t n, const void *holder)
{
	json_object(j, key);
	for (size_t i = 0; i < n; i++)
		json_unsigned(j, c[i].name, value_of(&c[i], holder));
	json_end_object(j);
}

static void port_json(struct json *j, struct paste_port *p)
{
	json_object(j, NULL);
	json_string(j, "interface", p->info.name);
	json_string(j, "mode", p->info.mode);
	json_unsigned(j, "queues", p->info.queues);
	json_unsigned(j, "fragments", p->info.fragments);
	json_unsigned(j, "gather_bytes", p->info.gather_bytes);
	json_bool(j, "transmit_checksum", p->info.transmit_checksum);
	json_list(j, "rings");
	for (uint32_t q = 0; q < p->info.queues; q++) {
		struct queue_counters c;

		read_queue(p, q, &c);
		json_object(j, NULL);
		counters_json(j, "receive", ring_counters, RING_COUNTERS, &c.receive);
		counters_json(j, "transmit", ring_counters, RING_COUNTERS, &c.transmit);
		counters_json(j, "kernel", kernel_counters, KERNEL_COUNTERS, &c);
		json_end_object(j);
	}
	json_end_list(j);
	json_end_object(j);
}

/* Numbers stand right, below the names of what they count; a column is as wide as the widest that stands in it. */
static void widen(int *width, const struct counter *c, size_t n, const void *holder)
{
	for (size_t i = 0; i < n; i++) {
		int digits = snprintf(NULL, 0, "%" PRIu64, value_of(&c[i], holder)), name = (int)strlen(c[i].name);
		int wide = digits > name ? digits : name;
		if (wide > width[i])
			width[i] = wide;
	}
}

static void row_of_names(FILE *out, const char *first, const int *width, const struct counter *c, size_t n)
{
	fprintf(out, "%-14s", first);
	for (size_t i = 0; i < n; i++)
		fprintf(out, "  %*s", width[i], c[i].name);
	fputc('\n', out);
}

static void row_of_values(FILE *out, const char *what, uint32_t queue, const int *width,
			  const struct counter *c, size_t n, const void *holder)
{
	char name[32];

	snprintf(name, sizeof(name), "%s %" PRIu32, what, queue);
	fprintf(out, "%-14s", name);
	for (size_t i = 0; i < n; i++)
		fprintf(out, "  %*" PRIu64, width[i], value_of(&c[i], holder));
	fputc('\n', out);
}

static void rings_text(FILE *out, const struct queue_counters *q, uint32_t queues)
{
	int ring[RING_COUNTERS] = {0}, kernel[KERNEL_COUNTERS] = {0};

	for (uint32_t i = 0; i < queues; i++) {
		widen(ring, ring_counters, RING_COUNTERS, &q[i].receive);
		widen(ring, ring_counters, RING_COUNTERS, &q[i].transmit);
		widen(kernel, kernel_counters, KERNEL_COUNTERS, &q[i]);
	}
	row_of_names(out, "ring", ring, ring_counters, RING_COUNTERS);
	for (uint32_t i = 0; i < queues; i++) {
		row_of_values(out, "receive", i, ring, ring_counters, RING_COUNTERS, &q[i].receive);
		row_of_values(out, "transmit", i, ring, ring_counters, RING_COUNTERS, &q[i].transmit);
	}
	row_of_names(out, "kernel", kernel, kernel_counters, KERNEL_COUNTERS);
	for (uint32_t i = 0; i < queues; i++)
		row_of_values(out, "queue", i, kernel, kernel_counters, KERNEL_COUNTERS, &q[i]);
}

/* For people: as the rows of `pst port` stand, then a row for each ring. */
static int port_text(FILE *out, struct paste_port *p, struct paste_error *err)
{
	struct queue_counters *q = calloc(p->info.queues, sizeof(*q));

	if (!q)
		return paste_fail(err, -ENOMEM, "out of memory for the counters of %" PRIu32 " queues", p->info.queues);
	fprintf(out, "%-14s  %s, %" PRIu32 " queue%s, obtained: %s\n", "in use", p->info.name, p->info.queues,
		p->info.queues == 1 ? "" : "s", p->info.mode);
	if (p->info.gather_bytes == UINT32_MAX || p->info.fragments < 2)
		fprintf(out, "%-14s  payloads are copied behind their headers\n", "");
	else
		fprintf(out,
			"%-14s  payloads of more than %" PRIu32 " bytes leave as fragments, from where they are\n", "",
			p->info.gather_bytes);
	for (uint32_t i = 0; i < p->info.queues; i++)
		read_queue(p, i, &q[i]);
	rings_text(out, q, p->info.queues);
	free(q);
	return 0;
}

/* "port", "port text": all ports that the service has open. */
static int answer_port(void *arg, const char *argument, FILE *out, struct paste_error *err)
{
	struct serve *o = arg;
	struct paste_port *ports[] = {o->udp.port, o->tcp_port};
	bool text = strcmp(argument, "text") == 0;
	struct json j = {.out = out, .flat = true};
	int rc = 0;

	if (!text)
		json_list(&j, NULL);
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]) && rc == 0; i++) {
		if (!ports[i])
			continue;
		if (text)
			rc = port_text(out, ports[i], err);
		else
			port_json(&j, ports[i]);
	}
	if (!text)
		json_end_list(&j);
	return rc;
}

void serve_port_control(struct serve *o)
{
	if (o->control)
		control_register(o->control, "port", answer_port, o);
}
