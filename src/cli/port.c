/* SPDX-License-Identifier: BSD-2-Clause */
/* pst port: what a network interface can do for packets that land in a region. */
#include "cli/cli.h"
#include "cli/control_client.h"
#include "cli/json.h"
#include "cli/port_judge.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *yes(bool known, bool value)
{
	return !known ? "not known (Linux 6.3 tells)" : value ? "yes" : "no";
}

static const char *mac_text(const uint8_t mac[6], char text[18])
{
	snprintf(text, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	return text;
}

static void print_findings(const struct port_judgement *j)
{
	for (unsigned i = 0; i < j->findings; i++) {
		const struct port_finding *f = &j->finding[i];
		cli_row(f->refusal ? "refused" : "note", "%s", f->reason);
		if (f->remedy[0])
			cli_row("", "-> %s", f->remedy);
	}
}

/* What the rings of a running service have counted: `line` is answered by the service that has the region open. Empty: there is
 * none. The text is the caller's. */
static char *ask_owner(const char *region, const char *line)
{
	struct control_client client;
	char *text = NULL;

	if (!region || control_connect(region, &client, NULL) < 0)
		return NULL;
	if (control_ask(&client, line, NULL) == 0)
		text = strdup(client.text);
	control_disconnect(&client);
	return text;
}

static void print_table(const struct port_judgement *j)
{
	const struct xdp_interface *i = &j->interface;
	char text[CLI_SIZE_TEXT], mac[18];

	cli_row("interface", "%s, %s, %s", j->ifname, mac_text(i->mac, mac), i->up ? "up" : "down");
	cli_row("driver", "%s", i->driver[0] ? i->driver : "not told");
	cli_row("queues", "%" PRIu32 " to receive, %" PRIu32 " to transmit%s", i->queues, i->transmit_queues,
		j->taken         ? ""
		: j->taken_known ? ", none taken"
				 : "");
	cli_row("native XDP", "%s", yes(i->features_known, i->native));
	cli_row("zero-copy", "%s", yes(i->features_known, i->zero_copy));
	cli_row("fragments",
		j->fragments ? "a packet may lie in several buffers" : "a packet lies in one buffer");
	cli_row("payloads", "%s",
		!strcmp(j->mode, "zero-copy")
		    ? "sent from where they are, as fragments, where there are fragments; short ones copied"
		    : "copied behind their headers into one frame: faster where the kernel copies each fragment");
	cli_row("checksums", "the interface's: receive %s, transmit %s; for a port: transmit %s",
		i->receive_checksum ? "on" : "off", i->transmit_checksum ? "on" : "off",
		j->checksum ? "on request" : "not");
	cli_row("mtu", "%" PRIu32 "; at most %" PRIu32 " in one buffer of %" PRIu32 " bytes", i->mtu,
		j->mtu_most, j->buffer_size);
	cli_row("kernel memory", "%s a queue%s", cli_size_text(text, j->memory_per_queue),
		j->region.path ? "" : " for each GiB of a region");
	if (j->region.path)
		cli_row("region", "%s (%s), %s to receive into, all of it pinned", j->region.path,
			j->region.backing, cli_size_text(text, j->region.bytes));
	cli_row("mode", "%s%s", j->mode,
		!j->mode_known           ? " or less: it shows when it is tried"
		: j->interface.zero_copy ? ", if the driver agrees when it is tried"
					 : "");
	print_findings(j);
	char *live = ask_owner(j->region.path, "port text");
	if (live)
		fputs(live, stdout);
	free(live);
	cli_row("so", port_refused(j) ? "a port cannot be opened now" : "a port can be opened");
}

static void write_json(const struct port_judgement *j)
{
	const struct xdp_interface *i = &j->interface;
	struct json o = {.out = stdout};
	char mac[18];

	json_object(&o, NULL);
	json_string(&o, "interface", j->ifname);
	json_string(&o, "mac", mac_text(i->mac, mac));
	json_bool(&o, "up", i->up);
	json_string(&o, "driver", i->driver);
	json_unsigned(&o, "queues", i->queues);
	json_unsigned(&o, "transmit_queues", i->transmit_queues);
	if (j->taken_known)
		json_unsigned(&o, "queues_taken", j->taken);
	json_bool(&o, "features_known", i->features_known);
	if (i->features_known) {
		json_bool(&o, "native", i->native);
		json_bool(&o, "zero_copy", i->zero_copy);
		json_unsigned(&o, "zero_copy_segments", i->zero_copy_segments);
	}
	json_bool(&o, "fragments", j->fragments);
	json_bool(&o, "receive_checksum", i->receive_checksum);
	json_bool(&o, "transmit_checksum", i->transmit_checksum);
	json_bool(&o, "port_checksum", j->checksum);
	json_unsigned(&o, "mtu", i->mtu);
	json_unsigned(&o, "mtu_one_buffer", j->mtu_most);
	json_unsigned(&o, "buffer_size", j->buffer_size);
	json_unsigned(&o, "kernel_memory_per_queue", j->memory_per_queue);
	if (j->region.path) {
		json_string(&o, "region", j->region.path);
		json_string(&o, "region_backing", j->region.backing);
		json_unsigned(&o, "region_bytes", j->region.bytes);
	}
	if (j->attached > 0) {
		json_unsigned(&o, "program", j->program.id);
		json_string(&o, "program_name", j->program.name);
	}
	json_string(&o, "mode", j->mode);
	json_bool(&o, "possible", !port_refused(j));
	char *live = ask_owner(j->region.path, "port");
	if (live)
		json_raw(&o, "in_use", live);
	free(live);
	json_list(&o, "findings");
	for (unsigned n = 0; n < j->findings; n++) {
		json_object(&o, NULL);
		json_bool(&o, "refusal", j->finding[n].refusal);
		json_string(&o, "reason", j->finding[n].reason);
		json_string(&o, "remedy", j->finding[n].remedy);
		json_end_object(&o);
	}
	json_end_list(&o);
	json_end_object(&o);
}

int cmd_port(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"json", no_argument, NULL, 'j'}, {"region", required_argument, NULL, 'r'}, {NULL}};
	struct paste_error error = {{0}};
	struct port_judgement judgement;
	const char *region = NULL;
	bool as_json = false;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":", longs, NULL)) != -1) {
		if (option == 'j')
			as_json = true;
		else if (option == 'r')
			region = optarg;
		else
			return cli_bad_option("port", option, argv);
	}
	if (optind == argc || !argv[optind][0])
		return cli_usage("port", "the name of an interface (IFACE) is missing");
	if (optind + 1 < argc)
		return cli_usage("port", "one IFACE is wanted, '%s' is one too many", argv[optind + 1]);
	if (port_judge(&judgement, argv[optind], region, &error) < 0)
		return cli_fail("port", CLI_FAILED, error.text);
	if (as_json)
		write_json(&judgement);
	else
		print_table(&judgement);
	return port_refused(&judgement) ? CLI_FAILED : CLI_OK;
}
