/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loss.bpf.c - lose packets by chance: a tc classifier, a section for each share in percent. For tests of TCP
 * over a veth pair; netem is not everywhere, and this needs only what building needs.
 */
#define DROP 2 /* TC_ACT_SHOT */
#define PASS -1 /* TC_ACT_UNSPEC */

static unsigned int (*const random_u32)(void) = (void *)7; /* bpf_get_prandom_u32 */

#define LOSE(percent) \
	__attribute__((section("lose" #percent), used)) int classify##percent(void *packet) \
	{ \
		return random_u32() % 100 < percent ? DROP : PASS; \
	}

LOSE(1)
LOSE(10)

__attribute__((section("license"), used)) char license_of_it[] = "Dual BSD/GPL";
