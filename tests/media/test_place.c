/* SPDX-License-Identifier: BSD-2-Clause */
/* Which kind of medium a path makes, and what sysfs says about devices (told by a made-up sysfs). */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "media/badblocks.h"
#include "media/media.h"
#include "media/place.h"
#include "media/platform.h"
#include "scratch.h"

static void kind_names_are_parsed_back(void **state)
{
	enum media_kind kind;

	for (int k = MEDIA_AUTO; k <= MEDIA_SIM; k++) {
		assert_int_equal(media_kind_parse(media_kind_name((enum media_kind)k), &kind), 0);
		assert_int_equal(kind, k);
	}
	assert_int_equal(media_kind_parse("disk", &kind), -EINVAL);
	assert_string_equal(media_kind_name((enum media_kind)77), "unknown");
}

static void expect_refused(const char *path, enum media_kind kind, int code, const char *advice)
{
	struct media_options options = {.path = path, .kind = kind, .size = 4u << 20};
	struct paste_error err = {{0}};
	struct media *m;

	assert_int_equal(media_create(&options, &m, &err), code);
	if (!strstr(err.text, advice))
		fail_msg("'%s' does not say '%s'", err.text, advice);
	if (!strstr(err.text, path))
		fail_msg("'%s' does not say which path", err.text);
}

static void expect_kind(const char *path, enum media_kind asked, enum media_kind kind, const char *backing)
{
	struct media_options options = {.path = path, .kind = asked, .size = 4u << 20};
	struct paste_error err = {{0}};
	struct media *m;

	if (media_create(&options, &m, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(m->kind, kind);
	assert_string_equal(m->backing, backing);
	assert_int_equal(m->unit, kind == MEDIA_FILE ? 4096 : 64);
	for (uint64_t i = 0; i < m->length; i += 8)
		assert_true(*(uint64_t *)(void *)(m->base + i) == 0);
	media_close(m);
}

/* A look at the start of a region is rounded up to what the place can map, and ends with it. */
static void expect_start(const char *path, uint64_t size, uint64_t length)
{
	struct media_options options = {.path = path, .size = size, .read_only = true};
	struct paste_error err = {{0}};
	struct media *m;

	if (media_open(&options, &m, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(m->length, length);
	media_close(m);
}

static void make_file(const char *path, uint64_t size)
{
	struct media_options options = {.path = path, .size = size};
	struct paste_error err = {{0}};
	struct media *m;

	if (media_create(&options, &m, &err) < 0 || media_publish(m, &err) < 0)
		fail_msg("%s", err.text);
	media_close(m);
}

static void the_start_alone_can_be_opened(void **state)
{
	struct scratch s;
	const char *why;

	SCRATCH_OR_SKIP(scratch_tmpfs(&s, &why));
	make_file(s.file, 4u << 20);
	expect_start(s.file, 1, 4096);
	expect_start(s.file, 65536, 65536);
	expect_start(s.file, 65537, 69632);
	expect_start(s.file, (4u << 20) - 1, 4u << 20);
	expect_start(s.file, UINT64_MAX, 4u << 20);
	scratch_remove(&s);
}

static void tmpfs_is_shm(void **state)
{
	struct scratch s;
	const char *why;

	SCRATCH_OR_SKIP(scratch_tmpfs(&s, &why));
	expect_kind(s.file, MEDIA_AUTO, MEDIA_SHM, "tmpfs");
	expect_kind(s.file, MEDIA_SHM, MEDIA_SHM, "tmpfs");
	expect_refused(s.file, MEDIA_PMEM, -EOPNOTSUPP, "--medium shm");
	expect_refused(s.file, MEDIA_FILE, -EOPNOTSUPP, "--medium shm");
	expect_refused(s.file, MEDIA_SIM, -EINVAL, "sim");
	scratch_remove(&s);
}

static void hugetlbfs_is_shm(void **state)
{
	struct scratch s;
	struct paste_error err = {{0}};
	struct media *m;
	const char *why;

	SCRATCH_OR_SKIP(scratch_mount(&s, "hugetlbfs", "pagesize=2M", &why));
	struct media_options options = {.path = s.file, .size = 4u << 20};
	int rc = media_create(&options, &m, &err);
	if (rc == 0) {
		assert_int_equal(m->kind, MEDIA_SHM);
		assert_string_equal(m->backing, "hugetlbfs");
		memset(m->base, 1, m->length);
		assert_int_equal(media_publish(m, &err), 0);
		media_close(m);
		expect_start(s.file, 65536, 2u << 20);
	} else {
		/* No huge pages on this machine: that is told, and nobody meets a SIGBUS. */
		assert_int_equal(rc, -ENOSPC);
		assert_non_null(strstr(err.text, "vm.nr_hugepages"));
	}
	options.size = 4096;
	assert_int_equal(media_create(&options, &m, &err), -EINVAL);
	assert_non_null(strstr(err.text, "2 MiB"));
	scratch_remove(&s);
}

static void a_disk_is_file(void **state)
{
	struct scratch s;
	const char *why;

	SCRATCH_OR_SKIP(scratch_disk(&s, &why));
	expect_kind(s.file, MEDIA_AUTO, MEDIA_FILE, "memory");
	expect_kind(s.file, MEDIA_FILE, MEDIA_FILE, "memory");
	expect_refused(s.file, MEDIA_SHM, -EOPNOTSUPP, "/dev/shm/");
	expect_refused(s.file, MEDIA_PMEM, -EOPNOTSUPP, "--medium file");
	assert_int_equal(scratch_entries(&s), 0);
	scratch_remove(&s);
}

static void what_cannot_hold_a_region_is_refused(void **state)
{
	struct scratch s;
	const char *why;
	char path[300];

	expect_refused("/dev/null", MEDIA_AUTO, -EINVAL, "not device DAX");
	expect_refused("/nowhere/at/all", MEDIA_AUTO, -ENOENT, "/nowhere/at");
	expect_refused("", MEDIA_AUTO, -EINVAL, "path");
	SCRATCH_OR_SKIP(scratch_tmpfs(&s, &why));
	expect_refused(s.directory, MEDIA_AUTO, -EISDIR, "directory");
	snprintf(path, sizeof(path), "%s/new/", s.directory);
	expect_refused(path, MEDIA_AUTO, -EISDIR, "directory");
	assert_int_equal(mkfifo(s.file, 0600), 0);
	expect_refused(s.file, MEDIA_AUTO, -EINVAL, "neither a file nor a device");
	unlink(s.file);
	assert_int_equal(symlink("nothing", s.file), 0);
	expect_refused(s.file, MEDIA_AUTO, -ENOENT, "link");
	scratch_remove(&s);
}

/* A sysfs with a device-DAX device on a region without eADR, and a block device on one with it. */
static char sys[64];

static void in_sys(const char *command, const char *a, const char *b)
{
	char path[300], target[300];

	snprintf(path, sizeof(path), "%s/%s", sys, a);
	if (strcmp(command, "mkdir") == 0) {
		for (char *p = path + strlen(sys) + 1; (p = strchr(p, '/')); *p++ = '/') {
			*p = 0;
			mkdir(path, 0700);
		}
		assert_int_equal(mkdir(path, 0700), 0);
	} else if (strcmp(command, "link") == 0) {
		snprintf(target, sizeof(target), "%s/%s", sys, b);
		assert_int_equal(symlink(target, path), 0);
	} else {
		FILE *f = fopen(path, "w");
		assert_non_null(f);
		fprintf(f, "%s\n", b);
		fclose(f);
	}
}

static void make_sys(void)
{
	strcpy(sys, "/tmp/media-sys-XXXXXX");
	assert_non_null(mkdtemp(sys));
	in_sys("mkdir", "bus/dax", NULL);
	in_sys("mkdir", "bus/mem", NULL);
	in_sys("mkdir", "dev/char", NULL);
	in_sys("mkdir", "dev/block", NULL);
	in_sys("mkdir", "devices/ndbus0/region0/dax0.0/dax/dax0.0", NULL);
	in_sys("mkdir", "devices/ndbus0/region1/namespace1.0/block/pmem1/pmem1p2", NULL);
	in_sys("mkdir", "devices/virtual/mem/null", NULL);
	in_sys("write", "devices/ndbus0/region0/persistence_domain", "memory_controller");
	in_sys("write", "devices/ndbus0/region1/persistence_domain", "cpu_cache");
	in_sys("write", "devices/ndbus0/region0/dax0.0/dax/dax0.0/size", "257949696");
	in_sys("write", "devices/ndbus0/region0/dax0.0/dax/dax0.0/align", "2097152");
	in_sys("link", "devices/ndbus0/region0/dax0.0/dax/dax0.0/subsystem", "bus/dax");
	in_sys("link", "devices/virtual/mem/null/subsystem", "bus/mem");
	in_sys("link", "dev/char/250:1", "devices/ndbus0/region0/dax0.0/dax/dax0.0");
	in_sys("link", "dev/char/1:3", "devices/virtual/mem/null");
	in_sys("link", "dev/block/259:2", "devices/ndbus0/region1/namespace1.0/block/pmem1/pmem1p2");
}

/* What is lost of a device-DAX device, and of a partition (its first sector is 2048), in bytes from its start. */
static void sysfs_tells_what_is_lost(void **state)
{
	struct media_bad bad = {0};
	char command[128];

	make_sys();
	assert_int_equal(badblocks_device(sys, false, makedev(250, 1), 0, 64 << 20, 0, &bad), 0);
	assert_int_equal(bad.n, 0); /* nobody says anything */
	/* The region begins at 4 GiB and the device 2 MiB behind that: sector 4096 is its first. */
	in_sys("write", "devices/ndbus0/region0/badblocks", "4090 8\n4200 1\n9000000 4");
	assert_int_equal(badblocks_device(sys, false, makedev(250, 1), 0, 64 << 20, 0, &bad), 0);
	assert_int_equal(bad.n, 0); /* where it begins is not told, either */
	in_sys("write", "devices/ndbus0/region0/resource", "0x100000000");
	in_sys("write", "devices/ndbus0/region0/dax0.0/dax/dax0.0/resource", "0x100200000");
	assert_int_equal(badblocks_device(sys, false, makedev(250, 1), 0, 64 << 20, 0, &bad), 0);
	assert_int_equal(bad.n, 2);
	assert_int_equal(bad.range[0].offset, 0);
	assert_int_equal(bad.range[0].bytes, 2 * 512);
	assert_int_equal(bad.range[1].offset, 104 * 512);
	assert_int_equal(bad.range[1].bytes, 512);
	bad.n = 0;
	in_sys("write", "devices/ndbus0/region1/namespace1.0/block/pmem1/badblocks", "2050 2");
	in_sys("write", "devices/ndbus0/region1/namespace1.0/block/pmem1/pmem1p2/start", "2048");
	/* A file's extent: 4096 bytes of the partition from its byte 512 on stand at 8192 of the file. */
	assert_int_equal(badblocks_device(sys, true, makedev(259, 2), 512, 4096, 8192, &bad), 0);
	assert_int_equal(bad.n, 1);
	assert_int_equal(bad.range[0].offset, 8192 + 512);
	assert_int_equal(bad.range[0].bytes, 1024);
	free(bad.range);
	snprintf(command, sizeof(command), "rm -r %s", sys);
	assert_int_equal(system(command), 0);
}

static void sysfs_tells_dax_devices_and_persistent_caches(void **state)
{
	char command[128];

	make_sys();
	assert_true(platform_is_dax_device(sys, makedev(250, 1)));
	assert_false(platform_is_dax_device(sys, makedev(1, 3)));
	assert_false(platform_is_dax_device(sys, makedev(9, 9)));
	assert_int_equal(platform_dax_number(sys, makedev(250, 1), "size"), 257949696);
	assert_int_equal(platform_dax_number(sys, makedev(250, 1), "align"), 2097152);
	assert_int_equal(platform_dax_number(sys, makedev(250, 1), "nonsense"), 0);
	assert_false(platform_caches_persist(sys, false, makedev(250, 1)));
	assert_true(platform_caches_persist(sys, true, makedev(259, 2)));
	assert_false(platform_caches_persist(sys, true, makedev(8, 0)));
	assert_false(platform_caches_persist(sys, false, makedev(1, 3)));
	snprintf(command, sizeof(command), "rm -r %s", sys);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(kind_names_are_parsed_back),
	    cmocka_unit_test(the_start_alone_can_be_opened),
	    cmocka_unit_test(tmpfs_is_shm),
	    cmocka_unit_test(hugetlbfs_is_shm),
	    cmocka_unit_test(a_disk_is_file),
	    cmocka_unit_test(what_cannot_hold_a_region_is_refused),
	    cmocka_unit_test(sysfs_tells_dax_devices_and_persistent_caches),
	    cmocka_unit_test(sysfs_tells_what_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
