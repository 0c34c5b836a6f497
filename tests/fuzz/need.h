/* SPDX-License-Identifier: BSD-2-Clause */
/* need.h - what a fuzzer demands of the code it drives, whatever the input was. */
#ifndef FUZZ_NEED_H
#define FUZZ_NEED_H

#include <stdio.h>
#include <stdlib.h>

#define NEED(condition)                                                                                      \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                      \
			abort();                                                                             \
		}                                                                                            \
	} while (0)

#endif
