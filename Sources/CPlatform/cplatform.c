// What glibc hides from Swift behind _GNU_SOURCE.
#define _GNU_SOURCE
#include "cplatform.h"
#include <pthread.h>
#include <sys/socket.h>
#include <sys/resource.h>

void headend_name_thread(const char *name) {
#if defined(__APPLE__)
    pthread_setname_np(name);
#else
    pthread_setname_np(pthread_self(), name);
#endif
}

unsigned long headend_open_files_max(void) {
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (unsigned long)limit.rlim_cur : 1024;
}

unsigned long headend_raise_open_files_max(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
    struct rlimit raised = limit;
    raised.rlim_cur = raised.rlim_max;
    // Where the hard limit is more than the kernel takes, the soft one stays.
    return (unsigned long)(setrlimit(RLIMIT_NOFILE, &raised) == 0 ? raised.rlim_cur : limit.rlim_cur);
}

#if !defined(__APPLE__)
int headend_accept(int listener) { return accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC); }
#endif

void headend_lower_thread_priority(void) {
#if defined(__linux__)
    // Linux gives each thread a nice value of its own; 0 is the calling one.
    setpriority(PRIO_PROCESS, 0, 10);
#endif
}
