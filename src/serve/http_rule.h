/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_rule.h - the rules of HTTP/1.1 framing that a client can break, each with a name, a status and a
 * sentence.
 *
 * The parsers of heads, fields and chunks return the rule that was broken, negative. Which one it is follows
 * from the bytes alone, in their order, and not from how they were cut on their way. The sentence is the body
 * of the refusal and says nothing of what the client sent.
 */
#ifndef SERVE_HTTP_RULE_H
#define SERVE_HTTP_RULE_H

enum http_rule {
	RULE_NONE,
	/* lines of a head */
	RULE_BEGINNING,   /* the first byte begins no method: TLS, for example */
	RULE_EMPTY_LINES, /* too many before the request line */
	RULE_BARE_LF,
	RULE_LINE_LARGE,
	RULE_HEAD_LARGE,
	RULE_FIELDS_MANY,
	/* request line */
	RULE_METHOD_FORM,
	RULE_METHOD_UNKNOWN,
	RULE_TARGET_NONE, /* not one space and something behind it */
	RULE_TARGET_BYTE,
	RULE_TARGET_FORM, /* authority form, a scheme that is not known, no slash */
	RULE_TARGET_HOST, /* of an absolute target */
	RULE_VERSION_NONE,
	RULE_VERSION_FORM,
	RULE_VERSION_OTHER,
	/* field lines */
	RULE_FIELD_FOLDED,
	RULE_FIELD_NAMELESS,
	RULE_FIELD_SPACE, /* in the name or behind it */
	RULE_FIELD_NAME,  /* another byte */
	RULE_FIELD_COLON,
	RULE_FIELD_CR,
	RULE_FIELD_CONTROL,
	RULE_FIELD_TWICE,
	RULE_TAG_FORM,
	RULE_TAGS_MANY,
	RULE_EXPECT_OTHER,
	/* whose request it is */
	RULE_HOST_NONE,
	RULE_HOST_TWICE,
	RULE_HOST_FORM,
	/* where it ends */
	RULE_LENGTH_FORM,
	RULE_LENGTH_TWICE,
	RULE_LENGTH_AND_CODING,
	RULE_CODING_TWICE,
	RULE_CODING_LAST, /* chunked is not the last, or not the only one of its kind */
	RULE_CODING_UNKNOWN,
	RULE_CODING_1_0,
	RULE_BODY_LARGE,
	/* chunks */
	RULE_CHUNK_SIZE,
	RULE_CHUNK_SIZE_LONG,
	RULE_CHUNK_SIZE_END, /* something that is no extension behind it */
	RULE_CHUNK_BARE_LF,
	RULE_CHUNK_BARE_CR,
	RULE_CHUNK_END, /* more data than the size says */
	RULE_CHUNK_EXTENSION,
	RULE_CHUNK_EXTENSIONS_LARGE,
	RULE_TRAILER_FORM,
	RULE_TRAILER_LARGE,
	RULES,
};

/* "two lengths": what a metric's label says. */
const char *http_rule_name(enum http_rule rule);
/* Of the refusal. */
int http_rule_status(enum http_rule rule);
/* One sentence and a line feed. */
const char *http_rule_text(enum http_rule rule);

#endif
