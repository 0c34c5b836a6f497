/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_request.h - the requests of a load as bytes. `name` (bench_name.h) needs no escaping. */
#ifndef CLI_BENCH_REQUEST_H
#define CLI_BENCH_REQUEST_H

#include "cli/bench_body.h"
#include "cli/bench_client.h"
#include "cli/bench_name.h"

/* PUT, GET or DELETE /kv/NAME, POST /log/NAME. Put and append have the body of (`number`, `length`). */
void request_write(struct client_request *q, const char *authority, enum bench_kind kind, const char *name,
		   const struct bench_body *body, uint64_t number, uint64_t length);

/* GET /log/NAME/SEQUENCE */
void request_write_read(struct client_request *q, const char *authority, const char *name, uint64_t sequence);

#endif
