/* SPDX-License-Identifier: BSD-2-Clause */
#include "serve/http_rule.h"

#include "serve/chunk.h"
#include "serve/http_parse.h"
#include "serve/limit_text.h"

static const struct {
	int status;
	const char *name, *text;
} rules[RULES] = {
    [RULE_NONE] = {200, "none", ""},
    [RULE_BEGINNING] = {400, "beginning", "this does not begin like an HTTP request\n"},
    [RULE_EMPTY_LINES] = {400, "empty lines", "too many empty lines stand before the request line\n"},
    [RULE_BARE_LF] = {400, "bare LF", "a line of the head ends with a bare LF\n"},
    [RULE_LINE_LARGE] = {414, "request line large", "the request line is longer than " LIMIT_TEXT(HTTP_LINE_MAX) " bytes\n"},
    [RULE_HEAD_LARGE] = {431, "head large", "request line and header fields are longer than " LIMIT_TEXT(HTTP_HEAD_MAX) " bytes\n"},
    [RULE_FIELDS_MANY] = {431, "many fields", "there are more than " LIMIT_TEXT(HTTP_FIELD_MAX) " header fields\n"},
    [RULE_METHOD_FORM] = {400, "method form", "the request line does not begin with a method and a space\n"},
    [RULE_METHOD_UNKNOWN] = {501, "method unknown", "this method is not implemented\n"},
    [RULE_TARGET_NONE] = {400, "target missing", "the method is not followed by one space and a target\n"},
    [RULE_TARGET_BYTE] = {400, "target byte", "the target has a byte that must be percent-encoded\n"},
    [RULE_TARGET_FORM] = {400, "target form", "the target is neither a path nor an http or https URL\n"},
    [RULE_TARGET_HOST] = {400, "target host", "the URL in the request line names no host\n"},
    [RULE_VERSION_NONE] = {400, "version missing", "the request line ends without a version\n"},
    [RULE_VERSION_FORM] = {400, "version form",
			   "the request line does not end with one space and HTTP/1.1\n"},
    [RULE_VERSION_OTHER] = {505, "version other", "use HTTP/1.1\n"},
    [RULE_FIELD_FOLDED] = {400, "folded field", "a header line begins with a space or tab\n"},
    [RULE_FIELD_NAMELESS] = {400, "field without name", "a header field has no name\n"},
    [RULE_FIELD_SPACE] = {400, "space in field name",
			  "a space or tab stands before the colon of a header field\n"},
    [RULE_FIELD_NAME] = {400, "field name",
			 "the name of a header field has a byte that may not stand there\n"},
    [RULE_FIELD_COLON] = {400, "field without colon", "a header line has no colon\n"},
    [RULE_FIELD_CR] = {400, "bare CR", "a header field has a bare CR\n"},
    [RULE_FIELD_CONTROL] = {400, "control character", "a header field has a control character\n"},
    [RULE_FIELD_TWICE] = {400, "field twice", "a header field that may be given once is given twice\n"},
    [RULE_TAG_FORM] = {400, "entity tag form",
		       "If-Match or If-None-Match is neither * nor a list of entity tags\n"},
    [RULE_TAGS_MANY] = {400, "many entity tags", "If-Match or If-None-Match has more than " LIMIT_TEXT(HTTP_TAGS_MAX) " entity tags\n"},
    [RULE_EXPECT_OTHER] = {417, "expectation", "no other expectation than 100-continue can be met\n"},
    [RULE_HOST_NONE] = {400, "host missing", "Host is not given\n"},
    [RULE_HOST_TWICE] = {400, "two hosts", "Host is given twice\n"},
    [RULE_HOST_FORM] = {400, "host form", "Host is not a name or address with or without a port\n"},
    [RULE_LENGTH_FORM] = {400, "length form", "Content-Length is not one decimal number\n"},
    [RULE_LENGTH_TWICE] = {400, "two lengths", "Content-Length is given twice\n"},
    [RULE_LENGTH_AND_CODING] = {400, "length and coding",
				"Content-Length and Transfer-Encoding are both given\n"},
    [RULE_CODING_TWICE] = {400, "two codings", "Transfer-Encoding is given twice\n"},
    [RULE_CODING_LAST] = {400, "coding order", "Transfer-Encoding does not end with chunked, once\n"},
    [RULE_CODING_UNKNOWN] = {501, "coding unknown", "no transfer coding but chunked is implemented\n"},
    [RULE_CODING_1_0] = {400, "coding in HTTP/1.0", "HTTP/1.0 has no Transfer-Encoding\n"},
    [RULE_BODY_LARGE] = {413, "body large", "the body is larger than this service accepts\n"},
    [RULE_CHUNK_SIZE] = {400, "chunk size", "a chunk's size is not hexadecimal\n"},
    [RULE_CHUNK_SIZE_LONG] = {400, "chunk size long", "a chunk's size has more than 16 digits\n"},
    [RULE_CHUNK_SIZE_END] = {400, "chunk size end",
			     "a chunk's size is followed by something that is no extension\n"},
    [RULE_CHUNK_BARE_LF] = {400, "chunk bare LF", "a line of the chunked body ends with a bare LF\n"},
    [RULE_CHUNK_BARE_CR] = {400, "chunk bare CR", "a line of the chunked body has a bare CR\n"},
    [RULE_CHUNK_END] = {400, "chunk end", "a chunk does not end where its size says\n"},
    [RULE_CHUNK_EXTENSION] = {400, "chunk extension", "a chunk's extension is not well-formed\n"},
    [RULE_CHUNK_EXTENSIONS_LARGE] = {400, "chunk extensions large",
				     "the extensions of the chunks are longer than " LIMIT_TEXT(CHUNK_EXTENSIONS_MAX) " bytes\n"},
    [RULE_TRAILER_FORM] = {400, "trailer form", "a trailer field is not well-formed\n"},
    [RULE_TRAILER_LARGE] = {431, "trailer large", "the trailer fields are longer than " LIMIT_TEXT(CHUNK_TRAILER_MAX) " bytes\n"},
};

const char *http_rule_name(enum http_rule rule)
{
	return rules[rule].name;
}

int http_rule_status(enum http_rule rule)
{
	return rules[rule].status;
}

const char *http_rule_text(enum http_rule rule)
{
	return rules[rule].text;
}
