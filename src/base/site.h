/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * site.h - places in the code that a durability promise hangs on, so that a test can break them one by one.
 *
 * Every flush, fence, ticket wait, checksum check, epoch check and reuse guard is written as
 *
 *	if (SITE(put_value_flush))
 *		media_write_back(...);
 *
 * In the product SITE(name) is the constant 1. In the library built for the mutation test (-DPASTE_MUTATE) it
 * is 0 for the one site that `paste_mutant` names, so that the step is left out or the check passes. The list
 * of sites is made from the sources by scripts/sites; a site name is unique in the tree. For a check, write
 * `if (bad && SITE(record_crc_check)) return -EBADMSG;`.
 */
#ifndef BASE_SITE_H
#define BASE_SITE_H

#ifdef PASTE_MUTATE
#include <string.h>
extern const char *paste_mutant; /* NULL: none is broken */
#define SITE(name) (!paste_mutant || strcmp(paste_mutant, #name) != 0)
#else
#define SITE(name) 1
#endif

#endif
