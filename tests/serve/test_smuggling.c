/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Request smuggling: who stands before us may have read the same bytes as other requests than we do. So each
 * vector here, whose end could be read in two ways, is refused with the name of what is wrong with it, the
 * connection ends, and the request that hides behind (or inside) it is not looked at, wherever the bytes are
 * cut on their way. And each harmless neighbour of them, whose end is certain, is answered, together with
 * what is behind it.
 */
#include "harness.h"

#include <stdio.h>

#define H "Host: h\r\n"
#define PUT_A "PUT /kv/a HTTP/1.1\r\n" H
#define GET_A "GET /kv/a HTTP/1.1\r\n" H
#define HIDDEN "PUT /kv/hidden HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx"
#define TE "Transfer-Encoding: chunked\r\n"

struct vector {
	const char *name;
	const char *bytes;    /* HIDDEN may stand behind it */
	const char *statuses;
	enum http_rule rule; /* that the refusal names */
};

/* Two ways to read it. Nothing may come behind the refusal. */
static const struct vector refused[] = {
    /* CL.TE, TE.CL: one looks at the length, the other at the coding. */
    {"length, then coding", PUT_A "Content-Length: 4\r\n" TE "\r\n0\r\n\r\n", "400 ", RULE_LENGTH_AND_CODING},
    {"coding, then length", PUT_A TE "Content-Length: 5\r\n\r\n0\r\n\r\n", "400 ", RULE_LENGTH_AND_CODING},
    {"length 0 beside a coding", PUT_A "Content-Length: 0\r\n" TE "\r\n0\r\n\r\n", "400 ",
     RULE_LENGTH_AND_CODING},
    {"length beside identity", PUT_A "Content-Length: 1\r\nTransfer-Encoding: identity\r\n\r\nx", "400 ",
     RULE_LENGTH_AND_CODING},
    /* CL.CL */
    {"two lengths that differ", PUT_A "Content-Length: 1\r\nContent-Length: 60\r\n\r\nx", "400 ",
     RULE_LENGTH_TWICE},
    {"two lengths that agree", PUT_A "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", "400 ",
     RULE_LENGTH_TWICE},
    {"two lengths in one field", PUT_A "Content-Length: 1, 60\r\n\r\nx", "400 ", RULE_LENGTH_FORM},
    {"the same length twice in one field", PUT_A "Content-Length: 1, 1\r\n\r\nx", "400 ", RULE_LENGTH_FORM},
    /* Lengths that are numbers for some. */
    {"length with a sign", PUT_A "Content-Length: +1\r\n\r\nx", "400 ", RULE_LENGTH_FORM},
    {"negative length", PUT_A "Content-Length: -1\r\n\r\nx", "400 ", RULE_LENGTH_FORM},
    {"length in hexadecimal", PUT_A "Content-Length: 0x1\r\n\r\nx", "400 ", RULE_LENGTH_FORM},
    {"length with a point", PUT_A "Content-Length: 1.0\r\n\r\nx", "400 ", RULE_LENGTH_FORM},
    {"length with an exponent", PUT_A "Content-Length: 1e0\r\n\r\nx", "400 ", RULE_LENGTH_FORM},
    {"length with a gap", PUT_A "Content-Length: 1 1\r\n\r\nx", "400 ", RULE_LENGTH_FORM},
    {"length with an underscore", PUT_A "Content-Length: 1_0\r\n\r\nx", "400 ", RULE_LENGTH_FORM},
    {"length with something behind it", PUT_A "Content-Length: 1;x\r\n\r\nx", "400 ", RULE_LENGTH_FORM},
    {"length in quotes", PUT_A "Content-Length: \"1\"\r\n\r\nx", "400 ", RULE_LENGTH_FORM},
    {"no length", PUT_A "Content-Length:\r\n\r\nx", "400 ", RULE_LENGTH_FORM},
    {"length beyond 64 bits", PUT_A "Content-Length: 18446744073709551617\r\n\r\nx", "413 ", RULE_BODY_LARGE},
    {"length with a vertical tab", PUT_A "Content-Length:\v1\r\n\r\nx", "400 ", RULE_FIELD_CONTROL},
    /* TE.TE: a coding that one of the two does not see. */
    {"coding twice", PUT_A TE TE "\r\n0\r\n\r\n", "400 ", RULE_CODING_TWICE},
    {"coding and another", PUT_A TE "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n", "400 ",
     RULE_CODING_TWICE},
    {"chunked twice in one field", PUT_A "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "400 ",
     RULE_CODING_LAST},
    {"chunked is not the last", PUT_A "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "400 ",
     RULE_CODING_LAST},
    {"almost chunked", PUT_A "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "400 ", RULE_CODING_LAST},
    {"chunked in quotes", PUT_A "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", "400 ", RULE_CODING_LAST},
    {"chunked with a parameter", PUT_A "Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n", "400 ",
     RULE_CODING_LAST},
    {"chunked behind a vertical tab", PUT_A "Transfer-Encoding:\vchunked\r\n\r\n0\r\n\r\n", "400 ",
     RULE_FIELD_CONTROL},
    {"identity", PUT_A "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n", "400 ", RULE_CODING_LAST},
    {"no coding", PUT_A "Transfer-Encoding:\r\n\r\n0\r\n\r\n", "400 ", RULE_CODING_LAST},
    {"a coding that we do not know", PUT_A "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501 ",
     RULE_CODING_UNKNOWN},
    {"chunked in HTTP/1.0", "PUT /kv/a HTTP/1.0\r\n" H TE "\r\n0\r\n\r\n", "400 ", RULE_CODING_1_0},
    /* Names of fields that some trim. */
    {"space before the colon", PUT_A "Content-Length : 1\r\n\r\nx", "400 ", RULE_FIELD_SPACE},
    {"tab before the colon", PUT_A "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", "400 ", RULE_FIELD_SPACE},
    {"NUL in a name", PUT_A "Content-\001Length: 1\r\n\r\nx", "400 ", RULE_FIELD_NAME},
    {"no name", PUT_A ": 1\r\n\r\nx", "400 ", RULE_FIELD_NAMELESS},
    {"no colon", PUT_A "Content-Length 1\r\n\r\nx", "400 ", RULE_FIELD_COLON},
    {"a field before the request line", "Content-Length: 1\r\n" PUT_A "\r\nx", "400 ", RULE_METHOD_FORM},
    /* Lines that end for some. */
    {"bare line feed ends a field", PUT_A "X: y\nContent-Length: 60\r\n\r\n", "400 ", RULE_BARE_LF},
    {"bare carriage return in a field", PUT_A "X: y\rContent-Length: 60\r\n\r\n", "400 ", RULE_FIELD_CR},
    {"bare line feeds end the head", "PUT /kv/a HTTP/1.1\nHost: h\nContent-Length: 0\n\n", "400 ",
     RULE_BARE_LF},
    {"carriage return twice", PUT_A "Content-Length: 0\r\r\n\r\n", "400 ", RULE_FIELD_CR},
    {"folded line", PUT_A "X: y\r\n Content-Length: 60\r\n\r\n", "400 ", RULE_FIELD_FOLDED},
    {"folded length", PUT_A "Content-Length:\r\n 1\r\n\r\nx", "400 ", RULE_FIELD_FOLDED},
    {"folded coding", PUT_A "Transfer-Encoding:\r\n\tchunked\r\n\r\n0\r\n\r\n", "400 ", RULE_FIELD_FOLDED},
    {"fold before the first field", "PUT /kv/a HTTP/1.1\r\n X: y\r\n" H "Content-Length: 0\r\n\r\n", "400 ",
     RULE_FIELD_FOLDED},
    /* The request line. */
    {"two spaces", "PUT  /kv/a HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", "400 ", RULE_TARGET_NONE},
    {"a tab for a space", "PUT\t/kv/a HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", "400 ", RULE_METHOD_FORM},
    {"space at the end", "PUT /kv/a HTTP/1.1 \r\n" H "Content-Length: 0\r\n\r\n", "400 ", RULE_VERSION_FORM},
    {"a version within the target", "PUT /kv/a HTTP/1.1 HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", "400 ",
     RULE_VERSION_FORM},
    {"no version", "GET /kv/a\r\n", "400 ", RULE_VERSION_NONE},
    {"small letters", "PUT /kv/a http/1.1\r\n" H "Content-Length: 0\r\n\r\n", "400 ", RULE_VERSION_FORM},
    {"a later version", "PUT /kv/a HTTP/2.0\r\n" H "Content-Length: 0\r\n\r\n", "505 ", RULE_VERSION_OTHER},
    {"what opens HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 ", RULE_VERSION_OTHER},
    /* Whose request it is. */
    {"two hosts", PUT_A "Host: other\r\nContent-Length: 0\r\n\r\n", "400 ", RULE_HOST_TWICE},
    {"no host", "PUT /kv/a HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "400 ", RULE_HOST_NONE},
    {"a host that is none", "PUT /kv/a HTTP/1.1\r\nHost: a b\r\nContent-Length: 0\r\n\r\n", "400 ",
     RULE_HOST_FORM},
    /* Chunks that end for some. */
    {"chunk size in 0x", PUT_A TE "\r\n0x1\r\nx\r\n0\r\n\r\n", "400 ", RULE_CHUNK_SIZE},
    {"chunk size with a sign", PUT_A TE "\r\n+1\r\nx\r\n0\r\n\r\n", "400 ", RULE_CHUNK_SIZE},
    {"chunk size with a space before it", PUT_A TE "\r\n 1\r\nx\r\n0\r\n\r\n", "400 ", RULE_CHUNK_SIZE},
    {"chunk size beyond 64 bits", PUT_A TE "\r\n10000000000000001\r\nx\r\n0\r\n\r\n", "400 ",
     RULE_CHUNK_SIZE_LONG},
    {"no chunk size", PUT_A TE "\r\n\r\nx\r\n0\r\n\r\n", "400 ", RULE_CHUNK_SIZE},
    {"an extension without a size", PUT_A TE "\r\n;a\r\nx\r\n0\r\n\r\n", "400 ", RULE_CHUNK_SIZE},
    {"bare line feed behind a chunk size", PUT_A TE "\r\n1\nx\r\n0\r\n\r\n", "400 ", RULE_CHUNK_BARE_LF},
    {"bare line feed in an extension", PUT_A TE "\r\n1;a\nx\r\n0\r\n\r\n", "400 ", RULE_CHUNK_BARE_LF},
    {"bare carriage return in an extension", PUT_A TE "\r\n1;a\rb\r\nx\r\n0\r\n\r\n", "400 ",
     RULE_CHUNK_BARE_CR},
    {"bare line feed behind a chunk", PUT_A TE "\r\n1\r\nx\n0\r\n\r\n", "400 ", RULE_CHUNK_BARE_LF},
    {"a chunk longer than it says", PUT_A TE "\r\n1\r\nxy\r\n0\r\n\r\n", "400 ", RULE_CHUNK_END},
    {"a chunk shorter than it says", PUT_A TE "\r\n3\r\nx\r\n0\r\n\r\n", "400 ", RULE_CHUNK_END},
    {"bare line feed behind the last chunk", PUT_A TE "\r\n1\r\nx\r\n0\n\r\n", "400 ", RULE_CHUNK_BARE_LF},
    {"bare line feed ends the trailer", PUT_A TE "\r\n1\r\nx\r\n0\r\n\n", "400 ", RULE_CHUNK_BARE_LF},
    {"a trailer that is no field", PUT_A TE "\r\n1\r\nx\r\n0\r\nPUT /kv/hidden HTTP/1.1\r\n\r\n", "400 ",
     RULE_TRAILER_FORM},
};

/* One way to read it. What is behind it is a request of its own. */
static const struct vector answered[] = {
    {"length", PUT_A "Content-Length: 1\r\n\r\nx", "201 201 ", RULE_NONE},
    {"a request in a body",
     PUT_A
     "Content-Length: 64\r\n\r\nPUT /kv/inside HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n123456789",
     "201 201 ", RULE_NONE},
    {"a request in a body that nobody wants",
     GET_A
     "Content-Length: 64\r\n\r\nPUT /kv/inside HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n123456789",
     "404 201 ", RULE_NONE},
    {"a request in a chunk",
     PUT_A TE
     "\r\n40\r\nPUT /kv/inside HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n123456789\r\n0\r\n\r\n",
     "201 201 ", RULE_NONE},
    {"a request in an extension of a chunk", PUT_A TE "\r\n1;PUT /kv/inside HTTP/1.1\r\nx\r\n0\r\n\r\n",
     "201 201 ", RULE_NONE},
    {"length with leading zeroes", PUT_A "Content-Length: 0001\r\n\r\nx", "201 201 ", RULE_NONE},
    {"length with blanks around it", PUT_A "Content-Length: \t 1 \t\r\n\r\nx", "201 201 ", RULE_NONE},
    {"chunked in capitals", PUT_A "tRANSFER-eNCODING: CHUNKED\r\n\r\n1\r\nx\r\n0\r\n\r\n", "201 201 ",
     RULE_NONE},
    {"chunk size with leading zeroes", PUT_A TE "\r\n0001\r\nx\r\n000\r\n\r\n", "201 201 ", RULE_NONE},
    {"a length in a trailer", PUT_A TE "\r\n1\r\nx\r\n0\r\nContent-Length: 60\r\n\r\n", "201 201 ",
     RULE_NONE},
    {"a coding in a trailer", PUT_A TE "\r\n1\r\nx\r\n0\r\n" TE "\r\n", "201 201 ", RULE_NONE},
    {"a length whose name is longer", PUT_A "X-Content-Length: 60\r\nContent-Length: 1\r\n\r\nx", "201 201 ",
     RULE_NONE},
    {"an empty line before a request", "\r\n" PUT_A "Content-Length: 1\r\n\r\nx", "201 201 ", RULE_NONE},
    {"another host in the target", "PUT http://other/kv/a HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx",
     "201 201 ", RULE_NONE},
    {"a method in a field", PUT_A "X-HTTP-Method-Override: DELETE\r\nContent-Length: 1\r\n\r\nx", "201 201 ",
     RULE_NONE},
};

static const char *statuses(struct fake_conn *c)
{
	static char text[256];
	size_t n = 0;

	text[0] = 0;
	for (const char *at = fake_client_got(c, NULL); (at = strstr(at, "HTTP/1.1 ")); at += 9)
		if (at[9] >= '1' && at[9] <= '5') /* the texts of refusals name the version, too */
			n += (size_t)sprintf(text + n, "%.3s ", at + 9);
	return text;
}

/* In the body of the refusal, which is all of it, and in the one counter. */
static bool names_rule(struct harness *h, struct fake_conn *c, enum http_rule rule)
{
	const char *body = strstr(fake_client_got(c, NULL), "\r\n\r\n");
	struct service_stats stats;

	service_stats(h->service, &stats);
	for (int i = 0; i < RULES; i++)
		if (stats.broken[i] != (i == (int)rule))
			return false;
	return body && strcmp(body + 4, http_rule_text(rule)) == 0;
}

static void send_vector(const struct vector *v, uint32_t piece, bool ends)
{
	struct harness h = harness_begin();

	fake_stack_set_piece(h.stack, piece);
	struct fake_conn *c = harness_client(&h, v->bytes);
	fake_client_says(c, HIDDEN);
	harness_run(&h);
	if (strcmp(statuses(c), v->statuses) != 0)
		fail_msg("%s, in pieces of %u: %s", v->name, piece, statuses(c));
	if (ends && !names_rule(&h, c, v->rule))
		fail_msg("%s, in pieces of %u: not \"%s\": %s", v->name, piece, http_rule_name(v->rule),
			 fake_client_got(c, NULL));
	if (ends && !fake_client_is_closed(c))
		fail_msg("%s, in pieces of %u: the connection goes on", v->name, piece);
	fake_stack_set_piece(h.stack, 0);
	const char *hidden = harness_ask(&h, "GET /kv/hidden HTTP/1.1\r\n" H "\r\n");
	if (strncmp(hidden + 9, ends ? "404" : "200", 3))
		fail_msg("%s, in pieces of %u: what is behind it: %.12s", v->name, piece, hidden);
	if (strncmp(harness_ask(&h, "GET /kv/inside HTTP/1.1\r\n" H "\r\n") + 9, "404", 3))
		fail_msg("%s, in pieces of %u: what is inside it was done", v->name, piece);
	harness_end(&h);
}

static void smuggling_vectors(void **state)
{
	static const uint32_t pieces[] = {0, 1, 2, 3, 7, 31};

	for (size_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++) {
		for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
			send_vector(&refused[i], pieces[p], true);
		for (size_t i = 0; i < sizeof(answered) / sizeof(answered[0]); i++)
			send_vector(&answered[i], pieces[p], false);
	}
}

/* C strings end at a NUL, so those stand apart. */
static void smuggling_vectors_with_nul(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		enum http_rule rule;
	} vectors[] = {
#define VECTOR(text, rule) {text, sizeof(text) - 1, rule}
	    VECTOR(PUT_A "Content-Length: 1\0"
			 "0\r\n\r\nx",
		   RULE_FIELD_CONTROL),
	    VECTOR(PUT_A "X: \0\r\nContent-Length: 1\r\n\r\nx", RULE_FIELD_CONTROL),
	    VECTOR(PUT_A "Content-Length\0: 1\r\n\r\nx", RULE_FIELD_NAME),
	    VECTOR("PUT /kv/a\0b HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx", RULE_TARGET_BYTE),
	    VECTOR("\0" PUT_A "Content-Length: 1\r\n\r\nx", RULE_BEGINNING),
	};

	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct harness h = harness_begin();
		struct fake_conn *c = fake_connect(h.stack);

		fake_client_sends(c, vectors[i].bytes, vectors[i].n);
		fake_client_says(c, HIDDEN);
		harness_run(&h);
		assert_string_equal(statuses(c), "400 ");
		assert_true(names_rule(&h, c, vectors[i].rule));
		assert_true(fake_client_is_closed(c));
		assert_memory_equal(harness_ask(&h, "GET /kv/hidden HTTP/1.1\r\n" H "\r\n") + 9, "404", 3);
		harness_end(&h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(smuggling_vectors),
	    cmocka_unit_test(smuggling_vectors_with_nul),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
