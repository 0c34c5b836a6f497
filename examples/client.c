/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client REGION INTERFACE OUR-ADDRESS PEER-MAC HOST:PORT: send each line of the input, print the line that
 * comes back; of echo or of append. Over IPv4.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "examples.h"

#define EVENTS 16

int client_connect(struct client *c, const char *address, struct paste_error *err)
{
	return paste_stack_connect(c->stack, address, &c->conn, err);
}

int client_send(struct client *c, const char *line)
{
	struct paste_send text = {.inline_bytes = line, .inline_length = (uint32_t)strlen(line)};

	c->length = 0;
	return paste_conn_send(c->conn, &text, 1); /* also while the connection is being opened */
}

/* 1: this was the line's last part. */
static int data(struct client *c, struct paste_ref slice)
{
	const char *bytes = (const char *)paste_ref_data(c->region, slice);
	uint32_t room = (uint32_t)sizeof(c->line) - 1 - c->length;
	uint32_t length = slice.length < room ? slice.length : room;

	memcpy(c->line + c->length, bytes, length);
	c->length += length;
	if (c->length == 0 || c->line[c->length - 1] != '\n')
		return length < slice.length ? -EMSGSIZE : 0;
	c->line[c->length - 1] = 0;
	return 1;
}

int client_round(struct client *c, int64_t timeout_us)
{
	struct paste_event event[EVENTS];
	int n = paste_stack_poll(c->stack, event, EVENTS, timeout_us), ret = n < 0 ? n : 0;

	for (int i = 0; i < n; i++) {
		if (event[i].type == PASTE_EVENT_DATA) {
			int got = ret == 0 ? data(c, event[i].slice) : 0;
			ret = got ? got : ret;
			paste_ref_put(c->region, event[i].slice);
		} else if (event[i].type == PASTE_EVENT_EOF) {
			ret = -ECONNRESET;
		} else if (event[i].type == PASTE_EVENT_ERROR) {
			ret = event[i].error;
		}
	}
	return ret;
}

int main(int argc, char **argv)
{
	struct paste_open_options open = {.path = argc == 6 ? argv[1] : NULL, .released = paste_xdp_released};
	struct example_link link = {.address = {[10] = 0xff, [11] = 0xff}};
	struct paste_error err = {{0}};
	struct paste_store *store;
	uint8_t *mac = link.mac;
	char line[1024];
	int ret = 0;

	if (argc != 6 || inet_pton(AF_INET, argv[3], link.address + 12) != 1 ||
	    sscanf(argv[4], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4,
		   mac + 5) != 6) {
		fprintf(stderr, "usage: client REGION INTERFACE OUR-ADDRESS PEER-MAC HOST:PORT\n");
		return 2;
	}
	if (paste_store_open(&open, &store, &err) < 0 ||
	    example_link_open(paste_store_region(store), argv[2], &link, &err) < 0)
		return fprintf(stderr, "client: %s\n", err.text), 1;
	struct client c = {.stack = link.stack, .region = paste_store_region(store)};
	ret = client_connect(&c, argv[5], &err);
	while (ret >= 0 && fgets(line, sizeof(line), stdin)) {
		ret = client_send(&c, line);
		while (ret == 0)
			ret = client_round(&c, -1);
		if (ret == 1)
			puts(c.line);
	}
	if (ret < 0)
		fprintf(stderr, "client: %s\n", err.text[0] ? err.text : strerror(-ret));
	if (c.conn)
		paste_conn_close(c.conn);
	example_link_close(&link);
	return paste_store_close(store) < 0 || ret < 0;
}
