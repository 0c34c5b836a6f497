/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/site.h"

#ifdef PASTE_MUTATE
const char *paste_mutant;
#endif
