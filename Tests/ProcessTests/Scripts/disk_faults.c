/* Loaded into the hub in front of libc: makes the disk slow, failing or full, kills the process at a chosen call,
 * and moves the wall clock, as the shared words say.
 *
 * usage: LD_PRELOAD=disk_faults.so DISK_FAULTS=FILE DISK_FAULTS_PATH=TEXT headend ...
 *
 * FILE holds 64-bit words, mapped by the test too. Only files whose path contains TEXT are touched. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SYNC_ERROR, SYNC_MICROSECONDS, WRITE_ERROR, SYNC_CALLS, WRITE_CALLS, FAILED_CALLS, CALLS_LEFT, CLOCK_SECONDS, WORDS };

static _Atomic int64_t *words;
static const char *path_part;
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_fdatasync)(int);
static int (*real_rename)(const char *, const char *);
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    real_pwrite = (ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
    real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    real_rename = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
    real_clock_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    path_part = getenv("DISK_FAULTS_PATH");
    const char *file = getenv("DISK_FAULTS");
    if (!file) return;
    int descriptor = open(file, O_RDWR | O_CLOEXEC);
    if (descriptor < 0) return;
    void *memory = mmap(NULL, WORDS * 8, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    close(descriptor);
    if (memory != MAP_FAILED) words = memory;
}

static int concerns(int descriptor) {
    if (!words) return 0;
    if (!path_part) return 1;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t count = readlink(link, path, sizeof path - 1);
    if (count < 0) return 0;
    path[count] = 0;
    return strstr(path, path_part) != NULL;
}

static int fails(int word) {
    int64_t code = atomic_load(&words[word]);
    if (code == 0) return 0;
    atomic_fetch_add(&words[FAILED_CALLS], 1);
    errno = (int)code;
    return 1;
}

/* The call that is counted down to is not made. */
static void count_down(void) {
    if (atomic_load(&words[CALLS_LEFT]) > 0 && atomic_fetch_sub(&words[CALLS_LEFT], 1) == 1) kill(getpid(), SIGKILL);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t offset) {
    if (concerns(descriptor)) {
        atomic_fetch_add(&words[WRITE_CALLS], 1);
        count_down();
        if (fails(WRITE_ERROR)) return -1;
    }
    return real_pwrite(descriptor, bytes, count, offset);
}

int fdatasync(int descriptor) {
    if (concerns(descriptor)) {
        atomic_fetch_add(&words[SYNC_CALLS], 1);
        count_down();
        int64_t left = atomic_load(&words[SYNC_MICROSECONDS]);
        struct timespec pause = {left / 1000000, left % 1000000 * 1000};
        while (left > 0 && nanosleep(&pause, &pause) < 0 && errno == EINTR) {}
        if (fails(SYNC_ERROR)) return -1;
    }
    return real_fdatasync(descriptor);
}

int rename(const char *from, const char *to) {
    if (words && (!path_part || strstr(from, path_part))) count_down();
    return real_rename(from, to);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = real_clock_gettime ? real_clock_gettime(clock, time) : (int)syscall(SYS_clock_gettime, clock, time);
    if (words && clock == CLOCK_REALTIME) time->tv_sec += atomic_load(&words[CLOCK_SECONDS]);
    return result;
}
