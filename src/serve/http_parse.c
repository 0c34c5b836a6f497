/* SPDX-License-Identifier: BSD-2-Clause */
#include "serve/http_parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#define EMPTY_LINES_MAX 4 /* before a request line; RFC 9112, 2.2 asks for one */

enum {
	TOKEN = 1,  /* RFC 9110, 5.6.2 */
	TARGET = 2, /* what may stand in a request target: printable, but no fragment */
	VALUE = 4,  /* of a field: printable, obs-text, space, tab */
	HOST = 8,   /* of a reg-name (RFC 3986, 3.2.2), but for the comma, which would join two of them */
};

#define LETTER (TOKEN | TARGET | VALUE | HOST)
#define L LETTER
#define T (TOKEN | TARGET | VALUE)
#define H (TARGET | VALUE | HOST)
#define P (TARGET | VALUE)
#define V VALUE

static const uint8_t class[256] = {
    ['\t'] = V, [' '] = V,  ['!'] = L,           ['"'] = P,         ['#'] = TOKEN | V, ['$'] = L, ['%'] = L,
    ['&'] = L,  ['\''] = L, ['('] = H,           [')'] = H,         ['*'] = L,         ['+'] = L, [','] = P,
    ['-'] = L,  ['.'] = L,  ['/'] = P,           ['0' ... '9'] = L, [':'] = P,         [';'] = H, ['<'] = P,
    ['='] = H,  ['>'] = P,  ['?'] = P,           ['@'] = P,         ['A' ... 'Z'] = L, ['['] = P, ['\\'] = P,
    [']'] = P,  ['^'] = T,  ['_'] = L,           ['`'] = T,         ['a' ... 'z'] = L, ['{'] = P, ['|'] = T,
    ['}'] = P,  ['~'] = L,  [0x80 ... 0xff] = V,
};

static const struct {
	const char *name;
	uint8_t length;
	uint8_t twice; /* enum http_rule: what a second line of it breaks; 0: nothing */
} known_fields[HTTP_FIELDS] = {
    [HTTP_HOST] = {"host", 4, RULE_HOST_TWICE},
    [HTTP_CONTENT_LENGTH] = {"content-length", 14, RULE_LENGTH_TWICE},
    [HTTP_TRANSFER_ENCODING] = {"transfer-encoding", 17, RULE_CODING_TWICE},
    [HTTP_CONNECTION] = {"connection", 10, RULE_NONE},
    [HTTP_EXPECT] = {"expect", 6, RULE_NONE},
    [HTTP_RANGE] = {"range", 5, RULE_FIELD_TWICE},
    [HTTP_IF_RANGE] = {"if-range", 8, RULE_FIELD_TWICE},
    [HTTP_IF_MATCH] = {"if-match", 8, RULE_NONE},
    [HTTP_IF_NONE_MATCH] = {"if-none-match", 13, RULE_NONE},
    [HTTP_TTL] = {"pst-ttl", 7, RULE_FIELD_TWICE},
    [HTTP_IDEMPOTENCY_KEY] = {"idempotency-key", 15, RULE_FIELD_TWICE},
    [HTTP_AUTHORIZATION] = {"authorization", 13, RULE_FIELD_TWICE},
};

static const struct {
	const char *name;
	uint8_t length;
	enum http_method method;
} known_methods[] = {
    {"GET", 3, HTTP_GET},     {"PUT", 3, HTTP_PUT},       {"POST", 4, HTTP_POST},
    {"HEAD", 4, HTTP_HEAD},   {"DELETE", 6, HTTP_DELETE}, {"OPTIONS", 7, HTTP_OPTIONS},
    {"PATCH", 5, HTTP_OTHER}, {"TRACE", 5, HTTP_OTHER},
};

static bool is(uint8_t c, unsigned wanted)
{
	return class[c] & wanted;
}

bool http_is_token(uint8_t c)
{
	return is(c, TOKEN);
}

bool http_is_value(uint8_t c)
{
	return is(c, VALUE);
}

/* `lower` is in small letters. Folds ASCII letters only; the few other characters that this maps onto each
 * other are no token characters or do not stand in our names. */
static bool equals_folded(const char *a, const char *lower, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		char c = a[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c + ('a' - 'A'));
		if (c != lower[i])
			return false;
	}
	return true;
}

/* What can be refused before a line is complete: something else than HTTP, and too much of it. `length`: of
 * what was looked at. */
static int check_beginning(const struct http_scan *s, const char *bytes, uint32_t length)
{
	uint8_t first = length > s->start ? (uint8_t)bytes[s->start] : '\r';

	if (!s->lines && !is(first, TOKEN) && first != '\r' && first != '\n')
		return -RULE_BEGINNING;
	if (!s->lines && length - s->start > HTTP_LINE_MAX)
		return -RULE_LINE_LARGE;
	return length - s->start > HTTP_HEAD_MAX ? -RULE_HEAD_LARGE : 0;
}

int http_scan(struct http_scan *s, const char *bytes, uint32_t length)
{
	const char *lf;

	while ((lf = memchr(bytes + s->at, '\n', length - s->at))) {
		uint32_t at = (uint32_t)(lf - bytes);
		int rc = check_beginning(s, bytes, at + 1);

		if (rc)
			return rc;
		if (at == s->line || bytes[at - 1] != '\r')
			return -RULE_BARE_LF;
		s->at = at + 1;
		bool is_empty = at - 1 == s->line;
		s->line = at + 1;
		if (is_empty && s->lines) {
			return (int)(at + 1);
		} else if (is_empty) {
			s->start = at + 1;
			if (++s->empty > EMPTY_LINES_MAX)
				return -RULE_EMPTY_LINES;
		} else if (++s->lines > HTTP_FIELD_MAX + 1) {
			return -RULE_FIELDS_MANY;
		}
	}
	s->at = length;
	return check_beginning(s, bytes, length);
}

static int parse_method(struct http_request *r, const char *name, uint32_t length)
{
	for (size_t i = 0; i < sizeof(known_methods) / sizeof(known_methods[0]); i++) {
		if (known_methods[i].length == length && !memcmp(known_methods[i].name, name, length)) {
			r->method = known_methods[i].method;
			return 0;
		}
	}
	return -RULE_METHOD_UNKNOWN;
}

/* IPv6address (RFC 3986, 3.2.2); what may come as IPvFuture is not known yet. */
static bool is_ipv6(const char *text, uint32_t length)
{
	char address[INET6_ADDRSTRLEN];
	struct in6_addr ignored;

	if (length >= sizeof(address) || memchr(text, 0, length))
		return false;
	memcpy(address, text, length);
	address[length] = 0;
	return inet_pton(AF_INET6, address, &ignored) == 1;
}

static bool is_reg_name(const char *text, uint32_t length)
{
	for (uint32_t i = 0; i < length; i++) {
		if (!is((uint8_t)text[i], HOST))
			return false;
		if (text[i] == '%' && (length - i < 3 || http_hex_digit((uint8_t)text[i + 1]) < 0 ||
				       http_hex_digit((uint8_t)text[i + 2]) < 0))
			return false;
	}
	return true;
}

/* uri-host [ ":" port ], and a port stands with a host only (RFC 9110, 7.2 and 4.2.1). */
static bool is_host(const char *text, uint32_t length)
{
	uint32_t host = length;

	while (host && text[host - 1] >= '0' && text[host - 1] <= '9')
		host--;
	if (!host || text[host - 1] != ':')
		host = length; /* digits that were no port */
	else if (!--host)
		return false;
	if (host && text[0] == '[')
		return text[host - 1] == ']' && is_ipv6(text + 1, host - 2);
	return is_reg_name(text, host);
}

/* absolute-form (RFC 9112, 3.2.2): take scheme and authority off. Returns the length of both or a rule. */
static int skip_authority(const char *target, uint32_t length)
{
	uint32_t scheme = 0, at;

	if (length > 7 && equals_folded(target, "http://", 7))
		scheme = 7;
	else if (length > 8 && equals_folded(target, "https://", 8))
		scheme = 8;
	else
		return -RULE_TARGET_FORM;
	for (at = scheme; at < length && target[at] != '/' && target[at] != '?';)
		at++;
	return at > scheme && is_host(target + scheme, at - scheme) ? (int)at : -RULE_TARGET_HOST;
}

static int parse_target(struct http_request *r, const char *target, uint32_t length)
{
	const char *query;

	if (target[0] == '*' && length == 1 && r->method == HTTP_OPTIONS) {
		r->path = (struct http_text){target, 1};
		return 0;
	}
	if (target[0] != '/') {
		int skipped = skip_authority(target, length);

		if (skipped < 0)
			return skipped;
		target += skipped;
		length -= (uint32_t)skipped;
	}
	query = length ? memchr(target, '?', length) : NULL;
	if (query) {
		r->query = (struct http_text){query + 1, length - 1 - (uint32_t)(query - target)};
		length = (uint32_t)(query - target);
	}
	r->path = length ? (struct http_text){target, length} : (struct http_text){"/", 1};
	return 0;
}

/* method SP target SP HTTP/1.x, one space each (RFC 9112, 3) */
static int parse_request_line(struct http_request *r, const char *line, uint32_t length)
{
	uint32_t method = 0, target, end;

	while (method < length && is((uint8_t)line[method], TOKEN))
		method++;
	if (!method || method == length || line[method] != ' ')
		return -RULE_METHOD_FORM;
	target = end = method + 1;
	while (end < length && is((uint8_t)line[end], TARGET))
		end++;
	if (end == target)
		return -RULE_TARGET_NONE;
	if (end == length)
		return -RULE_VERSION_NONE;
	if (line[end] != ' ')
		return -RULE_TARGET_BYTE;

	const char *version = line + end + 1;
	if (length - end - 1 != 8 || memcmp(version, "HTTP/", 5) || version[6] != '.' || version[5] < '0' ||
	    version[5] > '9' || version[7] < '0' || version[7] > '9')
		return -RULE_VERSION_FORM;
	if (version[5] != '1')
		return -RULE_VERSION_OTHER;
	r->http_1_0 = version[7] == '0';

	int rc = parse_method(r, line, method);
	return rc ? rc : parse_target(r, line + target, end - target);
}

/* 1*DIGIT and nothing else: no sign, no list, no space inside (RFC 9110, 8.6; RFC 9112, 6.3 item 5) */
static int parse_content_length(struct http_request *r)
{
	int rc = http_parse_decimal(r->fields[HTTP_CONTENT_LENGTH], &r->content_length);

	return rc == -ERANGE ? -RULE_BODY_LARGE : rc ? -RULE_LENGTH_FORM : 0;
}

static bool next_list_item(struct http_text *list, struct http_text *item)
{
	while (list->length && (*list->at == ',' || *list->at == ' ' || *list->at == '\t')) {
		list->at++;
		list->length--;
	}
	*item = (struct http_text){list->at, 0};
	while (list->length && *list->at != ',') {
		list->at++;
		list->length--;
		item->length++;
	}
	while (item->length && (item->at[item->length - 1] == ' ' || item->at[item->length - 1] == '\t'))
		item->length--;
	return item->length > 0;
}

/* close wins over keep-alive, whatever their order (RFC 9112, 9.3) */
static void parse_connection(struct http_text list, bool *close, bool *keep)
{
	struct http_text item;

	while (next_list_item(&list, &item)) {
		*close |= item.length == 5 && equals_folded(item.at, "close", 5);
		*keep |= item.length == 10 && equals_folded(item.at, "keep-alive", 10);
	}
}

static int find_field(const char *name, uint32_t length)
{
	for (int i = 0; i < HTTP_FIELDS; i++)
		if (known_fields[i].length == length && equals_folded(name, known_fields[i].name, length))
			return i;
	return -1;
}

struct connection_options {
	bool close, keep;
};

/* Of a line that does not begin with a name and a colon; `name`: bytes of the name. */
static int nameless(const char *line, uint32_t name, uint32_t length)
{
	bool space = name < length && (line[name] == ' ' || line[name] == '\t');

	if (!name)
		return space ? -RULE_FIELD_FOLDED : line[0] == ':' ? -RULE_FIELD_NAMELESS : -RULE_FIELD_NAME;
	if (!memchr(line + name, ':', length - name))
		return -RULE_FIELD_COLON;
	return space ? -RULE_FIELD_SPACE : -RULE_FIELD_NAME;
}

static int parse_field(struct http_request *r, const char *line, uint32_t length,
		       struct connection_options *options)
{
	uint32_t name = 0, value, end = length;

	while (name < length && is((uint8_t)line[name], TOKEN))
		name++;
	/* Also refuses obs-fold, which begins with a space, and a space before the colon. */
	if (!name || name == length || line[name] != ':')
		return nameless(line, name, length);
	for (uint32_t i = name + 1; i < length; i++)
		if (!is((uint8_t)line[i], VALUE))
			return line[i] == '\r' ? -RULE_FIELD_CR : -RULE_FIELD_CONTROL;
	value = name + 1;
	while (value < end && (line[value] == ' ' || line[value] == '\t'))
		value++;
	while (end > value && (line[end - 1] == ' ' || line[end - 1] == '\t'))
		end--;

	int field = find_field(line, name);
	struct http_text text = {line + value, end - value};
	if (field < 0)
		return 0;
	if (field == HTTP_CONNECTION)
		parse_connection(text, &options->close, &options->keep);
	if (r->fields[field].at && known_fields[field].twice)
		return -known_fields[field].twice;
	if (!r->fields[field].at)
		r->fields[field] = text;
	if (field == HTTP_IF_MATCH)
		return http_add_tags(&r->if_match, text, false);
	if (field == HTTP_IF_NONE_MATCH)
		return http_add_tags(&r->if_none_match, text, true);
	return 0;
}

/* Empty items of a list are no items (RFC 9110, 5.6.1.2). `chunked` once, and as the last coding, or the body
 * has no end (RFC 9112, 6.1 and 6.3 item 4). Other codings before it are well-formed and not known here. */
static int check_codings(struct http_text list)
{
	struct http_text item;
	bool chunked = false;
	int codings = 0;

	for (; next_list_item(&list, &item); codings++) {
		if (chunked)
			return -RULE_CODING_LAST;
		chunked = item.length == 7 && equals_folded(item.at, "chunked", 7);
	}
	return !chunked ? -RULE_CODING_LAST : codings > 1 ? -RULE_CODING_UNKNOWN : 0;
}

/* Where the body ends must be beyond doubt (RFC 9112, 6.1 and 6.3). */
static int check_framing(struct http_request *r)
{
	if (r->fields[HTTP_TRANSFER_ENCODING].at) {
		if (r->fields[HTTP_CONTENT_LENGTH].at)
			return -RULE_LENGTH_AND_CODING;
		if (r->http_1_0)
			return -RULE_CODING_1_0;
		r->chunked = true;
		return check_codings(r->fields[HTTP_TRANSFER_ENCODING]);
	}
	return r->fields[HTTP_CONTENT_LENGTH].at ? parse_content_length(r) : 0;
}

static int check_host(const struct http_request *r)
{
	struct http_text host = r->fields[HTTP_HOST];

	if (!host.at)
		return r->http_1_0 ? 0 : -RULE_HOST_NONE;
	return is_host(host.at, host.length) ? 0 : -RULE_HOST_FORM;
}

static int check_expect(struct http_request *r)
{
	struct http_text expect = r->fields[HTTP_EXPECT];

	if (!expect.at || r->http_1_0)
		return 0; /* RFC 9110, 10.1.1: to be ignored from HTTP/1.0 */
	if (expect.length != 12 || !equals_folded(expect.at, "100-continue", 12))
		return -RULE_EXPECT_OTHER;
	r->expect_continue = r->content_length > 0 || r->chunked;
	return 0;
}

int http_parse(struct http_request *r, const char *head, uint32_t length)
{
	const char *end = head + length, *line = head;
	struct connection_options options = {false, false};
	int rc;

	memset(r, 0, offsetof(struct http_request, if_match));
	r->if_match.present = r->if_match.any = r->if_none_match.present = r->if_none_match.any = false;
	r->if_match.n = r->if_none_match.n = 0;
	for (;;) {
		/* http_scan() has seen that each LF is there and has its CR. */
		const char *lf = memchr(line, '\n', (size_t)(end - line));
		uint32_t n = lf ? (uint32_t)(lf - line) : 0;

		if (!n || line[n - 1] != '\r')
			return -RULE_BARE_LF;
		n--;
		if (!n && line != head)
			break;
		rc = line == head ? parse_request_line(r, line, n) : parse_field(r, line, n, &options);
		if (rc)
			return rc;
		line = lf + 1;
	}
	if ((rc = check_host(r)) || (rc = check_framing(r)) || (rc = check_expect(r)))
		return rc;
	r->keep_alive = !options.close && (!r->http_1_0 || options.keep);
	return 0;
}

int http_hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int http_percent_decode(struct http_text text, uint8_t *out, uint32_t room)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < text.length; i++) {
		uint8_t c = (uint8_t)text.at[i];

		if (c == '%') {
			int high, low;

			if (text.length - i < 3 || (high = http_hex_digit((uint8_t)text.at[i + 1])) < 0 ||
			    (low = http_hex_digit((uint8_t)text.at[i + 2])) < 0)
				return -EINVAL;
			c = (uint8_t)(high << 4 | low);
			i += 2;
		}
		if (n == room)
			return -EMSGSIZE;
		out[n++] = c;
	}
	return (int)n;
}
