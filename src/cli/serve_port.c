/* SPDX-License-Identifier: BSD-2-Clause */
/* The live counters of a running service's ports, asked for by `pst port IFACE --region PATH` on the control
 * socket. */
#include <inttypes.h>
#include <string.h>

#include "cli/json.h"
#include "cli/serve_run.h"

struct queue_counters {
	struct paste_ring_stats receive, transmit;
	struct paste_xdp_stats kernel;
};

static void read_queue(struct paste_port *p, uint32_t queue, struct queue_counters *c)
{
	p->ops->stats(p, queue, &c->receive, &c->transmit);
	paste_xdp_stats(p, queue, &c->kernel);
}

static void ring_json(struct json *j, const char *key, const struct paste_ring_stats *s)
{
	json_object(j, key);
	json_unsigned(j, "packets", s->packets);
	json_unsigned(j, "bytes", s->bytes);
	json_unsigned(j, "slots", s->slots);
	json_unsigned(j, "dropped", s->dropped);
	json_unsigned(j, "starved", s->starved);
	json_unsigned(j, "replaced", s->replaced);
	json_unsigned(j, "gathered", s->gathered);
	json_unsigned(j, "gathered_bytes", s->gathered_bytes);
	json_end_object(j);
}

static void kernel_json(struct json *j, const struct paste_xdp_stats *s)
{
	json_object(j, "kernel");
	json_unsigned(j, "steered", s->steered);
	json_unsigned(j, "passed", s->passed);
	json_unsigned(j, "absent", s->absent);
	json_unsigned(j, "ip_fragments", s->ip_fragments);
	json_unsigned(j, "no_room", s->no_room);
	json_unsigned(j, "ring_full", s->ring_full);
	json_unsigned(j, "fill_empty", s->fill_empty);
	json_unsigned(j, "invalid", s->invalid);
	json_unsigned(j, "posted", s->posted);
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
		ring_json(j, "receive", &c.receive);
		ring_json(j, "transmit", &c.transmit);
		kernel_json(j, &c.kernel);
		json_end_object(j);
	}
	json_end_list(j);
	json_end_object(j);
}

/* For people: as the rows of `pst port` stand, and no line of zeroes but the first two. */
static void port_text(FILE *out, struct paste_port *p)
{
	fprintf(out, "%-14s  %s, %" PRIu32 " queue%s, obtained: %s\n", "in use", p->info.name, p->info.queues,
		p->info.queues == 1 ? "" : "s", p->info.mode);
	if (p->info.gather_bytes == UINT32_MAX || p->info.fragments < 2)
		fprintf(out, "%-14s  payloads are copied behind their headers\n", "");
	else
		fprintf(out,
			"%-14s  payloads of more than %" PRIu32 " bytes leave as fragments, from where they are\n", "",
			p->info.gather_bytes);
	for (uint32_t q = 0; q < p->info.queues; q++) {
		struct queue_counters c;
		char name[24];

		read_queue(p, q, &c);
		snprintf(name, sizeof(name), "queue %" PRIu32, q);
		fprintf(out,
			"%-14s  received %" PRIu64 " packets, %" PRIu64 " bytes; %" PRIu64 " kept, %" PRIu32
			" posted\n",
			name, c.receive.packets, c.receive.bytes, c.receive.replaced, c.kernel.posted);
		fprintf(out,
			"%-14s  sent %" PRIu64 " packets, %" PRIu64 " bytes; %" PRIu64 " copied together\n",
			"", c.transmit.packets, c.transmit.bytes, c.transmit.gathered);
		if (c.kernel.no_room | c.kernel.ring_full | c.kernel.absent | c.kernel.ip_fragments)
			fprintf(out,
				"%-14s  lost: no buffer %" PRIu64 ", ring full %" PRIu64
				", no socket %" PRIu64 ", IP fragments %" PRIu64 "\n",
				"", c.kernel.no_room, c.kernel.ring_full, c.kernel.absent,
				c.kernel.ip_fragments);
		if (c.kernel.fill_empty | c.receive.starved | c.transmit.dropped | c.kernel.invalid)
			fprintf(
			    out,
			    "%-14s  found no buffer to receive into %" PRIu64 " times, none to post %" PRIu64
			    " times; not sent %" PRIu64 ", refused %" PRIu64 "\n",
			    "", c.kernel.fill_empty, c.receive.starved, c.transmit.dropped, c.kernel.invalid);
	}
}

/* "port", "port text": all ports that the service has open. */
static int answer_port(void *arg, const char *argument, FILE *out, struct paste_error *err)
{
	struct serve *o = arg;
	struct paste_port *ports[] = {o->udp.port, o->tcp_port};
	bool text = strcmp(argument, "text") == 0;
	struct json j = {.out = out, .flat = true};

	if (!text)
		json_list(&j, NULL);
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		if (!ports[i])
			continue;
		if (text)
			port_text(out, ports[i]);
		else
			port_json(&j, ports[i]);
	}
	if (!text)
		json_end_list(&j);
	return 0;
}

void serve_port_control(struct serve *o)
{
	if (o->control)
		control_register(o->control, "port", answer_port, o);
}
