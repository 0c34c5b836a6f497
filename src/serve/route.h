/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * route.h - what a request asks for: the resource, its name in bytes, the methods that it has.
 *
 *	/kv/KEY              GET HEAD PUT DELETE    KEY: all that follows, slashes included
 *	/kv                  GET HEAD DELETE        the keys, by prefix
 *	/log/STREAM          GET HEAD POST DELETE   STREAM: one path segment
 *	/log/STREAM/SEQ      GET HEAD
 *	/log                 GET HEAD               the streams, by prefix
 *	/batch               POST                   several changes at once
 *	/metrics             GET HEAD
 *	/healthz             GET HEAD               it runs
 *	/readyz              GET HEAD               it can store, and is not about to end
 *	*                    (OPTIONS alone)
 *
 * Each has OPTIONS, which tells the methods.
 */
#ifndef SERVE_ROUTE_H
#define SERVE_ROUTE_H

#include "paste/change.h"
#include "paste/store.h"
#include "serve/http_parse.h"
#include "serve/query.h"

enum resource {
	RESOURCE_KEY,
	RESOURCE_KEYS,
	RESOURCE_STREAM,
	RESOURCE_ENTRY,
	RESOURCE_STREAMS,
	RESOURCE_BATCH,
	RESOURCE_METRICS,
	RESOURCE_HEALTH,
	RESOURCE_READY,
	RESOURCE_SERVER, /* "*" */
	RESOURCES,
};

/* A request that needs its head no more. */
struct request {
	enum http_method method;
	enum resource resource;
	bool keep_alive, http_1_0;
	bool has_if_range;
	uint64_t if_range;       /* a version; 0: none that can match */
	struct http_range range; /* of GET */
	struct http_tags if_match, if_none_match;
	struct query query;
	uint64_t ttl;          /* seconds; 0: it does not expire */
	uint32_t retry_length; /* of an Idempotency-Key; 0: none */
	uint8_t retry[PASTE_RETRY_KEY_MAX];
	uint64_t sequence; /* of an entry */
	uint32_t name_length;
	uint8_t name[PASTE_KEY_MAX]; /* key or stream; of lists: the prefix */
};

/* Fill in *r, and of lists *after, behind what they begin. 0, or a negative status code and a sentence why.
 */
int route(const struct http_request *http, struct request *r, struct query_text *after, const char **why);

/* "GET, HEAD, PUT, DELETE, OPTIONS": of the field Allow. */
const char *route_methods(enum resource resource);

#endif
