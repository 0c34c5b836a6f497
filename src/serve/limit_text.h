/* SPDX-License-Identifier: BSD-2-Clause */
/* limit_text.h - a limit in a sentence: LIMIT_TEXT(FOLLOW_MAX) is "3600". The limit has to be a plain number. */
#ifndef SERVE_LIMIT_TEXT_H
#define SERVE_LIMIT_TEXT_H

#define LIMIT_TEXT_OF(limit) #limit
#define LIMIT_TEXT(limit) LIMIT_TEXT_OF(limit)

#endif
