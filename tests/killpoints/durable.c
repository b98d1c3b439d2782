/* Counts the calls that change files below a folder, and at the n-th one ends the process, stops it, or fails.

   Loaded with LD_PRELOAD; asleep until `killpoints_arm` maps a page that says what to do. What happens is written into
   that page, which a parent and several processes may share. Calls of the same kinds within libc (fwrite) are not seen.
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

enum kind { OPEN, WRITE, SYNC, RENAME, UNLINK, LINK, MKDIR, UTIME, LOCK };
enum { KILL = -1, TEAR = -2, STOP = -3 }; /* TEAR: kill when half of what is written has been written */
enum { MOST = 1024 };

/* The layout is that of `Page` in durable.py. */
struct page {
    int at;       /* which call, from 1; 0: none */
    int action;   /* one of the above, or an errno */
    int kinds;    /* bit set of the kinds that count */
    int lasting;  /* an errno is returned by all later calls too */
    int count;    /* calls so far */
    int hit_kind; /* of the call at which it happened; -1: not yet */
    int processes;
    int ids[MOST]; /* of processes that die together */
    char folder[PATH_MAX], hit_path[PATH_MAX];
};

static struct page *page;
static int counts;

/* Take part; `own` says whether the calls of this process count. 0 if it worked. */
int killpoints_arm(const char *path, int own) {
    int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    if (file < 0) return -1;
    void *mapped = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    syscall(SYS_close, file);
    if (mapped == MAP_FAILED) return -1;
    page = mapped;
    counts = own;
    int place = __atomic_fetch_add(&page->processes, 1, __ATOMIC_SEQ_CST);
    if (place < MOST) page->ids[place] = getpid();
    return 0;
}

static void die(void) {
    int known = page->processes < MOST ? page->processes : MOST;
    for (int i = 0; i < known; i++)
        if (page->ids[i] != getpid()) kill(page->ids[i], SIGKILL);
    kill(getpid(), SIGKILL);
}

/* What a call on a path must do: 0 go on, an errno, or TEAR. */
static int point(enum kind kind, const char *path) {
    size_t length = strlen(page->folder);
    if (!(page->kinds >> kind & 1) || strncmp(path, page->folder, length)) return 0;
    if (strstr(path, "/.snakemake/log/")) return 0; /* which nothing reads again */
    if (path[length] != '/' && path[length]) return 0;
    int number = __atomic_add_fetch(&page->count, 1, __ATOMIC_SEQ_CST), at = page->at;
    if (!at || number < at || (number > at && !(page->lasting && page->action > 0))) return 0;
    if (number == at) {
        snprintf(page->hit_path, PATH_MAX, "%s", path);
        page->hit_kind = kind;
    }
    if (page->action == KILL) die();
    if (page->action == STOP) kill(getpid(), SIGSTOP);
    return page->action == TEAR || page->action > 0 ? page->action : 0;
}

static int of_file(enum kind kind, int file) {
    char link[64], path[PATH_MAX];
    if (!page || !counts) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return point(kind, path);
}

static int of_path(enum kind kind, int folder, const char *name) {
    char path[PATH_MAX * 2], link[64];
    if (!page || !counts || !name) return 0;
    if (name[0] == '/') return point(kind, name);
    ssize_t length = -1;
    if (folder == AT_FDCWD) {
        if (getcwd(path, PATH_MAX)) length = (ssize_t)strlen(path);
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        length = readlink(link, path, PATH_MAX - 1);
    }
    if (length <= 0) return 0;
    snprintf(path + length, PATH_MAX, "/%s", name);
    return point(kind, path);
}

#define REAL(name) ({ static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name); real; })
#define REFUSE(told) do { int said = (told); if (said == TEAR) die(); if (said > 0) { errno = said; return -1; } } \
    while (0)

/* open ------------------------------------------------------------------------------------------------------- */

static int opening(int folder, const char *path, int flags) {
    int writes = (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);
    return writes ? of_path(OPEN, folder, path) : 0;
}

#define MODE(last) mode_t mode = 0; if (flags & O_CREAT) { va_list more; va_start(more, last); \
    mode = va_arg(more, mode_t); va_end(more); }

int open(const char *path, int flags, ...) {
    MODE(flags) REFUSE(opening(AT_FDCWD, path, flags));
    return REAL(open)(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE(flags) REFUSE(opening(AT_FDCWD, path, flags));
    return REAL(open64)(path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
    MODE(flags) REFUSE(opening(folder, path, flags));
    return REAL(openat)(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags) REFUSE(opening(folder, path, flags));
    return REAL(openat64)(folder, path, flags, mode);
}
int creat(const char *path, mode_t mode) { return open(path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return open64(path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

static int stream(const char *path, const char *how) { return strpbrk(how, "wa+") ? of_path(OPEN, AT_FDCWD, path) : 0; }

FILE *fopen(const char *path, const char *how) {
    int told = stream(path, how);
    if (told > 0) { errno = told; return NULL; }
    return REAL(fopen)(path, how);
}
FILE *fopen64(const char *path, const char *how) {
    int told = stream(path, how);
    if (told > 0) { errno = told; return NULL; }
    return REAL(fopen64)(path, how);
}

/* write ------------------------------------------------------------------------------------------------------ */

#define WRITING(file, half) do { int told = of_file(WRITE, file); if (told == TEAR) { half; die(); } REFUSE(told); } \
    while (0)

ssize_t write(int file, const void *data, size_t size) {
    WRITING(file, REAL(write)(file, data, size / 2));
    return REAL(write)(file, data, size);
}
ssize_t pwrite(int file, const void *data, size_t size, off_t place) {
    WRITING(file, REAL(pwrite)(file, data, size / 2, place));
    return REAL(pwrite)(file, data, size, place);
}
ssize_t pwrite64(int file, const void *data, size_t size, off64_t place) {
    WRITING(file, REAL(pwrite64)(file, data, size / 2, place));
    return REAL(pwrite64)(file, data, size, place);
}
ssize_t writev(int file, const struct iovec *parts, int number) {
    WRITING(file, REAL(writev)(file, parts, number / 2));
    return REAL(writev)(file, parts, number);
}
ssize_t sendfile(int file, int from, off_t *place, size_t size) {
    WRITING(file, REAL(sendfile)(file, from, place, size / 2));
    return REAL(sendfile)(file, from, place, size);
}
ssize_t copy_file_range(int from, off64_t *start, int file, off64_t *place, size_t size, unsigned flags) {
    WRITING(file, REAL(copy_file_range)(from, start, file, place, size / 2, flags));
    return REAL(copy_file_range)(from, start, file, place, size, flags);
}
int ftruncate(int file, off_t size) { REFUSE(of_file(WRITE, file)); return REAL(ftruncate)(file, size); }
int ftruncate64(int file, off64_t size) { REFUSE(of_file(WRITE, file)); return REAL(ftruncate64)(file, size); }
int truncate(const char *path, off_t size) {
    REFUSE(of_path(WRITE, AT_FDCWD, path));
    return REAL(truncate)(path, size);
}

/* fsync ------------------------------------------------------------------------------------------------------ */

int fsync(int file) { REFUSE(of_file(SYNC, file)); return REAL(fsync)(file); }
int fdatasync(int file) { REFUSE(of_file(SYNC, file)); return REAL(fdatasync)(file); }

/* names ------------------------------------------------------------------------------------------------------ */

int rename(const char *from, const char *to) {
    REFUSE(of_path(RENAME, AT_FDCWD, to));
    return REAL(rename)(from, to);
}
int renameat(int old, const char *from, int new, const char *to) {
    REFUSE(of_path(RENAME, new, to));
    return REAL(renameat)(old, from, new, to);
}
int renameat2(int old, const char *from, int new, const char *to, unsigned flags) {
    REFUSE(of_path(RENAME, new, to));
    return REAL(renameat2)(old, from, new, to, flags);
}
int unlink(const char *path) { REFUSE(of_path(UNLINK, AT_FDCWD, path)); return REAL(unlink)(path); }
int unlinkat(int folder, const char *path, int flags) {
    REFUSE(of_path(UNLINK, folder, path));
    return REAL(unlinkat)(folder, path, flags);
}
int rmdir(const char *path) { REFUSE(of_path(UNLINK, AT_FDCWD, path)); return REAL(rmdir)(path); }
int remove(const char *path) { REFUSE(of_path(UNLINK, AT_FDCWD, path)); return REAL(remove)(path); }
int symlink(const char *to, const char *path) {
    REFUSE(of_path(LINK, AT_FDCWD, path));
    return REAL(symlink)(to, path);
}
int symlinkat(const char *to, int folder, const char *path) {
    REFUSE(of_path(LINK, folder, path));
    return REAL(symlinkat)(to, folder, path);
}
int link(const char *from, const char *to) { REFUSE(of_path(LINK, AT_FDCWD, to)); return REAL(link)(from, to); }
int linkat(int old, const char *from, int new, const char *to, int flags) {
    REFUSE(of_path(LINK, new, to));
    return REAL(linkat)(old, from, new, to, flags);
}
int mkdir(const char *path, mode_t mode) { REFUSE(of_path(MKDIR, AT_FDCWD, path)); return REAL(mkdir)(path, mode); }
int mkdirat(int folder, const char *path, mode_t mode) {
    REFUSE(of_path(MKDIR, folder, path));
    return REAL(mkdirat)(folder, path, mode);
}

/* times ------------------------------------------------------------------------------------------------------ */

int utime(const char *path, const struct utimbuf *times) {
    REFUSE(of_path(UTIME, AT_FDCWD, path));
    return REAL(utime)(path, times);
}
int utimes(const char *path, const struct timeval times[2]) {
    REFUSE(of_path(UTIME, AT_FDCWD, path));
    return REAL(utimes)(path, times);
}
int utimensat(int folder, const char *path, const struct timespec times[2], int flags) {
    REFUSE(path ? of_path(UTIME, folder, path) : of_file(UTIME, folder));
    return REAL(utimensat)(folder, path, times, flags);
}
int futimens(int file, const struct timespec times[2]) {
    REFUSE(of_file(UTIME, file));
    return REAL(futimens)(file, times);
}

/* locks ------------------------------------------------------------------------------------------------------ */

int flock(int file, int how) {
    if (!(how & LOCK_UN)) REFUSE(of_file(LOCK, file));
    return REAL(flock)(file, how);
}

static int locking(int file, int command, void *argument) {
    int sets = command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW;
    return sets && ((struct flock *)argument)->l_type != F_UNLCK ? of_file(LOCK, file) : 0;
}

int fcntl(int file, int command, ...) {
    va_list more;
    va_start(more, command);
    void *argument = va_arg(more, void *);
    va_end(more);
    REFUSE(locking(file, command, argument));
    return REAL(fcntl)(file, command, argument);
}
int fcntl64(int file, int command, ...) {
    va_list more;
    va_start(more, command);
    void *argument = va_arg(more, void *);
    va_end(more);
    REFUSE(locking(file, command, argument));
    return REAL(fcntl64)(file, command, argument);
}
