// SPDX-License-Identifier: Apache-2.0 OR MIT
// Preloaded into a child: lets writes or syncs fail as the file named by CMS_FAULTS says.
// "full": no file can grow, but by what was removed. "sync": every fsync and fdatasync fails. "": all goes well.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char fault(void) {
    const char *path = getenv("CMS_FAULTS");
    char first = 0;
    if (!path) return 0;
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY);
    if (fd < 0) return 0;
    if (syscall(SYS_read, fd, &first, 1) != 1) first = 0;
    syscall(SYS_close, fd);
    return first;
}

// What was removed is room again.
static long room;

// Whether a write up to `end` must fail: the file would grow, and there is no room.
static int no_room(int fd, long end) {
    struct stat about;
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode) || end <= about.st_size || fault() != 'f') return 0;
    long more = end - about.st_size;
    if (more <= room) {
        room -= more;
        return 0;
    }
    errno = ENOSPC;
    return 1;
}

int unlink(const char *path) {
    struct stat about;
    int there = lstat(path, &about) == 0;
    int result = syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (result == 0 && there && about.st_nlink == 1) room += about.st_size;
    return result;
}

static int no_sync(void) {
    if (fault() != 's') return 0;
    errno = EIO;
    return 1;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    return no_room(fd, lseek(fd, 0, SEEK_CUR) + (long)count) ? -1 : syscall(SYS_write, fd, bytes, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    return no_room(fd, at + (long)count) ? -1 : syscall(SYS_pwrite64, fd, bytes, count, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { return pwrite64(fd, bytes, count, at); }

int fsync(int fd) { return no_sync() ? -1 : (int)syscall(SYS_fsync, fd); }

int fdatasync(int fd) { return no_sync() ? -1 : (int)syscall(SYS_fdatasync, fd); }
