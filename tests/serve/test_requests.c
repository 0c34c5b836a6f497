/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes in, bytes out: each resource and method, refusals, pipelining, at every split of what arrives. */
#include "harness.h"

#include <errno.h>
#include <stdio.h>

#define H "Host: h\r\n"
#define OK "HTTP/1.1 200 OK\r\n" DATE
#define CREATED "HTTP/1.1 201 Created\r\n" DATE
#define NO_CONTENT "HTTP/1.1 204 No Content\r\n" DATE
#define OCTETS "Content-Type: application/octet-stream\r\n"
#define TEXT "Content-Type: text/plain\r\n"
#define CLOSE "Connection: close\r\n"
#define JSON "Content-Type: application/json\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"
#define BADJ "HTTP/1.1 400 Bad Request\r\n" DATE JSON
#define BAD "HTTP/1.1 400 Bad Request\r\n" DATE TEXT
#define A1 "{\"key\":\"a/1\",\"version\":\"1\",\"length\":1}"
#define A2 "{\"key\":\"a/2\",\"version\":\"3\",\"length\":3}"
#define NOWHERE                                                                                              \
	"HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 99\r\n\r\n"                                  \
	"there are /kv/KEY, /kv, /log/STREAM, /log/STREAM/SEQ, /log, /batch, /metrics, /healthz and /readyz\n"
#define OTHER_METHODS(allow)                                                                                 \
	"HTTP/1.1 405 Method Not Allowed\r\n" DATE TEXT "Content-Length: 41\r\nAllow: " allow "\r\n\r\n"      \
	"this has other methods: Allow names them\n"
#define PARTIAL "HTTP/1.1 206 Partial Content\r\n" DATE OCTETS
#define NOT_MODIFIED "HTTP/1.1 304 Not Modified\r\n" DATE
#define FAILED "HTTP/1.1 412 Precondition Failed\r\n" DATE TEXT "Content-Length: 28\r\n\r\n"
#define FAILED_TEXT "the condition does not hold\n"

static const struct {
	const char *what, *in, *out;
	bool closes;
} exchanges[] = {
    {"a new key", "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nxyz",
     CREATED "Content-Length: 0\r\nETag: \"1\"\r\n\r\n"},
    {"a key replaced, read, deleted, missed",
     "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nxyz"
     "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 4\r\n\r\nabcd"
     "GET /kv/a HTTP/1.1\r\n" H "\r\n"
     "DELETE /kv/a HTTP/1.1\r\n" H "\r\n"
     "GET /kv/a HTTP/1.1\r\n" H "\r\n"
     "DELETE /kv/a HTTP/1.1\r\n" H "\r\n",
     CREATED "Content-Length: 0\r\nETag: \"1\"\r\n\r\n" NO_CONTENT "ETag: \"2\"\r\n\r\n" OK OCTETS
	     "Content-Length: 4\r\nETag: \"2\"\r\n\r\nabcd" NO_CONTENT "\r\n"
	     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 12\r\n\r\nno such key\n"
	     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 12\r\n\r\nno such key\n"},
    {"an empty value, and one without Content-Length",
     "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n"
     "GET /kv/a HTTP/1.1\r\n" H "\r\n"
     "PUT /kv/a HTTP/1.1\r\n" H "\r\n",
     CREATED "Content-Length: 0\r\nETag: \"1\"\r\n\r\n" OK OCTETS
	     "Content-Length: 0\r\nETag: \"1\"\r\n\r\n" NO_CONTENT "ETag: \"2\"\r\n\r\n"},
    {"a name in escapes is the same name; slashes belong to a key",
     "PUT /kv/%61/b%2Fc HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx"
     "GET http://h/kv/a/b/c HTTP/1.1\r\n" H "\r\n",
     CREATED "Content-Length: 0\r\nETag: \"1\"\r\n\r\n" OK OCTETS
	     "Content-Length: 1\r\nETag: \"1\"\r\n\r\nx"},
    {"HEAD",
     "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nxyz"
     "HEAD /kv/a HTTP/1.1\r\n" H "\r\n"
     "HEAD /kv/b HTTP/1.1\r\n" H "\r\n",
     CREATED "Content-Length: 0\r\nETag: \"1\"\r\n\r\n" OK OCTETS "Content-Length: 3\r\nETag: \"1\"\r\n\r\n"
	     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 12\r\n\r\n"},
    {"a stream",
     "POST /log/s HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\none"
     "POST /log/s HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\ntwo"
     "GET /log/s/2 HTTP/1.1\r\n" H "\r\n"
     "GET /log/s/3 HTTP/1.1\r\n" H "\r\n",
     CREATED "Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{\"seq\":1}\n" CREATED
	     "Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{\"seq\":2}\n" OK OCTETS
	     "Content-Length: 3\r\nETag: \"2\"\r\n\r\ntwo"
	     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 14\r\n\r\nno such entry\n"},
    {"close is obeyed, what follows is not read",
     "GET /kv/a HTTP/1.1\r\n" H "Connection: close\r\n\r\nGET /kv/a HTTP/1.1\r\n" H "\r\n",
     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 12\r\n" CLOSE "\r\nno such key\n", true},
    {"close after a value",
     "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nxyz"
     "GET /kv/a HTTP/1.1\r\n" H "Connection: close\r\n\r\n",
     CREATED "Content-Length: 0\r\nETag: \"1\"\r\n\r\n" OK OCTETS "Content-Length: 3\r\nETag: \"1\"\r\n" CLOSE
	     "\r\nxyz",
     true},
    {"HTTP/1.0 closes", "PUT /kv/a HTTP/1.0\r\nContent-Length: 3\r\n\r\nxyz",
     CREATED "Content-Length: 0\r\nETag: \"1\"\r\n" CLOSE "\r\n", true},
    {"HTTP/1.0 keeps when asked",
     "PUT /kv/a HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nxyz"
     "GET /kv/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
     CREATED "Content-Length: 0\r\nETag: \"1\"\r\nConnection: keep-alive\r\n\r\n" OK OCTETS
	     "Content-Length: 3\r\nETag: \"1\"\r\nConnection: keep-alive\r\n\r\nxyz"},
    {"methods that a resource has not; the connection goes on, a body is passed over",
     "POST /kv/a HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nxyz"
     "PUT /log/a HTTP/1.1\r\n" H "\r\n"
     "TRACE /log/a/1 HTTP/1.1\r\n" H "\r\n"
     "DELETE /metrics HTTP/1.1\r\n" H "\r\n",
     OTHER_METHODS("GET, HEAD, PUT, DELETE, OPTIONS") OTHER_METHODS("GET, HEAD, POST, DELETE, OPTIONS")
	 OTHER_METHODS("GET, HEAD, OPTIONS") OTHER_METHODS("GET, HEAD, OPTIONS")},
    {"a body where none belongs is passed over",
     "GET /kv/a HTTP/1.1\r\n" H "Content-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n"
     "DELETE /kv/a HTTP/1.1\r\n" H "\r\n",
     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 12\r\n\r\nno such key\n"
     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 12\r\n\r\nno such key\n"},
    {"unknown places",
     "GET / HTTP/1.1\r\n" H "\r\n"
     "GET /kv/ HTTP/1.1\r\n" H "\r\n"
     "GET /log/s/0 HTTP/1.1\r\n" H "\r\n"
     "GET /log/s/01 HTTP/1.1\r\n" H "\r\n"
     "GET /log/s/1/ HTTP/1.1\r\n" H "\r\n"
     "GET /metricsx HTTP/1.1\r\n" H "\r\n",
     NOWHERE "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 26\r\n\r\na key has at least 1 byte\n"
	     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 45\r\n\r\n"
	     "an entry is named by a decimal number from 1\n"
	     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 45\r\n\r\n"
	     "an entry is named by a decimal number from 1\n"
	     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 45\r\n\r\n"
	     "an entry is named by a decimal number from 1\n" NOWHERE},
    {"a refusal of HEAD has no body",
     "HEAD /nope HTTP/1.1\r\n" H "\r\n"
     "HEAD /log/s/0x HTTP/1.1\r\n" H "\r\n"
     "GET /kv/a HTTP/1.1\r\n" H "\r\n",
     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 99\r\n\r\n"
     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 45\r\n\r\n"
     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 12\r\n\r\nno such key\n"},
    {"a bad escape and an unknown parameter are refused, the connection goes on",
     "GET /kv/%zz HTTP/1.1\r\n" H "\r\n"
     "GET /kv/a?x=1 HTTP/1.1\r\n" H "\r\n",
     "HTTP/1.1 400 Bad Request\r\n" DATE TEXT "Content-Length: 21\r\n\r\nbad percent-encoding\n"
     "HTTP/1.1 400 Bad Request\r\n" DATE TEXT
     "Content-Length: 36\r\n\r\na query parameter is not known here\n"},
    {"a page of nothing could not say what comes next",
     "GET /kv?limit=0 HTTP/1.1\r\n" H "\r\n"
     "GET /log?limit=0 HTTP/1.1\r\n" H "\r\n",
     BAD "Content-Length: 36\r\n\r\na page has at least 1 key or stream\n" BAD
	 "Content-Length: 36\r\n\r\na page has at least 1 key or stream\n"},
    {"an ill-formed request ends the connection",
     "GET /kv/a HTTP/1.1\r\n" H " folded\r\n\r\nGET /kv/a HTTP/1.1\r\n" H "\r\n",
     "HTTP/1.1 400 Bad Request\r\n" DATE TEXT "Content-Length: 41\r\n" CLOSE
     "\r\na header line begins with a space or tab\n",
     true},
    {"a transfer coding that is not known ends the connection",
     "PUT /kv/a HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
     "HTTP/1.1 501 Not Implemented\r\n" DATE TEXT "Content-Length: 46\r\n" CLOSE
     "\r\nno transfer coding but chunked is implemented\n",
     true},
    {"two lengths end the connection",
     "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "HTTP/1.1 400 Bad Request\r\n" DATE TEXT "Content-Length: 52\r\n" CLOSE
     "\r\nContent-Length and Transfer-Encoding are both given\n",
     true},
    {"a list of keys",
     "GET /kv HTTP/1.1\r\n" H "\r\n"
     "PUT /kv/a/1 HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx"
     "PUT /kv/b%22%FF HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nxx"
     "PUT /kv/a%2F2 HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nxxx"
     "GET /kv HTTP/1.1\r\n" H "\r\n"
     "GET /kv?prefix=a/&after=a/1&limit=7 HTTP/1.1\r\n" H "\r\n"
     "GET /kv?limit=2&prefix=%61 HTTP/1.1\r\n" H "\r\n"
     "GET /kv?limit=1 HTTP/1.1\r\n" H "\r\n"
     "HEAD /kv?prefix=c HTTP/1.1\r\n" H "\r\n",
     OK JSON
     "Content-Length: 24\r\n\r\n{\"keys\":[],\"next\":null}\n" CREATED
     "Content-Length: 0\r\nETag: \"1\"\r\n\r\n" CREATED "Content-Length: 0\r\nETag: \"2\"\r\n\r\n" CREATED
     "Content-Length: 0\r\nETag: \"3\"\r\n\r\n" OK JSON "Content-Length: 148\r\n\r\n{\"keys\":[\n" A1 ",\n" A2
     ",\n{\"key\":\"b%22%FF\",\"version\":\"2\",\"length\":2}\n],\"next\":null}\n" OK JSON
     "Content-Length: 64\r\n\r\n{\"keys\":[\n" A2 "\n],\"next\":null}\n" OK JSON
     "Content-Length: 105\r\n\r\n{\"keys\":[\n" A1 ",\n" A2 "\n],\"next\":\"a/2\"}\n" OK JSON
     "Content-Length: 65\r\n\r\n{\"keys\":[\n" A1 "\n],\"next\":\"a/1\"}\n" OK JSON
     "Content-Length: 24\r\n\r\n"},
    {"a list of streams",
     "POST /log/s%2F1 HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx"
     "GET /log?prefix=s HTTP/1.1\r\n" H "\r\n"
     "GET /log?after=s HTTP/1.1\r\n" H "\r\n"
     "GET /log?after=t HTTP/1.1\r\n" H "\r\n",
     CREATED JSON
     "Content-Length: 10\r\n\r\n{\"seq\":1}\n" OK JSON
     "Content-Length: 66\r\n\r\n{\"streams\":[\n{\"stream\":\"s%2F1\",\"first\":1,\"next\":2}\n],"
     "\"next\":null}\n" OK JSON
     "Content-Length: 66\r\n\r\n{\"streams\":[\n{\"stream\":\"s%2F1\",\"first\":1,\"next\":2}\n],"
     "\"next\":null}\n" OK JSON "Content-Length: 27\r\n\r\n{\"streams\":[],\"next\":null}\n"},
    {"parameters that are not understood",
     "GET /kv?limit=x HTTP/1.1\r\n" H "\r\n"
     "GET /kv?limit=1&limit=1 HTTP/1.1\r\n" H "\r\n"
     "GET /kv?prefix HTTP/1.1\r\n" H "\r\n"
     "GET /kv?prefix=a& HTTP/1.1\r\n" H "\r\n"
     "GET /kv?prefix=%2 HTTP/1.1\r\n" H "\r\n"
     "GET /kv?from=1 HTTP/1.1\r\n" H "\r\n"
     "DELETE /kv HTTP/1.1\r\n" H "\r\n"
     "DELETE /kv?limit=1 HTTP/1.1\r\n" H "\r\n"
     "DELETE /log/s HTTP/1.1\r\n" H "\r\n"
     "GET /log/s?follow=3601 HTTP/1.1\r\n" H "\r\n"
     "GET /log/s?follow=18446744073709551615 HTTP/1.1\r\n" H "\r\n",
     BAD "Content-Length: 39\r\n\r\na query parameter is no decimal number\n" BAD
	 "Content-Length: 39\r\n\r\na query parameter has no value, or two\n" BAD
	 "Content-Length: 39\r\n\r\na query parameter has no value, or two\n" BAD
	 "Content-Length: 36\r\n\r\na query parameter is not known here\n" BAD
	 "Content-Length: 65\r\n\r\nprefix and after are percent-encoded and have at most 1024 bytes\n" BAD
	 "Content-Length: 36\r\n\r\na query parameter is not known here\n" BAD
	 "Content-Length: 45\r\n\r\nsay which keys: prefix=P (an empty one: all)\n" BAD
	 "Content-Length: 36\r\n\r\na query parameter is not known here\n" BAD
	 "Content-Length: 30\r\n\r\nsay which entries: before=SEQ\n" BAD
	 "Content-Length: 32\r\n\r\nfollow has at most 3600 seconds\n" BAD
	 "Content-Length: 32\r\n\r\nfollow has at most 3600 seconds\n"},
    {"keys deleted by prefix, and what comes behind it",
     "PUT /kv/a1 HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx"
     "PUT /kv/a2 HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx"
     "PUT /kv/b HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx"
     "DELETE /kv?prefix=a HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx"
     "DELETE /kv?prefix=a HTTP/1.1\r\n" H "\r\n"
     "GET /kv/a2 HTTP/1.1\r\n" H "\r\n"
     "DELETE /kv?prefix= HTTP/1.1\r\n" H "Connection: close\r\n\r\n",
     CREATED "Content-Length: 0\r\nETag: \"1\"\r\n\r\n" CREATED
	     "Content-Length: 0\r\nETag: \"2\"\r\n\r\n" CREATED "Content-Length: 0\r\nETag: \"3\"\r\n\r\n" BAD
	     "Content-Length: 27\r\n\r\nthis request takes no body\n" OK JSON
	     "Content-Length: 14\r\n\r\n{\"deleted\":2}\n"
	     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 12\r\n\r\nno such key\n" OK JSON
	     "Content-Length: 14\r\n" CLOSE "\r\n{\"deleted\":1}\n",
     true},
    {"entries of a stream",
     "GET /log/s HTTP/1.1\r\n" H "\r\n"
     "POST /log/s HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\none"
     "POST /log/s?expect=2 HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n"
     "POST /log/s?expect=2 HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nthree"
     "POST /log/s HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nthree"
     "GET /log/s HTTP/1.1\r\n" H "\r\n"
     "GET /log/s?from=2&limit=1 HTTP/1.1\r\n" H "\r\n"
     "GET /log/s?from=4 HTTP/1.1\r\n" H "\r\n"
     "HEAD /log/s?from=3 HTTP/1.1\r\n" H "\r\n"
     "DELETE /log/s?before=3 HTTP/1.1\r\n" H "\r\n"
     "GET /log/s HTTP/1.1\r\n" H "\r\n"
     "DELETE /log/t?before=3 HTTP/1.1\r\n" H "\r\n"
     "GET /log/s HTTP/1.0\r\n\r\n",
     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 15\r\n\r\nno such stream\n" CREATED JSON
     "Content-Length: 10\r\n\r\n{\"seq\":1}\n" CREATED JSON "Content-Length: 10\r\n\r\n{\"seq\":2}\n"
     "HTTP/1.1 412 Precondition Failed\r\n" DATE TEXT
     "Content-Length: 34\r\nPST-Next: 3\r\n\r\nthe next entry has another number\n" CREATED JSON
     "Content-Length: 10\r\n\r\n{\"seq\":3}\n" OK OCTETS CHUNKED "PST-First: 1\r\nPST-Next: 4\r\n\r\n"
     "14\r\n1 3\none2 0\n3 5\nthree\r\n0\r\n\r\n" OK OCTETS CHUNKED "PST-First: 1\r\nPST-Next: 4\r\n\r\n"
     "4\r\n2 0\n\r\n0\r\n\r\n" OK OCTETS CHUNKED "PST-First: 1\r\nPST-Next: 4\r\n\r\n"
     "0\r\n\r\n" OK OCTETS CHUNKED "PST-First: 1\r\nPST-Next: 4\r\n\r\n" NO_CONTENT "\r\n" OK OCTETS CHUNKED
     "PST-First: 3\r\nPST-Next: 4\r\n\r\n9\r\n3 5\nthree\r\n0\r\n\r\n"
     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 15\r\n\r\nno such stream\n" OK OCTETS
     "PST-First: 3\r\nPST-Next: 4\r\n" CLOSE "\r\n3 5\nthree",
     true},
    {"several changes at once, all or none",
     "POST /batch HTTP/1.1\r\n" H "Content-Length: 36\r\n\r\nput a 3\nx\ny\ndelete b%20\nappend s 0\n\n"
     "GET /kv/a HTTP/1.1\r\n" H "\r\n"
     "POST /batch HTTP/1.1\r\n" H
     "Content-Length: 58\r\n\r\nput a 1 if-none-match=*\nz\nput c 1\nz\nappend s 1 expect=1\nz\n"
     "GET /kv/c HTTP/1.1\r\n" H "\r\n"
     "POST /batch HTTP/1.1\r\n" H "Content-Length: 21\r\n\r\ndelete a\nput a 4\nxyz\n"
     "POST /batch HTTP/1.1\r\n" H "Content-Length: 16\r\n\r\nput a 1 ttl=0\nx\n"
     "POST /batch HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n"
     "POST /batch HTTP/1.1\r\n" H "Content-Length: 7\r\n\r\nput a 1"
     "POST /batch HTTP/1.1\r\n" H "Content-Length: 27\r\n\r\nput a 1 if-match=1 ttl=5\nq\n"
     "GET /kv/a HTTP/1.1\r\n" H "\r\n",
     OK JSON "Content-Length: "
	     "78\r\n\r\n{\"results\":[\n{\"existed\":false,\"version\":\"1\"},\n{\"existed\":false},\n{"
	     "\"seq\":1}\n]}\n" OK OCTETS "Content-Length: 3\r\nETag: \"1\"\r\n\r\nx\ny"
	     "HTTP/1.1 412 Precondition Failed\r\n" DATE JSON "Content-Length: "
	     "65\r\n\r\n{\"failed\":[\n{\"change\":0,\"version\":\"1\"},\n{\"change\":2,\"next\":2}\n]}\n"
	     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 12\r\n\r\nno such key\n" BADJ
	     "Content-Length: 103\r\n\r\n{\"change\":1,\"error\":\"a value of the batch has not the length "
	     "that it says, or no line feed behind it\"}\n" BADJ
	     "Content-Length: 111\r\n\r\n{\"change\":0,\"error\":\"a line of the batch is not understood: "
	     "put KEY LENGTH, delete KEY, append STREAM LENGTH\"}\n" BADJ
	     "Content-Length: 42\r\n\r\n{\"change\":0,\"error\":\"the batch is empty\"}\n" BADJ
	     "Content-Length: 54\r\n\r\n{\"change\":0,\"error\":\"a line of the batch has no end\"}\n" OK JSON
	     "Content-Length: 47\r\n\r\n{\"results\":[\n{\"existed\":true,\"version\":\"3\"}\n]}\n" OK OCTETS
	     "Content-Length: 1\r\nPST-TTL: 5\r\nETag: \"3\"\r\n\r\nq"},
    {"keys that expire, and requests with a key of their own",
     "PUT /kv/a HTTP/1.1\r\n" H "PST-TTL: 60\r\nContent-Length: 1\r\n\r\nx"
     "HEAD /kv/a HTTP/1.1\r\n" H "\r\n"
     "PUT /kv/a HTTP/1.1\r\n" H "PST-TTL: 0\r\nContent-Length: 1\r\n\r\nx"
     "GET /kv/a HTTP/1.1\r\n" H "PST-TTL: 60\r\n\r\n"
     "PUT /kv/a HTTP/1.1\r\n" H "Idempotency-Key: k\r\nContent-Length: 1\r\n\r\ny"
     "PUT /kv/a HTTP/1.1\r\n" H "Idempotency-Key: l\r\nIf-Match: \"1\"\r\nContent-Length: 1\r\n\r\ny"
     "PUT /kv/a HTTP/1.1\r\n" H "Idempotency-Key: l\r\nIf-Match: \"1\", \"2\"\r\nContent-Length: 1\r\n\r\ny"
     "GET /kv/a HTTP/1.1\r\n" H "Idempotency-Key: l\r\n\r\n"
     "DELETE /kv/a HTTP/1.1\r\n" H "Idempotency-Key: m\r\nIf-Match: \"2\"\r\n\r\n"
     "DELETE /kv/a HTTP/1.1\r\n" H "Idempotency-Key: n\r\nIf-Match: \"2\"\r\n\r\n"
     "POST /log/s HTTP/1.1\r\n" H "Idempotency-Key: o\r\nContent-Length: 1\r\n\r\ny",
     CREATED
     "Content-Length: 0\r\nETag: \"1\"\r\n\r\n" OK OCTETS
     "Content-Length: 1\r\nPST-TTL: 60\r\nETag: \"1\"\r\n\r\n" BAD
     "Content-Length: 86\r\n\r\nPST-TTL is a number of seconds, from 1 to 4000000000, and belongs to the PUT of a key\n" BAD
     "Content-Length: 86\r\n\r\nPST-TTL is a number of seconds, from 1 to 4000000000, and belongs to the PUT of a "
     "key\n" NO_CONTENT "ETag: \"2\"\r\n\r\n" FAILED FAILED_TEXT BAD
     "Content-Length: 66\r\n\r\nwith an Idempotency-Key there can be one condition on one version\n" BAD
     "Content-Length: 84\r\n\r\nan Idempotency-Key has 1 to 255 bytes and belongs to PUT, POST, and DELETE "
     "of a key\n" NO_CONTENT "\r\n"
     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 12\r\n\r\nno such key\n" CREATED JSON
     "Content-Length: 10\r\n\r\n{\"seq\":1}\n"},
    {"what OPTIONS tells",
     "OPTIONS * HTTP/1.1\r\n" H "\r\n"
     "OPTIONS /kv/a HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\n{}"
     "OPTIONS /log/a HTTP/1.1\r\n" H "\r\n",
     NO_CONTENT "Allow: GET, HEAD, PUT, POST, DELETE, OPTIONS\r\n\r\n" NO_CONTENT
		"Allow: GET, HEAD, PUT, DELETE, OPTIONS\r\n\r\n" NO_CONTENT
		"Allow: GET, HEAD, POST, DELETE, OPTIONS\r\n\r\n"},
    {"chunked bodies",
     "PUT /kv/a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
     "3;x=y\r\nxyz\r\n5\r\n\r\n0\r\n\r\n0\r\nTrailer: t\r\n\r\n"
     "GET /kv/a HTTP/1.1\r\n" H "\r\n"
     "POST /log/s HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
     "GET /log/s/1 HTTP/1.1\r\n" H "\r\n",
     CREATED "Content-Length: 0\r\nETag: \"1\"\r\n\r\n" OK OCTETS
	     "Content-Length: 8\r\nETag: \"1\"\r\n\r\nxyz\r\n0\r\n" CREATED
	     "Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{\"seq\":1}\n" OK OCTETS
	     "Content-Length: 0\r\nETag: \"1\"\r\n\r\n"},
    {"a chunked body where none belongs, or that is refused, is passed over",
     "GET /kv/a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n12\r\nGET / HTTP/1.1\r\n\r\n\r\n0\r\n\r\n"
     "POST /kv/a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
     "DELETE /kv/a HTTP/1.1\r\n" H "\r\n",
     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 12\r\n\r\nno such key\n"
     OTHER_METHODS("GET, HEAD, PUT, DELETE, OPTIONS")
     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 12\r\n\r\nno such key\n"},
    {"chunks that are not well-formed end the connection, and nothing is stored",
     "PUT /kv/a HTTP/1.1\r\n" H
     "Transfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n0\r\n\nGET /kv/a HTTP/1.1\r\n\r\n",
     "HTTP/1.1 400 Bad Request\r\n" DATE TEXT "Content-Length: 47\r\n" CLOSE
     "\r\na line of the chunked body ends with a bare LF\n",
     true},
    {"bad chunks behind an answered request end the connection",
     "GET /kv/a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n"
     "GET /kv/a HTTP/1.1\r\n" H "\r\n",
     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 12\r\n\r\nno such key\n", true},
    {"a chunk that is too large is refused before it comes",
     "PUT /kv/a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1869e\r\nabc",
     "HTTP/1.1 413 Content Too Large\r\n" DATE TEXT "Content-Length: 45\r\n" CLOSE
     "\r\nthe body is larger than this service accepts\n",
     true},
    {"ranges",
     "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 10\r\n\r\n0123456789"
     "GET /kv/a HTTP/1.1\r\n" H "Range: bytes=2-4\r\n\r\n"
     "GET /kv/a HTTP/1.1\r\n" H "Range: bytes=-3\r\n\r\n"
     "GET /kv/a HTTP/1.1\r\n" H "Range: bytes=9-\r\n\r\n"
     "GET /kv/a HTTP/1.1\r\n" H "Range: bytes=10-\r\n\r\n"
     "GET /kv/a HTTP/1.1\r\n" H "Range: bytes=0-1,3-4\r\n\r\n"
     "HEAD /kv/a HTTP/1.1\r\n" H "Range: bytes=2-4\r\n\r\n",
     CREATED
     "Content-Length: 0\r\nETag: \"1\"\r\n\r\n" PARTIAL
     "Content-Length: 3\r\nContent-Range: bytes 2-4/10\r\nETag: \"1\"\r\n\r\n234" PARTIAL
     "Content-Length: 3\r\nContent-Range: bytes 7-9/10\r\nETag: \"1\"\r\n\r\n789" PARTIAL
     "Content-Length: 1\r\nContent-Range: bytes 9-9/10\r\nETag: \"1\"\r\n\r\n9"
     "HTTP/1.1 416 Range Not Satisfiable\r\n" DATE TEXT
     "Content-Length: 31\r\nContent-Range: bytes */10\r\n\r\nno byte of this range is there\n" OK OCTETS
     "Content-Length: 10\r\nETag: \"1\"\r\n\r\n0123456789" OK OCTETS
     "Content-Length: 10\r\nETag: \"1\"\r\n\r\n"},
    {"a range if the value is still the same",
     "POST /log/s HTTP/1.1\r\n" H "Content-Length: 10\r\n\r\n0123456789"
     "GET /log/s/1 HTTP/1.1\r\n" H "Range: bytes=2-4\r\nIf-Range: \"1\"\r\n\r\n"
     "GET /log/s/1 HTTP/1.1\r\n" H "Range: bytes=2-4\r\nIf-Range: \"2\"\r\n\r\n"
     "GET /log/s/1 HTTP/1.1\r\n" H "Range: bytes=2-4\r\nIf-Range: W/\"1\"\r\n\r\n",
     CREATED "Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{\"seq\":1}\n" PARTIAL
	     "Content-Length: 3\r\nContent-Range: bytes 2-4/10\r\nETag: \"1\"\r\n\r\n234" OK OCTETS
	     "Content-Length: 10\r\nETag: \"1\"\r\n\r\n0123456789" OK OCTETS
	     "Content-Length: 10\r\nETag: \"1\"\r\n\r\n0123456789"},
    {"a client's copy that is still right",
     "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx"
     "GET /kv/a HTTP/1.1\r\n" H "If-None-Match: \"7\", W/\"1\"\r\n\r\n"
     "HEAD /kv/a HTTP/1.1\r\n" H "If-None-Match: *\r\n\r\n"
     "GET /kv/a HTTP/1.1\r\n" H "If-None-Match: \"2\"\r\n\r\n"
     "GET /kv/b HTTP/1.1\r\n" H "If-None-Match: *\r\nIf-Match: *\r\n\r\n"
     "GET /kv/a HTTP/1.1\r\n" H "If-Match: \"1\"\r\n\r\n"
     "GET /kv/a HTTP/1.1\r\n" H "If-Match: W/\"1\"\r\nRange: bytes=0-0\r\n\r\n"
     "HEAD /kv/a HTTP/1.1\r\n" H "If-Match: \"2\"\r\n\r\n",
     CREATED "Content-Length: 0\r\nETag: \"1\"\r\n\r\n" NOT_MODIFIED "ETag: \"1\"\r\n\r\n" NOT_MODIFIED
	     "ETag: \"1\"\r\n\r\n" OK OCTETS "Content-Length: 1\r\nETag: \"1\"\r\n\r\nx"
	     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 12\r\n\r\nno such key\n" OK OCTETS
	     "Content-Length: 1\r\nETag: \"1\"\r\n\r\nx" FAILED FAILED_TEXT FAILED},
    {"changes on a condition",
     "PUT /kv/a HTTP/1.1\r\n" H "If-Match: *\r\nContent-Length: 1\r\n\r\nx"
     "PUT /kv/a HTTP/1.1\r\n" H "If-None-Match: *\r\nContent-Length: 1\r\n\r\nx"
     "PUT /kv/a HTTP/1.1\r\n" H "If-None-Match: *\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
     "PUT /kv/a HTTP/1.1\r\n" H "If-Match: \"1\"\r\nContent-Length: 1\r\n\r\ny"
     "PUT /kv/a HTTP/1.1\r\n" H "If-Match: \"1\"\r\nContent-Length: 1\r\n\r\nz"
     "DELETE /kv/a HTTP/1.1\r\n" H "If-Match: \"1\"\r\n\r\n"
     "DELETE /kv/a HTTP/1.1\r\n" H "If-None-Match: \"2\"\r\n\r\n"
     "DELETE /kv/a HTTP/1.1\r\n" H "If-Match: \"7\", \"2\"\r\n\r\n"
     "DELETE /kv/a HTTP/1.1\r\n" H "If-Match: \"2\"\r\n\r\n",
     FAILED FAILED_TEXT CREATED
     "Content-Length: 0\r\nETag: \"1\"\r\n\r\n" FAILED FAILED_TEXT NO_CONTENT
     "ETag: \"2\"\r\n\r\n" FAILED FAILED_TEXT FAILED FAILED_TEXT FAILED FAILED_TEXT NO_CONTENT "\r\n"
     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 12\r\n\r\nno such key\n"},
    {"a body too long to be passed over ends the connection",
     "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 100001\r\n\r\nxxxxxxxxxxxxxxxxxxxxxx",
     "HTTP/1.1 413 Content Too Large\r\n" DATE TEXT "Content-Length: 45\r\n" CLOSE
     "\r\nthe body is larger than this service accepts\n",
     true},
    {"the body is asked for", "PUT /kv/a HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n",
     "HTTP/1.1 100 Continue\r\n\r\n"},
    {"the body is not asked for when it will be refused",
     "PUT /kv/ HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n",
     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 26\r\n" CLOSE "\r\na key has at least 1 byte\n",
     true},
};

static void expect_exchange(size_t i, uint32_t piece, uint32_t inline_max, uint32_t offset)
{
	struct harness h = harness_begin();

	fake_stack_set_piece(h.stack, piece);
	fake_stack_set_offset(h.stack, offset);
	fake_store_set_inline(h.store, inline_max);
	struct fake_conn *c = harness_client(&h, exchanges[i].in);
	harness_run(&h);
	const char *got = fake_client_got(c, NULL);
	size_t same = 0;
	while (got[same] && got[same] == exchanges[i].out[same])
		same++;
	if (strcmp(got, exchanges[i].out))
		print_error("differs from here on: %.200s\n--- instead of %.200s\n", got + same,
			    exchanges[i].out + same);
	if (strcmp(got, exchanges[i].out))
		fail_msg("%s, in pieces of %u:\n%s--- instead of\n%s---", exchanges[i].what, piece, got,
			 exchanges[i].out);
	assert_int_equal(fake_client_is_closed(c), exchanges[i].closes);
	assert_false(fake_client_is_reset(c));
	harness_end(&h);
}

static void each_request_gets_its_reply(void **state)
{
	for (size_t i = 0; i < sizeof(exchanges) / sizeof(exchanges[0]); i++)
		expect_exchange(i, 0, 64, 0);
}

static void however_it_arrives(void **state)
{
	for (size_t i = 0; i < sizeof(exchanges) / sizeof(exchanges[0]); i++)
		for (uint32_t piece = 1; piece <= strlen(exchanges[i].in); piece++)
			if (!strstr(exchanges[i].in, "Expect"))
				expect_exchange(i, piece, piece % 2 ? 64 : 0, piece % 5);
}

/* The first of two parts has any length, and both may hold parts of several requests. */
static void split_in_two_anywhere(void **state)
{
	for (size_t i = 0; i < sizeof(exchanges) / sizeof(exchanges[0]); i++) {
		size_t length = strlen(exchanges[i].in);

		for (size_t cut = 1; cut < length; cut++) {
			struct harness h = harness_begin();
			struct fake_conn *c = fake_connect(h.stack);

			fake_client_sends(c, exchanges[i].in, cut);
			harness_run(&h);
			if (!fake_client_is_closed(c)) {
				fake_client_sends(c, exchanges[i].in + cut, length - cut);
				harness_run(&h);
			}
			expect_got(c, exchanges[i].out);
			harness_end(&h);
		}
	}
}

static char *big_request(const char *head, size_t body, uint8_t seed)
{
	char *request = malloc(strlen(head) + 100 + body);
	size_t n = (size_t)sprintf(request, "%s" H "Content-Length: %zu\r\n\r\n", head, body);

	for (size_t i = 0; i < body; i++)
		request[n + i] = (char)('a' + (i * 7 + i / 1000 + seed) % 26);
	request[n + body] = 0;
	return request;
}

static void large_bodies_come_back_whole(void **state)
{
	static const size_t sizes[] = {1,    63,   64,    65,    1900,  2047,  2048,
				       2049, 4096, 65535, 65536, 65537, 100000};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct harness h = harness_begin();
		char *request = big_request("PUT /kv/big HTTP/1.1\r\n", sizes[i], (uint8_t)i), expected[300];
		const char *body = strstr(request, "\r\n\r\n") + 4;

		struct fake_conn *c = harness_client(&h, request);
		fake_client_says(c, "GET /kv/big HTTP/1.1\r\n" H "\r\n");
		harness_run(&h);
		sprintf(expected,
			CREATED "Content-Length: 0\r\nETag: \"1\"\r\n\r\n" OK OCTETS
				"Content-Length: %zu\r\nETag: \"1\"\r\n\r\n",
			sizes[i]);
		const char *got = fake_client_got(c, NULL);
		assert_memory_equal(got, expected, strlen(expected));
		assert_string_equal(got + strlen(expected), body);
		free(request);
		harness_end(&h);
	}
}

/* Every range of values in slices of every shape: what is sent is the range, and no buffer is lost. */
static void ranges_of_large_values(void **state)
{
	static const uint32_t pieces[] = {0, 700, 1999};

	for (size_t i = 0; i < 3; i++) {
		struct harness h = harness_begin();
		char *request = big_request("PUT /kv/big HTTP/1.1\r\n", 9000, 3), ask[200];
		const char *body = strstr(request, "\r\n\r\n") + 4;

		fake_stack_set_piece(h.stack, pieces[i]);
		harness_ask(&h, request);
		struct fake_conn *c = fake_connect(h.stack);
		for (uint32_t first = 0; first < 9000; first += 173) {
			for (uint32_t last = first; last < 9100; last += 1 + last / 3) {
				uint32_t end = last < 9000 ? last + 1 : 9000;

				sprintf(ask, "GET /kv/big HTTP/1.1\r\n" H "Range: bytes=%u-%u\r\n\r\n", first,
					last);
				fake_client_says(c, ask);
				harness_run(&h);
				const char *got = fake_client_got(c, NULL), *at = strstr(got, "\r\n\r\n") + 4;
				assert_memory_equal(got + 9, "206", 3);
				assert_int_equal(strlen(at), end - first);
				assert_memory_equal(at, body + first, end - first);
				fake_client_forgets(c);
			}
		}
		free(request);
		harness_end(&h);
	}
}

/* Chunks of all sizes, in pieces of all sizes. */
static void chunked_bodies_come_back_whole(void **state)
{
	static const uint32_t chunks[] = {1, 2, 100, 2047, 2048, 2049, 30000}, pieces[] = {1, 7, 2000, 0};

	for (size_t i = 0; i < 7 * 4; i++) {
		struct harness h = harness_begin_sized(8192, 2048, 100000);
		uint32_t chunk = chunks[i % 7], piece = pieces[i / 7];
		uint32_t length =
		    chunk == 1 || (piece && piece < 100) ? 700 : 70000; /* a slice holds a buffer */
		char *request = malloc(20 * length), *body = malloc(length + 1);
		size_t n =
		    (size_t)sprintf(request, "PUT /kv/a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n");

		for (uint32_t at = 0; at < length; at++)
			body[at] = (char)('a' + (at * 7 + at / 1000) % 26);
		body[length] = 0;
		for (uint32_t at = 0; at < length; at += chunk) {
			uint32_t size = chunk < length - at ? chunk : length - at;

			n += (size_t)sprintf(request + n, "%x\r\n%.*s\r\n", size, (int)size, body + at);
		}
		sprintf(request + n, "0\r\n\r\nGET /kv/a HTTP/1.1\r\n" H "\r\n");
		fake_stack_set_piece(h.stack, piece);
		const char *got = harness_ask(&h, request);
		assert_memory_equal(got + 9, "201", 3);
		got = strstr(got, "\r\n\r\n") + 4;
		assert_memory_equal(got + 9, "200", 3);
		assert_string_equal(strstr(got, "\r\n\r\n") + 4, body);
		free(request);
		free(body);
		harness_end(&h);
	}
}

static void names_have_1_to_1024_bytes(void **state)
{
	struct harness h = harness_begin();
	char request[4000];

	for (int length = 1023; length <= 1025; length++) {
		int n = sprintf(request, "PUT /kv/");
		for (int i = 0; i < length; i++)
			n += sprintf(request + n, "%%%02x", i & 255);
		sprintf(request + n, " HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx");
		const char *got = harness_ask(&h, request);
		assert_int_equal(atoi(got + 9), length <= 1024 ? 201 : 400);
	}
	harness_end(&h);
}

static void a_store_that_refuses_is_answered(void **state)
{
	static const struct {
		int error;
		const char *status, *connection;
	} cases[] = {
	    {-ENOSPC, "507", NULL},
	    {-EBADMSG, "500", NULL},
	    {-EFBIG, "413", NULL},
	    {-ENOMEM, "503", NULL},
	    {-EIO, "503", "Connection: close"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct harness h = harness_begin();

		fake_store_refuse_changes(h.store, cases[i].error);
		fake_store_refuse_reads(h.store, cases[i].error);
		static const char *const requests[] = {
		    "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx",
		    "POST /log/a HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx",
		    "DELETE /kv/a HTTP/1.1\r\n" H "\r\n",
		    "GET /kv/a HTTP/1.1\r\n" H "\r\n",
		    "GET /log/a/1 HTTP/1.1\r\n" H "\r\n",
		};
		for (size_t r = 0; r < 5; r++) {
			const char *got = harness_ask(&h, requests[r]);

			assert_memory_equal(got + 9, cases[i].status, 3);
			assert_true(!cases[i].connection == !strstr(got, "Connection: close"));
		}
		harness_end(&h);
	}
}

static void a_refused_body_is_passed_over(void **state)
{
	struct harness h = harness_begin();
	char *request = big_request("PUT /kv/big HTTP/1.1\r\n", 50000, 1);

	fake_store_refuse_bodies(h.store, -ENOBUFS);
	struct fake_conn *c = harness_client(&h, request);
	fake_client_says(c, "GET /kv/big HTTP/1.1\r\n" H "\r\n");
	harness_run(&h);
	const char *got = fake_client_got(c, NULL);
	assert_memory_equal(got, "HTTP/1.1 503 ", 13);
	assert_non_null(strstr(got, "Retry-After: 1\r\n"));
	assert_non_null(strstr(got, "HTTP/1.1 404 "));
	assert_false(fake_client_is_closed(c));
	free(request);
	harness_end(&h);
}

static void metrics_are_well_formed(void **state)
{
	struct harness h = harness_begin();
	const char *got = harness_ask(&h, "GET /metrics HTTP/1.1\r\n" H "\r\n");
	const char *body = strstr(got, "\r\n\r\n") + 4, *line = body, *end;
	size_t length = strtoul(strstr(got, "Content-Length: ") + 16, NULL, 10);

	assert_int_equal(strlen(body), length);
	for (; *line; line = end + 1) {
		char name[100];
		double value;

		end = strchr(line, '\n');
		assert_non_null(end);
		if (*line == '#')
			continue;
		const char *space = end;
		while (*space != ' ')
			space--;
		assert_int_equal(sscanf(line, "%99[a-z_]", name), 1);
		assert_int_equal(sscanf(space, "%lf", &value), 1);
		/* Each has its type before it. */
		char type[130];
		sprintf(type, "# TYPE %s ", name);
		if (strstr(name, "_request_seconds_"))
			strcpy(type, "# TYPE paste_http_request_seconds histogram\n");
		assert_non_null(strstr(body, type));
	}
	assert_non_null(strstr(body, "paste_http_requests_total 1\n"));
	assert_non_null(strstr(body, "paste_copied_bytes_total{cause=\"coalesce\"} 0\n"));
	assert_non_null(strstr(body, "name=\"fa\\\"ke\""));
	harness_end(&h);
}

static void clients_that_leave_leave_nothing_behind(void **state)
{
	static const char *const requests[] = {
	    "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 5000\r\n\r\nxyz",
	    "PUT /kv/a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nxyz\r\n0\r\nX: y\r\n\r",
	};
	const char *request = requests[0];

	for (size_t cut = 1; request; cut++) {
		struct harness h = harness_begin();
		struct fake_conn *ends = fake_connect(h.stack), *resets = fake_connect(h.stack);

		fake_client_sends(ends, request, cut);
		fake_client_ends(ends);
		fake_client_sends(resets, request, cut);
		harness_run(&h);
		fake_client_resets(resets);
		harness_run(&h);
		expect_got(ends, "");
		assert_true(fake_client_is_closed(ends));
		assert_true(fake_client_is_reset(resets));
		harness_end(&h);
		if (cut == strlen(request)) {
			request = request == requests[0] ? requests[1] : NULL;
			cut = 0;
		}
	}
}

static void a_client_that_ends_is_still_answered(void **state)
{
	struct harness h = harness_begin();
	struct fake_conn *c = harness_client(&h, "GET /kv/a HTTP/1.1\r\n" H "\r\nGET /kv/b HT");

	fake_client_ends(c);
	harness_run(&h);
	expect_got(c, "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 12\r\n\r\nno such key\n");
	assert_true(fake_client_is_closed(c));
	harness_end(&h);
}

static void draining_ends_every_connection(void **state)
{
	struct harness h = harness_begin();
	struct fake_conn *idle = harness_client(&h, "GET /kv/a HTTP/1.1\r\n" H "\r\n");
	struct fake_conn *busy = harness_client(&h, "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nx");

	harness_run(&h);
	service_drain(h.service);
	assert_true(fake_client_is_closed(idle));
	assert_false(fake_client_is_closed(busy));
	fake_client_says(busy, "yz");
	harness_run(&h);
	assert_non_null(strstr(fake_client_got(busy, NULL), "201 Created"));
	assert_non_null(strstr(fake_client_got(busy, NULL), "Connection: close\r\n"));
	assert_true(fake_client_is_closed(busy));
	harness_end(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_request_gets_its_reply),
	    cmocka_unit_test(however_it_arrives),
	    cmocka_unit_test(split_in_two_anywhere),
	    cmocka_unit_test(large_bodies_come_back_whole),
	    cmocka_unit_test(ranges_of_large_values),
	    cmocka_unit_test(chunked_bodies_come_back_whole),
	    cmocka_unit_test(names_have_1_to_1024_bytes),
	    cmocka_unit_test(a_store_that_refuses_is_answered),
	    cmocka_unit_test(a_refused_body_is_passed_over),
	    cmocka_unit_test(metrics_are_well_formed),
	    cmocka_unit_test(clients_that_leave_leave_nothing_behind),
	    cmocka_unit_test(a_client_that_ends_is_still_answered),
	    cmocka_unit_test(draining_ends_every_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
